"""The windows of a recording, read once: what probes want is kept, all is counted, and what could not be is placed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.parts import Parts, other_types
from fastgup_trace.ingest.records import Recording
from fastgup_trace.probes import Part
from fastgup_trace.probes.catalog import is_wanted, trimmed
from fastgup_trace.schema import conform


class Sink(Protocol):
    """Where a capture's rows go as they come: `tables.CaptureWriter`, `tables.Collected`."""

    @property
    def scratch(self) -> Path | None:
        """A folder for what memory has no room for; None for the system's."""

    def append(self, name: str, table: pa.Table) -> None: ...


@dataclass
class Read:
    """What there was in all windows of a recording."""

    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    gaps: list[tuple[int, int, str, int]] = field(default_factory=list)
    """Begin and end of a window, why some of its records could not be decoded, how many."""
    span_ns: tuple[int, int] | None = None


def read_windows(recording: Recording, parts: Parts, raw: RawTables | None) -> Read:
    """Read all windows: what probes want goes to `parts`, all of it to `raw`."""
    read = Read()
    for window in recording.windows:
        read.counts.update(window.counts)
        read.undecodable.update(window.undecodable)
        ends = [t["common_ts_ns"][row].as_py() for t in window.events.values() if len(t) for row in (0, -1)]
        since = read.span_ns[1] if read.span_ns else min(ends, default=0)
        if ends:
            moments = [*ends, *(read.span_ns or ())]
            read.span_ns = min(moments), max(moments)
        until = read.span_ns[1] if read.span_ns else since
        read.gaps += [(since, until, reason, count) for reason, count in window.undecodable.items()]
        parts.add({name: trimmed(name, table) for name, table in window.events.items() if is_wanted(name)})
        if raw is not None:
            for name, table in window.events.items():
                raw.append(name, table)
    parts.complete()
    return read


def leaf_calls(part: Part) -> int:
    """Calls of the function graph whose return is the very next record of the recording.

    trace-cmd and the kernel show such a call in one line, as an entry: so are events counted here, and the returns that
    have no line of their own apart.
    """
    if not {"funcgraph_entry", "funcgraph_exit"} <= part.events.keys():
        return 0
    keys = ["common_seq", "common_pid", "func.sym"]
    entries, exits = (part.events[name] for name in ("funcgraph_entry", "funcgraph_exit"))
    if not all(key in table.schema.names for key in keys for table in (entries, exits)):
        return 0
    seq = entries["common_seq"]
    entries = entries.filter(pc.and_(pc.greater_equal(seq, part.start_seq), pc.less(seq, part.end_seq)))
    following = exits.select(keys).set_column(0, "common_seq", pc.subtract(exits["common_seq"], 1))
    pairs = [
        table.select(keys).set_column(2, "func.sym", table["func.sym"].cast(pa.string()))
        for table in (entries, following)
    ]
    return len(pairs[0].join(pairs[1], keys, join_type="inner"))


class RawTables:
    """The records of all events, under names that are safe for files.

    Anything but letters, digits, `.` `_` `-` becomes `_`, and equal names get a number. The table's metadata has the
    event's own name.
    """

    def __init__(self, where: str, sink: Sink) -> None:
        self._where, self._sink, self._names = where, sink, dict[str, str]()

    def append(self, event: str, table: pa.Table) -> None:
        if event not in self._names:
            safe = re.sub(r"[^A-Za-z0-9._-]", "_", event).lstrip(".")[:120] or "_"
            number, free, taken = 2, safe, set(self._names.values())
            while free in taken:
                number, free = number + 1, f"{safe}_{number}"
            self._names[event] = free
        try:
            self._sink.append(f"raw/{self._names[event]}", table.replace_schema_metadata({"event": event}))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise other_types(self._where, event, error) from None


def lost_table(recording: Recording, read: Read) -> pa.Table:
    """What is not in the capture though it happened: dropped by the tracer, not decoded, or cut off."""
    rows: list[tuple[int, int, int | None, int | None, str]]
    rows = [
        (loss.ts_ns, loss.end_ns, loss.cpu if loss.cpu >= 0 else None, loss.count, "dropped")
        for loss in recording.losses
    ]
    rows += [(start, end, None, count, f"not decoded: {reason}") for start, end, reason, count in read.gaps]
    if recording.damage and read.span_ns:
        rows += [(read.span_ns[1], read.span_ns[1], None, None, f"cut: {error.where}") for error in recording.damage]
    rows.sort(key=lambda row: (row[0], -1 if row[2] is None else row[2]))
    kinds = {"ts_ns": pa.int64(), "end_ns": pa.int64(), "cpu": pa.int32(), "count": pa.int64(), "why": pa.string()}
    columns: dict[str, object] = {
        name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(kinds.items())
    }
    return conform("lost", {**columns, "evidence": "observed"}, len(rows))
