"""JSON lines: one object a line, for recordings that people make with tools of their own; bpftrace's -f json too.

    {"ts": 1000002003, "event": "tlb_flush", "cpu": 3, "pid": 42, "comm": "a", "pages": 1, "start": "0x7f00"}

docs/FORMATS.md has the format's rules. Objects are split with the standard library's json, a block of lines as one
list: pyarrow's reader is faster, but takes one type a key for all events, and texts that look like dates for dates.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.ftrace_text.source import BLOCK_BYTES, text_blocks, uncompressed_head
from fastgup_trace.ingest.json_lines.windows import Batch, Windows
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window
from fastgup_trace.ingest.whole_lines import whole_lines

WINDOW_RECORDS = 1_000_000
NO_OBJECT = "the line is no JSON object"
NO_EVENT = 'no "event", or not a name'
NO_TIME = '"ts" is not an integer of nanoseconds'
ANY_CPU = -1

_COMMON = ("cpu", "pid", "tid", "tgid", "comm")
_TIME_MAX = 1 << 62
_LOST_MAX = 1 << 63
_PID_MAX = 2**31 - 1
_OPENING_BYTES = 1 << 16
_BANNER = re.compile(rb"\AAttaching \d{1,9} probes?\.\.\.\r?\n")
"""bpftrace's first line, unless it is called with -q."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first line of a file, maybe compressed, is an object of this format or one of bpftrace's."""
    line = _BANNER.sub(b"", uncompressed_head(head)).lstrip().split(b"\n", 1)[0]
    if not line.startswith(b"{"):
        return False
    first = _parsed(line.decode("utf-8", "replace"))
    return first is not None and ({"ts", "event"} <= first.keys() or _is_wrapped(first))


def open_json_lines(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open JSON lines. `wanted` limits what is decoded, never what is counted; a bad line is counted with its reason.

    Raises RecordingError (FILE:LINE), here or while windows are read, for a file whose first lines hold no record,
    binary data and damaged compression; with `strict` also for a last line that is cut.
    """
    damage: list[RecordingError] = []
    blocks = text_blocks(path, BLOCK_BYTES, None if strict else damage)
    try:
        size = path.stat().st_size
        first = next(blocks, None)
    except OSError as error:
        raise unreadable(path, error) from None
    if first is None and damage:
        raise damage[0]
    opening = _Reader(Windows(wanted={}))
    if first is not None:
        opening.take(first.text[: first.text.find(b"\n", _OPENING_BYTES) + 1] or first.text)
    if not opening.windows.rows and not opening.wrapped:
        found = next(iter(opening.windows.undecodable), "an empty file")
        advice = "see docs/FORMATS.md for the keys of a line"
        raise RecordingError(f"{path}:1", 'lines such as {"ts": 1, "event": "x"}', found, advice)
    reader = _Reader(Windows(wanted))

    def windows() -> Iterator[Window]:
        every = chain([first] if first else [], blocks)

        def count(reason: str) -> None:
            reader.windows.undecodable[reason] += 1

        for block in whole_lines(every, path, damage, strict=strict, count=count, is_whole=_is_object):
            reader.take(block.text)
            if progress:
                progress(block.read_bytes, size)
            if reader.windows.rows >= WINDOW_RECORDS:
                yield reader.windows.flush()
        yield reader.windows.flush()

    return Recording(
        path=path,
        format="JSON lines",
        size_bytes=size,
        clock=None,
        nr_cpus=None,
        arch=None,
        kernel_release=None,
        page_size=None,
        tracer="bpftrace" if opening.wrapped else None,
        comms=reader.comms,
        tgids=reader.tgids,
        losses=reader.losses,
        windows=windows(),
        damage=damage,
    )


@dataclass
class _Reader:
    """Blocks of lines to batches; who is who, and losses."""

    windows: Windows
    comms: dict[int, str] = field(default_factory=dict)
    tgids: dict[int, int] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    position: int = 0
    last_ns: int = 0
    wrapped: bool = False

    def take(self, text: bytes) -> None:
        """Add the records of some lines."""
        bad: Counter[str] = Counter()
        if not self.position:
            text = _BANNER.sub(b"", text)
        batches: dict[str, Batch] = {}
        for found in _objects(text.decode("utf-8", "replace"), bad):
            if "event" not in found and _is_wrapped(found):
                self.wrapped = True
                for inner in self._unwrapped(found, bad):
                    self._sort_in(inner, batches, bad)
            else:
                self._sort_in(found, batches, bad)
        who: dict[int, tuple[int, str]] = {}
        for event, batch in batches.items():
            self._add(event, batch, who)
        for thread, (_, comm) in who.items():
            self.comms[thread] = comm
        self.windows.undecodable.update(bad)

    def _sort_in(self, found: dict[str, Any], batches: dict[str, Batch], bad: Counter[str]) -> None:
        event, ts_ns = found.get("event"), found.get("ts")
        if type(event) is not str or not event or len(event) > 128:
            bad[NO_EVENT] += 1
        elif type(ts_ns) is not int or not -_TIME_MAX < ts_ns < _TIME_MAX:
            bad[NO_TIME] += 1
        else:
            batch = batches.get(event)
            if batch is None:
                batch = batches[event] = Batch()
            batch.ts_ns.append(ts_ns)
            batch.position.append(self.position)
            batch.rows.append(found)
            self.position += 1
            self.last_ns = ts_ns

    def _add(self, event: str, batch: Batch, who: dict[int, tuple[int, str]]) -> None:
        """Hand a batch on, its common columns apart; `who` gets the last comm of each thread and where it stands."""
        rows = batch.rows
        names = dict.fromkeys(name for keys in dict.fromkeys(map(tuple, rows)) for name in keys)

        def common(key: str) -> list[Any] | None:
            if f"common_{key}" in names:
                return [row.get(f"common_{key}", row.get(key)) for row in rows]
            return [row.get(key) for row in rows] if key in names else None

        cpu, pid, tid, tgid, comm = (common(key) for key in _COMMON)
        if tid is not None:
            none = [None] * len(rows)
            pid, tgid = pid or none, tgid or none
            tgid = [p if t is not None and g is None else g for p, t, g in zip(pid, tid, tgid, strict=True)]
            pid = [p if t is None else t for p, t in zip(pid, tid, strict=True)]
        batch.cpu, batch.pid = _numbers(cpu, len(rows)), _numbers(pid, len(rows))
        if comm is not None:
            for thread, position, name in zip(batch.pid, batch.position, comm, strict=True):
                if thread >= 0 and type(name) is str and name and who.get(thread, (-1, ""))[0] < position:
                    who[thread] = position, name[:64]
        if tgid is not None:
            self.tgids.update(
                {t: g for t, g in zip(batch.pid, _numbers(tgid, len(rows)), strict=True) if min(t, g) >= 0}
            )
        taken = {key if f"common_{key}" not in names else f"common_{key}" for key in _COMMON}
        batch.names = [name for name in names if name not in taken and name not in {"ts", "event"}]
        self.windows.add(event, batch)

    def _unwrapped(self, found: dict[str, Any], bad: Counter[str]) -> Iterator[dict[str, Any]]:
        """What bpftrace -f json wraps: `printf` in {"type", "data"}; lost events become a loss, of any CPU."""
        kind, data = found["type"], found["data"]
        if kind == "printf" and isinstance(data, str):
            yield from _objects(data, bad)
        elif kind == "lost_events" and isinstance(data, dict):
            count = data.get("events")
            known = type(count) is int and 0 <= count < _LOST_MAX
            self.losses.append(Loss(ANY_CPU, self.last_ns, self.last_ns, count if known else None))
        elif kind != "attached_probes":
            bad[f"bpftrace's {str(kind)[:32]!r} is no record"] += 1


def _numbers(values: list[Any] | None, size: int) -> list[int]:
    """CPUs or threads; -1 for what is none."""
    if values is None:
        return [-1] * size
    return [value if type(value) is int and 0 <= value <= _PID_MAX else -1 for value in values]


def _is_wrapped(found: dict[str, Any]) -> bool:
    return "type" in found and "data" in found and "ts" not in found


def _objects(text: str, bad: Counter[str]) -> Iterator[dict[str, Any]]:
    """The objects of some lines; other lines are counted in `bad`."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    try:
        found = json.loads("[" + ",".join(lines) + "]")
    except (ValueError, RecursionError):
        found = []
    if len(found) == len(lines) and all(type(item) is dict for item in found):
        yield from found
        return
    for line in lines:
        item = _parsed(line)
        if item is None:
            bad[NO_OBJECT] += 1
        else:
            yield item


def _is_object(line: bytes) -> bool:
    return _parsed(line.decode("utf-8", "replace")) is not None


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


__all__ = ["open_json_lines", "sniff"]
