"""Who holds a claim: a process, named so that it can be told from a later one with the same number."""

from __future__ import annotations

from datetime import UTC, datetime


def holder_of(host: str, pid: int, started: float) -> str:
    """`host:pid:start time`, the latter in seconds since the epoch."""
    return f"{host}:{pid}:{started:.2f}"


def holder_in_words(holder: str) -> str:
    """`process 77 on vm, which began 2030-01-01 10:00:00 UTC`; text of any other form stays as it is."""
    try:
        host, pid, started = holder.rsplit(":", 2)
        return f"process {int(pid)} on {host}, which began {moment_in_words(float(started))}"
    except (ValueError, OverflowError, OSError):
        return holder


def moment_in_words(at: float) -> str:
    """Seconds since the epoch as date and time, the same on every machine."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
