"""A command's CPU seconds, wall seconds and largest memory; and a table of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT_BYTES = 1 << 20

INGEST = (sys.executable, "-m", "fastgup_trace", "ingest")


@dataclass(frozen=True)
class Cost:
    """What a process took; `rss_bytes` counts pages of mapped files too."""

    cpu_s: float
    wall_s: float
    rss_bytes: int
    output: bytes
    """The last of what it printed."""


def run(*line: str) -> tuple[Cost, int]:
    """Run a command; what it took and how many lines it printed. Raises CalledProcessError where it fails."""
    # An interpreter that may not keep compiled code, as under some test runners, would compile it each time.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept) as process:
        assert process.stdout is not None
        lines, last = 0, b""
        while data := process.stdout.read(1 << 20):
            lines, last = lines + data.count(b"\n"), (last + data)[-_KEPT_BYTES:]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line, last)
    cpu_s, wall_s = usage.ru_utime + usage.ru_stime, time.monotonic() - started
    return Cost(cpu_s, wall_s, usage.ru_maxrss * 1024, last), lines


def table(title: str, events: int, rows: Sequence[tuple[str, Cost]], base: str) -> str:
    """Lines of text: each row against the one called `base`."""
    costs = dict(rows)
    head = f"{'command':<34}{'CPU s':>9}{'wall s':>9}{'RSS MB':>9}{'M ev/CPU-s':>12}{'CPU ratio':>11}{'wall ratio':>12}"
    lines = ["", f"{title}: {events:,} events", head]
    for name, cost in rows:
        lines.append(
            f"{name:<34}{cost.cpu_s:>9.2f}{cost.wall_s:>9.2f}{cost.rss_bytes / 1e6:>9.0f}"
            f"{events / 1e6 / cost.cpu_s:>12.2f}{costs[base].cpu_s / cost.cpu_s:>11.1f}"
            f"{costs[base].wall_s / cost.wall_s:>12.1f}"
        )
    return "\n".join(lines)


def given(name: str) -> Path | None:
    """A path that the environment gives."""
    value = os.environ.get(name)
    return Path(value) if value else None


def say(text: str) -> None:
    """Print where `pytest -s` shows it."""
    sys.stdout.write(f"\n{text}\n")
