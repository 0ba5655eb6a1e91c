"""What a pod says about health, resources and volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.objects import Folder, Object
from tidegate.discovery.kubernetes.variables import Sources
from tidegate.discovery.kubernetes.workloads import as_run
from tidegate.manifest.quantity import read_resources
from tidegate.manifest.reader import Report
from tidegate.model.component import Health, Kind

DATA_FOLDER = "/data"
_START = Health().start_timeout // 1000
_SYSTEM = ("/proc", "/sys", "/dev")
_ASKED = ("httpGet", "tcpSocket", "exec", "grpc")
_BAKE = "Put the files into the image, or what they say into env: or settings:."
_FILES: Mapping[str, str] = {
    "configMap": _BAKE,
    "secret": "Give the program what it needs by env: with {secret: …}.",
    "projected": _BAKE,
    "downwardAPI": _BAKE,
    "hostPath": "Instances see nothing of the node that they run on.",
}


def read_health(draft: Draft) -> None:
    """`health`, from the readiness probe or, where there is none, from that of liveness."""
    container = draft.container
    probes = {name: container.inner(f"{name}Probe") for name in ("readiness", "liveness", "startup")}
    asked = {name: _asked(probe) for name, probe in probes.items()}
    first = "readiness" if asked["readiness"] else "liveness" if asked["liveness"] else "startup"
    probe = probes[first]
    if draft.kind is Kind.TASK or not asked[first]:
        return
    for other in probes.keys() - {first}:
        if asked[other] and asked[other] != asked[first]:
            message = f"{other}Probe asks something else than {first}Probe, and is not carried over"
            container.leave(f"{other}Probe", message, "One check tells here whether an instance is healthy.")
    if first == "readiness":
        probes["liveness"].skip_all()
    check = _check(draft, probe)
    if check is None:
        probe.skip_all()
        return
    times: dict[str, Any] = {}
    for key, name in (("periodSeconds", "interval"), ("timeoutSeconds", "timeout")):
        if seconds := probe.number(key):
            times[name] = f"{seconds}s"
    start = _start(probes["startup"], probe)
    if start > _START:
        times["start_timeout"] = f"{start}s"
    if first != "startup" and (failures := probe.number("failureThreshold")):
        times["failures"] = min(failures, 1000)
    if times:
        draft.health = {**(check or {"tcp": True}), **times}
    else:
        draft.health = check.get("http") or check or None


def _start(startup: Cursor, probe: Cursor) -> int:
    """Seconds until an instance has to be healthy."""
    startup.skip(*_ASKED, "timeoutSeconds", "successThreshold")
    times = (startup.number("periodSeconds") or 10) * (startup.number("failureThreshold") or 0)
    delay = max(startup.number("initialDelaySeconds") or 0, probe.number("initialDelaySeconds") or 0)
    return times + delay if times else delay + _START // 2


def _asked(probe: Cursor) -> Any:
    return next(((key, probe.plain(key)) for key in _ASKED if key in probe), None)


def _check(draft: Draft, probe: Cursor) -> dict[str, Any] | None:
    """What is asked, {} for a connection. None where it cannot be; that is said."""
    if "exec" in probe:
        return {"command": as_run(probe.inner("exec").words("command"), draft.env)}
    key = next(key for key in _ASKED if key in probe)
    inner = probe.inner(key)
    if key == "grpc":
        probe.leave(key, "health by grpc is not carried over", "Ask with exec: and a program of the image.")
        return None
    if draft.kind is Kind.WORKER:
        hint = "A worker has no address: it is healthy as long as it runs, or as a command says."
        probe.leave(key, f"health by {key} is not carried over", hint)
        return None
    port = inner.text("port")
    if draft.ports.get(port, port) != draft.port and port != str(draft.port):
        message = f"health is asked at port {port}, which is not that of the component, {draft.port}"
        probe.leave(key, f"{message}; it is not carried over", "Let the program answer at its own port.")
        return None
    if key == "tcpSocket":
        return {}
    if inner.text("scheme") == "HTTPS":
        inner.leave("scheme", "health over HTTPS becomes a connection: it is asked over HTTP here")
        inner.skip("path", "httpHeaders")
        return {}
    return {"http": f"/{inner.text('path').removeprefix('/')}"}


def read_pod_resources(draft: Draft) -> None:
    """Requests and limits, as far as they are quantities that manifests can have."""
    entry = draft.container.table.entries.get("resources")
    draft.container.skip("resources")
    if entry is None:
        return
    report = Report(draft.container.file)
    draft.requests, draft.limits = read_resources(entry.value, "resources", report) or ({}, {})
    for problem in report.problems:
        draft.container.leave("resources", f"{problem.message}; it is not carried over", problem.hint)


def read_volumes(draft: Draft, folder: Folder, sources: Sources) -> None:
    """Empty folders become `writable`, a claim becomes `data`; all others are said."""
    volumes = {volume.text("name"): volume for volume in draft.pod.items("volumes")}
    spec = draft.workload.body.inner("spec")
    templates = {each.inner("metadata").text("name"): each for each in spec.items("volumeClaimTemplates")}
    claims = {each.name: each for each in folder.of("PersistentVolumeClaim") if _together(each, draft)}
    for mount in draft.container.items("volumeMounts"):
        name, path = mount.text("name"), mount.text("mountPath")
        volume = volumes.get(name)
        if name in templates:
            template = templates[name]
            template.skip("apiVersion", "kind", "status")
            _data(draft, mount, template.inner("spec"))
        elif volume is None:
            mount.leave("name", f"the volume {name} at {path} is not carried over: the pod has none of this name")
        elif "persistentVolumeClaim" in volume:
            claim_name = volume.inner("persistentVolumeClaim").text("claimName")
            sources.named.add(("PersistentVolumeClaim", draft.workload.namespace, claim_name))
            claim = claims.get(claim_name)
            _data(draft, mount, claim.body.inner("spec") if claim else None)
        elif "emptyDir" in volume:
            volume.inner("emptyDir")
            _writable(draft, mount, path)
        else:
            _other(draft, mount, volume, sources)
    if draft.data and draft.replicas > 1:
        message = f"replicas is {draft.replicas}; it becomes 1, as its folder has one writer"
        spec.leave("replicas", message, "Keep what several write to in a resource.")
        draft.replicas = 1


def _together(each: Object, draft: Draft) -> bool:
    return each.namespace == draft.workload.namespace


def _writable(draft: Draft, mount: Cursor, path: str) -> None:
    if not path.startswith("/") or path.strip("/") == "" or path.startswith(_SYSTEM):
        mount.leave("mountPath", f"the empty folder at {path} is not carried over", "No volume can be mounted there.")
    elif path.rstrip("/") != "/tmp":  # noqa: S108 - which every instance has anyhow
        draft.writable.append(path)


def _data(draft: Draft, mount: Cursor, claim: Cursor | None) -> None:
    path = mount.text("mountPath")
    mount.skip("subPath")
    if draft.kind is Kind.TASK or draft.data:
        why = "a task has no data" if draft.kind is Kind.TASK else "a component has one folder of data"
        mount.leave("name", f"the volume at {path} is not carried over: {why}")
        return
    draft.data = True
    if path.rstrip("/") != DATA_FOLDER:
        hint = f"Let the program use $DATA, or put a link from {path} to {DATA_FOLDER} into its image."
        mount.leave("mountPath", f"its data are in {DATA_FOLDER} here, and no longer in {path}", hint)
    mount.leave("name", "what is in its volume now is not carried over", "Copy it once the component runs.")
    if claim is None:
        return
    storage = claim.inner("resources").inner("requests").text("storage")
    if storage:
        draft.patch("PersistentVolumeClaim", "resources", "requests", storage=storage)
    if name := claim.text("storageClassName"):
        draft.patch("PersistentVolumeClaim", storageClassName=name)
    if claim.text("volumeMode") == "Filesystem":
        claim.skip("volumeMode")
    if claim.words("accessModes") not in ([], ["ReadWriteOnce"], ["ReadWriteOncePod"]):
        claim.leave("accessModes", "accessModes is not carried over: the folder has one writer, ReadWriteOnce")


def _other(draft: Draft, mount: Cursor, volume: Cursor, sources: Sources) -> None:
    kind = next((key for key in volume.table.entries if key != "name"), "nothing")
    if kind in {"configMap", "secret"}:
        inner = volume.inner(kind)
        object_kind = "ConfigMap" if kind == "configMap" else "Secret"
        name = inner.text("name") or inner.text("secretName")
        sources.named.add((object_kind, draft.workload.namespace, name))
    volume.skip_all()
    message = f"the volume {mount.text('name')} ({kind}) at {mount.text('mountPath')} is not carried over"
    mount.leave("name", message, _FILES.get(kind, ""))
    mount.skip_all()
