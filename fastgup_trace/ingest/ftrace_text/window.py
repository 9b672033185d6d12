"""Blocks of lines gathered to windows of typed tables.

Readers whose lines have another head than ftrace's give `lines.Lines` with an empty `graph.Calls()`; records
that are no tracepoints have an empty key there and come through `Gatherer.add_fields`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.ftrace_text.decode import Decoder, Event, Part, event_of
from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import Lines, Records
from fastgup_trace.ingest.ftrace_text.names import COMM_FIELDS, names_told
from fastgup_trace.ingest.ftrace_text.numbers import Numbers, joined
from fastgup_trace.ingest.ftrace_text.patterns import known_numbers
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans
from fastgup_trace.ingest.ftrace_text.stacks import STACKS, Owners, stack_columns
from fastgup_trace.ingest.ftrace_text.values import (
    NUMERIC,
    Dialect,
    detect,
    numbers_and_text,
    together,
    typed,
    typed_numbers,
    widest,
)
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields

Groups = Iterator[tuple[Event, Int64s]]

_NONE = np.empty(0, np.int64)
OTHER_NUMBER = "{}: a number that does not fit its field"
BACKWARDS = "earlier than the window before: its time is set to that window's end"


@dataclass
class _Gathered:
    """The records of one event in a window."""

    rows: list[Int64s] = field(default_factory=list)
    size: int = 0
    words: dict[tuple[str, str], list[tuple[Int64s, Part]]] = field(default_factory=dict)
    """(field, kind) -> the event's rows that have it, and its words."""

    def add_words(self, name: str, kind: str, rows: Int64s, words: Part) -> None:
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
    events: dict[str, _Gathered] = field(default_factory=dict)
    columns: list[tuple[Int64s, ...]] = field(default_factory=list)
    rows: int = 0
    base: int = 0
    """The number in the window of the first record of the block that was added last."""
    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    leaves: list[tuple[int, ...]] = field(default_factory=list)
    leaf_names: list[tuple[bytes, bytes]] = field(default_factory=list)
    stacks: dict[str, list[Int64s]] = field(default_factory=dict)
    owners: Owners = field(default_factory=Owners)
    collect_names: bool = False
    names_told: list[tuple[int, str]] = field(default_factory=list)
    """(pid, name) of what events tell of tasks, where `collect_names`."""
    types: dict[tuple[str, str], pa.DataType] = field(default_factory=dict)
    """(event, column) -> what it is in the first window that has it, and so in all."""
    names: dict[bytes, Event] = field(default_factory=dict)
    wishes: dict[str, tuple[bool, frozenset[str] | None]] = field(default_factory=dict)

    def add(self, lines: Records | Lines, calls: Calls) -> None:
        """Take the records of a block."""
        if isinstance(lines, Lines):
            lines = lines.records()
        if not len(lines):
            return
        base = self.base = self.rows
        self._append(
            (lines.ts_ns, 2 * np.arange(base, base + len(lines)), lines.cpu, lines.pid, lines.flags), len(lines)
        )
        for event, rows in self._groups(lines):
            self.counts[event.name] += len(rows)
            wanted, fields = self._wanted(event.name)
            if event.form == "stack":
                self.stacks.setdefault(event.name, []).append(base + rows)
            if self.collect_names and event.name in COMM_FIELDS:
                self.names_told += names_told(self.decoder, event, lines.bodies.take(rows))
            if wanted and event.form == "stack":
                self._gather_stacks(event.name, base + rows, stack_columns(rows, lines.frames), fields)
            elif wanted:
                self._gather(event, base + rows, lines.bodies.take(rows), fields)
        if calls.row:
            self._add_calls(base, lines, calls)
        elif self.leaves:
            self._return_leaves(int(lines.ts_ns[-1]))

    def add_fields(self, event: str, rows: Int64s, fields: Callable[[], Mapping[str, pa.Array]]) -> None:
        """Records of the block that was added last (`rows` of it, their keys empty), whose fields are Arrow arrays
        already; `fields` is called if the event is wanted, and gives all or those that are.
        """
        self.counts[event] += len(rows)
        wanted, only = self._wanted(event)
        if not wanted:
            return
        gathered = self.events.setdefault(event, _Gathered())
        gathered.rows.append(self.base + rows)
        at = np.arange(len(rows), dtype=np.int64)
        for name, values in fields().items():
            if only is None or name in only or name.removesuffix(".sym") in only:
                gathered.add_words(name, "number", at, values)
        gathered.size += len(rows)

    def _groups(self, lines: Records) -> Groups:
        """The records by key, those of drawn calls (with empty keys) left out."""
        codes = lines.codes.astype(np.uint16) if len(lines.keys) <= 1 << 16 else lines.codes  # 16 bits sort in one go.
        order = np.argsort(codes, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(lines.keys)))])
        for code, key in enumerate(lines.keys):
            rows = order[bounds[code] : bounds[code + 1]]
            if key and len(rows):
                event = self.names.get(key)
                if event is None:
                    event = self.names[key] = event_of(key)
                yield event, rows

    def _wanted(self, event: str) -> tuple[bool, frozenset[str] | None]:
        found = self.wishes.get(event)
        if found is None:
            found = self.wishes[event] = wanted_fields(self.wanted, event)
        return found

    def _append(self, columns: tuple[Int64s, ...], size: int) -> Int64s:
        """Add records in the order in which they come; their numbers in the window."""
        self.columns.append(columns)
        self.rows += size
        return np.arange(self.rows - size, self.rows)

    def _gather(self, event: Event, rows: Int64s, bodies: Spans, fields: frozenset[str] | None) -> None:
        gathered = self.events.setdefault(event.name, _Gathered())
        gathered.rows.append(rows)
        for name, kind, at, words in self.decoder.words(event, bodies, fields):
            gathered.add_words(name, kind, at, words)
        gathered.size += len(rows)

    def _gather_stacks(
        self, name: str, rows: Int64s, columns: Mapping[str, pa.Array], fields: frozenset[str] | None
    ) -> None:
        gathered = self.events.setdefault(name, _Gathered())
        gathered.rows.append(rows)
        for column, values in columns.items():
            if fields is None or column in fields:
                gathered.add_words(column, "number", np.arange(len(rows)), values)
        gathered.size += len(rows)

    def _add_calls(self, base: int, lines: Records, calls: Calls) -> None:
        rows = np.array(calls.row, np.int64)
        exits = np.array(calls.exits, bool)
        durations = np.array(calls.duration_ns, np.int64)
        depth = np.array(calls.depth, np.int64)
        leaf = exits & np.concatenate([[False], rows[1:] == rows[:-1]])
        ts = lines.ts_ns[rows]
        for name, mask in ("funcgraph_entry", ~exits), ("funcgraph_exit", exits & ~leaf):
            picked = np.flatnonzero(mask)
            funcs = [(calls.func[i], calls.returned[i]) for i in picked.tolist()]
            self._gather_calls(name, base + rows[picked], ts[picked], depth[picked], durations[picked], funcs)
        picked = np.flatnonzero(leaf)
        ends = ts + (np.maximum(durations, 0) if self.timed else 1)
        columns = (ends, 2 * (base + rows) + 1, lines.cpu[rows], lines.pid[rows], lines.flags[rows], depth, durations)
        self.leaves += zip(*(column[picked].tolist() for column in columns), strict=True)
        self.leaf_names += [(calls.func[i], calls.returned[i]) for i in picked.tolist()]
        self._return_leaves(int(lines.ts_ns[-1]))

    def _return_leaves(self, until_ns: int | None) -> None:
        """Add the exits of leaf calls, up to a time: they come after lines that stand further down."""
        due = [until_ns is None or leaf[0] <= until_ns for leaf in self.leaves]
        if any(due):
            columns = np.array([leaf for leaf, d in zip(self.leaves, due, strict=True) if d], np.int64).T
            rows = self._append(tuple(columns[:5]), columns.shape[1])
            funcs = [name for name, d in zip(self.leaf_names, due, strict=True) if d]
            self._gather_calls("funcgraph_exit", rows, columns[0], columns[5], columns[6], funcs)
            self.leaf_names = [name for name, d in zip(self.leaf_names, due, strict=True) if not d]
            self.leaves = [leaf for leaf, d in zip(self.leaves, due, strict=True) if not d]

    def _gather_calls(
        self, name: str, rows: Int64s, ts: Int64s, depth: Int64s, durations: Int64s, funcs: list[tuple[bytes, bytes]]
    ) -> None:
        if not funcs:
            return
        self.counts[name] += len(funcs)
        if not self._wanted(name)[0]:
            return
        gathered = self.events.setdefault(name, _Gathered())
        gathered.rows.append(rows)
        at = np.arange(len(funcs), dtype=np.int64)
        gathered.add_words("func", "sym", at, pa.array([func or None for func, _ in funcs], pa.binary()))
        gathered.add_words("depth", "number", at, pa.array(depth))
        if name == "funcgraph_exit":
            gathered.add_words("duration_ns", "number", at, pa.array(durations, mask=durations < 0))
            if self.timed:
                gathered.add_words("calltime", "number", at, pa.array(ts - durations, mask=durations < 0))
                gathered.add_words("rettime", "number", at, pa.array(ts))
            told = np.flatnonzero([bool(returned) for _, returned in funcs])
            if len(told):
                words = pa.array([funcs[i][1] for i in told.tolist()], pa.binary())
                gathered.add_words("retval", "retval", told, words)
        gathered.size += len(funcs)

    def flush(self, last: bool = False) -> Window:
        """The window of all that was added since the last one."""
        if last and self.leaves:
            self._return_leaves(None)
        ts, positions, cpu, pid, flags = (
            np.concatenate(column) for column in (zip(*self.columns, strict=True) if self.columns else [[_NONE]] * 5)
        )
        seq = self.seq + np.arange(len(ts))
        in_order = bool((ts[1:] >= ts[:-1]).all() and (positions[1:] > positions[:-1]).all())
        if not in_order:
            seq[np.lexsort((positions, ts))] = seq.copy()
        if len(ts):
            if (late := int((ts < self.end_ns).sum())) > 0:
                self.undecodable[BACKWARDS] += late
                ts = np.maximum(ts, self.end_ns)
            self.end_ns = int(ts.max())
        self.seq += len(ts)
        self._find_owners(seq, cpu, positions)
        common = (ts, cpu, pid, flags)
        tables = {name: self._table(name, gathered, seq, *common) for name, gathered in self.events.items()}
        window = Window(tables, dict(self.counts), dict(self.undecodable))
        # Leaves that wait stand before all lines of the next window.
        self.leaves = [(end, position - 2 * self.rows, *rest) for end, position, *rest in self.leaves]
        self.events, self.columns, self.rows = {}, [], 0
        self.counts, self.undecodable = Counter(), Counter()
        return window

    def _find_owners(self, seq: Int64s, cpu: Int64s, positions: Int64s) -> None:
        """`of_seq` of the window's stacks."""
        wanted = {name: fields for name in STACKS for is_wanted, fields in [self._wanted(name)] if is_wanted}
        if not any(fields is None or "of_seq" in fields for fields in wanted.values()):
            return
        stacks = {name: np.concatenate(rows) for name, rows in self.stacks.items()}
        for name, owners in self.owners.find(stacks, seq, cpu, positions % 2 == 0).items():
            fields = wanted.get(name, frozenset())
            if fields is None or "of_seq" in fields:
                at = np.arange(len(owners))
                self.events[name].words["of_seq", "number"] = [(at, pa.array(owners, mask=owners < 0))]
        self.stacks = {}

    def _table(self, event: str, gathered: _Gathered, seq: Int64s, *common: Int64s) -> pa.Table:
        rows = np.concatenate(gathered.rows)
        seqs = seq[rows]
        order = None
        if not (seqs[1:] > seqs[:-1]).all():
            order = np.argsort(seqs, kind="stable")
            rows, seqs = rows[order], seqs[order]
        ts, cpu, pid, flags = (column[rows] for column in common)
        columns: dict[str, pa.Array] = {
            "common_seq": pa.array(seqs),
            "common_ts_ns": pa.array(ts),
            "common_cpu": pa.array(cpu.astype(np.int32)),
            "common_pid": pa.array(pid.astype(np.int32), mask=pid < 0),
            "common_flags": pa.array(flags.astype(np.uint8), mask=flags < 0),
        }
        misfits: list[Int64s] = []
        for (name, kind), parts in gathered.words.items():
            at = np.concatenate([part for part, _ in parts])
            found = self._typed(event, name, kind, [part for _, part in parts])
            if kind in NUMERIC or name in known_numbers(event):
                misfits.append(at[_nulls([found[key] for key in (name, f"{name}.hashed") if key in found], len(at))])
            for column, values in found.items():
                full = _spread(values, at, len(rows))
                _join(columns, column, full if order is None else full.take(pa.array(order)))
        if any(map(len, misfits)):
            self.undecodable[OTHER_NUMBER.format(event)] += len(np.unique(np.concatenate(misfits)))
        return pa.table(self._as_before(event, columns))

    def _as_before(self, event: str, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The columns of an event with the types that they had in earlier windows: integers keep their 64 bits, what
        is no number any more, or a list, is a column of its own.
        """
        found: dict[str, pa.Array] = {}
        for name, values in columns.items():
            before = self.types.setdefault((event, name), values.type)
            if before == values.type:
                found[name] = values
            elif pa.types.is_integer(before) and pa.types.is_integer(values.type):
                found[name] = values.cast(before, safe=False)
            else:
                found.setdefault(f"{name}.{_class_of(values.type)}", values)
        return found

    def _typed(self, event: str, name: str, kind: str, parts: list[Part]) -> dict[str, pa.Array]:
        numbers = [part for part in parts if isinstance(part, Numbers)]
        if numbers and len(numbers) == len(parts):
            read = joined(numbers)
            found = read.kind() if kind == "auto" else kind
            if kind == "auto" and found:
                found = self.kinds[event, name] = widest(self.kinds.get((event, name), found), found)
            if found in NUMERIC:
                return typed_numbers(name, found, read, self.dialect)
        words = together([part.words() if isinstance(part, Numbers) else part for part in parts])
        if kind == "number":
            return {name: words}
        if kind == "auto":
            kind = detect(words)
            kind = self.kinds[event, name] = widest(self.kinds.get((event, name), kind), kind)
            was_number = (event, name) in self.types and pa.types.is_integer(self.types[event, name])
            if (kind == "text" and was_number) or (kind in {"sym", "text"} and name in known_numbers(event)):
                return numbers_and_text(name, words)
        return typed(name, kind, words, self.dialect)


def _class_of(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "text"
    return "number" if pa.types.is_integer(kind) else "list"


def _nulls(columns: list[pa.Array], size: int) -> npt.NDArray[np.bool_]:
    """Which rows have no value in any of some columns."""
    found = np.ones(size, bool)
    for column in columns:
        found &= column.is_null().to_numpy(zero_copy_only=False) if column.null_count else np.False_
    return found


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
        columns[f"{name}.{_class_of(values.type)}"] = values
