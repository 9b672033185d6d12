"""Operations that begin in one part of a recording and end in another, however far away.

Begins and ends match like brackets, so what is left over in each part, matched once more, gives those that cross. Each
part between gets the two records of every operation that is open in it. Of the margins, which end anywhere, records
whose other half lies outside are left out: they would match the wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from fastgup_trace.probes.pairing import by_key, joint, match
from fastgup_trace.probes.part import Part
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Bools, Ints, Rows, stack


class Operation(NamedTuple):
    """The events that begin and end it; `field` tells operations of one thread apart; `phase` 0 begins and 1 ends."""

    begins: tuple[str, ...]
    ends: tuple[str, ...]
    field: str | None = None
    by_phase: bool = False


_GATHER: Final = Operation(("tlb_gather_mmu", "tlb_gather_mmu_fullmm"), ("tlb_finish_mmu",), "tlb")
_PHASED: Final = ("thp_split_ipi", "table_one_sync")
_KEPT: Final = 8
"""Of one thread's left-over records in a part; more are of returns that were lost."""


def operations(recorded: Iterable[str]) -> list[Operation]:
    """Those that a recording with these events can have: calls and their returns, system calls, gathers, phases."""
    names = set(recorded)
    found = [Operation((name.removesuffix("_ret"),), (name,)) for name in sorted(names) if name.endswith("_ret")]
    found += [
        Operation((name.replace("sys_exit", "sys_enter", 1),), (name,), "id" if name == "sys_exit" else None)
        for name in sorted(names)
        if name == "sys_exit" or name.startswith("sys_exit_")
    ]
    found += [_GATHER, *(Operation((name,), (name,), None, True) for name in _PHASED)]
    return [o for o in found if not names.isdisjoint(o.begins) and not names.isdisjoint(o.ends)]


class Crossings:
    """Goes over the parts once (`add`), then completes each."""

    def __init__(self, recorded: Iterable[str]) -> None:
        self._operations = operations(recorded)
        self._left: list[list[Rows]] = [[] for _ in self._operations]
        self._records = dict[int, tuple[str, pa.Table]]()

    def add(self, part: Part, records: Records) -> None:
        """Note what the part's own records leave open."""
        for place, operation in enumerate(self._operations):
            rows = part.core(_rows(records, operation))
            loose = rows.take(_few(rows, np.flatnonzero(_loose(rows))))
            self._left[place].append(loose)
            for code in np.unique(loose["event"]).tolist():
                name = records.words.texts[code]
                found = loose["seq"][loose["event"] == code]
                where = np.searchsorted(records.events[name]["common_seq"].to_numpy(), found)
                kept = _copied(records.events[name].take(pa.array(where)))
                self._records.update((seq, (name, kept.slice(row, 1))) for row, seq in enumerate(found.tolist()))

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        """Places of the begin and the end of each operation that crosses from one part to another."""
        pairs = list[tuple[int, int]]()
        for left in self._left:
            rows = stack(left)
            begins, ends = (rows.take(np.flatnonzero(rows["side"] == side)) for side in (0, 1))
            end = _matched(begins, ends)
            found = np.flatnonzero(end >= 0)
            pairs += zip(begins["seq"][found].tolist(), ends["seq"][end[found]].tolist(), strict=True)
        kept = {seq for pair in pairs for seq in pair}
        self._records = {seq: record for seq, record in self._records.items() if seq in kept}
        return pairs

    def completed(self, part: Part, records: Records) -> Records:
        """The records of a part, with those of the operations that reach into it or out of it."""
        if part.is_whole:
            return records
        events = dict(records.events)
        for operation in self._operations:
            _leave_out_halves(part, records, operation, events)
        more = dict[str, list[pa.Table]]()
        for begin, end in self._pairs:
            if begin < part.end_seq and end >= part.start_seq:
                for name, record in (self._records[begin], self._records[end]):
                    more.setdefault(name, []).append(record)
        for name, tables in more.items():
            events[name] = _with(events.get(name), tables)
        return Records(events, records.words, records.recorded)


def _copied(table: pa.Table) -> pa.Table:
    """The table in memory of its own; a part's dictionaries would keep the whole part."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _rows(records: Records, operation: Operation) -> Rows:
    """The records of an operation, with `side` (0 begins, 1 ends) and `which` (its field's value)."""
    begins, ends, field, by_phase = operation
    name = field or "phase"
    first = records.rows(*begins, fields=(name,))
    if by_phase:
        return first.having(side=first["phase"], which=NULL)
    last = records.rows(*ends, fields=(name,))
    return stack([rows.having(side=side, which=rows[name]) for side, rows in ((0, first), (1, last))])


def _matched(begins: Rows, ends: Rows) -> Ints:
    key = joint(*(np.concatenate([begins_, ends_]) for begins_, ends_ in _keys(begins, ends)))
    return match(key[: len(begins)], begins["seq"], key[len(begins) :], ends["seq"])


def _keys(begins: Rows, ends: Rows) -> tuple[tuple[Ints, Ints], ...]:
    return (begins.thread, ends.thread), (begins["which"], ends["which"])


def _loose(rows: Rows) -> Bools:
    """Which begins and ends have no other half among these."""
    first, last = (np.flatnonzero(rows["side"] == side) for side in (0, 1))
    end = _matched(rows.take(first), rows.take(last))
    loose = np.ones(len(rows), np.bool_)
    loose[first[end >= 0]] = False
    loose[last[end[end >= 0]]] = False
    return loose


def _few(rows: Rows, loose: Ints) -> Ints:
    """Of each thread's loose rows the first ends and the last begins: no other can match across parts."""
    found = rows.take(loose)
    key = joint(found.thread, found["which"], found["side"])
    order = by_key(key)
    starts = np.flatnonzero(np.r_[True, key[order][1:] != key[order][:-1]][: len(order)])
    sizes = np.diff(np.r_[starts, len(order)])
    from_start = np.arange(len(order)) - np.repeat(starts, sizes)
    from_end = np.repeat(sizes, sizes) - 1 - from_start
    near = np.where(found["side"][order] == 1, from_start, from_end) < _KEPT
    return np.sort(loose[order[near]])


def _leave_out_halves(part: Part, records: Records, operation: Operation, events: dict[str, pa.Table]) -> None:
    """Take out of the margins what begins there and ends outside, and what ends there and began outside."""
    rows = _rows(records, operation)
    seq, side = rows["seq"], rows["side"]
    gone = _loose(rows) & (((seq >= part.end_seq) & (side == 0)) | ((seq < part.start_seq) & (side == 1)))
    for code in np.unique(rows["event"][gone]).tolist():
        name = records.words.texts[code]
        left_out = np.isin(events[name]["common_seq"].to_numpy(), seq[gone & (rows["event"] == code)])
        events[name] = events[name].filter(pa.array(~left_out))


def _with(table: pa.Table | None, records: list[pa.Table]) -> pa.Table:
    """`table` and those of `records` that it does not have, in their order."""
    if table is not None:
        seqs = table["common_seq"].to_numpy()
        records = [record for record in records if not _has(seqs, record["common_seq"][0].as_py())]
    tables = [*([table] if table is not None else []), *records]
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().sort_by("common_seq")


def _has(seqs: Ints, seq: int) -> bool:
    place = int(np.searchsorted(seqs, seq))
    return place < len(seqs) and int(seqs[place]) == seq
