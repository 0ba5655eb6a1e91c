"""How long planning takes: components × 50 environments, 10 % of the pins changed, everything else running."""

from __future__ import annotations

import json
import random
import time

from bench.table import Row, show
from tidegate.model.address import GroupAddress
from tidegate.model.component import Kind, Release, Runtime
from tidegate.model.digest import digest
from tidegate.model.observed import InstanceState, Observed, ObservedGroup, ObservedInstance
from tidegate.model.pins import Pin, Pins, Shape
from tidegate.planning import Policy, make_plan

ENVIRONMENTS = 50
SIZES = (100, 300, 1000)


def fleet(size: int) -> tuple[dict[str, Release], Pins, Pins]:
    """Releases, current and wanted pins of `size` components with up to three needs each; every tenth changes."""
    chance = random.Random(7)  # the same graph every time
    releases: dict[str, Release] = {}
    current: dict[str, Pin] = {}
    wanted: dict[str, Pin] = {}
    names = [f"service-{place:04}" for place in range(size)]
    changed = set(chance.sample(names, size // 10))
    for place, name in enumerate(names):
        needs = tuple(sorted(chance.sample(names[:place], min(place, chance.randint(0, 3)))))
        pins = []
        for version in (1, 2):
            release = Release(digest("release", [name, version]), name, Kind.SERVICE, "t", Runtime("x", needs=needs))
            releases[release.digest] = release
            pins.append(Pin(release.digest, "", Shape(replicas=2, env=(("COLOUR", "blue"),))))
        current[name] = pins[0]
        wanted[name] = pins[1] if name in changed else pins[0]
    return releases, current, wanted


def running(environment: str, pins: Pins, releases: dict[str, Release]) -> Observed:
    """An environment that runs exactly these pins."""
    groups = {}
    for name, pin in pins.items():
        address = GroupAddress(environment, name, 1)
        edges = {need: GroupAddress(environment, need, 1) for need in releases[pin.release].runtime.needs}
        instances = tuple(ObservedInstance(index, InstanceState.HEALTHY) for index in (1, 2))
        groups[address] = ObservedGroup(address, pin.identity, pin.release, 2, instances, edges)
    return Observed(environment, groups, {address.component: address for address in groups})


def copies(pins: Pins) -> Pins:
    """Pins as they come out of a store: equal, not the same objects, nothing computed yet."""
    return {name: Pin(pin.release, pin.settings, pin.shape) for name, pin in pins.items()}


def measure(size: int) -> float:
    """Seconds to plan all environments, one after the other, as commands do; reading them is not counted."""
    releases, current, wanted = fleet(size)
    seconds = 0.0
    changed = 0
    for place in range(ENVIRONMENTS):
        environment = f"env-{place}"
        now, then, observed = copies(current), copies(wanted), running(environment, current, releases)
        begun = time.perf_counter()
        plan = make_plan(
            environment=environment,
            parent=1,
            number=2,
            current=now,
            wanted=then,
            observed=observed,
            releases=releases,
            policy=Policy(observe=5),
        )
        seconds += time.perf_counter() - begun
        changed += sum(len(change.pins) for change in plan.changes)
    if changed != ENVIRONMENTS * (size // 10):
        raise RuntimeError(f"planned {changed} pins")
    return seconds


def floor(size: int) -> float:
    """Seconds that printing the same pins as JSON takes, once per environment: a floor for looking at all of them."""
    _, current, _ = fleet(size)
    plain = {name: [pin.release, pin.settings, pin.shape.replicas, pin.shape.env] for name, pin in current.items()}
    begun = time.perf_counter()
    for _ in range(ENVIRONMENTS):
        json.dumps(plain, sort_keys=True)
    return time.perf_counter() - begun


def rows() -> list[Row]:
    """The curve."""
    found = []
    for size in SIZES:
        seconds = min(measure(size) for _ in range(3))
        bound = 1.0 if size == 1000 else None
        against = f"{seconds / floor(size):.1f} × printing the same pins as JSON"
        found.append(Row(f"plan {size} components × {ENVIRONMENTS} environments", seconds, "s", against, bound))
    return found


def main() -> None:
    """Print the curve."""
    show("Planning", rows())


if __name__ == "__main__":
    main()
