"""Replay: one read of a capture's timeline, every mechanism over it, one outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from fastgup_replay import engine, platforms, summary, walks
from fastgup_replay.columns import UNKNOWN
from fastgup_replay.ledger import Ledger, arrow
from fastgup_replay.mechanisms import mechanism
from fastgup_replay.outcome import OUTCOME_TABLES, Outcome
from fastgup_replay.platforms import Platform
from fastgup_replay.policies import Mechanism
from fastgup_replay.selection import Selection
from fastgup_replay.timeline import Timeline, build
from fastgup_trace.tables import Capture

OPEN_LOOP = (
    "Open loop: the workload's own timestamps stand and a mechanism's delays are accounted, not fed back; "
    "waiting and holding figures are those of this workload on the recorded machine."
)


def replay(
    capture: Capture,
    names: Sequence[str],
    selection: Selection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run the mechanisms `names` over `capture`. Raises UsageError for a name that is none."""
    chosen = [mechanism(name) for name in dict.fromkeys(names)]
    platform, machine_evidence = platforms.recorded(capture)
    timeline = build(capture, selection)
    parts: dict[str, list[pa.Table]] = {name: [] for name in OUTCOME_TABLES}
    summaries: dict[str, Any] = {}
    for done, one in enumerate(chosen):
        ledger = engine.run(timeline, one, platform)
        paths = walks.served(timeline, one)
        summaries[one.name] = summary.summarise(timeline, one, platform, ledger, paths)
        for name, rows in _tables(timeline, one, ledger, paths, platform).items():
            parts[name].append(rows)
        if progress:
            progress(done + 1, len(chosen))
    tables = {name: pa.concat_tables(rows).unify_dictionaries() for name, rows in parts.items() if rows}
    return Outcome(
        {
            "capture": dict(capture.provenance),
            "platform": {**platform.as_dict(), "evidence": machine_evidence},
            "selection": (selection or Selection()).as_dict(),
            "engine": "reference",
            "caveats": [OPEN_LOOP],
            "mechanisms": summaries,
        },
        tables,
    )


def _tables(
    timeline: Timeline, one: Mechanism, ledger: Ledger, paths: list[str | None], platform: Platform
) -> dict[str, pa.Table]:
    """The outcome's tables for one mechanism."""

    def columns(rows: Sequence[Sequence[object]], *names: str) -> dict[str, Any]:
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}

    targets = sorted(ledger.targets.items())
    made: dict[str, tuple[dict[str, Any], int]] = {
        "ipi": (
            columns(ledger.ipis, "ts_ns", "cpu", "tid", "mm", "cause", "nr_targets", "nr_idle_targets", "wait_ns")
            | {"evidence": "observed"},
            len(ledger.ipis),
        ),
        "ipi_target": (
            columns([(cause, cpu, n) for (cause, cpu), n in targets], "cause", "target_cpu", "interrupts"),
            len(targets),
        ),
        "batch": (
            {
                **{
                    name: [getattr(batch, name) for batch in ledger.batches]
                    for name in ("first_ns", "queued_ns", "freed_ns", "cpu", "tid", "mm", "gather", "flush")
                },
                "nr_tables": [len(batch.tables) for batch in ledger.batches],
                "held_bytes": [(len(batch.tables) + 1) * platform.page_size for batch in ledger.batches],
                "evidence": [_gather_evidence(timeline, batch.gather) for batch in ledger.batches],
            },
            len(ledger.batches),
        ),
        "table": (
            {
                **{
                    name: [getattr(table, name) for table in ledger.tables]
                    for name in ("unlinked_ns", "freed_ns", "cpu", "tid", "mm", "level", "path", "before_tlbi")
                },
                "evidence": "observed",
            },
            len(ledger.tables),
        ),
        "walk": (walks.table(timeline, paths, ledger.delays), len(timeline.walks)),
        "hazard": (
            columns(ledger.hazards, "ts_ns", "end_ns", "kind", "walker_tid", "walker_cpu", "tid", "cpu", "mm")
            | {"evidence": "observed"},
            len(ledger.hazards),
        ),
    }
    return {name: arrow(name, one.name, cols, n) for name, (cols, n) in made.items()}


def _gather_evidence(timeline: Timeline, gather: int) -> str:
    """A batch is known as well as the gather that filled it; a table without one is taken to be alone."""
    return "inferred" if gather == UNKNOWN else timeline.gather_evidence[gather] or "inferred"
