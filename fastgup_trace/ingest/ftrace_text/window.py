"""Blocks of lines gathered to windows of typed tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.ftrace_text.decode import Decoder, Event, event_of
from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import Int64s, Lines
from fastgup_trace.ingest.ftrace_text.values import Dialect, detect, typed, widest
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields

Groups = Iterator[tuple[Event, Int64s, list[bytes]]]

BACKWARDS = "earlier than the window before: its time is set to that window's end"


@dataclass
class _Gathered:
    """The records of one event in a window."""

    rows: list[Int64s] = field(default_factory=list)
    size: int = 0
    words: dict[tuple[str, str], list[tuple[Int64s, pa.Array]]] = field(default_factory=dict)
    """(field, kind) -> the event's rows that have it, and its words."""

    def add_words(self, name: str, kind: str, rows: Int64s, words: pa.Array) -> None:
        self.words.setdefault((name, kind), []).append((rows + self.size, words))


@dataclass
class Gatherer:
    """Takes blocks, gives windows; shapes, kinds of fields and calls that have not returned stay between them."""

    wanted: Wanted | None
    timed: bool = True
    """Whether times are times; else (a drawn function graph) they are positions."""
    dialect: Dialect = field(default_factory=Dialect)
    decoder: Decoder = field(default_factory=Decoder)
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    seq: int = 0
    end_ns: int = -(1 << 62)
    position: int = 0
    events: dict[str, _Gathered] = field(default_factory=dict)
    columns: list[tuple[Int64s, ...]] = field(default_factory=list)
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    leaves: list[tuple[int, ...]] = field(default_factory=list)
    leaf_names: list[bytes] = field(default_factory=list)

    def add(self, lines: Lines, calls: Calls) -> None:
        """Take the records of a block."""
        positions = self.position + 2 * np.arange(len(lines.keys), dtype=np.int64)
        self.position += 2 * len(lines.keys)
        columns = (lines.ts_ns, positions, lines.cpu, lines.pid, lines.flags)
        for event, rows, bodies in _groups(lines):
            self._gather(event, tuple(column[rows] for column in columns), bodies)
        if calls.row:
            self._add_calls(columns, calls)
        elif self.leaves and len(lines.ts_ns):
            self._return_leaves(int(lines.ts_ns[-1]))

    def _gather(self, event: Event, columns: tuple[Int64s, ...], bodies: list[bytes]) -> None:
        self.counts[event.name] += len(bodies)
        gathered = self._place(event.name, columns)
        wanted, fields = wanted_fields(self.wanted, event.name)
        if not wanted or gathered is None:
            return
        misfits: list[int] = []
        for name, kind, rows, words in self.decoder.words(event, bodies, fields, misfits):
            gathered.add_words(name, kind, rows, words)
        gathered.size += len(bodies)
        if misfits:
            self.undecodable[f"{event.name}: fields in a shape that is not known"] += len(misfits)

    def _place(self, name: str, columns: tuple[Int64s, ...]) -> _Gathered | None:
        rows = self.rows + np.arange(len(columns[0]))
        self.columns.append(columns)
        self.rows += len(rows)
        if not wanted_fields(self.wanted, name)[0]:
            return None
        gathered = self.events.setdefault(name, _Gathered())
        gathered.rows.append(rows)
        return gathered

    def _add_calls(self, columns: tuple[Int64s, ...], calls: Calls) -> None:
        rows = np.array(calls.row, np.int64)
        exits = np.array(calls.exits, bool)
        durations = np.array(calls.duration_ns, np.int64)
        leaf = exits & np.concatenate([[False], rows[1:] == rows[:-1]])
        ts, positions, cpu, pid, flags = (column[rows] for column in columns)
        depth = np.array(calls.depth, np.int64)
        for name, mask in ("funcgraph_entry", ~exits), ("funcgraph_exit", exits & ~leaf):
            picked = np.flatnonzero(mask)
            funcs = [calls.func[i] for i in picked.tolist()]
            self._gather_calls(
                name, tuple(c[picked] for c in (ts, positions, cpu, pid, flags, depth, durations)), funcs
            )
        picked = np.flatnonzero(leaf)
        ends = ts + (np.maximum(durations, 0) if self.timed else 1)
        leaves = (c[picked].tolist() for c in (ends, positions + 1, cpu, pid, flags, depth, durations))
        self.leaves += zip(*leaves, strict=True)
        self.leaf_names += [calls.func[i] for i in picked.tolist()]
        self._return_leaves(int(columns[0][-1]))

    def _return_leaves(self, until_ns: int | None) -> None:
        """Add the exits of leaf calls, up to a time: they come after lines that stand further down."""
        due = [until_ns is None or leaf[0] <= until_ns for leaf in self.leaves]
        if any(due):
            columns = np.array([leaf for leaf, d in zip(self.leaves, due, strict=True) if d], np.int64).T
            self._gather_calls(
                "funcgraph_exit", tuple(columns), [n for n, d in zip(self.leaf_names, due, strict=True) if d]
            )
            self.leaf_names = [name for name, d in zip(self.leaf_names, due, strict=True) if not d]
            self.leaves = [leaf for leaf, d in zip(self.leaves, due, strict=True) if not d]

    def _gather_calls(self, name: str, columns: tuple[Int64s, ...], funcs: list[bytes]) -> None:
        if not funcs:
            return
        self.counts[name] += len(funcs)
        gathered = self._place(name, columns[:5])
        if gathered is None:
            return
        rows = np.arange(len(funcs), dtype=np.int64)
        gathered.add_words("func", "sym", rows, pa.array([func or None for func in funcs], pa.binary()))
        gathered.add_words("depth", "number", rows, pa.array(columns[5]))
        if name == "funcgraph_exit":
            gathered.add_words("duration_ns", "number", rows, pa.array(columns[6], mask=columns[6] < 0))
            if self.timed:
                known = columns[6] >= 0
                gathered.add_words("calltime", "number", rows, pa.array(columns[0] - columns[6], mask=~known))
                gathered.add_words("rettime", "number", rows, pa.array(columns[0]))
        gathered.size += len(funcs)

    def flush(self, last: bool = False) -> Window:
        """The window of all that was added since the last one."""
        if last and self.leaves:
            self._return_leaves(None)
        ts, positions, cpu, pid, flags = (
            np.concatenate(column) if self.columns else np.empty(0, np.int64)
            for column in (zip(*self.columns, strict=True) if self.columns else [()] * 5)
        )
        order = np.lexsort((positions, ts))
        seq = np.empty(len(ts), np.int64)
        seq[order] = self.seq + np.arange(len(ts))
        if len(ts):
            if (late := int((ts < self.end_ns).sum())) > 0:
                self.undecodable[BACKWARDS] += late
                ts = np.maximum(ts, self.end_ns)
            self.end_ns = int(ts.max())
        self.seq += len(ts)
        tables = {name: self._table(name, gathered, seq, ts, cpu, pid, flags) for name, gathered in self.events.items()}
        window = Window(tables, dict(self.counts), dict(self.undecodable))
        self.events, self.columns, self.rows = {}, [], 0
        self.counts, self.undecodable = Counter(), Counter()
        return window

    def _table(self, event: str, gathered: _Gathered, seq: Int64s, *common: Int64s) -> pa.Table:
        rows = np.concatenate(gathered.rows)
        order = np.argsort(seq[rows], kind="stable")
        rows = rows[order]
        ts, cpu, pid, flags = (column[rows] for column in common)
        columns: dict[str, pa.Array] = {
            "common_seq": pa.array(seq[rows]),
            "common_ts_ns": pa.array(ts),
            "common_cpu": pa.array(cpu.astype(np.int32)),
            "common_pid": pa.array(pid.astype(np.int32), mask=pid < 0),
            "common_flags": pa.array(flags.astype(np.uint8), mask=flags < 0),
        }
        in_order = bool((order[1:] > order[:-1]).all())
        for (name, kind), parts in gathered.words.items():
            at = np.concatenate([part for part, _ in parts])
            words = pa.chunked_array([part for _, part in parts]).combine_chunks()
            for column, values in self._typed(event, name, kind, words).items():
                full = _spread(values, at, len(rows))
                full = full if in_order else full.take(pa.array(order))
                _join(columns, column, full)
        return pa.table(columns)

    def _typed(self, event: str, name: str, kind: str, words: pa.Array) -> dict[str, pa.Array]:
        if kind == "number":
            return {name: words}
        if kind == "auto":
            kind = detect(words)
            kind = self.kinds[event, name] = widest(self.kinds.get((event, name), kind), kind)
        return typed(name, kind, words, self.dialect)


def _groups(lines: Lines) -> Groups:
    """The records by event, those of drawn calls (with empty keys) left out."""
    if not lines.keys:
        return
    coded = pa.array(lines.keys, pa.binary()).dictionary_encode()
    codes = coded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    keys = coded.dictionary.to_pylist()
    bounds = np.searchsorted(codes[order], np.arange(len(keys) + 1))
    for code, key in enumerate(keys):
        if key:
            rows = order[bounds[code] : bounds[code + 1]]
            yield event_of(key), rows, [lines.bodies[row] for row in rows.tolist()]


def _spread(values: pa.Array, rows: Int64s, size: int) -> pa.Array:
    """`values` at `rows` of a column of `size`, null elsewhere."""
    if len(rows) == size and bool((rows == np.arange(size)).all()):
        return values
    at = np.full(size, -1, np.int64)
    at[rows] = np.arange(len(rows))
    return values.take(pa.array(at, mask=at < 0))


def _join(columns: dict[str, pa.Array], name: str, values: pa.Array) -> None:
    """Add a column. Where two shapes of an event have the same field, rows have the value of their shape;
    where one is a number and the other text (a symbol that is not known), the text is NAME.text.
    """
    there = columns.get(name)
    if there is None:
        columns[name] = values
    elif pa.types.is_dictionary(there.type) and pa.types.is_dictionary(values.type):
        columns[name] = pc.coalesce(there.cast(pa.string()), values.cast(pa.string())).dictionary_encode()
    elif there.type == values.type:
        columns[name] = pc.coalesce(there, values)
    elif pa.types.is_integer(there.type) and pa.types.is_integer(values.type):
        columns[name] = pc.coalesce(there, values.cast(there.type, safe=False))
    else:
        columns[f"{name}.text"] = values
