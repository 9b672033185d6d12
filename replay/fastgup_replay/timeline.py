"""The operations of a capture in time order: what the workload did, free of any mechanism.

Observed operations only, in this version: what no probe saw is not in the timeline, and `Timeline.known` says which
operations the capture can tell at all, so that the replay can say "not known" where a zero would be a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastgup_replay.selection import Selection
from fastgup_trace.tables import Capture

Int64s = NDArray[np.int64]

UNKNOWN: Final = -1
"""In an operation: a cpu, tid, mm or object that the capture does not tell."""


class Op(IntEnum):
    """Kinds of operations. `object` is a row of the capture table named behind each, `value` what else it needs."""

    SWITCH = 0  # sched: a context switch; object: next tid; value: the next thread's mm
    TICK = 1  # rcu: the scheduling-clock interrupt
    CORE = 2  # rcu: the RCU softirq runs
    QUEUE = 3  # rcu: some other subsystem's call_rcu
    UNLINK = 4  # table_free: a table leaves its parent; value: mm_users
    FINISH = 5  # gather: tlb_finish_mmu, or the flush that stands for it
    FLUSH = 6  # tlb_flush: an invalidation that ends no gather
    SPLIT = 7  # thp: one PMD mapping of a THP is split
    COLLAPSE = 8  # thp: one PMD range is collapsed
    WALK = 9  # walk: a walk with known bounds begins; value: its end in ns
    WALK_END = 10  # walk: it ends; value: its begin in ns


TABLE_RCU: Final = "tlb_remove_table_rcu"
"""The callback of a table batch (mm/memory.c, later mm/mmu_gather.c): what the kernel queued, never an input."""


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
    start_ns: int
    end_ns: int
    known: frozenset[str]
    """Capture tables whose operations the recording can tell: they have rows, or a probe for them was on."""
    walks: pa.Table
    """The walks to be accounted, laps of one livelocked futex call folded into one row."""
    gather_of: Int64s
    """Row of table_free -> its gather, UNKNOWN without one."""
    gather_finishes: frozenset[int]
    """Gathers whose end the recording shows."""
    levels: tuple[str | None, ...]
    """Row of table_free -> its level, None where the probe does not say."""

    def __len__(self) -> int:
        return len(self.ts_ns)

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """(ts_ns, kind, cpu, tid, mm, object, value) of each operation, as Python integers."""
        return zip(
            self.ts_ns.tolist(), self.kind.tolist(), self.cpu.tolist(), self.tid.tolist(),
            self.mm.tolist(), self.object.tolist(), self.value.tolist(), strict=True,
        )  # fmt: skip


def integers(column: Any, missing: int = UNKNOWN) -> Int64s:
    """A column as int64, `missing` where it is null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.null_count:
        array = pc.fill_null(
            array, pa.scalar(missing, array.type) if missing >= 0 else pa.scalar(missing, pa.int64()).cast(array.type)
        )
    return np.asarray(array.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)


def strings(column: Any) -> list[str | None]:
    """A dictionary column as a list of strings."""
    return list(column.cast(pa.string()).to_pylist())


def where(table: pa.Table, column: str, *values: str) -> NDArray[np.intp]:
    """Rows of `table` whose text `column` is one of `values`."""
    mask = pc.is_in(table[column].cast(pa.string()), value_set=pa.array(values))
    return np.flatnonzero(np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool))


def build(capture: Capture, selection: Selection | None = None) -> Timeline:
    """The timeline of a capture, limited to what `selection` keeps.

    Context switches, ticks and other subsystems' callbacks are never limited: they drive grace periods whoever asks.
    """
    keep = (selection or Selection()).keeper(capture)
    parts: list[tuple[Int64s, ...]] = []

    def add(kind: Op, table: pa.Table, rows: NDArray[np.intp], *, ts: str = "ts_ns", seq: str = "seq",
            objects: Int64s | None = None, values: Int64s | None = None) -> None:  # fmt: skip
        taken = table.take(pa.array(rows))
        n = len(rows)
        parts.append((
            integers(taken[ts]), integers(taken[seq]), np.full(n, kind, np.int64), integers(taken["cpu"]),
            integers(taken["tid"]), integers(taken["mm"]),
            rows.astype(np.int64) if objects is None else objects,
            np.full(n, UNKNOWN, np.int64) if values is None else values,
        ))  # fmt: skip

    sched = capture["sched"]
    every = np.arange(len(sched))
    add(Op.SWITCH, sched, every, objects=integers(sched["next_tid"]), values=integers(sched["next_mm"]))

    rcu = capture["rcu"]
    add(Op.TICK, rcu, where(rcu, "phase", "tick"))
    add(Op.CORE, rcu, where(rcu, "phase", "core_begin"))
    queued = where(rcu, "phase", "queue")
    ours = where(rcu.take(pa.array(queued)), "func", TABLE_RCU)
    add(Op.QUEUE, rcu, np.delete(queued, ours))

    freed = capture["table_free"]
    gathers = capture["gather"]
    unlinked = np.setdiff1d(keep("table_free"), where(freed, "path", "direct"))
    add(Op.UNLINK, freed, unlinked, values=integers(freed["mm_users"].take(pa.array(unlinked))))
    ended = keep("gather")
    ended = ended[~np.asarray(gathers["end_ns"].is_null())[ended]] if len(ended) else ended
    add(Op.FINISH, gathers, ended, ts="end_ns", seq="end_seq")

    flushes = capture["tlb_flush"]
    # A THP's own flush belongs to its split or collapse; the last flush of a gather to the gather's end.
    others = np.setdiff1d(keep("tlb_flush"), where(flushes, "reason", "split", "collapse"))
    add(Op.FLUSH, flushes, np.setdiff1d(others, _finishing(flushes, gathers)), values=None)

    thp = capture["thp"]
    add(Op.SPLIT, thp, np.intersect1d(keep("thp"), where(thp, "kind", "split_pmd")))
    add(Op.COLLAPSE, thp, np.intersect1d(keep("thp"), where(thp, "kind", "collapse")))

    walks = _fold_laps(capture["walk"].take(pa.array(keep("walk"))))
    begin, end = walk_bounds(walks)
    bounded = np.flatnonzero((begin != UNKNOWN) & (end != UNKNOWN) & (end >= begin))
    add(Op.WALK, walks, bounded, values=end[bounded])
    add(Op.WALK_END, walks, bounded, values=begin[bounded])
    if len(bounded):
        head, tail = parts[-2], parts[-1]
        parts[-2] = (begin[bounded], *head[1:])
        parts[-1] = (end[bounded], *tail[1:])

    ts, seq, kind, cpu, tid, mm, obj, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((seq, ts))
    start_ns, end_ns = capture.span_ns
    return Timeline(
        ts[order], kind[order], cpu[order], tid[order], mm[order], obj[order], value[order], start_ns, end_ns,
        known=_known(capture), walks=walks, gather_of=integers(freed["gather"]),
        gather_finishes=frozenset(ended.tolist()), levels=tuple(strings(freed["level"])),
    )  # fmt: skip


def _finishing(flushes: pa.Table, gathers: pa.Table) -> NDArray[np.intp]:
    """Rows of tlb_flush that are the last flush of a gather whose end the recording shows."""
    gather = integers(flushes["gather"])
    rows = np.flatnonzero(gather != UNKNOWN)
    last = {int(gather[row]): int(row) for row in rows}
    open_gathers = set(np.flatnonzero(np.asarray(gathers["end_ns"].is_null())).tolist())
    return np.array(sorted(row for g, row in last.items() if g not in open_gathers), dtype=np.intp)


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


def _fold_laps(walks: pa.Table) -> pa.Table:
    """`walks` without the laps of a futex call that went round get_futex_key (v3.13 kernel/futex.c).

    A lap repeats the call and the irq-off walk of the tail page at one address by one thread, after such a walk
    pinned nothing; a walk that pinned the page ended its call.
    """
    if not len(walks):
        return walks
    tail = np.asarray(walks["tail"].fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    missed = tail & (integers(walks["nr_pinned"], 0) <= 0)
    if not missed.any():
        return walks
    tid = integers(walks["tid"])
    address = np.asarray(walks["address"].fill_null(0).to_numpy(), dtype=np.uint64)
    order = np.lexsort((np.arange(len(walks)), tid))
    new_run = np.ones(len(walks), bool)
    new_run[1:] = (np.diff(tid[order]) != 0) | (address[order][1:] != address[order][:-1])
    before: Int64s = np.cumsum(missed[order]) - missed[order]
    at_run_start = np.maximum.accumulate(np.where(new_run, before, 0))
    lap = np.zeros(len(walks), bool)
    lap[order] = before > at_run_start
    return walks.take(pa.array(np.flatnonzero(~lap)))


def _known(capture: Capture) -> frozenset[str]:
    """Capture tables that have rows, or whose probes ingest found to have been on."""
    on = capture.provenance.get("known_tables") or ()
    return frozenset(name for name in capture.tables if len(capture[name])) | frozenset(map(str, on))
