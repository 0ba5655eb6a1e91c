"""`up` of the example: 3 environments × 2 services × 3 instances, beside a bare start of the same 18 processes.

Releases are built before. Nothing runs when `up` begins, neither agent nor gateway; it ends when traffic is switched
and everything is recorded. `observe: 0s`, so that waiting on purpose is not counted. Bare start: the same commands from
the same artifacts with the same settings, all at once, until each answers its health path. It asks more often than an
operator would, needs no gateway and keeps no order; `up` starts the frontends of an environment after its backends, and
runs the `verify:` command of the backend in each environment.

On a busy machine wall time flatters the bare start: its 18 processes together get more of the processors than the one
command that goes before them. So processor time stands beside it.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import statistics
from pathlib import Path

from bench.bare import Program, all_at_once, built, free_ports, surroundings
from bench.project import Project, Spent, processor_time, project
from bench.table import Row, show

EXAMPLE = Path(__file__).parents[1] / "examples" / "storefront"
ENVIRONMENTS = ("dev", "stage", "prod")
COMPONENTS = ("backend", "frontend")  # the backend first: the frontend is told its address
REPLICAS = 3
TIMES = 5
LEFT_OUT = shutil.ignore_patterns(".venv", "__pycache__", ".pytest_cache", ".tidegate", "catalogue.sqlite")


def copy_example(made: Project) -> None:
    """The storefront, committed; nothing is observed after a switch."""
    shutil.copytree(EXAMPLE, made.root, ignore=LEFT_OUT, dirs_exist_ok=True)
    manifest = made.root / "tidegate.yaml"
    text = manifest.read_text()
    for environment in ENVIRONMENTS:
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{environment}:"))
        inside = line.partition("{")[2].rpartition("}")[0].strip()
        new = f"  {environment}: {{{', '.join(part for part in (inside, 'observe: 0s') if part)}}}"
        text = text.replace(line, new)
    manifest.write_text(text)
    made.commit()


def programs(made: Project) -> list[Program]:
    """The same processes as `up` starts."""
    found = asyncio.run(built(made))
    ports = iter(free_ports(len(ENVIRONMENTS) * len(COMPONENTS) * REPLICAS))
    starting = []
    for environment in ENVIRONMENTS:
        backend = ""
        for component in COMPONENTS:
            release = found[component]
            settings = made.root / "services" / component / "settings" / f"{environment}.json"
            for _ in range(REPLICAS):
                port = next(ports)
                env = surroundings(
                    port,
                    TIDEGATE_ENVIRONMENT=environment,
                    TIDEGATE_COMPONENT=component,
                    TIDEGATE_RELEASE="bench",
                    TIDEGATE_SETTINGS=str(settings),
                    **({"BACKEND_URL": backend} if component == "frontend" else {}),
                )
                starting.append(Program(release.command, release.folder, port, release.path, env))
                if component == "backend":
                    backend = f"http://127.0.0.1:{port}"
    return starting


def up_once(made: Project) -> Spent:
    """`tidegate up` of everything, from nothing running; it runs on."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = made.tidegate("up", *ENVIRONMENTS, "--yes")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    instances = [instance["pid"] for component in made.status().values() for instance in component["instances"]]
    return Spent(wall, command + sum(map(processor_time, [made.agent(), made.gateway(), *instances])))


def measure(times: int = TIMES) -> list[tuple[Spent, Spent]]:
    """(`up`, the bare start), alternating, after one round that is not counted."""
    with project() as made:
        copy_example(made)
        made.tidegate("release", *COMPONENTS)
        pairs = []
        for _ in range(times + 1):
            up = up_once(made)
            made.down()
            pairs.append((up, all_at_once(programs(made))))
        return pairs[1:]


def rows() -> list[Row]:
    """Wall time, which is promised, and processor time; medians, of ratios those of the pairs."""
    pairs = measure()
    wall = [(up.wall, bare.wall) for up, bare in pairs]
    processor = [(up.processor, bare.processor) for up, bare in pairs]
    return [
        Row("up of the example ÷ bare start", *_compared(wall), 1.2),
        Row("the same in processor time", *_compared(processor)),
        Row(
            "what up costs beside the processes",
            statistics.median(up - bare for up, bare in wall),
            "s",
            "command, agent, gateway, verification, store; about the same for slower services",
        ),
    ]


def _compared(pairs: list[tuple[float, float]]) -> tuple[float, str, str]:
    """The ratio, its unit, and what it is made of."""
    ratios = [up / bare for up, bare in pairs]
    up, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"{len(pairs)} pairs, {min(ratios):.2f}–{max(ratios):.2f}"
    return statistics.median(ratios), "×", f"up {up:.2f} s; bare start of the 18 processes {bare:.2f} s; {spread}"


def main() -> None:
    """Print the ratio."""
    show("Up", rows())


if __name__ == "__main__":
    main()
