"""What the sources of one folder say about its port, its health and whom it calls."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".rb", ".php", ".java", ".rs")
SKIPPED = frozenset({"node_modules", "tests", "test", "__pycache__", "venv", "dist", "build"})
MOST_FILES = 200
MOST_BYTES = 200_000

_USES_PORT = re.compile(r"(?:environ|getenv|Getenv|process\.env|ENV|env::var)[^\n]{0,12}\bPORT\b")
_FIXED_PORT = re.compile(
    r"(?:listen\(\s*|\bport\s*[=:]\s*|--port[ =]|ListenAndServe\(\s*\"[^\":]*:"
    r"|\(\s*[\"'][^\"'\n]{0,40}[\"']\s*,\s*)([1-9][0-9]{1,4})\b",
    re.IGNORECASE,
)
_HEALTH = re.compile(r"[\"'](/(?:healthz|health|livez|readyz|ping))[\"']")
_ADDRESS = re.compile(r"(?:environ|getenv|Getenv|process\.env|ENV|env::var)[^\n]{0,12}?\b([A-Z][A-Z0-9_]*_URL)\b")
_UNPACKED = re.compile(r"\{([^{}]*)\}\s*=\s*process\.env\b")  # const { API_URL, PORT } = process.env


@dataclass(frozen=True, slots=True)
class Sources:
    """`uses_port`: some file reads the variable PORT. `port`: a number that is listened on, if one is written.

    `reads`: the variables `…_URL` that some file reads.
    """

    uses_port: bool = False
    port: int | None = None
    health: str = ""
    reads: frozenset[str] = frozenset()
    texts: tuple[tuple[str, str], ...] = ()


def read_sources(folder: Path) -> Sources:
    """Look through the programs in `folder`, but not into folders of other components."""
    texts = tuple(_texts(folder))
    ports = [int(match[1]) for _, text in texts for match in _FIXED_PORT.finditer(text) if int(match[1]) <= 65_535]
    health = next((match[1] for _, text in texts if (match := _HEALTH.search(text))), "")
    uses_port = any(_USES_PORT.search(text) for _, text in texts)
    reads = frozenset(name for _, text in texts for name in _addresses(text))
    return Sources(uses_port, ports[0] if ports and not uses_port else None, health, reads, texts)


def _addresses(text: str) -> list[str]:
    unpacked = " ".join(match[1] for match in _UNPACKED.finditer(text))
    return [*_ADDRESS.findall(text), *re.findall(r"\b[A-Z][A-Z0-9_]*_URL\b", unpacked)]


def _texts(folder: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if name[0] != "." and name not in SKIPPED)
        if Path(place) != folder and {"package.json", "pyproject.toml", "Dockerfile", "Procfile"} & set(names):
            inner.clear()
            continue
        for name in sorted(names):
            file = Path(place, name)
            if name.endswith(SUFFIXES) and file.is_file() and file.stat().st_size <= MOST_BYTES:
                found.append((file.relative_to(folder).as_posix(), file.read_text(encoding="utf-8", errors="replace")))
            if len(found) == MOST_FILES:
                return found
    return found
