"""Whatever a manifest holds: it is loaded, or its mistakes are told. No other error comes out, and it ends.

1,500 manifests by default, 10,000 with `-m exhaustive`; always the same ones.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.manifest import test_clusters, test_kinds, test_manifest_problems, test_project, test_resources
from tests.manifest.projects import write
from tidegate.errors import ManifestError
from tidegate.manifest import cluster, image, load, target
from tidegate.manifest.component import HOOK_KEYS, KEYS
from tidegate.manifest.environments import KEYS as ENVIRONMENT_KEYS
from tidegate.manifest.environments import MAX_EXTRA_KEYS
from tidegate.manifest.health import KEYS as HEALTH_KEYS
from tidegate.manifest.organization import KEYS as TOP_KEYS
from tidegate.manifest.project import find_manifests
from tidegate.manifest.resources import KEYS as RESOURCE_KEYS
from tidegate.model.component import Kind

EXAMPLES = Path(__file__).parents[2] / "examples"
HANGS_AFTER = 60  # seconds: far beyond what any of them takes


def right() -> Iterator[dict[str, bytes]]:
    """The examples with their settings, and what loads in other tests: path -> content."""
    for top in sorted(EXAMPLES.rglob("tidegate.yaml")):
        root = top.parent
        files = [root / name for name in ("tidegate.yaml", *sorted(find_manifests(root, [])))]
        files += sorted(root.glob("**/settings/*.json"))
        yield {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
    twelve = {"tidegate.yaml": test_project.TWELVE.encode(), "libs/x": b""}
    yield twelve | {f"{folder}/service.yaml": text.encode() for folder, text in test_project.COMPONENTS.items()}
    resources = {"tidegate.yaml": test_resources.TOP.encode(), "w/worker.yaml": test_kinds.WORKER.encode()}
    resources["backend/service.yaml"] = b"run: x\ndata: true\noverlap: false\nbefore: {run: y, undo: z}\n"
    clusters = {"tidegate.yaml": test_clusters.TOP.encode(), "b/service.yaml": test_clusters.BACKEND.encode()}
    yield clusters | {"w/worker.yaml": b"run: x\nimage: {dockerfile: Dockerfile}\n", "w/Dockerfile": b""}
    yield resources | {"t/task.yaml": b"run: ./seed\nretry: true\ntimeout: 30s\nneeds: [catalog-db, mail]\n"}


def wrong() -> Iterator[dict[str, bytes]]:
    """Those with one mistake of the other tests."""
    for kind, content in [
        *(("service", one[0]) for one in test_manifest_problems.SERVICE_MISTAKES.values()),
        *(("service", one[0]) for one in test_clusters.SERVICE_MISTAKES.values()),
        *((one[0], one[1]) for one in test_kinds.MISTAKES.values()),
    ]:
        text = content if isinstance(content, bytes) else content.encode()
        yield {"tidegate.yaml": test_resources.TOP.encode(), f"b/{kind}.yaml": text}
    for top_text in (
        one[0] for one in [*test_manifest_problems.TOP_MISTAKES.values(), *test_resources.MISTAKES.values()]
    ):
        yield {"tidegate.yaml": f"organization: acme\n{top_text}".encode(), "a/service.yaml": b"run: x\nneeds: [db]\n"}
    for one in test_clusters.ENVIRONMENT_MISTAKES.values():
        top = f"organization: acme\nenvironments:\n  dev: {{}}\n{one[0]}".encode()
        yield {"tidegate.yaml": top, "a/service.yaml": b"run: x\nneeds: [db]\nimage: x\n"}


RIGHT, WRONG = list(right()), list(wrong())
WORDS = sorted({
    *TOP_KEYS, *ENVIRONMENT_KEYS, *MAX_EXTRA_KEYS, *RESOURCE_KEYS, *HEALTH_KEYS, *HOOK_KEYS,
    *cluster.KEYS[Kind.SERVICE], *cluster.EXPOSE_KEYS, *cluster.AUTOSCALE_KEYS, *image.KEYS, *target.KEYS,
    *(key for keys in KEYS.values() for key in keys), "default", "secret", "dev", "stage", "prod", "db", "backend",
})  # fmt: skip
VALUES = (
    "", "~", "true", "yes", "-1", "0", "2", "1.5", "1e999", "-0", ".nan", ".inf", "0x1F", "9" * 400, "2G", "250m",
    "64Mi", "a/b: 1", "kubernetes", "{kind: kubernetes}", "{secret: 'kubernetes:a/b'}",
    "10s", "1001h", "0%", "99.99%", "/healthz", "tcp", "$PORT", "${PORT}", "env:A", "file:",
    "{secret: 'env:A'}", "{secret: }", "[]", "{}", "[a, a]", "[[a]]", "{dev: 1, default: 2}", "{{a: b}: c}",
    "? [a]", "..", "../../x", "/", "C:/x", "\\\\host\\x", "a\0b", "s3://b", "s3://acme-x/y?endpoint=a&region",
    "sqlite://", "sqlite:////x", "postgresql://[::1", "postgresql://a:b@c/d", "postgresql://h:70000/x",
    "postgresql://\u2100/x", "%zz", "&a x", "*a", "&a [*a]", "!!int x", "!!python/name:os.x y", "!x y",
    "<<: *a", "é", "\u0301", "\u202e", "\ufeff", "\u2028", "\U0001f600", "\"\\ud800\"", "\"\\x00\"", "'", '"',
    "|\n  a", ">-\n  a", "# a", "---", "...", "%YAML 9.9", "\t", "@", "`", "x" * 5000, "a: b: c", "- a", "{",
    "]",
)  # fmt: skip
KEY = re.compile(rb"^([ ]*)([\w-]+):(.*)$")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Another one that is not far from it: in bytes, lines, keys, values, nesting, aliases, or size."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    written = KEY.match(lines[at])
    match rng.randrange(12):
        case 0:
            place = rng.randrange(len(content) + 1)
            return content[:place] + rng.randbytes(rng.randrange(6)) + content[place + rng.randrange(6) :]
        case 1:
            place = rng.randrange(len(content) + 1)
            return content[:place] + rng.choice(VALUES).encode(errors="replace") + content[place + rng.randrange(12) :]
        case 2:
            lines[at : at + rng.randrange(3)] = []
        case 3:
            lines.insert(rng.randrange(len(lines)), lines[at])
        case 4 if written:
            lines[at] = written[1] + rng.choice(WORDS).encode() + b":" + written[3]
        case 5 | 6 | 7 if written:
            lines[at] = written[1] + written[2] + b": " + rng.choice(VALUES).encode(errors="replace")
        case 5 | 6 | 7:
            word, value = rng.choice(WORDS), rng.choice(VALUES)
            lines.insert(at, b" " * rng.choice((0, 0, 2, 4)) + f"{word}: {value}".encode(errors="replace"))
        case 8:
            depth = rng.choice((3, 31, 32, 33, 2000))
            opening, closing = rng.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")))
            lines.insert(at, f"{rng.choice(WORDS)}: {opening * depth}x{closing * depth}".encode())
        case 9:
            lines[at] = re.sub(rb": (.)", rb": &a \1", lines[at], count=1)
            lines.append(f"{rng.choice(WORDS)}: *a".encode())
        case 10 if rng.random() < 0.05:
            key, count = rng.choice(WORDS), rng.choice((200, 5_000, 60_000))
            form = rng.choice(("{}k{}: {}", "{}  k{}: {{like: k{}}}", "{}- n{}"))
            lines += [f"{key}:".encode(), *(form.format("  ", n, n + 1).encode() for n in range(count))]
        case _:
            lines[at] = b" " * rng.randrange(6) + lines[at].lstrip()
    return b"\n".join(lines)


@contextmanager
def no_hang(what: object) -> Iterator[None]:
    """Fail, with its name, instead of waiting for ever."""

    def ring(_: int, __: FrameType | None) -> None:
        pytest.fail(f"reading {what!r} does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(root: Path, what: object) -> None:
    """It is a project that can be used, or its mistakes are told, each with its place and in words."""
    with no_hang(what):
        try:
            project = load(root)
        except ManifestError as error:
            found = error.problems
        else:
            for component in project.components.values():
                for environment in project.environments:
                    component.shape(environment)
            return
    assert found
    for one in found:
        assert one.line >= 1, one
        assert one.column >= 1, one
        assert one.message, one
        str(one).encode()


@pytest.mark.parametrize("place", range(len(RIGHT)))
def test_what_is_mutated_is_right(place: int, tmp_path: Path) -> None:
    """Else all that follows it would look at one and the same mistake."""
    assert load(write(tmp_path, RIGHT[place])).components


def fuzz(root: Path, seeds: range) -> None:
    """One mutated checkout for each seed: one to three changes, most of them to what was right."""
    written: Mapping[str, bytes] = {}
    for seed in seeds:
        rng = random.Random(seed)
        files = dict(rng.choice(rng.choice((RIGHT, RIGHT, WRONG))))
        for _ in range(rng.randrange(1, 4)):
            name = rng.choice(sorted(files))
            files[name] = mutated(files[name], rng)
        for name in written.keys() - files.keys():
            (root / name).unlink()
        write(root, {name: content for name, content in files.items() if written.get(name) != content})
        written = files
        read(root, f"seed {seed}")


def test_mutated_manifests_load_or_their_mistakes_are_told(tmp_path: Path) -> None:
    """Those of the examples and of these tests."""
    fuzz(tmp_path, range(1_200))


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(4))
def test_many_mutated_manifests_load_or_their_mistakes_are_told(part: int, tmp_path: Path) -> None:
    """8,000 of them."""
    fuzz(tmp_path, range(part * 2_000, (part + 1) * 2_000))


SCALARS = st.one_of(st.sampled_from(VALUES), st.sampled_from(WORDS), st.text(max_size=8), st.integers().map(str))
KEYS_OF = {"tidegate.yaml": TOP_KEYS, **{f"c/{kind}.yaml": KEYS[kind] for kind in Kind}}


def flow(key: st.SearchStrategy[str], value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Tables and lists of one more level."""
    table = st.lists(st.tuples(key, value), max_size=4).map(
        lambda pairs: f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
    )
    return st.one_of(table, st.lists(value, max_size=4).map(lambda items: f"[{', '.join(items)}]"))


NODES = st.recursive(SCALARS, lambda inner: flow(st.sampled_from(WORDS), inner), max_leaves=8)


@st.composite
def generated(draw: st.DrawFn) -> tuple[str, str]:
    """A manifest of one kind: known keys with anything behind them, or any text at all."""
    name = draw(st.sampled_from(sorted(KEYS_OF)))
    if draw(st.integers(0, 9)) == 0:
        return name, draw(st.text(max_size=60))
    pairs = draw(st.lists(st.tuples(st.sampled_from(sorted(KEYS_OF[name])), NODES), max_size=6))
    return name, "".join(f"{key}: {node}\n" for key, node in pairs)


def read_generated(root: Path, manifest: tuple[str, str]) -> None:
    """Within a project that is otherwise right."""
    name, text = manifest
    for kind in Kind:
        (root / f"c/{kind}.yaml").unlink(missing_ok=True)
    content = text.encode(errors="surrogatepass")
    write(root, {"tidegate.yaml": test_resources.TOP, "b/service.yaml": "run: x\nneeds: [mail]\n", name: content})
    read(root, manifest)


COMMON = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=300, **COMMON)  # type: ignore[arg-type]
@given(manifest=generated())
def test_generated_manifests_load_or_their_mistakes_are_told(manifest: tuple[str, str], tmp_path: Path) -> None:
    """Of known keys and values where they do not belong, and of any text."""
    read_generated(tmp_path, manifest)


@pytest.mark.exhaustive
@settings(max_examples=2_000, **COMMON)  # type: ignore[arg-type]
@given(manifest=generated())
def test_many_generated_manifests_load_or_their_mistakes_are_told(manifest: tuple[str, str], tmp_path: Path) -> None:
    """2,000 of them."""
    read_generated(tmp_path, manifest)
