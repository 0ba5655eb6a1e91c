"""What the gateway is asked for: stable addresses, instance groups, and which leads to which."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tidegate.errors import GatewayRefused


@dataclass(frozen=True, slots=True)
class Upstream:
    """One instance group as the gateway sees it. `name` is unique in the table, such as `dev/backend-r44`.

    `endpoints` are the (IP address, port) of its healthy instances; without any it answers 503.
    """

    name: str
    environment: str
    component: str
    group: str
    release: str
    endpoints: tuple[tuple[str, int], ...]


class Role(StrEnum):
    """What a listener is for: people and programs outside, one need of one group, or a look before the switch."""

    ENTRY = "entry"
    EDGE = "edge"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Listener:
    """One stable address: 127.0.0.1 and `port`.

    `name` is unique in the table, such as `dev/edge/frontend-r44/backend`. `caller`, `caller_group` and
    `caller_release` say whose edge it is ("" for entries and candidates), `need` is the component it leads to.
    `to` is the name of an upstream; None answers 503 with a text that says so.
    """

    name: str
    role: Role
    environment: str
    port: int
    caller: str
    caller_group: str
    caller_release: str
    need: str
    to: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """Everything the gateway shall do; the order of its parts has no meaning."""

    upstreams: tuple[Upstream, ...] = ()
    listeners: tuple[Listener, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through one listener since the gateway started.

    `answers` counts all of them, `errors` those with status 5xx, including the ones that the gateway made itself.
    """

    answers: int = 0
    errors: int = 0


EXAMPLE = Table(
    upstreams=(
        Upstream("example/a-r1", "example", "a", "a-r1", "1", (("127.0.0.1", 1),)),
        Upstream("example/b-r1", "example", "b", "b-r1", "1", ()),
    ),
    listeners=(
        Listener("example/entry/a", Role.ENTRY, "example", 2, "", "", "", "a", "example/a-r1"),
        Listener("example/entry/b", Role.ENTRY, "example", 3, "", "", "", "b", None),
        Listener("example/candidate/a-r1", Role.CANDIDATE, "example", 4, "", "", "", "a", "example/a-r1"),
        Listener("example/edge/a-r1/b", Role.EDGE, "example", 5, "a", "a-r1", "1", "b", "example/b-r1"),
        Listener("example/edge/a-r1/c", Role.EDGE, "example", 6, "a", "a-r1", "1", "c", None),
    ),
)
"""One of each shape that tables of a project are made of."""


def shapes(table: Table) -> frozenset[tuple[str, bool]]:
    """What the parts of a table look like to the gateway, whatever their names, addresses and ports are."""
    return frozenset(
        {
            *(("upstream", bool(upstream.endpoints)) for upstream in table.upstreams),
            *((entry.role.value, entry.to is not None) for entry in table.listeners),
        }
    )


def check(table: Table) -> None:
    """Refuse what contradicts itself, before anything is sent to the gateway.

    Raises `GatewayRefused` for names or ports that occur twice (names differ by more than upper and lower case,
    which the gateway does not tell apart), for listeners that lead to an upstream that is not in the table, and for
    instances whose host is no IP address.
    """
    upstreams = {upstream.name for upstream in table.upstreams}
    problems = [
        *(f"two upstreams are called {name}" for name in _twice(u.name for u in table.upstreams)),
        *(f"two listeners are called {name}" for name in _twice(entry.name.lower() for entry in table.listeners)),
        *(f"two listeners have port {port}" for port in _twice(entry.port for entry in table.listeners)),
        *(
            f"{entry.name} leads to {entry.to}, which is not in the table"
            for entry in table.listeners
            if entry.to is not None and entry.to not in upstreams
        ),
        *(
            f"{host} is no address of an instance of {upstream.name}"
            for upstream in table.upstreams
            for host, _ in upstream.endpoints
            if not _is_address(host)
        ),
    ]
    if problems:
        raise GatewayRefused("cannot use this table of addresses", "\n".join(problems))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _twice(values: Iterable[str | int]) -> list[str | int]:
    return [value for value, count in Counter(values).items() if count > 1]
