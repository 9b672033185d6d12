"""Blocks of lines gathered to windows of typed tables.

Readers whose lines have another head than ftrace's give `lines.Lines` with an empty `graph.Calls()`; records
that are no tracepoints have an empty key there and come through `Gatherer.add_fields`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.decode import Decoder, Event, event_of
from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import Lines, Records
from fastgup_trace.ingest.ftrace_text.names import COMM_FIELDS, names_told
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans
from fastgup_trace.ingest.ftrace_text.stacks import STACKS, Owners, stack_columns
from fastgup_trace.ingest.ftrace_text.tables import Gathered, Tables
from fastgup_trace.ingest.ftrace_text.values import Dialect
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields

Groups = Iterator[tuple[Event, Int64s]]

_NONE = np.empty(0, np.int64)
BACKWARDS = "earlier than the window before: its time is set to that window's end"


@dataclass
class Gatherer:
    """Takes blocks, gives windows; shapes, kinds of fields and calls that have not returned stay between them."""

    wanted: Wanted | None
    timed: bool = True
    """Whether times are times; else (a drawn function graph) they are positions."""
    dialect: Dialect = field(default_factory=Dialect)
    decoder: Decoder = field(default_factory=Decoder)
    tables: Tables = field(init=False)
    seq: int = 0
    end_ns: int = -(1 << 62)
    events: dict[str, Gathered] = field(default_factory=dict)
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
    names: dict[bytes, Event] = field(default_factory=dict)
    wishes: dict[str, tuple[bool, frozenset[str] | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = Tables(self.dialect)

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
        gathered = self.events.setdefault(event, Gathered())
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
        gathered = self.events.setdefault(event.name, Gathered())
        gathered.rows.append(rows)
        for name, kind, at, words in self.decoder.words(event, bodies, fields):
            gathered.add_words(name, kind, at, words)
        gathered.size += len(rows)

    def _gather_stacks(
        self, name: str, rows: Int64s, columns: Mapping[str, pa.Array], fields: frozenset[str] | None
    ) -> None:
        gathered = self.events.setdefault(name, Gathered())
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
        gathered = self.events.setdefault(name, Gathered())
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
        tables = {
            name: self.tables.table(name, gathered, self._wanted(name)[1], seq, common)
            for name, gathered in self.events.items()
        }
        self.undecodable.update(self.tables.undecodable)
        self.tables.undecodable.clear()
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
