"""The catalogue of real recordings, and where each one is: `entries()`, `find(name)`.

What is known of a recording is in captures.toml beside this file. The recordings themselves lie in a checkout only, in
datasets/captures/NAME/, with the sidecars that were taken around them; they are too large for a package.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from fastgup_trace.errors import CaptureError, UsageError


@dataclass(frozen=True)
class Entry:
    """One recording. `counters` are (before, after) of /proc/interrupts rows, summed over CPUs, and of /proc/vmstat."""

    name: str
    file: str
    sha256: str
    size_bytes: int
    kernel: str
    kernel_release: str
    arch: str
    machine: str
    mechanism: str
    """The mechanism that the recorded kernel has, by its name for `replay -m`."""
    workload: str
    command: str
    tracer: str
    events: int
    """Records in the recording; lost ones are not in it."""
    lost: int
    counters: dict[str, tuple[int, int]]
    shows: str


@cache
def entries() -> tuple[Entry, ...]:
    """All recordings, the subject of the project first."""
    text = resources.files("fastgup_datasets").joinpath("captures.toml").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in tomllib.loads(text)["capture"])


def _entry(row: dict[str, Any]) -> Entry:
    counters = {name: (before, after) for name, (before, after) in row["counters"].items()}
    return Entry(**{"file": "trace.dat", **row, "counters": counters})


def entry(name: str) -> Entry:
    """The entry `name`. Raises UsageError, with the nearest name, if there is none."""
    names = [known.name for known in entries()]
    if name in names:
        return entries()[names.index(name)]
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    advice = f"did you mean dataset:{near[0]}?" if near else f"there are {', '.join(names)}"
    raise UsageError("dataset", "the name of a recording", repr(name), advice)


def captures() -> Path | None:
    """The folder of the recordings, None where this package is not in a checkout."""
    folder = Path(__file__).resolve().parent.parent / "captures"
    return folder if folder.is_dir() and (folder.parent.parent / "pyproject.toml").is_file() else None


def find(name: str) -> Path:
    """The recording `name`, with its sidecars beside it; its sha256 is checked.

    Raises UsageError for a name that is not in the catalogue, CaptureError if the recording is not here or is damaged.
    """
    wanted, folder = entry(name), captures()
    if folder is None:
        raise CaptureError(
            f"dataset:{name}",
            "a checkout of the project's repository",
            "an installed package, which has the catalogue but not the recordings",
            f"ingest datasets/captures/{name}/{wanted.file} of a checkout",
        )
    path = folder / name / wanted.file
    if not path.is_file():
        raise CaptureError(str(path), f"the recording dataset:{name}", "no file", "restore it with `git checkout`")
    found = sha256(path.read_bytes()).hexdigest()
    if found != wanted.sha256:
        raise CaptureError(
            str(path), f"sha256 {wanted.sha256[:16]}...", f"{found[:16]}...", "restore it with `git checkout`"
        )
    return path


def markdown() -> str:
    """The catalogue as the table of datasets/README.md."""
    headers = ("`dataset:` name", "kernel", "command", "records", "counters, before -> after", "what it shows")
    rows = [
        (
            f"`{known.name}`",
            f"{known.kernel}, {known.arch}",
            f"`{known.command}`",
            f"{known.events:,}" + (f", {known.lost:,} lost" if known.lost else ""),
            ", ".join(f"{counter} {before} -> {after}" for counter, (before, after) in known.counters.items()),
            known.shows,
        )
        for known in entries()
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headers, ("---",) * len(headers), *rows))
