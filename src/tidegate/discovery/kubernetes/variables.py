"""Environment variables of a workload: plain values, values of ConfigMaps, and references to Secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.discovery.candidate import looks_secret
from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.objects import Folder
from tidegate.discovery.kubernetes.workloads import REFERENCE
from tidegate.manifest.fields import VARIABLE, reserved

_KEY = re.compile(r"[A-Za-z0-9._-]+")


@dataclass
class Sources:
    """ConfigMaps and Secrets of a folder. Of Secrets only names and keys are known.

    `named` are (kind, namespace, name) of those, and of volume claims, that some workload uses.
    """

    maps: Mapping[tuple[str, str], Mapping[str, str]]
    keys: Mapping[tuple[str, str], frozenset[str]]
    named: set[tuple[str, str, str]] = field(default_factory=set)


def sources_of(folder: Folder) -> Sources:
    """All that variables may come from."""
    maps, keys = {}, {}
    for each in folder.of("ConfigMap"):
        each.body.skip("immutable", "binaryData")
        maps[each.namespace, each.name] = each.body.pairs("data")
    for each in folder.of("Secret"):
        each.body.skip("type", "immutable")
        keys[each.namespace, each.name] = each.body.names("data") | each.body.names("stringData")
    return Sources(maps, keys)


def read_variables(draft: Draft, sources: Sources) -> None:
    """Fill in `env` and `words`. Later values win over former ones, and `env` over `envFrom`, as in Kubernetes."""
    reader = _Reader(draft, sources)
    for source in draft.container.items("envFrom"):
        reader.all_of(source)
    for entry in draft.container.items("env"):
        name = entry.text("name")
        if "valueFrom" in entry:
            reader.one_of(name, entry)
        else:
            reader.put(name, entry.text("value"), entry)


@dataclass
class _Reader:
    """Reads the variables of one workload. `known` are the values so far, for `$(NAME)` in later ones."""

    draft: Draft
    sources: Sources
    known: dict[str, str] = field(default_factory=dict)

    def all_of(self, source: Cursor) -> None:
        prefix, space, file = source.text("prefix"), self.draft.workload.namespace, self.draft.file
        if "configMapRef" in source:
            name = source.inner("configMapRef").text("name")
            self.sources.named.add(("ConfigMap", space, name))
            found = self.sources.maps.get((space, name))
            if found is None:
                message = f"the variables of ConfigMap {name} are not carried over: it is not in these files"
                source.leave("configMapRef", message, f"Write them under env: in {file}.")
            for key, value in (found or {}).items():
                self.put(prefix + key, value, source)
        elif "secretRef" in source:
            name = source.inner("secretRef").text("name")
            self.sources.named.add(("Secret", space, name))
            keys = self.sources.keys.get((space, name))
            if keys is None:
                message = f"the variables of Secret {name} are not carried over: it is not in these files"
                hint = f'Write KEY: {{secret: "kubernetes:{name}/KEY"}} for each under env: in {file}.'
                source.leave("secretRef", message, hint)
            for key in sorted(keys or ()):
                self.refer(prefix + key, name, key, source)

    def one_of(self, name: str, entry: Cursor) -> None:
        origin, space = entry.inner("valueFrom"), self.draft.workload.namespace
        if "secretKeyRef" in origin:
            reference = origin.inner("secretKeyRef")
            self.sources.named.add(("Secret", space, reference.text("name")))
            self.refer(name, reference.text("name"), reference.text("key"), entry)
        elif "configMapKeyRef" in origin:
            reference = origin.inner("configMapKeyRef")
            map_, key = reference.text("name"), reference.text("key")
            self.sources.named.add(("ConfigMap", space, map_))
            value = self.sources.maps.get((space, map_), {}).get(key)
            if value is not None:
                self.put(name, value, entry)
                return
            message = f"{name} is not carried over: no ConfigMap {map_} with the key {key} is in these files"
            entry.leave("name", message, f"Write {name}: and its value under env: in {self.draft.file}.")
        else:
            origin.skip_all()
            message = f"{name} is not carried over: only values of ConfigMaps and Secrets can be"
            entry.leave("name", message, "TIDEGATE_INSTANCE, TIDEGATE_COMPONENT, TIDEGATE_ENVIRONMENT tell who one is.")

    def put(self, name: str, written: str, at: Cursor) -> None:
        value, missing = self._expanded(written)
        if missing:
            hint = "Give the program the parts, and let it put them together."
            at.leave("name", f"{name} is not carried over: it is put together from the secret {missing}", hint)
            return
        self.known[name] = value
        if (name == "PORT" and value == str(self.draft.port)) or not self._may_be_set(name, at):
            return
        self.draft.words.append((name, value))
        self.draft.env[name] = value
        if looks_secret(name, value):
            del self.known[name]
            own = self.draft.name
            self.draft.env[name] = {"secret": f"kubernetes:{own}/{name}"}
            hint = f"Make a Secret {own} with the key {name} in the namespace, or name another in {self.draft.file}."
            at.leave("name", f"the value of {name} looks like a secret and is written to no file", hint)

    def refer(self, name: str, secret: str, key: str, at: Cursor) -> None:
        if not _KEY.fullmatch(secret) or not _KEY.fullmatch(key):
            at.leave("name", f"{name} is not carried over: its Secret has no name and key")
        elif self._may_be_set(name, at):
            self.known.pop(name, None)
            self.draft.env[name] = {"secret": f"kubernetes:{secret}/{key}"}

    def _expanded(self, value: str) -> tuple[str, str]:
        """With values for `$(NAME)`, as Kubernetes puts them in; and the first name whose value is a secret."""
        secrets: list[str] = []

        def put(match: re.Match[str]) -> str:
            if match[1]:
                return f"$({match[2]})"
            if match[2] not in self.known and match[2] in self.draft.env:
                secrets.append(match[2])
            return self.known.get(match[2], match[0])

        return REFERENCE.sub(put, value), "".join(secrets[:1])

    def _may_be_set(self, name: str, at: Cursor) -> bool:
        if not VARIABLE.fullmatch(name):
            at.leave("name", f"{name!r} cannot be the name of an environment variable here", "Use letters, digits, _.")
            return False
        if reserved(name):
            at.leave("name", f"{name} is not carried over: Tidegate sets it itself", "Let the program read another.")
            return False
        return True


def references(draft: Draft) -> set[str]:
    """Names of the Secrets of the cluster that it uses."""
    return {
        value["secret"].removeprefix("kubernetes:").partition("/")[0]
        for value in draft.env.values()
        if isinstance(value, dict)
    }
