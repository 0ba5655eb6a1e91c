"""1,000 components: all manifests found, read, and checked against each other.

The floor is `yaml.compose` with libyaml over the same files, from the same disk cache: a tree of nodes with positions,
and no idea what they mean.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import yaml

from bench.table import Row, show
from tidegate.manifest import load

COMPONENTS = 1000
TIMES = 3


def write(root: Path, size: int) -> None:
    """A checkout with so many services, each with up to three needs, settings per environment and a shape."""
    (root / "tidegate.yaml").write_text(
        "organization: acme\nteams: {web: {}, catalog: {}, search: {}}\n"
        "environments:\n  dev: {}\n  stage: {after: dev}\n  prod: {after: stage}\n"
    )
    for place in range(size):
        folder = root / "services" / f"service-{place:04}"
        (folder / "settings").mkdir(parents=True)
        for environment in ("dev", "stage", "prod"):
            (folder / "settings" / f"{environment}.json").write_text("{}\n")
        needs = ", ".join(f"service-{other:04}" for other in sorted({place // 2, place // 3, place // 5} - {0}))
        (folder / "service.yaml").write_text(
            f"name: service-{place:04}\n"
            f"team: {('web', 'catalog', 'search')[place % 3]}\n"
            "build: uv sync --frozen                 # once per release\n"
            "run: uvicorn backend:app --port $PORT\n"
            "replicas: {default: 1, prod: 3}\n"
            "health: /healthz\n"
            f"needs: [{needs}]\n"
            "settings: settings/\n"
            "env:\n  LOG_LEVEL: {dev: debug, default: info}\n  COLOUR: blue\n"
        )


def compose(root: Path) -> None:
    """The floor."""
    for file in [root / "tidegate.yaml", *root.glob("services/*/service.yaml")]:
        yaml.compose(file.read_bytes(), Loader=yaml.CSafeLoader)


def measure(root: Path) -> tuple[float, float]:
    """(seconds to load and check, seconds of the floor)."""
    begun = time.perf_counter()
    found = load(root)
    loaded = time.perf_counter() - begun
    if len(found.components) != COMPONENTS:
        raise RuntimeError(f"found {len(found.components)} components")
    begun = time.perf_counter()
    compose(root)
    return loaded, time.perf_counter() - begun


def rows() -> list[Row]:
    """One row: the best of some rounds of both, by turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, COMPONENTS)
        pairs = [measure(root) for _ in range(TIMES)]
    loaded, floor = (min(column) for column in zip(*pairs, strict=True))
    against = f"{loaded / floor:.1f} × yaml.compose of the same files ({floor:.2f} s)"
    return [Row(f"load and check {COMPONENTS:,} components", loaded, "s", against, 2.0)]


def main() -> None:
    """Print the row."""
    show("Manifests", rows())


if __name__ == "__main__":
    main()
