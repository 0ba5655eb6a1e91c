"""Quantities as Kubernetes writes them: `250m` of a processor, `64Mi` of memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from tidegate.manifest.fields import Fields, describe, meant
from tidegate.manifest.reader import Node, Report, Scalar, Table

RESOURCES = ("cpu", "memory", "ephemeral-storage")
KEYS = ("requests", "limits")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_DEVICE = re.compile(r"(?=.{3,253}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_UNITS: Mapping[str, Fraction] = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{unit: Fraction(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}
_MEGABYTE = 1 << 20
Quantities = dict[str, str]  # resource -> quantity


def amount(quantity: str) -> Fraction:
    """Processors, bytes or devices, of a quantity that was read."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None
    return Fraction(match[1]) * _UNITS[match[2] or ""]


def read_resources(node: Node, key: str, report: Report) -> tuple[Quantities, Quantities] | None:
    """What `requests` and `limits` say; no request is above its limit."""
    if not isinstance(node, Table):
        hint = f"Write {key}: {{requests: {{cpu: 250m, memory: 64Mi}}}}."
        report.add(node, f"{key!r} must be a table of keys, not {describe(node)}", hint)
        return None
    fields = Fields(node, KEYS, key, report)
    requests, limits = _quantities(fields, "requests", report), _quantities(fields, "limits", report)
    for name in sorted(requests.keys() & limits.keys()):
        at = _place(fields, "limits", name)
        if "/" in name and amount(requests[name]) != amount(limits[name]):
            message = f"the limit of {name}, {limits[name]}, is not what is requested: {requests[name]}"
            report.add(at, message, "Devices are not shared: write the limit alone.")
        elif amount(requests[name]) > amount(limits[name]):
            message = f"the limit of {name}, {limits[name]}, is below what is requested: {requests[name]}"
            report.add(at, message, "Raise the limit, or request less.")
    return requests, limits


def completed(
    written: tuple[Quantities, Quantities], requests: Quantities, limits: Quantities
) -> tuple[Quantities, Quantities]:
    """With defaults for what is not written. They give way to it: none is below a request or above a limit."""
    own_requests, own_limits = written
    requests, limits = requests | own_requests, limits | own_limits
    for name in requests.keys() & limits.keys():
        if amount(requests[name]) > amount(limits[name]):
            if name in own_limits:
                requests[name] = limits[name]
            else:
                limits[name] = requests[name]
    devices = {name: quantity for name, quantity in (requests | limits).items() if "/" in name}
    return requests | devices, limits | devices


def _place(fields: Fields, key: str, name: str) -> tuple[int, int]:
    table = fields.table.entries[key].value
    assert isinstance(table, Table)
    entry = table.entries[name]
    return (entry.value.line, entry.value.column)


def _quantities(fields: Fields, key: str, report: Report) -> Quantities:
    found = {}
    for name, entry in fields.tables(key, "{cpu: 250m, memory: 64Mi}"):
        if name not in RESOURCES and not _DEVICE.fullmatch(name):
            report.add(entry, f"unknown resource {name!r} in {key}", meant(name, RESOURCES))
            continue
        quantity = _quantity(entry.value, name, report)
        if quantity is not None:
            found[name] = quantity
    return found


def _quantity(node: Node, name: str, report: Report) -> str | None:
    match = _QUANTITY.fullmatch(node.text) if isinstance(node, Scalar) else None
    example = "250m" if name == "cpu" else "1" if "/" in name else "64Mi"
    if match is None:
        report.add(node, f"{name!r} must be a quantity, not {describe(node)}", f"Write one such as {example}.")
        return None
    unit, written = match[2] or "", match[0]
    wrong = ""
    if name == "cpu":
        wrong = "" if unit in ("", "m") else "is counted in processors"
    elif "/" in name:
        wrong = "" if written.isdigit() else "is counted in whole ones"
    elif amount(written) < _MEGABYTE:
        wrong = "must be at least 1Mi"
    if wrong or not amount(written):
        hint = f"Write one such as {example}."
        if example == "64Mi":
            hint = f"Did you mean {match[1]}Mi? The unit m stands for thousandths, M and Mi for millions of bytes."
        report.add(node, f"{name!r} {wrong or 'must be more than 0'}, not {describe(node)}", hint)
        return None
    return written
