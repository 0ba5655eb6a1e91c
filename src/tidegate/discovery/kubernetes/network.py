"""How workloads are reached: Services become aliases and exposure, Ingresses hosts; and who calls whom."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tidegate.discovery.kubernetes.cursor import Cursor
from tidegate.discovery.kubernetes.draft import Draft
from tidegate.discovery.kubernetes.objects import Folder, Object
from tidegate.discovery.kubernetes.workloads import LAST_PORT
from tidegate.manifest.cycles import cycles
from tidegate.model.address import url_variable
from tidegate.model.cluster import Autoscale, Exposure
from tidegate.model.component import Kind

PORT = 80  # at which every component is called
_ALIAS = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_NAMES_A_HOST = re.compile(r"HOST|SERVER|ADDR|SERVICE|URL|URI|ENDPOINT|UPSTREAM|BACKEND", re.IGNORECASE)
_FOR_PEOPLE = (Exposure.INSIDE, Exposure.NODE_PORT, Exposure.LOAD_BALANCER, Exposure.INGRESS)  # weakest first
_TYPES = {"NodePort": Exposure.NODE_PORT, "LoadBalancer": Exposure.LOAD_BALANCER}
_OF_A_SERVER = ("clusterIPs", "ipFamilies", "ipFamilyPolicy", "allocateLoadBalancerNodePorts")
_MOST = 1000


def connect(folder: Folder, drafts: Sequence[Draft]) -> dict[tuple[str, str], Draft]:
    """Fill in ports, aliases and exposure, and which drafts are workers. The Services that lead to a draft, by
    namespace and name."""
    leads: dict[tuple[str, str], Draft] = {}
    for service in folder.of("Service"):
        draft = _selected(service, drafts)
        if draft is not None:
            leads[service.namespace, service.name] = draft
            _service(service, draft, drafts)
    for draft in drafts:
        if draft.port is None and draft.ports:
            draft.port = next(iter(draft.ports.values()))
        if draft.kind is Kind.SERVICE and draft.port is None:
            draft.kind, draft.expose = Kind.WORKER, Exposure.INSIDE
        if draft.kind is Kind.TASK:
            draft.port = None
        _other_ports(draft)
    for ingress in folder.of("Ingress"):
        _ingress(ingress, leads)
    for scaler in folder.of("HorizontalPodAutoscaler"):
        _scaler(scaler, drafts)
    return leads


def _selected(service: Object, drafts: Sequence[Draft]) -> Draft | None:
    spec = service.body.inner("spec")
    selector = spec.pairs("selector").items()
    found = [
        draft
        for draft in drafts
        if selector
        and selector <= draft.labels.items()
        and draft.workload.namespace == service.namespace
        and draft.kind is not Kind.TASK
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        service.body.skip_all()
        hint = f"If components call it, name it under resources: in tidegate.yaml, with url: http://{service.name}."
        service.body.leave("kind", "it leads to no workload in these files, and is not carried over", hint)
        return None
    others = ", ".join(draft.name for draft in found[1:])
    hint = "A name leads to one component: make one component of them, or give each its own Service."
    service.body.leave("kind", f"it leads to {found[0].name} only, and no longer also to {others}", hint)
    return found[0]


def _service(service: Object, draft: Draft, drafts: Sequence[Draft]) -> None:
    spec = service.body.inner("spec")
    spec.skip(*_OF_A_SERVER)
    draft.selected_by.append(service.name)
    if spec.text("clusterIP") == "None":
        spec.leave("clusterIP", "it gave each pod an address of its own; here there is one for all", "")
    type_ = spec.text("type") or "ClusterIP"
    kept = 0
    for port in spec.items("ports"):
        kept = _service_port(port, kept, draft, type_)
    if kept:
        _alias(service, kept, draft, drafts)
    if type_ in _TYPES:
        _show(draft, _TYPES[type_], spec, "type")
        if type_ == "LoadBalancer" and kept not in {0, PORT}:
            spec.leave("type", f"people reach it at port {PORT}, and no longer at {kept}")
    elif type_ != "ClusterIP":
        spec.leave("type", f"the type {type_} is not carried over")


def _service_port(port: Cursor, kept: int, draft: Draft, type_: str) -> int:
    """The port of the Service that stays: the first that leads to the port of the component."""
    port.skip("name", "appProtocol")
    number, target = port.number("port", LAST_PORT), port.text("targetPort")
    if (port.text("protocol") or "TCP") != "TCP":
        port.leave("protocol", f"the port {number} of {port.text('protocol')} is not carried over")
        return kept
    if "nodePort" in port and type_ != "ClusterIP":
        port.leave("nodePort", f"the port {port.text('nodePort')} of the nodes is not kept: the cluster chooses one")
    resolved = draft.ports.get(target) if target else number
    if target.isdigit():
        resolved = int(target)
    if number is None or resolved is None or not 0 < resolved <= LAST_PORT:
        names = ", ".join(name for name in draft.ports if not name.isdigit()) or "none"
        port.leave("targetPort", f"its pods have no port called {target!r}; named are: {names}")
        return kept
    if draft.port is None:
        draft.port = resolved
    if resolved != draft.port:
        message = f"the port {number} leads to {resolved}, and is not carried over: {draft.name} has {draft.port} alone"
        port.leave("port", message, "A component listens on one port.")
        return kept
    if kept:
        port.leave("port", f"the port {number} is not carried over: the name is kept at port {kept}")
    return kept or number


def _alias(service: Object, port: int, draft: Draft, drafts: Sequence[Draft]) -> None:
    name = service.name
    if name == draft.name and port == PORT:
        return
    clash = next((each for each in drafts if each is not draft and (name in each.aliases or name == each.name)), None)
    if clash is not None:
        message = f"the name {name} is not kept for {draft.name}: in one environment it leads to {clash.name}"
        service.body.leave("metadata", message, f"Give {clash.name} another name, or let those who call use another.")
    elif not _ALIAS.fullmatch(name):
        service.body.leave("metadata", f"the name {name} cannot be kept", "It has to begin with a letter.")
    else:
        draft.aliases[name] = port


def _other_ports(draft: Draft) -> None:
    for port in draft.container.items("ports"):
        number = port.number("containerPort", LAST_PORT)
        port.skip("name", "protocol")
        if number is not None and number != draft.port and (port.text("protocol") or "TCP") == "TCP":
            has = f"{draft.name} has {draft.port} alone" if draft.port else "a task has none"
            port.leave("containerPort", f"the port {number} is not carried over: {has}")


def _show(draft: Draft, how: Exposure, at: Cursor, key: str) -> None:
    strong, weak = sorted((draft.expose, how), key=_FOR_PEOPLE.index, reverse=True)
    draft.expose = strong
    if weak is not Exposure.INSIDE and weak is not strong:
        at.leave(key, f"{draft.name} is reached by one way, {strong}, and no longer also by {weak}")


def _ingress(ingress: Object, leads: dict[tuple[str, str], Draft]) -> None:
    spec = ingress.body.inner("spec")
    class_ = spec.text("ingressClassName")
    for rule in spec.items("rules"):
        host = rule.text("host")
        for path in rule.inner("http").items("paths"):
            backend = path.inner("backend")
            service = backend.inner("service").text("name") or backend.text("serviceName")
            backend.skip("servicePort")
            backend.inner("service").skip("port")
            written, kind = path.text("path") or "/", path.text("pathType")
            draft = leads.get((ingress.namespace, service))
            if draft is None or draft.kind is not Kind.SERVICE:
                path.leave("backend", f"{host}{written} leads to the Service {service}, which leads to no component")
            elif not host:
                hint = f"Write kubernetes: {{expose: {{kind: ingress, host: …}}}} in {draft.file}."
                path.leave("path", f"{draft.name} gets no Ingress: it has no host", hint)
            elif written not in {"/", "/*"} or kind == "Exact":
                message = f"the path {written} of {host} does not lead to {draft.name}: a host leads to one component"
                path.leave("path", message, "Give it a host of its own, or let a component divide the paths.")
            elif draft.host and draft.host != host:
                path.leave("path", f"{draft.name} has the host {draft.host} alone, and no longer also {host}")
            else:
                draft.host, draft.via = host, class_
                _show(draft, Exposure.INGRESS, path, "path")


def _scaler(scaler: Object, drafts: Sequence[Draft]) -> None:
    spec = scaler.body.inner("spec")
    reference = spec.inner("scaleTargetRef")
    reference.skip("apiVersion")
    kind, name = reference.text("kind"), reference.text("name")
    draft = next(
        (each for each in drafts if (each.workload.kind, each.workload.name, each.workload.namespace)
         == (kind, name, scaler.namespace)),
        None,
    )  # fmt: skip
    if draft is None or draft.kind is not Kind.SERVICE:
        scaler.body.skip_all()
        why = f"{kind} {name} is not in these files" if draft is None else f"{draft.name} is a {draft.kind}"
        scaler.body.leave("kind", f"it is not carried over: {why}")
        return
    least, most = spec.number("minReplicas") or 1, spec.number("maxReplicas") or 1
    cpu = spec.number("targetCPUUtilizationPercentage")
    for metric in spec.items("metrics"):
        resource = metric.inner("resource")
        target = resource.inner("target")
        if metric.text("type") == "Resource" and resource.text("name") == "cpu" and "averageUtilization" in target:
            target.skip("type")
            cpu = target.number("averageUtilization")
        else:
            what = resource.text("name") or metric.text("type")
            metric.skip_all()
            metric.leave("type", f"scaling by {what} is not carried over", "Instances are scaled by cpu alone.")
    draft.autoscale = Autoscale(min(least, most, _MOST), min(most, _MOST), cpu or 80)


def read_needs(drafts: Sequence[Draft], leads: dict[tuple[str, str], Draft]) -> list[str]:
    """Fill in who needs whom: whose variables or command name a Service of another. What a person decides is said."""
    unknown: list[str] = []
    for draft in drafts:
        for (space, service), other in leads.items():
            if other is draft or other.kind is not Kind.SERVICE:
                continue
            sure = [variable for variable, text in draft.words if _calls(variable, text, service, space)]
            if any(re.search(rf"(?<![\w.-]){service}\.{space or 'default'}(?![\w-])", text) for _, text in draft.words):
                unknown.append(
                    f"{draft.name} calls {service}.{space or 'default'}, which names a namespace: the environment has "
                    f"another one, so let it call {service}."
                )
            if sure:
                _need(draft, other, sure, unknown)
            elif any(text == service for _, text in draft.words):
                unknown.append(f"{draft.name} has the value {service}: add needs: [{other.name}] if it calls that.")
    by_name = {draft.name: draft for draft in drafts}
    while paths := cycles({name: sorted(draft.needs) for name, draft in by_name.items()}):
        first, second = paths[0][0], paths[0][1]
        unknown.append(f"needs go round in a circle ({' → '.join(paths[0])}): {first} does not need {second} here.")
        by_name[first].needs.discard(second)
    needed = {name for draft in drafts for name in draft.needs}
    for draft in drafts:
        if draft.kind is Kind.SERVICE and draft.expose is Exposure.INSIDE and draft.name not in needed:
            names = " or ".join(draft.selected_by) or draft.name
            unknown.append(
                f"Nothing here names {names}: write needs: [{draft.name}] in the manifests of those who call "
                f"{draft.name}; others are kept out where the cluster enforces network policies."
            )
    return unknown


def _calls(variable: str, text: str, service: str, space: str) -> bool:
    """Whether a text holds the name of a Service at a place where hosts stand."""
    name = re.escape(service)
    domain = rf"\.{re.escape(space or 'default')}(\.svc(\.cluster\.local)?)?"
    host = rf"(?<![\w.-]){name}({domain})?(?![\w.-]*[\w-])"
    return bool(
        re.search(rf"(//|@){host}|{host}:[0-9]+|(?<![\w.-]){name}{domain}(?![\w-])", text)
        or (re.fullmatch(host, text.strip()) and _NAMES_A_HOST.search(variable))
    )


def _need(draft: Draft, other: Draft, variables: Sequence[str], unknown: list[str]) -> None:
    own = url_variable(other.name)
    value = draft.env.get(own)
    if value is None:
        draft.needs.add(other.name)
    elif isinstance(value, str) and re.fullmatch(r"http://[^/@]+/?", value) and own in variables:
        draft.needs.add(other.name)
        del draft.env[own]
        unknown.append(f"{own} of {draft.name} was {value}: Tidegate sets it, to the address of {other.name}.")
    else:
        unknown.append(
            f"{draft.name} needs {other.name}, but its variable {own} holds something else than Tidegate would put "
            f"there: call it otherwise, and write needs: [{other.name}] in {draft.file}."
        )
