"""`health:` of components and resources."""

from __future__ import annotations

from tidegate.manifest.fields import Fields, describe, flag
from tidegate.manifest.reader import Report, Scalar, Table
from tidegate.model.component import Health, HealthKind

KEYS = ("http", "tcp", "command", "interval", "timeout", "start_timeout", "failures")
ASKED = ("http", "tcp", "command")
NO_ADDRESS = 'Write {command: "./check"}, or leave it out: then it is healthy as long as it runs.'


def read_health(fields: Fields, report: Report, *, address: bool = True) -> Health:
    """What `health` says. Without an `address` only a command can be asked, by default whether it still runs."""
    default = Health(HealthKind.TCP if address else HealthKind.ALIVE)
    entry = fields.entry("health")
    if entry is None:
        return default
    node = entry.value
    if isinstance(node, Scalar) and isinstance(node.value, str) and (node.value == "tcp" or node.value[:1] == "/"):
        if not address:
            report.add(node, f"'health' cannot be {node.value!r}: a worker has no address", NO_ADDRESS)
        elif node.value != "tcp":
            return Health(HealthKind.HTTP, node.value)
        return default
    if not isinstance(node, Table):
        hint = 'Write a path such as /healthz, tcp, or {command: "./check"}.' if address else NO_ADDRESS
        report.add(node, f"'health' cannot be {describe(node)}", hint)
        return default
    inner = Fields(node, KEYS, "health", report)
    asked = [key for key in ASKED if key in inner]
    if len(asked) > 1:
        report.add(inner.position(asked[1]), f"'health' has both {asked[0]} and {asked[1]}", "Keep one of them.")
    if not address and asked and asked[0] != "command":
        report.add(inner.position(asked[0]), f"'health' cannot have {asked[0]}: a worker has no address", NO_ADDRESS)
    if "tcp" in inner and flag(node.entries["tcp"].value, "tcp", report) is False:
        report.add(node.entries["tcp"].value, "'tcp' can only be true", "Write http: or command: instead.")
    http, command = inner.text("http"), inner.text("command")
    if http is not None and not http.startswith("/"):
        report.add(node.entries["http"].value, f"'http' must be a path, not {http!r}", f"Write http: /{http}.")
    kind = HealthKind(asked[0]) if asked else default.kind
    failures = inner.whole("failures", 1, 1000)
    return Health(
        kind=kind,
        check=(http if kind is HealthKind.HTTP else command if kind is HealthKind.COMMAND else "") or "",
        interval=inner.duration("interval", 1000, positive=True),
        timeout=inner.duration("timeout", 2000, positive=True),
        start_timeout=inner.duration("start_timeout", 60_000, positive=True),
        failures=3 if failures is None else failures,
    )
