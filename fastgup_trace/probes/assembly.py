"""The rows of one part of a recording as the tables of a capture, numbered as in the whole recording."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.faults import faults
from fastgup_trace.probes.flushes import flushes
from fastgup_trace.probes.gathers import gathers_and_tables, table_allocs
from fastgup_trace.probes.hugepages import huge_pages
from fastgup_trace.probes.ipis import ipis
from fastgup_trace.probes.part import Part
from fastgup_trace.probes.rcu import rcu_rows
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Dictionaries, Ints, Rows, Words, to_table
from fastgup_trace.probes.spaces import Spaces
from fastgup_trace.probes.syncs import syncs
from fastgup_trace.probes.syscalls import find_calls
from fastgup_trace.probes.tasks import switches, tasks
from fastgup_trace.probes.walks import futexes, walks


class Assembly:
    """Makes the tables of part after part."""

    def __init__(self, context: Context, words: Words, spaces: Spaces) -> None:
        self._context, self._words, self._spaces = context, words, spaces
        self._dictionaries = Dictionaries(words)
        self._gathers = _Numbers()

    def tables(self, part: Part, records: Records) -> dict[str, pa.Table]:
        """The rows whose record lies in `part`, by table, in `seq` order; `mm` is made of the whole recording."""
        context, spaces = self._context, self._spaces
        calls = find_calls(records, context)
        gathers, frees = gathers_and_tables(records, context, calls)
        number = self._gathers.of(part, gathers)
        flushed = flushes(records, context, gathers)
        built = {
            "fault": faults(records, context),
            "walk": walks(records, context),
            "vma_op": calls.rows,
            "gather": gathers,
            "table_alloc": table_allocs(records, context),
            "table_free": _numbered(frees, number),
            "sync": syncs(records),
            "futex": futexes(records, context),
            "thp": huge_pages(records),
            "tlb_flush": _numbered(flushed, number),
            "ipi": ipis(records),
            "rcu": rcu_rows(records),
            "sched": switches(records, spaces),
            "task": tasks(records, spaces),
        }
        return {name: self._table(name, part.core(rows)) for name, rows in built.items()}

    def _table(self, name: str, rows: Rows) -> pa.Table:
        """`mm` by the row's own pointer, else by its thread."""
        rows = rows.having(mm=self._spaces.of(rows, rows["pointer"]))
        return to_table(name, rows, self._words, self._dictionaries)


def _numbered(rows: Rows, number: Ints) -> Rows:
    """`gather` as a row of the whole recording's table instead of the part's."""
    gather = rows["gather"]
    return rows.having(
        gather=np.where(gather == NULL, NULL, np.append(number, NULL)[np.where(gather == NULL, -1, gather)])
    )


class _Numbers:
    """Row numbers of gathers in the whole table; a margin's are those that its own part gave."""

    def __init__(self) -> None:
        self._count = 0
        self._seqs = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)

    def of(self, part: Part, gathers: Rows) -> Ints:
        """For each row of `gathers`, in `seq` order, its number; NULL for one that only a later part makes."""
        seq = gathers["seq"]
        own = (seq >= part.start_seq) & (seq < part.end_seq)
        rows = np.where(own, self._count + np.cumsum(own) - 1, NULL)
        before = np.searchsorted(self._seqs, seq)
        known = (before < len(self._seqs)) & ~own
        place = np.minimum(before, max(len(self._seqs) - 1, 0))
        if len(self._seqs):
            known &= self._seqs[place] == seq
            rows = np.where(known, self._rows[place], rows)
        self._count += int(own.sum())
        self._seqs, self._rows = seq[rows != NULL], rows[rows != NULL]
        return rows
