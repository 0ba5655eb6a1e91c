"""Secrets from the caller's environment (`env:NAME`) and from files (`file:PATH`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tidegate.errors import SecretError
from tidegate.model.pins import Secret


class EnvironmentAndFileSecrets:
    """Implements `tidegate.ports.secrets.Secrets`.

    `env:NAME` is read from `environment` (the caller's own by default) at the moment it is needed. `file:PATH` is
    the content of a UTF-8 file without its last line ending; a relative PATH starts at `folder`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = os.environ if environment is None else environment

    def resolve(self, secret: Secret) -> str:
        """The value. Raises `SecretError`, which names the reference and never a value."""
        scheme, _, rest = secret.reference.partition(":")
        if scheme == "env" and rest:
            return self._from_environment(secret, rest)
        if scheme == "file" and rest:
            value = self._from_file(secret, rest)
            if "\0" in value:
                raise SecretError(
                    f"cannot resolve the secret {secret.reference!r}",
                    "The file holds a zero byte, which no environment variable can.",
                    hint="Write the value as text, such as base64.",
                )
            return value
        raise SecretError(
            f"cannot resolve the secret {secret.reference!r}",
            "It is neither `env:NAME` nor `file:PATH`.",
            hint="Write `secret: env:NAME` for a variable of the shell that starts, or `secret: file:PATH` for a file.",
        )

    def _from_environment(self, secret: Secret, name: str) -> str:
        value = self._environment.get(name)
        if value is None:
            raise SecretError(
                f"cannot resolve the secret {secret.reference!r}",
                f"{name} is not set where this command runs.",
                hint=f"Set it and repeat: export {name}=…",
            )
        return value

    def _from_file(self, secret: Secret, path: str) -> str:
        file = self._folder / Path(path).expanduser()
        if file.exists() and not file.is_file():  # a pipe would be waited for, perhaps for ever
            raise SecretError(
                f"cannot resolve the secret {secret.reference!r}",
                f"{file} is not a plain file.",
                hint="Write the value to a file, readable by you alone (mode 0600).",
            )
        try:
            return file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SecretError(
                f"cannot resolve the secret {secret.reference!r}",
                f"{file} cannot be read: {reason}.",
                hint="Create the file, readable by you alone (mode 0600).",
            ) from error
