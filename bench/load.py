"""Load from `wrk`, and what it counted."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MISSING = "wrk is not installed; on Debian: apt-get install wrk"
CONNECTIONS = 32
MIXED = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(arguments) mixed = 0 end
function response(status, headers, body)
  if status == 200 and not body:match("^(%S+) %1$") then mixed = mixed + 1 end
end
function done(summary, latency, requests)
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + thread:get("mixed") end
  print("Mixed responses: " .. sum)
end
"""
"""A script for `wrk` that counts answers with two different words."""


@dataclass(frozen=True)
class Counted:
    """What came of a load. `failed`: answers other than 2xx and 3xx, and connections that broke or timed out."""

    requests: int
    failed: int
    per_second: float
    slowest: float  # milliseconds
    mixed: int | None = None  # counted by `MIXED`


def available() -> bool:
    """Whether `wrk` is there."""
    return shutil.which("wrk") is not None


def begin(
    url: str, seconds: int, *, connections: int = CONNECTIONS, script: Path | None = None
) -> subprocess.Popen[str]:
    """A load of that many seconds, which runs now; SIGINT ends it before."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", url]
    command += ["--script", str(script)] if script else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def counted(load: subprocess.Popen[str], patience: float) -> Counted:
    """Wait for its end. Raises `subprocess.TimeoutExpired`, and ValueError when it printed no figures."""
    try:
        said, _ = load.communicate(timeout=patience)
    finally:
        if load.poll() is None:
            load.kill()
            load.communicate()
    return read(said)


def run(url: str, seconds: int) -> Counted:
    """A load from its begin to its end."""
    return counted(begin(url, seconds), seconds + 15)


def read(said: str) -> Counted:
    """The figures in what `wrk` prints. Raises ValueError if they are not there."""
    requests = re.search(r"(\d+) requests in ", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    latency = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m)\b", said)
    if not requests or not rate or not latency:
        raise ValueError(f"wrk printed no figures:\n{said}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = sum(map(int, broken.groups() if broken else ())) + (int(wrong[1]) if wrong else 0)
    slowest = float(latency[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[latency[2]]
    mixed = re.search(r"Mixed responses: (\d+)", said)
    return Counted(int(requests[1]), failed, float(rate[1]), slowest, int(mixed[1]) if mixed else None)
