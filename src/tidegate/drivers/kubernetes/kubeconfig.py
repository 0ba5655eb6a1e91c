"""Which API server a context of the kubeconfig names, and as whom one goes there. The same rules as kubectl's."""

from __future__ import annotations

import difflib
import ipaddress
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from tidegate.errors import TargetError

Json = dict[str, Any]
IN_CLUSTER = "in-cluster"
_FILES = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}


@dataclass(frozen=True, slots=True)
class Access:
    """One context. `config` has what signs in; `plugin` is the `exec:` of its user. `proxy` is a URL, `server_name` the
    name in the server's certificate, "" for that in its URL. `headers` say as whom to act (`as:`)."""

    context: str
    server: str
    config: SingleConfig = field(repr=False)
    plugin: Mapping[str, Any] | None = field(default=None, repr=False)
    cluster: Mapping[str, Any] = field(default_factory=dict, repr=False)
    proxy: str = ""
    server_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_access(context: str, path: Path | None = None) -> Access:
    """What a context says, "" for the current one; of `path`, else KUBECONFIG (files, merged), else ~/.kube/config.

    Without any kubeconfig and context, inside a cluster, that cluster. Raises `TargetError`: it is missing or damaged.
    """
    paths = _paths(path)
    existing = [each for each in paths if each.is_file()]
    if not existing:
        if not context and path is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            return _inside()
        raise TargetError(
            "cannot find a kubeconfig",
            f"There is no {' and no '.join(str(each) for each in paths)}.",
            hint="Set KUBECONFIG, or get one from who runs the cluster (kind, Docker Desktop and clouds write it).",
        )
    sections, current = _merged(existing)
    chosen = context or current
    if chosen not in sections["contexts"]:
        raise _no_context(chosen, sorted(sections["contexts"]), existing)
    found = sections["contexts"][chosen]
    cluster = _part(sections, "clusters", found.get("cluster"), chosen)
    user = _part(sections, "users", found["user"], chosen) if found.get("user") else {}
    return _access(chosen, found, cluster, user)


def _paths(path: Path | None) -> list[Path]:
    if path is not None:
        return [path]
    named = [each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    return [Path(each).expanduser() for each in named or ["~/.kube/config"]]


def _inside() -> Access:
    try:
        config = KubeConfig.from_service_account().get()
    except (ConfigError, OSError, KeyError) as error:
        raise TargetError("cannot sign in to the cluster from inside", str(error)) from error
    assert config is not None
    server = config.cluster.server
    return Access(IN_CLUSTER, server, config, proxy=_proxy(server, ""))


def _merged(paths: list[Path]) -> tuple[dict[str, dict[str, Json]], str]:
    """Contexts, clusters and users by name: the first file that has one wins. Names of files become absolute."""
    sections: dict[str, dict[str, Json]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = ""
    for path in paths:
        try:
            text = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506
            current = current or str(text.get("current-context") or "")
            for section, found in sections.items():
                key, files = _FILES.get(section, ("context", ()))
                for each in text.get(section) or ():
                    found.setdefault(str(each["name"]), _absolute(dict(each.get(key) or {}), files, path.parent))
        except OSError as error:
            raise TargetError("cannot read the kubeconfig", f"{path}: {error.strerror}.") from error
        except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError) as error:
            raise TargetError("cannot read the kubeconfig", f"{path} is damaged: {_first_line(error)}.") from error
    return sections, current


def _absolute(part: Json, files: tuple[str, ...], folder: Path) -> Json:
    for key in files:
        if part.get(key):
            part[key] = str(folder.absolute() / part[key])
    command = (part.get("exec") or {}).get("command", "")
    if os.sep in command:  # without one it is looked up in PATH
        part["exec"] = {**part["exec"], "command": str(folder.absolute() / command)}
    return part


def _part(sections: Mapping[str, Mapping[str, Json]], section: str, name: Any, context: str) -> Json:
    found = sections[section].get(str(name))
    if found is None:
        one = section.removesuffix("s")
        raise TargetError(
            f"cannot use the context {context}", f"It names the {one} {name}, which the kubeconfig does not have."
        )
    return found


def _access(context: str, found: Json, cluster: Json, user: Json) -> Access:
    known = {**user}
    plugin = known.pop("exec", None)  # lightkube runs only the former versions of these
    impersonate = {"Impersonate-User": known["as"]} if known.get("as") else {}
    try:
        config = KubeConfig.from_dict(
            {
                "contexts": [{"name": context, "context": {**found, "cluster": "it", "user": "it"}}],
                "clusters": [{"name": "it", "cluster": cluster}],
                "users": [{"name": "it", "user": known}],
            }
        ).get(context)
    except (msgspec.ValidationError, ConfigError) as error:
        raise TargetError(f"cannot use the context {context}", f"The kubeconfig is damaged: {error}.") from error
    assert config is not None
    if known.get("auth-provider"):
        raise TargetError(
            f"cannot use the context {context}",
            "Its user signs in by an auth-provider, which Kubernetes gave up in 1.26.",
            hint="Have the kubeconfig written anew; it will use `exec:` then.",
        )
    server = config.cluster.server.rstrip("/")
    return Access(
        context,
        server,
        config,
        plugin=plugin,
        cluster=cluster,
        proxy=_proxy(server, str(cluster.get("proxy-url") or "")),
        server_name=str(cluster.get("tls-server-name") or ""),
        headers=impersonate,
    )


def _no_context(chosen: str, contexts: list[str], paths: list[Path]) -> TargetError:
    files = ", ".join(str(each) for each in paths)
    listed = f"{files} has {', '.join(contexts)}." if contexts else f"{files} has no context at all."
    if not chosen:
        return TargetError(
            "cannot choose a cluster",
            f"The kubeconfig has no current context. {listed}",
            hint="Name one: `target: {kind: kubernetes, context: NAME}`.",
        )
    meant = difflib.get_close_matches(chosen, contexts, n=1)
    return TargetError(f"cannot find the context {chosen}", listed, hint=f"Did you mean {meant[0]}?" if meant else "")


def _proxy(server: str, named: str) -> str:
    """The URL of the proxy on the way to a server: that of the kubeconfig, else of the environment, "" for none.

    NO_PROXY may hold networks (10.0.0.0/8), as kubectl has it, which HTTP libraries for Python pass over.
    """
    url = urlsplit(server)
    host = url.hostname or ""
    if named:
        return named
    found = urllib.request.getproxies_environment()
    if url.scheme not in found or urllib.request.proxy_bypass(host):
        return ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return found[url.scheme]
    if address.is_loopback:
        return ""
    for each in found.get("no", "").split(","):
        try:
            if address in ipaddress.ip_network(each.strip(), strict=False):
                return ""
        except ValueError:
            continue  # a name, which was looked at above
    return found[url.scheme]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
