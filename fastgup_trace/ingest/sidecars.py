"""Files beside a recording, taken around it: meta.json, and counters before and after.

meta.json                            the machine, HZ, page size, mechanism, injected failures
interrupts.before / .after           /proc/interrupts
vmstat.before / .after               /proc/vmstat
kprobe_profile.before / .after       /sys/kernel/tracing/kprobe_profile: hits and misses of each kprobe
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastgup_trace.errors import RecordingError

_BYTES_MAX: Final = 16 << 20
_KALLSYMS_BYTES_MAX: Final = 256 << 20
Counters = dict[str, list[int]]


@dataclass(frozen=True)
class Sidecars:
    """What lay beside a recording; what did not is empty."""

    meta: dict[str, Any] = field(default_factory=dict)
    interrupts: dict[str, list[int]] = field(default_factory=dict)
    """Label of /proc/interrupts -> how many more, one number a CPU."""
    vmstat: dict[str, int] = field(default_factory=dict)
    kprobe_missed: dict[str, int] = field(default_factory=dict)
    """kprobe -> hits that it missed; only those that missed any."""
    tgids: dict[int, int] = field(default_factory=dict)
    """tid -> tgid."""

    def number(self, key: str, low: int, high: int) -> int | None:
        """A number of meta.json, None where it is absent, no number, or not in the range that makes sense."""
        value = self.meta.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None

    def text(self, key: str) -> str | None:
        value = self.meta.get(key)
        return value if isinstance(value, str) else None


def has_sidecars(folder: Path) -> bool:
    """Whether a folder has a file that `read_sidecars` reads."""
    names = ("meta.json", "saved_tgids.txt", "interrupts.after", "vmstat.after", "kprobe_profile.after")
    return any((folder / name).is_file() for name in names)


def read_sidecars(folder: Path) -> Sidecars:
    """Whatever of the files is in `folder`.

    Raises RecordingError for a meta.json that is no JSON object and for a folder that is none.
    """
    if not folder.is_dir():
        raise RecordingError(str(folder), "a folder with meta.json", "no folder", "name the one beside the recording")
    missed = _delta(folder, "kprobe_profile", _kprobe_profile)
    return Sidecars(
        meta=_meta(folder / "meta.json"),
        interrupts=_delta(folder, "interrupts", _interrupts),
        vmstat={name: change[0] for name, change in _delta(folder, "vmstat", _vmstat).items()},
        kprobe_missed={name: change[0] for name, change in missed.items() if change[0]},
        tgids=_tgids(folder / "saved_tgids.txt"),
    )


def read_kallsyms(path: Path | None) -> bytes:
    """The text of a copy of /proc/kallsyms. Raises RecordingError for what is no such file."""
    if path is None:
        return b""
    try:
        size = path.stat().st_size
        text = path.read_bytes() if size <= _KALLSYMS_BYTES_MAX else b""
    except OSError as error:
        raise RecordingError(str(path), "a file to read", error.strerror or str(error), "check its name") from None
    if not re.match(rb"[0-9a-fA-F]{8,16} [A-Za-z?-] \S", text):
        advice = "give a copy of /proc/kallsyms made as root"
        raise RecordingError(str(path), "address, type and name in each line", repr(text[:40]), advice)
    return text


def _meta(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        meta = json.loads(_text(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RecordingError(str(path), "JSON", str(error), "mend it, or name another folder with --meta") from None
    if not isinstance(meta, dict):
        raise RecordingError(str(path), "a JSON object", type(meta).__name__, "mend it, or name another with --meta")
    return meta


def _no_number(word: str) -> None:
    """NaN and infinities, which Python's reader takes and JSON does not have."""
    raise ValueError(f"{word}, which is no number")


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > _BYTES_MAX:
        raise RecordingError(str(path), f"a file of at most {_BYTES_MAX} bytes", f"{size}", "remove it")
    return path.read_text(encoding="utf-8", errors="replace")


def _delta(folder: Path, name: str, parse: Callable[[str], Counters]) -> Counters:
    """What NAME.after counts more than NAME.before; empty unless both are there."""
    before, after = folder / f"{name}.before", folder / f"{name}.after"
    if not (before.is_file() and after.is_file()):
        return {}
    old, new = parse(_text(before)), parse(_text(after))
    return {
        label: [b - a for a, b in zip(old.get(label, [0] * len(counts)), counts, strict=False)]
        for label, counts in new.items()
    }


def _interrupts(text: str) -> Counters:
    """/proc/interrupts: one row an interrupt, one column a CPU of the header, then what it is for."""
    lines = text.splitlines()
    nr_cpus = len(lines[0].split()) if lines else 0
    result: Counters = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        counts = [int(word) for word in words[:nr_cpus] if word.isdecimal()]
        if counts:
            label = " ".join(words[len(counts) :]) or name.strip()
            result[label] = _sum(result.get(label), counts)
    return result


def _sum(left: list[int] | None, right: list[int]) -> list[int]:
    return right if left is None or len(left) != len(right) else [a + b for a, b in zip(left, right, strict=True)]


def _tgids(path: Path) -> dict[int, int]:
    if not path.is_file():
        return {}
    pairs = (line.split() for line in _text(path).splitlines())
    return {int(pair[0]): int(pair[1]) for pair in pairs if len(pair) == 2 and all(_is_tid(word) for word in pair)}


def _is_tid(word: str) -> bool:
    return word.isdecimal() and len(word) < 10


def _vmstat(text: str) -> Counters:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: [int(pair[1])] for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _kprobe_profile(text: str) -> Counters:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: [int(row[2])] for row in rows if len(row) == 3 and row[2].isdecimal()}
