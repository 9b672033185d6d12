"""What a replay yields: the Arrow tables of an outcome, and the keys of its summary.json.

Every table has a `mechanism` column; times are on the capture's clock. Zero is 0, not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fastgup_trace.errors import CaptureError
from fastgup_trace.schema import TEXT
from fastgup_trace.tables import LazyTables, read_document, write_folder

OUTCOME_VERSION: Final = 1

CAUSES: Final = ("split", "table_free", "tlb", "collapse", "erratum")
"""Why a mechanism interrupts other CPUs."""

_I32, _I64, _BOOL = pa.int32(), pa.int64(), pa.bool_()

OUTCOME_TABLES: Final[dict[str, pa.Schema]] = {
    # One broadcast: a call that interrupts `nr_targets` CPUs and waits `wait_ns` for the slowest (null: not known).
    "ipi": pa.schema(
        [("mechanism", TEXT), ("ts_ns", _I64), ("cpu", _I32), ("tid", _I32), ("mm", _I32), ("cause", TEXT),
         ("nr_targets", _I32), ("nr_idle_targets", _I32), ("wait_ns", _I64), ("evidence", TEXT)]
    ),
    # Interrupts received by each CPU.
    "ipi_target": pa.schema([("mechanism", TEXT), ("cause", TEXT), ("target_cpu", _I32), ("interrupts", _I64)]),
    # One RCU batch: queued with call_rcu at queued_ns; freed_ns is null when in flight at the recording's end.
    # flush: full, finish. held_bytes: its tables and its own batch page.
    "batch": pa.schema(
        [("mechanism", TEXT), ("first_ns", _I64), ("queued_ns", _I64), ("freed_ns", _I64), ("cpu", _I32), ("tid", _I32),
         ("mm", _I32), ("gather", _I32), ("nr_tables", _I32), ("held_bytes", _I64), ("flush", TEXT), ("evidence", TEXT)]
    ),
    # One page-table page: unlinked from its parent, returned to the allocator at freed_ns (null: in flight).
    # path: at_once, batched, by_ipi. before_tlbi: it was free before the TLB invalidation that covers it.
    "table": pa.schema(
        [("mechanism", TEXT), ("unlinked_ns", _I64), ("freed_ns", _I64), ("cpu", _I32), ("tid", _I32), ("mm", _I32),
         ("level", TEXT), ("path", TEXT), ("before_tlbi", _BOOL), ("evidence", TEXT)]
    ),
    # One fast-GUP call. path: fast, slow, mixed, failed, livelocked. delayed_ns: how long it held up a freer.
    "walk": pa.schema(
        [("mechanism", TEXT), ("ts_ns", _I64), ("end_ns", _I64), ("cpu", _I32), ("tid", _I32), ("mm", _I32),
         ("nr_pages", _I64), ("entry", TEXT), ("path", TEXT), ("delayed_ns", _I64), ("evidence", TEXT)]
    ),
    # One overlap in which a walk could have used a freed table or raced a split.
    # kind: table_use_after_free, split_race.
    "hazard": pa.schema(
        [("mechanism", TEXT), ("ts_ns", _I64), ("end_ns", _I64), ("kind", TEXT), ("walker_tid", _I32),
         ("walker_cpu", _I32), ("tid", _I32), ("cpu", _I32), ("mm", _I32), ("evidence", TEXT)]
    ),
}  # fmt: skip

SUMMARY_JSON: Final = "summary.json"


@dataclass(frozen=True)
class Outcome:
    """A replay's result. `summary` has the keys of summary.json, `tables` those of OUTCOME_TABLES."""

    summary: dict[str, Any]
    tables: Mapping[str, pa.Table]


def write_outcome(folder: Path, outcome: Outcome, *, force: bool = False) -> None:
    """Write an outcome folder, whole or not at all. Raises CaptureError if it exists and `force` is not given."""
    write_folder(folder, outcome.tables, {SUMMARY_JSON: {"version": OUTCOME_VERSION, **outcome.summary}}, force=force)


def read_outcome(folder: Path) -> Outcome:
    """Open an outcome folder. Raises CaptureError for a folder that is none or is of another version."""
    advice = "make one with `fastgup-trace replay`"
    summary = read_document(folder, SUMMARY_JSON, "an outcome", advice)
    if summary.pop("version", None) != OUTCOME_VERSION:
        raise CaptureError(str(folder), f"an outcome of version {OUTCOME_VERSION}", "another", advice)
    return Outcome(summary, LazyTables(folder, OUTCOME_TABLES))
