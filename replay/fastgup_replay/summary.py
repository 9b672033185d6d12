"""The numbers of one mechanism, from its outcome's rows: the part of summary.json under its name.

Zero is 0; null means that the capture can't tell, and `evidence` says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastgup_replay import walks
from fastgup_replay.columns import UNKNOWN
from fastgup_replay.ledger import Batch, Ledger
from fastgup_replay.outcome import CAUSES
from fastgup_replay.platforms import Platform
from fastgup_replay.policies import Invalidate, Mechanism, Sync, TableFree, Walker
from fastgup_replay.timeline import Op, Timeline, walk_bounds
from fastgup_trace.probes.known import COLLAPSES, SPLITS

Number = int | float | None


def summarise(timeline: Timeline, mechanism: Mechanism, platform: Platform, ledger: Ledger,
              paths: list[str | None]) -> dict[str, Any]:  # fmt: skip
    """IPIs, RCU, tables, walks and hazards of one mechanism, and what each group's evidence is."""
    gaps = _gaps(timeline, mechanism)
    return {
        "ipis": _ipis(mechanism, ledger, gaps),
        "rcu": _rcu(ledger, platform, timeline, gaps),
        "tables": _tables(ledger, gaps),
        "walks": walks.count(paths, mechanism) if "walks" not in gaps else dict.fromkeys(("total", *walks.PATHS)),
        "hazards": _hazards(mechanism, ledger, gaps),
        "spins": _spins(mechanism, ledger, gaps),
        "evidence": _evidence(timeline, gaps),
    }


def _spins(mechanism: Mechanism, ledger: Ledger, gaps: dict[str, str]) -> dict[str, int | None]:
    """The waits for a reader count: how many times a freer or splitter had to, and how long in all."""
    spins = mechanism.table_free is TableFree.SPIN or mechanism.split is Sync.SPIN
    if spins and {"walks", "walk_bounds", "times"} & set(gaps):
        return {"count": None, "wait_ns_total": None}
    return {"count": len(ledger.spins), "wait_ns_total": sum(wait for _, wait in ledger.spins)}


def _gaps(timeline: Timeline, mechanism: Mechanism) -> dict[str, str]:
    """What the capture can't tell of what this mechanism needs -> why."""
    gaps: dict[str, str] = {}
    if "table_free" not in timeline.known:
        gaps["tables"] = "page tables: no probe for those that leave their parent (tlb_remove_table) was on"
    elif mechanism.single_user_shortcut and _lacks_users(timeline):
        gaps["mm_users"] = "mm_users: the recording does not tell it, and it decides between at once and batched"
    sends = (Sync.IPI_ALL, Sync.IPI_MASK)
    if not timeline.in_ns:
        gaps["times"] = "times: the recording's stamps are no nanoseconds, they only give the order"
    if SPLITS not in timeline.known and (mechanism.split in sends or not mechanism.protects_splits):
        gaps["splits"] = "THP splits: no probe for them (pmdp_invalidate, or pmdp_splitting_flush before 4.5) was on"
    if COLLAPSES not in timeline.known and mechanism.collapse in sends:
        gaps["collapses"] = "THP collapses: no probe for them (pmdp_collapse_flush) was on"
    if not timeline.known & {"gather", "tlb_flush"}:
        gaps["flushes"] = "TLB flushes: no probe for them (tlb_finish_mmu, flush_tlb_*) was on"
    if "sched" not in timeline.known:
        gaps["sched"] = "who runs an mm: no context switches (sched_switch) were recorded"
    if "walk" not in timeline.known:
        gaps["walks"] = "walks: no probe for fast GUP (get_user_pages_fast) was on"
    elif mechanism.walker is Walker.NONE and any(walks.futexes_untold(timeline)):
        gaps["tails"] = "livelocks: which shared futexes are on the tail page of a THP is not recorded"
    elif mechanism.walker is not Walker.NONE and not timeline.has_walker:
        gaps["paths"] = "what a lockless walk would find: the recorded kernel has none"
    begin, end = walk_bounds(timeline.walks)
    if "walk" in timeline.known and ((begin == UNKNOWN) | (end == UNKNOWN)).any():
        gaps["walk_bounds"] = (
            "walk lengths: not every walk has a begin and an end (probe where gup masks and unmasks irqs)"
        )
    return gaps


def _lacks_users(timeline: Timeline) -> bool:
    unlinked = timeline.kind == Op.UNLINK
    return bool((timeline.value[unlinked] == UNKNOWN).any())


def _ipis(mechanism: Mechanism, ledger: Ledger, gaps: dict[str, str]) -> dict[str, Any]:
    rows: dict[str, list[tuple[int, int | None]]] = {cause: [] for cause in CAUSES}
    for _ts, _cpu, _tid, _mm, cause, nr_targets, _idle, wait_ns in ledger.ipis:
        rows[cause].append((nr_targets, wait_ns))
    unknown = _unknown_causes(mechanism, gaps)
    by_cause = {
        cause: {
            "broadcasts": None if cause in unknown else len(sent),
            "interrupts": None if cause in unknown else sum(nr for nr, _ in sent),
        }
        for cause, sent in rows.items()
    }
    waits = [wait for sent in rows.values() for _, wait in sent]
    timed = mechanism.walker is not Walker.IRQ_OFF or not {"walk_bounds", "walks", "times"} & set(gaps)
    waits_known = not unknown and (timed or not waits)
    return {
        "broadcasts": _total(c["broadcasts"] for c in by_cause.values()),
        "interrupts": _total(c["interrupts"] for c in by_cause.values()),
        "by_cause": by_cause,
        "wait_ns_total": sum(w or 0 for w in waits) if waits_known else None,
        "wait_ns_max": max((w or 0 for w in waits), default=0) if waits_known else None,
    }


def _unknown_causes(mechanism: Mechanism, gaps: dict[str, str]) -> set[str]:
    """The causes for which this mechanism may send IPIs that the capture does not let us count."""
    unknown = set()
    if "splits" in gaps:
        unknown.add("split")
    if "collapses" in gaps:
        unknown.add("collapse")
    if mechanism.table_free is TableFree.RCU_BATCH and "tables" in gaps:
        unknown.add("table_free")
    if mechanism.invalidate is Invalidate.IPI and {"flushes", "sched"} & set(gaps):
        unknown.add("tlb")
    return unknown


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _rcu(ledger: Ledger, platform: Platform, timeline: Timeline, gaps: dict[str, str]) -> dict[str, Number]:
    keys = ("batches", "tables", "tables_per_batch_mean", "tables_per_batch_max", "held_bytes_max",
            "queue_to_free_ns_p50", "queue_to_free_ns_p99")  # fmt: skip
    if {"tables", "mm_users"} & set(gaps):
        return dict.fromkeys(keys)
    sizes = [len(batch.tables) for batch in ledger.batches]
    latency = sorted(
        b.freed_ns - b.queued_ns for b in ledger.batches if b.freed_ns is not None and b.queued_ns is not None
    )
    # Without a clock nothing tells when a grace period ends, so neither how long nor how much is held.
    timed = "times" not in gaps
    p50, p99 = (percentile(latency, q) if timed else None for q in (50, 99))
    return {
        "batches": len(sizes),
        "tables": sum(sizes),
        "tables_per_batch_mean": round(sum(sizes) / len(sizes), 3) if sizes else 0.0,
        "tables_per_batch_max": max(sizes, default=0),
        "held_bytes_max": held_bytes_max(ledger.batches, platform.page_size, timeline.end_ns)
        if timed or not ledger.batches
        else None,
        "queue_to_free_ns_p50": p50,
        "queue_to_free_ns_p99": p99,
        "in_flight": sum(batch.freed_ns is None for batch in ledger.batches) if timed else None,
        "full_batches": sum(batch.flush == "full" for batch in ledger.batches),
    }


def percentile(values: list[int], q: int) -> int | None:
    """The nearest-rank percentile, null of nothing."""
    return values[max(0, -(-len(values) * q // 100) - 1)] if values else None


def held_bytes_max(batches: list[Batch], page_size: int, end_ns: int) -> int:
    """The most memory that unlinked tables and their batch pages held at one time, from unlink to free."""
    times: list[int] = []
    steps: list[int] = []
    for batch in batches:
        held = [batch.first_ns, *(table.unlinked_ns for table in batch.tables)]
        times += [*held, end_ns if batch.freed_ns is None else batch.freed_ns]
        steps += [page_size] * len(held) + [-page_size * len(held)]
    if not times:
        return 0
    # At one instant what is freed goes before what is taken.
    order = np.lexsort((np.array(steps), np.array(times)))
    return int(np.cumsum(np.array(steps)[order]).max())


def _tables(ledger: Ledger, gaps: dict[str, str]) -> dict[str, int | None]:
    if "tables" in gaps:
        return dict.fromkeys(("freed", "at_once", "batched", "by_ipi"))
    paths = [table.path for table in ledger.tables]
    counts: dict[str, int | None] = {path: paths.count(path) for path in ("at_once", "batched", "by_ipi")}
    if "mm_users" in gaps:
        counts.update(at_once=None, batched=None)
    return {"freed": len(paths), **counts}


def _hazards(mechanism: Mechanism, ledger: Ledger, gaps: dict[str, str]) -> dict[str, int | None]:
    kinds = [hazard[2] for hazard in ledger.hazards]
    no_walks = bool({"walks", "walk_bounds"} & set(gaps))
    tables_known = "tables" not in gaps
    return {
        "table_use_after_free": kinds.count("table_use_after_free")
        if mechanism.protects_tables or (tables_known and not no_walks)
        else None,
        "split_race": kinds.count("split_race")
        if mechanism.protects_splits or ("splits" not in gaps and not no_walks)
        else None,
        "free_before_tlbi": sum(table.before_tlbi for table in ledger.tables)
        if tables_known and "mm_users" not in gaps
        else None,
    }


def _evidence(timeline: Timeline, gaps: dict[str, str]) -> dict[str, Any]:
    """How each group of operations is known, and the gaps of the capture that touch this mechanism."""
    inferred = "inferred" in timeline.gather_evidence
    return {
        "tables": "not known" if "tables" in gaps else "observed",
        "gathers": "not known" if "tables" in gaps else "inferred" if inferred else "observed",
        "mm_users": "not known" if "mm_users" in gaps else "observed",
        "splits": "not known" if "splits" in gaps else "observed",
        "collapses": "not known" if "collapses" in gaps else "observed",
        "walks": "not known" if "walks" in gaps else "observed",
        "walk_results": "observed" if walks.results_known(timeline) else "not known",
        "walk_lengths": "not known" if {"walks", "walk_bounds"} & set(gaps) else "observed",
        "quiescent_states": "observed" if timeline.ticks_recorded else "assumed",
        "gaps": list(gaps.values()),
    }
