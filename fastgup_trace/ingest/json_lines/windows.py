"""Objects gathered to windows: sorted by time, one table an event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fastgup_trace.ingest.json_lines.values import Kinds
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields

Int64s = npt.NDArray[np.int64]

BACKWARDS = "earlier than the window before: its time is set to that window's end"
TOO_MANY_FIELDS = "{}: more than 256 fields"
TOO_MANY_EVENTS = "more than 10,000 names of events"
_FIELDS_MAX = 256
_EVENTS_MAX = 10_000


@dataclass
class Batch:
    """Records of one event: the objects, their common columns (-1: not told), and which keys are the event's fields."""

    ts_ns: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)
    pid: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass
class _Gathered:
    common: list[tuple[Int64s, ...]] = field(default_factory=list)
    size: int = 0
    columns: dict[str, list[tuple[int, pa.Array]]] = field(default_factory=dict)
    """Field -> (the first of its rows, values)."""


@dataclass
class Windows:
    """Takes batches, gives windows."""

    wanted: Wanted | None
    kinds: Kinds = field(default_factory=Kinds)
    names: dict[str, set[str]] = field(default_factory=dict)
    """Event -> its fields so far."""
    events: dict[str, _Gathered] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    seq: int = 0
    end_ns: int = -(1 << 63)

    def add(self, event: str, batch: Batch) -> None:
        """Take some records of an event."""
        size = len(batch.ts_ns)
        known = self.names.get(event)
        if known is None and len(self.names) == _EVENTS_MAX:
            self.undecodable[TOO_MANY_EVENTS] += size
            return
        known = self.names.setdefault(event, set())
        gathered = self.events.setdefault(event, _Gathered())
        common = (batch.ts_ns, batch.position, batch.cpu, batch.pid)
        gathered.common.append(tuple(np.array(column, np.int64) for column in common))
        self.counts[event] += size
        self.rows += size
        is_wanted, only = wanted_fields(self.wanted, event)
        if is_wanted:
            for name in self._names(event, known, batch):
                if only is None or name in only:
                    values = [row.get(name) for row in batch.rows]
                    for column, array in self.kinds.columns(event, name, values).items():
                        gathered.columns.setdefault(column, []).append((gathered.size, array))
        gathered.size += size

    def _names(self, event: str, known: set[str], batch: Batch) -> list[str]:
        """The fields of a batch, but of an event not more than some."""
        new = [name for name in batch.names if name not in known]
        left_out = set(new[_FIELDS_MAX - len(known) :])
        known.update(set(new) - left_out)
        if left_out:
            self.undecodable[TOO_MANY_FIELDS.format(event)] += sum(not left_out.isdisjoint(row) for row in batch.rows)
        return [name for name in batch.names if name not in left_out]

    def flush(self) -> Window:
        """The window of all that was added since the last one."""
        parts = [part for gathered in self.events.values() for part in gathered.common]
        ts, position = (np.concatenate([part[n] for part in parts] or [np.empty(0, np.int64)]) for n in (0, 1))
        cpu = np.concatenate([part[2] for part in parts] or [np.empty(0, np.int64)])
        if late := int((ts < self.end_ns).sum()):
            self.undecodable[BACKWARDS] += late
            ts = np.maximum(ts, self.end_ns)
        seq = np.empty(len(ts), np.int64)
        seq[np.lexsort((position, cpu, ts))] = self.seq + np.arange(len(ts))
        if len(ts):
            self.end_ns = int(ts.max())
        self.seq += len(ts)
        tables, start = {}, 0
        for event, gathered in self.events.items():
            end = start + gathered.size
            if wanted_fields(self.wanted, event)[0]:
                tables[event] = self._table(event, gathered, seq[start:end], ts[start:end])
            start = end
        self.undecodable.update(self.kinds.undecodable)
        window = Window(tables, dict(self.counts), dict(self.undecodable))
        self.kinds.undecodable = Counter()
        self.events, self.counts, self.undecodable, self.rows = {}, Counter(), Counter(), 0
        return window

    def _table(self, event: str, gathered: _Gathered, seq: Int64s, ts: Int64s) -> pa.Table:
        cpu, pid = (np.concatenate([part[n] for part in gathered.common]) for n in (2, 3))
        columns: dict[str, pa.Array] = {
            "common_seq": pa.array(seq),
            "common_ts_ns": pa.array(ts),
            "common_cpu": pa.array(cpu.astype(np.int32)),
            "common_pid": pa.array(pid.astype(np.int32), mask=pid < 0),
            "common_flags": pa.nulls(len(seq), pa.uint8()),
        }
        for name, values in gathered.columns.items():
            columns[name] = _filled(values, gathered.size, (event, name) in self.kinds.unsigned)
        table = pa.table(columns)
        order = np.argsort(seq, kind="stable")
        return table if bool((order == np.arange(len(order))).all()) else table.take(pa.array(order))


def _filled(parts: list[tuple[int, pa.Array]], size: int, unsigned: bool) -> pa.ChunkedArray:
    """One column of `size` rows, null where no part has any."""
    kind = pa.uint64() if unsigned else parts[0][1].type
    chunks, end = list[pa.Array](), 0
    for start, values in parts:
        if start > end:
            chunks.append(pa.nulls(start - end, kind))
        chunks.append(values if values.type == kind else values.cast(kind, safe=False))
        end = start + len(values)
    if end < size:
        chunks.append(pa.nulls(size - end, kind))
    column = pa.chunked_array(chunks, kind)
    return column.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(kind) else column.combine_chunks()
