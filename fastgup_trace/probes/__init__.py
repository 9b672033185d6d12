"""From a recording's event records to the tables of a capture. Knows the kernel, not the file formats."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from fastgup_trace.probes.catalog import PROBES, Probe, wanted
from fastgup_trace.probes.context import Context
from fastgup_trace.probes.faults import faults
from fastgup_trace.probes.flushes import flushes
from fastgup_trace.probes.gathers import gathers_and_tables, table_allocs
from fastgup_trace.probes.hugepages import huge_pages
from fastgup_trace.probes.ipis import ipis
from fastgup_trace.probes.rcu import rcu_rows
from fastgup_trace.probes.records import Records, by_function
from fastgup_trace.probes.rows import Rows, Words, to_table
from fastgup_trace.probes.spaces import Spaces, find_spaces, thread_groups
from fastgup_trace.probes.syncs import syncs
from fastgup_trace.probes.syscalls import find_calls
from fastgup_trace.probes.tasks import switches, tasks
from fastgup_trace.probes.walks import futexes, walks
from fastgup_trace.schema import TABLES

__all__ = ["PROBES", "Context", "Probe", "to_tables", "wanted"]


def to_tables(events: Mapping[str, pa.Table], context: Context) -> dict[str, pa.Table]:
    """The tables of a capture (all but `lost`), each in `seq` order, from whole-recording records by event name."""
    words = Words()
    records = Records(by_function(events), words)
    spaces = find_spaces(records, context)
    groups = thread_groups(records, context)
    calls = find_calls(records, context)
    gathers, frees = gathers_and_tables(records, context, calls)
    built = {
        "fault": faults(records, context),
        "walk": walks(records, context),
        "vma_op": calls.rows,
        "gather": gathers,
        "table_alloc": table_allocs(records, context),
        "table_free": frees,
        "sync": syncs(records),
        "futex": futexes(records, context),
        "thp": huge_pages(records),
        "tlb_flush": flushes(records, context, gathers),
        "ipi": ipis(records),
        "rcu": rcu_rows(records),
        "sched": switches(records, spaces),
        "task": tasks(records, spaces, groups),
    }
    tables = {name: to_table(name, _with_mm(rows, spaces), words) for name, rows in built.items()}
    return {**{name: schema.empty_table() for name, schema in TABLES.items()}, **tables, "mm": spaces.table}


def _with_mm(rows: Rows, spaces: Spaces) -> Rows:
    """`mm` by the row's own pointer, else by its thread."""
    return rows.having(mm=spaces.of(rows, rows["pointer"]))
