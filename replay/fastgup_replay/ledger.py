"""What one replay writes down: the rows of the outcome's tables, as columns that grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from fastgup_replay.columns import UNKNOWN
from fastgup_replay.outcome import OUTCOME_TABLES


@dataclass
class Table:
    """One page-table page on its way out."""

    unlinked_ns: int
    cpu: int
    tid: int
    mm: int
    level: str | None
    path: str = "at_once"
    freed_ns: int | None = None
    before_tlbi: bool = False


@dataclass
class Batch:
    """One RCU batch. `tables` are its pages; held_bytes counts them and the batch page."""

    first_ns: int
    cpu: int
    tid: int
    mm: int
    gather: int
    tables: list[Table] = field(default_factory=list)
    queued_ns: int | None = None
    freed_ns: int | None = None
    flush: str = "finish"


@dataclass
class Ledger:
    """Everything that one mechanism did over one timeline."""

    ipis: list[tuple[int, int, int, int, str, int, int, int | None]] = field(default_factory=list)
    """(ts_ns, cpu, tid, mm, cause, nr_targets, nr_idle_targets, wait_ns)"""
    targets: dict[tuple[str, int], int] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    hazards: list[tuple[int, int, str, int, int, int, int, int]] = field(default_factory=list)
    """(ts_ns, end_ns, kind, walker_tid, walker_cpu, tid, cpu, mm)"""
    delays: dict[int, int] = field(default_factory=dict)
    """Row of `Timeline.walks` -> the longest time that this walk held up a freer or splitter, in ns."""
    spins: list[tuple[int, int]] = field(default_factory=list)
    """(ts_ns, wait_ns) of each spin on a reader count that had to wait."""

    def delayed(self, row: int, wait_ns: int) -> None:
        self.delays[row] = max(self.delays.get(row, 0), wait_ns)


def arrow(name: str, mechanism: str, columns: dict[str, Any], rows: int) -> pa.Table:
    """`columns` as the outcome table `name`; UNKNOWN in cpu, tid, mm and gather becomes null."""
    schema = OUTCOME_TABLES[name]
    arrays = []
    for column in schema:
        values = [mechanism] * rows if column.name == "mechanism" else columns[column.name]
        if isinstance(values, str):
            values = [values] * rows
        if column.name in ("cpu", "tid", "mm", "gather", "walker_cpu", "walker_tid"):
            values = [None if value == UNKNOWN else value for value in values]
        arrays.append(
            pa.array(values, pa.string()).dictionary_encode()
            if pa.types.is_dictionary(column.type)
            else pa.array(values, column.type)
        )
    return pa.Table.from_arrays(arrays, schema=schema)
