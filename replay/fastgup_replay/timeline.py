"""The operations of a capture in time order: what the workload did, free of any mechanism.

Observed operations only, in this version: what no probe saw is not in the timeline, and `Timeline.known` says which
operations the capture can tell at all, so that the replay can say "not known" where a zero would be a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_replay.columns import UNKNOWN, Int64s, Rows, addresses, flags, integers, nulls, strings, where
from fastgup_replay.quiescence import in_kernel
from fastgup_replay.selection import Selection
from fastgup_trace.probes.pairing import next_after
from fastgup_trace.tables import Capture


class Op(IntEnum):
    """Kinds of operations. `object` is a row of the capture table named behind each, `value` what else it needs."""

    SWITCH = 0  # sched: a context switch; object: next tid; value: the next thread's mm
    TICK = 1  # rcu: the scheduling-clock interrupt; value: 1 where it is known to have hit the kernel
    CORE = 2  # rcu: the RCU softirq runs
    QUEUE = 3  # rcu: some other subsystem's call_rcu
    UNLINK = 4  # table_free: a table leaves its parent; value: mm_users
    FINISH = 5  # gather: tlb_finish_mmu, or the flush that stands for it; value: 1 where its TLB flush was seen
    FLUSH = 6  # tlb_flush: an invalidation that ends no gather
    SPLIT = 7  # thp: one PMD mapping of a THP is split
    COLLAPSE = 8  # thp: one PMD range is collapsed
    WALK = 9  # walk: a walk with known bounds begins; value: its end in ns
    WALK_END = 10  # walk: it ends


TABLE_RCU: Final = "tlb_remove_table_rcu"
"""The callback of a table batch (mm/memory.c, later mm/mmu_gather.c): what the kernel queued, never an input."""


EFFECTS: Final = ("remote shootdown", "flush on task switch", "remote ipi send", "remote wrong CPU")
"""Reasons of x86's tlb:tlb_flush that are not a thread's own flush but what came of one, or of a context switch."""


@dataclass(frozen=True)
class Timeline:
    """Operations as columns of equal length, sorted by (ts_ns, seq)."""

    ts_ns: Int64s
    kind: Int64s
    cpu: Int64s
    tid: Int64s
    mm: Int64s
    object: Int64s
    value: Int64s
    end_ns: int
    known: frozenset[str]
    """What the recording can tell: capture tables, and `thp.split_pmd` and `thp.collapse`, with rows or a probe on."""
    walks: pa.Table
    """The walks to be accounted, laps of one livelocked futex call folded into one row."""
    has_walker: bool
    """Whether the recorded kernel has a lockless walker: it served at least one call, or none was made."""
    in_ns: bool
    """Whether times are nanoseconds: a counter's ticks and positions in a text without times only give the order."""
    gather_of: Int64s
    """Row of table_free -> its gather, UNKNOWN without one."""
    gather_evidence: tuple[str | None, ...]
    """Row of gather -> its evidence: 2014's gathers are inferred from their tables and the flush that ends them."""
    levels: tuple[str | None, ...]
    """Row of table_free -> its level, None where the probe does not say."""

    @cached_property
    def ticks_recorded(self) -> bool:
        return bool(np.isin(self.kind, (Op.TICK, Op.CORE)).any())

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """(ts_ns, kind, cpu, tid, mm, object, value) of each operation, as Python integers."""
        return zip(
            self.ts_ns.tolist(), self.kind.tolist(), self.cpu.tolist(), self.tid.tolist(),
            self.mm.tolist(), self.object.tolist(), self.value.tolist(), strict=True,
        )  # fmt: skip


def build(capture: Capture, selection: Selection | None = None) -> Timeline:
    """The timeline of a capture, limited to what `selection` keeps.

    Context switches, ticks and other subsystems' callbacks are never limited: they drive grace periods whoever asks.
    """
    keep = (selection or Selection()).keeper(capture)
    walks = fold_laps(capture["walk"].take(pa.array(keep("walk"))))
    gathers, flushes, freed = capture["gather"], capture["tlb_flush"], capture["table_free"]
    ended = keep("gather")
    ended = ended[~nulls(gathers["end_ns"])[ended]]
    unlinked = np.setdiff1d(keep("table_free"), where(freed, "path", "direct"))
    finishing = _finishing(flushes, gathers)
    parts = [
        *_scheduling(capture),
        *_page_tables(freed, gathers, unlinked, ended, finishing),
        _flushes(flushes, keep("tlb_flush"), finishing),
        *_huge_pages(capture["thp"], keep("thp")),
        *_walks(walks),
    ]
    ts, seq, kind, cpu, tid, mm, obj, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((seq, ts))
    _, end_ns = capture.span_ns
    paths = strings(capture["walk"]["path"])
    has_walker = not paths or "fast" in paths or "mixed" in paths
    in_ns = capture.provenance.get("clock_unit", "ns") == "ns"
    return Timeline(
        ts[order], kind[order], cpu[order], tid[order], mm[order], obj[order], value[order], end_ns,
        known=_known(capture), walks=walks, has_walker=has_walker, in_ns=in_ns, gather_of=integers(freed["gather"]),
        gather_evidence=tuple(strings(gathers["evidence"])), levels=tuple(strings(freed["level"])),
    )  # fmt: skip


Part = tuple[Int64s, ...]
"""(ts_ns, seq, kind, cpu, tid, mm, object, value) of operations of one kind."""


def _part(
    kind: Op, table: pa.Table, rows: Rows, *, ts: str = "ts_ns", seq: str = "seq",
    objects: Int64s | None = None, values: Int64s | None = None,
) -> Part:  # fmt: skip
    """Operations of `kind` from these rows of a capture table; their object is the row unless given."""
    taken = table.take(pa.array(rows))
    n = len(rows)
    return (
        integers(taken[ts]), integers(taken[seq]), np.full(n, kind, np.int64), integers(taken["cpu"]),
        integers(taken["tid"]), integers(taken["mm"]),
        rows.astype(np.int64) if objects is None else objects,
        np.full(n, UNKNOWN, np.int64) if values is None else values,
    )  # fmt: skip


def _scheduling(capture: Capture) -> Iterator[Part]:
    """What drives grace periods: switches, ticks, RCU softirqs, other subsystems' callbacks."""
    sched, rcu = capture["sched"], capture["rcu"]
    next_tid, next_mm = integers(sched["next_tid"]), integers(sched["next_mm"])
    yield _part(Op.SWITCH, sched, np.arange(len(sched)), objects=next_tid, values=next_mm)
    ticks = where(rcu, "phase", "tick")
    yield _part(Op.TICK, rcu, ticks, values=in_kernel(capture, ticks).astype(np.int64))
    yield _part(Op.CORE, rcu, where(rcu, "phase", "core_begin"))
    queued = where(rcu, "phase", "queue")
    yield _part(Op.QUEUE, rcu, np.setdiff1d(queued, where(rcu, "func", TABLE_RCU)))


def _page_tables(freed: pa.Table, gathers: pa.Table, unlinked: Rows, ended: Rows, flush: Int64s) -> Iterator[Part]:
    yield _part(Op.UNLINK, freed, unlinked, values=integers(freed["mm_users"])[unlinked])
    flushed = (flush[ended] != UNKNOWN).astype(np.int64)
    yield _part(Op.FINISH, gathers, ended, ts="end_ns", seq="end_seq", values=flushed)


def _flushes(flushes: pa.Table, kept: Rows, finishing: Int64s) -> Part:
    """The invalidations that end no gather. A THP's own flush belongs to its split or collapse."""
    elsewhere = np.concatenate([finishing, where(flushes, "reason", "split", "collapse", *EFFECTS)])
    return _part(Op.FLUSH, flushes, np.setdiff1d(kept, elsewhere))


def _huge_pages(thp: pa.Table, kept: Rows) -> Iterator[Part]:
    yield _part(Op.SPLIT, thp, np.intersect1d(kept, where(thp, "kind", "split_pmd")))
    yield _part(Op.COLLAPSE, thp, np.intersect1d(kept, where(thp, "kind", "collapse")))


def _walks(walks: pa.Table) -> Iterator[Part]:
    """Begin and end of each walk whose bounds are known."""
    begin, end = walk_bounds(walks)
    bounded = np.flatnonzero((begin != UNKNOWN) & (end >= begin))
    for kind, at in ((Op.WALK, begin), (Op.WALK_END, end)):
        _, *rest = _part(kind, walks, bounded, values=end[bounded])
        yield (at[bounded], *rest)


def _finishing(flushes: pa.Table, gathers: pa.Table) -> Int64s:
    """For each gather the row of tlb_flush that ends it, UNKNOWN where none was seen.

    The last one that names the gather; else the first of its thread after tlb_finish_mmu began, before it gathers anew.
    """
    result = np.full(len(gathers), UNKNOWN, np.int64)
    named = integers(flushes["gather"])
    rows = np.flatnonzero(named != UNKNOWN)
    result[named[rows]] = rows  # the last of equal indices stays
    result[nulls(gathers["end_ns"])] = UNKNOWN
    loose = np.setdiff1d(np.arange(len(flushes)), [*rows, *where(flushes, "reason", "split", "collapse")])
    if not len(loose):
        return result
    tid, seq = integers(flushes["tid"])[loose], integers(flushes["seq"])[loose]
    own, begin, end = (integers(gathers[name]) for name in ("tid", "seq", "end_seq"))
    after = next_after(tid, seq, own, end)
    again = next_after(own, begin, own, end)
    near = (after >= 0) & ((again < 0) | (begin[again] > seq[after])) & (end != UNKNOWN) & (result == UNKNOWN)
    result[near] = loose[after[near]]
    return result


def walk_bounds(walks: pa.Table) -> tuple[Int64s, Int64s]:
    """When each protected walk began and ended, UNKNOWN where the recording does not tell.

    The probed irq-off window where there is one; the whole call where it had no fallback, which can only be longer.
    """
    begin, end = integers(walks["irq_off_ns"]), integers(walks["irq_on_ns"])
    unprobed = (begin == UNKNOWN) & (end == UNKNOWN)
    whole = np.zeros(len(walks), bool)
    whole[where(walks, "path", "fast")] = True
    use = unprobed & whole & (integers(walks["end_ns"]) > integers(walks["ts_ns"]))
    begin = np.where(use, integers(walks["ts_ns"]), begin)
    end = np.where(use, integers(walks["end_ns"]), end)
    return begin, end


def fold_laps(walks: pa.Table) -> pa.Table:
    """`walks` without the laps of a futex call that went round get_futex_key (v3.13 kernel/futex.c).

    A lap repeats the call and the irq-off walk of the tail page at one address by one thread, after such a walk
    pinned nothing; a walk that pinned the page ended its call.
    """
    if not len(walks):
        return walks
    missed = flags(walks["tail"]) & (integers(walks["nr_pinned"], 0) <= 0)
    if not missed.any():
        return walks
    tid = integers(walks["tid"])
    address = addresses(walks["address"])
    order = np.lexsort((np.arange(len(walks)), tid))
    new_run = np.ones(len(walks), bool)
    new_run[1:] = (np.diff(tid[order]) != 0) | (address[order][1:] != address[order][:-1])
    before: Int64s = np.cumsum(missed[order]) - missed[order]
    at_run_start = np.maximum.accumulate(np.where(new_run, before, 0))
    lap = np.zeros(len(walks), bool)
    lap[order] = before > at_run_start
    return walks.take(pa.array(np.flatnonzero(~lap)))


def _known(capture: Capture) -> frozenset[str]:
    """What the capture can tell: tables and kinds of THP operations that have rows, or whose probes were on."""
    found = {name for name in capture.tables if len(capture[name])} - {"thp"}
    found |= {f"thp.{kind}" for kind in set(strings(capture["thp"]["kind"]))}
    return frozenset(found) | frozenset(map(str, capture.provenance.get("known") or ()))
