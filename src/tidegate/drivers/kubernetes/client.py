"""The API server: one method per thing that can be asked of it, with patience.

What fails in a way that may pass (no connection, 429, 5xx) is asked again for `PATIENCE`. So a write whose answer was
lost is sent again, and may meet itself: `AlreadyThere`, `ConflictError.stale`, False from `delete`. Look, then decide.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tidegate.drivers.kubernetes.errors import (
    AlreadyThere,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    MissingError,
    NamespaceEnding,
    NotSignedIn,
    PodSilent,
    QuotaError,
    RefusedError,
    TryAgain,
    refusal,
)
from tidegate.drivers.kubernetes.kinds import POD, ApiKind, kind_of
from tidegate.drivers.kubernetes.kubeconfig import Access, read_access
from tidegate.drivers.kubernetes.transport import CONNECTS, PATIENCE, Dial, Transport, Trouble, checked
from tidegate.errors import TargetError, TargetUnreachable

__all__ = [
    "MANAGER",
    "PATIENCE",
    "AlreadyThere",
    "Api",
    "ConflictError",
    "Dial",
    "ForbiddenError",
    "GoneError",
    "InvalidError",
    "Listing",
    "MissingError",
    "NamespaceEnding",
    "NotSignedIn",
    "PodSilent",
    "QuotaError",
    "RefusedError",
    "TryAgain",
]

Json = dict[str, Any]

MANAGER = "tidegate"
PAGE = 500  # objects in one answer
WATCHED = 20  # seconds until the server ends a watch; a connection that died unnoticed is found a little later
POD_ANSWERS = 10.0  # seconds
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_NOTHING_YET = re.compile(r"is waiting to start|previous terminated container .* not found|is not available")


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects, and the version of the whole list, from which it can be watched."""

    items: Sequence[Json]
    version: str


class Api:
    """One API server, as one user. Belongs to one event loop; connects when it is first asked for something.

    Every method raises `TargetUnreachable` when it could not ask, and what `errors` lists when it was refused.
    """

    def __init__(self, access: Callable[[], Access], *, patience: float = PATIENCE) -> None:
        self._transport = Transport(access, patience)
        self._served: dict[str, frozenset[str]] = {}

    @classmethod
    def connect(cls, context: str, *, kubeconfig: Path | None = None, patience: float = PATIENCE) -> Api:
        """By a context of the kubeconfig, "" for the current one. That is read when it is first needed, and may then be
        a `TargetError`: who only looks at other environments needs none."""
        return cls(partial(read_access, context, kubeconfig), patience=patience)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._transport.access.server

    @property
    def context(self) -> str:
        """Name of the context, also if it is the current one."""
        return self._transport.access.context

    @property
    def patience(self) -> float:
        """Seconds after which something that cannot be reached is given up."""
        return self._transport.patience

    def now(self) -> datetime:
        """The time of the API server, to about a second; of this machine before it was asked for anything."""
        return self._transport.now()

    async def get(self, kind: ApiKind, name: str, namespace: str = "") -> Json | None:
        """One object, None if it is not there."""
        try:
            return await self.raw("GET", kind.path(namespace, name), what=_what("read", kind, name, namespace))
        except MissingError:
            return None

    async def list(
        self, kind: ApiKind, namespace: str = "", labels: Mapping[str, str] | None = None, fields: str = ""
    ) -> Listing:
        """All objects with these labels and fields (`metadata.name=x`), of a namespace or of all."""
        what = _what("list", kind, "", namespace)
        params = {"limit": str(PAGE), **_selectors(labels, fields)}
        items: list[Json] = []
        while True:
            try:
                page = await self.raw("GET", kind.path(namespace), params=params, what=what)
            except GoneError:
                if "continue" not in params:
                    raise
                del params["continue"]  # so slowly that the list has moved on: begin anew
                items.clear()
                continue
            named = {"apiVersion": kind.api_version, "kind": kind.kind}  # those in lists do not say it
            items += ({**named, **each} for each in page.get("items") or ())
            if not page["metadata"].get("continue"):
                return Listing(items, str(page["metadata"].get("resourceVersion", "")))
            params["continue"] = page["metadata"]["continue"]

    async def apply(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Make the object so (server-side apply); with `metadata.resourceVersion` only if it is still of that version.

        Fields that others set are a `ConflictError`. Fields that `patch` or `replace` set before are ours, and taken.
        """
        try:
            return await self._apply(obj, dry_run=dry_run)
        except ConflictError as error:
            if error.stale or {each.manager for each in error.causes} != {MANAGER}:
                raise
        kind, metadata = kind_of(obj), obj["metadata"]
        if "resourceVersion" in metadata:
            return await self._apply(obj, dry_run=dry_run, force=True)
        found = await self.get(kind, metadata["name"], metadata.get("namespace", ""))
        if found is None:
            return await self.apply(obj, dry_run=dry_run)
        # To take a field from ourselves must not take one from somebody who came in between.
        version = found["metadata"]["resourceVersion"]
        try:
            return await self.apply({**obj, "metadata": {**metadata, "resourceVersion": version}}, dry_run=dry_run)
        except ConflictError as error:
            if not error.stale:
                raise
        return await self.apply(obj, dry_run=dry_run)

    async def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Make a new object. Raises `AlreadyThere`."""
        kind, name, namespace = _named(obj)
        what = _what("create", kind, name, namespace)
        return await self.raw("POST", kind.path(namespace), params=_writing(dry_run), body=obj, what=what)

    async def replace(self, obj: Mapping[str, Any]) -> Json:
        """The whole object, on condition of its `metadata.resourceVersion` if it has one."""
        kind, name, namespace = _named(obj)
        what = _what("replace", kind, name, namespace)
        return await self.raw("PUT", kind.path(namespace, name), params=_writing(), body=obj, what=what)

    async def patch(
        self,
        kind: ApiKind,
        name: str,
        namespace: str,
        body: Mapping[str, Any],
        *,
        version: str = "",
        missing_ok: bool = False,
    ) -> Json:
        """Change an object by a JSON merge patch, with `version` only if it is still of that one.

        Gives the object; {} if it is not there and that is `missing_ok`, else raises `MissingError`.
        """
        if version:
            body = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": version}}
        path, what = kind.path(namespace, name), _what("change", kind, name, namespace)
        try:
            return await self.raw("PATCH", path, params=_writing(), body=body, content=MERGE, what=what)
        except MissingError:
            if not missing_ok:
                raise
            return {}

    async def delete(
        self, kind: ApiKind, name: str, namespace: str = "", *, foreground: bool = False, version: str = ""
    ) -> bool:
        """Have an object removed, with `version` only if it is still of that one. False: it was not there.

        `foreground`: it stays, with a `deletionTimestamp`, until all that belongs to it is gone.
        """
        body: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        if version:
            body["preconditions"] = {"resourceVersion": version}
        path, what = kind.path(namespace, name), _what("delete", kind, name, namespace)
        try:
            await self.raw("DELETE", path, body=body, what=what)
        except MissingError:
            return False
        return True

    async def watch(
        self, kind: ApiKind, namespace: str, labels: Mapping[str, str] | None, version: str
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """What changes after `version`, until the server ends it: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        It is asked once. Raises `TryAgain` when that failed or the connection broke, `GoneError`: list again.
        """
        what = _what("watch", kind, "", namespace)
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCHED),
            **_selectors(labels),
        }
        async with self._transport.stream(kind.path(namespace), params, what, silence=WATCHED + CONNECTS) as lines:
            async for line in lines:
                event = orjson.loads(line)
                found = event["object"]
                if event["type"] == "ERROR":
                    raise refusal(what, int(found.get("code", 500)), found)
                yield event["type"], found

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int | None,
        follow: bool = False,
        previous: bool = False,
    ) -> AsyncGenerator[str, None]:
        """The last `tail` lines (None: all) that a container printed, and with `follow` what it prints until it ends.

        None if it has not begun. A connection that breaks is opened again, and no line comes twice or is lost.
        """
        path, what = f"{POD.path(namespace, pod)}/log", f"read what {pod} printed"
        asked = {"container": container, "timestamps": "true", "previous": _flag(previous), "follow": _flag(follow)}
        if tail is not None:
            asked["tailLines"] = str(tail)
        seen, trouble = "", Trouble(self.patience)
        while True:
            try:
                async with self._transport.stream(path, asked, what, silence=None) as lines:
                    async for line in lines:
                        trouble.over()
                        stamp, _, text = line.decode(errors="replace").partition(" ")
                        if stamp > seen and stamp[:1].isdigit():  # else it is the node that speaks
                            seen = stamp
                            yield text
            except InvalidError as error:
                if _NOTHING_YET.search(error.detail):
                    return
                raise
            except TryAgain as error:
                await self._transport.pause(trouble, error)
            else:
                return
            if seen:  # of that second once more, since finer cannot be asked for; `seen` sorts out what came
                asked.pop("tailLines", None)
                asked["sinceTime"] = f"{seen[:19]}Z"

    async def last_lines(
        self, namespace: str, pod: str, container: str, *, tail: int, previous: bool = False
    ) -> tuple[str, ...]:
        """The last lines of a container that ended, also if it was started again meanwhile; none if nobody can tell."""
        for before in (True,) if previous else (False, True):
            try:
                found = self.logs(namespace, pod, container, tail=tail, previous=before)
                lines = tuple([line async for line in found])
            except TargetError:
                return ()
            if lines:
                return lines
        return ()

    async def pod_request(self, namespace: str, pod: str, port: int, method: str, path: str) -> bytes:
        """Ask a program in a pod through the API server. `PodSilent`: it does not answer, or not with success."""
        what = f"ask {pod}"

        where = f"{POD.path(namespace, f'{pod}:{port}')}/proxy{path}"

        async def once() -> bytes:
            try:
                answer = await self._transport.once(method, where, what, silence=POD_ANSWERS)
            except TryAgain as error:
                if isinstance(error.__cause__, httpx2.ReadTimeout):
                    raise PodSilent(f"cannot {what}", error.detail) from error
                raise
            if not answer.is_success and _by_pod(answer):
                raise PodSilent(f"cannot {what}", f"It answered {answer.status_code}: {answer.text[:500]}")
            return checked(what, answer).content

        return await self._transport.patiently(once)

    async def version(self) -> tuple[int, int]:
        """Of Kubernetes, such as (1, 34)."""
        found = await self.raw("GET", "/version", what="ask for the version of the cluster")
        major, minor = (re.match(r"\d*", str(found[key])) for key in ("major", "minor"))
        assert major
        assert minor
        return int(major[0] or 0), int(minor[0] or 0)

    async def has(self, kind: ApiKind) -> bool:
        """Whether the cluster serves this kind. Asked once."""
        if kind.api_version not in self._served:
            path = ApiKind(kind.api_version, "", "").path().rstrip("/")
            try:
                found = await self.raw("GET", path, what=f"ask for the kinds of {kind.api_version}")
            except MissingError:
                found = {"resources": []}
            self._served[kind.api_version] = frozenset(each["name"] for each in found["resources"])
        return kind.plural in self._served[kind.api_version]

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        what: str = "",
    ) -> Json:
        """Any other request, answered with JSON. `what` completes "cannot …"."""
        doing = what or f"{method} {path}"
        sent = None if body is None else orjson.dumps(body)

        async def once() -> httpx2.Response:
            answer = await self._transport.once(method, path, doing, params=params, body=sent, content=content)
            return checked(doing, answer)

        answer = await self._transport.patiently(once)
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise TargetError(f"cannot {doing}", f"What answers at {self.server} is not Kubernetes.") from error
        return dict(found)

    async def dial(self, path: str) -> Dial:
        """For a web socket at `path` (which may have a query). Raises `NotSignedIn`."""
        return await self._transport.dial(path)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def _apply(self, obj: Mapping[str, Any], *, dry_run: bool, force: bool = False) -> Json:
        kind, name, namespace = _named(obj)
        params = {**_writing(dry_run), "force": _flag(force)}
        what = _what("apply", kind, name, namespace)
        return await self.raw("PATCH", kind.path(namespace, name), params=params, body=obj, content=APPLY, what=what)

    def unreachable(self, error: TryAgain) -> TargetUnreachable:
        """The error for a server that was away for too long; `error` is what was heard of it last."""
        return self._transport.unreachable(error)


def _named(obj: Mapping[str, Any]) -> tuple[ApiKind, str, str]:
    metadata = obj["metadata"]
    return kind_of(obj), str(metadata["name"]), str(metadata.get("namespace", ""))


def _what(verb: str, kind: ApiKind, name: str, namespace: str) -> str:
    where = f" of {namespace}" if namespace else ""
    return f"{verb} {kind.kind} {name}{where}" if name else f"{verb} {kind.plural}{where}"


def _selectors(labels: Mapping[str, str] | None, fields: str = "") -> dict[str, str]:
    found = {}
    if labels:
        found["labelSelector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    if fields:
        found["fieldSelector"] = fields
    return found


def _writing(dry_run: bool = False) -> dict[str, str]:
    return {"fieldManager": MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _by_pod(answer: httpx2.Response) -> bool:
    """Whether the answer is the program's, or says that the program gave none; and is not the API server's own."""
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return True
    if not isinstance(body, dict) or body.get("kind") != "Status":
        return True
    return "error trying to reach service" in str(body.get("message", ""))
