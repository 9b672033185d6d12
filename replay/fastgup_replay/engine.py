"""The reference engine: one pass of the timeline under one mechanism, in plain Python on an integer-ns clock.

It executes policies (`policies.py`), never a mechanism by name. Open loop: the workload's own timestamps stand;
what a mechanism would have waited is accounted, not fed back.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fastgup_replay.columns import UNKNOWN, integers
from fastgup_replay.ledger import Batch, Ledger, Table
from fastgup_replay.machine import Machine, Walk
from fastgup_replay.platforms import Platform
from fastgup_replay.policies import Invalidate, Mechanism, Sync, TableFree, Walker
from fastgup_replay.rcu import FOREIGN, GracePeriods
from fastgup_replay.timeline import Op, Timeline, walk_bounds


def run(timeline: Timeline, mechanism: Mechanism, platform: Platform) -> Ledger:
    """What `mechanism` does on `platform` over the operations of `timeline`."""
    replay = _Replay(timeline, mechanism, platform)
    for row in timeline.rows():
        replay.step(*row)
    replay.finish()
    return replay.ledger


@dataclass
class _Gather:
    """One mmu_gather as the mechanism sees it."""

    batch: Batch | None = None
    listed: list[Table] = field(default_factory=list)  # tables on the page list, free after the flush
    early: list[Table] = field(default_factory=list)  # tables that left before the flush that covers them


class _Replay:
    def __init__(self, timeline: Timeline, mechanism: Mechanism, platform: Platform) -> None:
        self.timeline, self.m, self.platform = timeline, mechanism, platform
        self.ledger = Ledger()
        idle = _begins_idle(timeline, platform.nr_cpus)
        self.machine = Machine(idle)
        self.rcu = GracePeriods(
            idle, platform.jiffy_ns, platform.fqs_ns, self._batch_invoked,
            ticks_recorded=timeline.ticks_recorded,
        )  # fmt: skip
        self._uses_rcu = mechanism.table_free is TableFree.RCU_BATCH
        self._walks = mechanism.walker is not Walker.NONE
        self._gathers: dict[int, _Gather] = {}
        self._batch_pages_asked = 0
        self._max_table_batch = platform.max_table_batch
        self._readers = _busy_stretches(timeline) if mechanism.walker is Walker.READER_COUNT else {}
        self._handlers: tuple[Callable[[int, int, int, int, int, int], None], ...] = (
            self._switch, self._tick, self._core, self._queue, self._unlink, self._finish_gather, self._flush,
            self._split, self._collapse, self._walk, self._walk_end,
        )  # fmt: skip

    def step(self, ts: int, kind: int, cpu: int, tid: int, mm: int, obj: int, value: int) -> None:
        if cpu == UNKNOWN:
            cpu = self.machine.cpu_of.get(tid, 0)
        self._handlers[kind](ts, cpu, tid, mm, obj, value)

    def finish(self) -> None:
        """The recording ends: scans and idle ticks up to there happen; what is queued then stays in flight."""
        if self._uses_rcu:
            self.rcu.advance(self.timeline.end_ns)

    # --- what drives the machine and grace periods -------------------------------------------------------------

    def _switch(self, ts: int, cpu: int, _tid: int, _mm: int, next_tid: int, next_mm: int) -> None:
        self.machine.switch(cpu, next_tid, next_mm)
        if self._uses_rcu:
            self.rcu.switch(cpu, ts, next_tid == 0)

    def _tick(self, ts: int, cpu: int, _tid: int, _mm: int, _obj: int, hit_kernel: int) -> None:
        if self._uses_rcu:
            self.rcu.tick(cpu, ts, not hit_kernel and not (self._walks and self.machine.in_walk(cpu)))

    def _core(self, ts: int, cpu: int, _tid: int, _mm: int, _obj: int, _value: int) -> None:
        if self._uses_rcu:
            self.rcu.core(cpu, ts)

    def _queue(self, ts: int, cpu: int, _tid: int, _mm: int, _obj: int, _value: int) -> None:
        if self._uses_rcu:
            self.rcu.queue(cpu, ts, FOREIGN)

    def _walk(self, ts: int, cpu: int, tid: int, mm: int, row: int, end_ns: int) -> None:
        if mm != UNKNOWN:
            self.machine.runs(cpu, mm)
        if self._walks:
            self.machine.walks[row] = Walk(row, tid, cpu, mm, ts, end_ns)

    def _walk_end(self, ts: int, cpu: int, tid: int, mm: int, row: int, _value: int) -> None:
        self.machine.walks.pop(row, None)

    # --- page tables -------------------------------------------------------------------------------------------

    def _unlink(self, ts: int, cpu: int, tid: int, mm: int, row: int, users: int) -> None:
        number = int(self.timeline.gather_of[row])
        gather = self._gathers.setdefault(number, _Gather())
        table = Table(ts, cpu, tid, mm, self.timeline.levels[row])
        self.ledger.tables.append(table)
        if not self._uses_rcu:
            gather.listed.append(table)
        elif self.m.single_user_shortcut and 0 <= users < 2:
            table.before_tlbi = True
            self._free(table, ts)
        else:
            self._append(gather, table, number, ts, cpu, tid, mm)
        if number == UNKNOWN:  # no probe tells its gather: its own flush follows at once
            self._finish_gather(ts, cpu, tid, mm, UNKNOWN, 0)

    def _append(self, gather: _Gather, table: Table, number: int, ts: int, cpu: int, tid: int, mm: int) -> None:
        """tlb_remove_table with a second user of the mm (v3.13 mm/memory.c)."""
        if gather.batch is None:
            if self._no_batch_page():
                table.path = "by_ipi"
                table.before_tlbi = not self.m.flush_before_handover
                if self.m.flush_before_handover:
                    self._invalidate(ts, cpu, tid, mm)
                self._free(table, self._interrupt(ts, cpu, tid, mm, "table_free", self.machine.others(cpu)))
                return
            gather.batch = Batch(ts, cpu, tid, mm, number)
        table.path = "batched"
        gather.batch.tables.append(table)
        if len(gather.batch.tables) == self._max_table_batch:
            if self.m.flush_before_handover:
                self._invalidate(ts, cpu, tid, mm)
            else:
                gather.early += gather.batch.tables
            self._hand_over(gather, ts, cpu, "full")

    def _no_batch_page(self) -> bool:
        """Whether this allocation of a batch page fails: every n-th, where the platform says so."""
        every = self.platform.batch_alloc_fail_every
        self._batch_pages_asked += 1
        return every > 0 and self._batch_pages_asked % every == 0

    def _hand_over(self, gather: _Gather, ts: int, cpu: int, why: str) -> None:
        """tlb_table_flush: call_rcu for the batch, if there is one."""
        batch, gather.batch = gather.batch, None
        if batch is None:
            return
        batch.queued_ns, batch.flush, batch.cpu = ts, why, cpu
        self.ledger.batches.append(batch)
        self.rcu.queue(cpu, ts, len(self.ledger.batches) - 1)

    def _batch_invoked(self, number: int, ts: int) -> None:
        """tlb_remove_table_rcu: the grace period of a batch is over."""
        batch = self.ledger.batches[number]
        batch.freed_ns = ts
        for table in batch.tables:
            self._free(table, ts)

    def _finish_gather(self, ts: int, cpu: int, tid: int, mm: int, number: int, flushed: int) -> None:
        """tlb_finish_mmu: the TLB flush, if there is anything to flush, then what the gather holds goes."""
        gather = self._gathers.pop(number, None)
        cpu = self.machine.cpu_of.get(tid, cpu)
        free_ns = self._invalidate(ts, cpu, tid, mm) if flushed or gather else ts
        if gather is None:
            return
        for table in gather.listed:
            self._free(table, free_ns)
        for table in gather.early:
            table.before_tlbi = table.freed_ns is not None and table.freed_ns < ts
        self._hand_over(gather, ts, cpu, "finish")

    def _flush(self, ts: int, cpu: int, tid: int, mm: int, _row: int, _value: int) -> None:
        self._invalidate(ts, cpu, tid, mm)

    def _invalidate(self, ts: int, cpu: int, tid: int, mm: int) -> int:
        """One TLB invalidation of `mm`; returns when everything it waits for is over."""
        if self.m.table_free is TableFree.SPIN:
            ts = self._spin(ts, tid, mm)
        if self.m.invalidate is Invalidate.IPI:
            return self._interrupt(ts, cpu, tid, mm, "tlb", self.machine.shootdown(mm, cpu))
        if self.platform.erratum == "broadcast" and mm != UNKNOWN:
            return self._interrupt(ts, cpu, tid, mm, "erratum", self.machine.running(mm, cpu))
        return ts

    # --- huge pages --------------------------------------------------------------------------------------------

    def _split(self, ts: int, cpu: int, tid: int, mm: int, _row: int, _value: int) -> None:
        done_ns = self._sync(self.m.split, "split", ts, cpu, tid, mm)
        if self.m.split is Sync.IPI_MASK:  # pmdp_invalidate flushes again (v3.13 mm/huge_memory.c)
            self._interrupt(done_ns, cpu, tid, mm, "tlb", self.machine.shootdown(mm, cpu))
        if self.m.split is Sync.REF_FREEZE:
            return
        for walk in self.machine.walkers(mm, tid):
            if walk.end_ns > done_ns:
                self._hazard("split_race", done_ns, walk, tid, cpu)

    def _collapse(self, ts: int, cpu: int, tid: int, mm: int, _row: int, _value: int) -> None:
        self._sync(self.m.collapse, "collapse", ts, cpu, tid, mm)

    def _sync(self, sync: Sync, cause: str, ts: int, cpu: int, tid: int, mm: int) -> int:
        match sync:
            case Sync.IPI_ALL:
                return self._interrupt(ts, cpu, tid, mm, cause, self.machine.others(cpu))
            case Sync.IPI_MASK:
                return self._interrupt(ts, cpu, tid, mm, cause, self.machine.shootdown(mm, cpu))
            case Sync.SPIN:
                return self._spin(ts, tid, mm)
        return ts

    # --- waiting -----------------------------------------------------------------------------------------------

    def _interrupt(self, ts: int, cpu: int, tid: int, mm: int, cause: str, targets: list[int]) -> int:
        """One IPI to `targets` and the wait for the slowest; without targets none is sent."""
        if not targets:
            return ts
        wait_ns = 0
        if self.m.walker is Walker.IRQ_OFF:
            for walk in self.machine.held_up_by(targets, ts):
                wait_ns = max(wait_ns, walk.end_ns - ts)
                self.ledger.delayed(walk.row, walk.end_ns - ts)
        idle = sum(self.machine.idle[target] for target in targets)
        self.ledger.ipis.append((ts, cpu, tid, mm, cause, len(targets), idle, wait_ns))
        for target in targets:
            self.ledger.targets[cause, target] = self.ledger.targets.get((cause, target), 0) + 1
        return ts + wait_ns

    def _spin(self, ts: int, tid: int, mm: int) -> int:
        """Busy-wait for an instant in which no other thread walks `mm`."""
        begins, ends = self._readers.get(mm, ([], []))
        at = bisect.bisect_right(begins, ts) - 1
        if at < 0 or ends[at] <= ts or not self.machine.walkers(mm, tid):
            return ts
        for walk in self.machine.walkers(mm, tid):
            self.ledger.delayed(walk.row, ends[at] - ts)
        self.ledger.spins.append((ts, ends[at] - ts))
        return ends[at]

    def _free(self, table: Table, ts: int) -> None:
        """`table` goes back to the allocator at `ts`: a walk that began before the unlink and goes on could use it."""
        table.freed_ns = ts
        if self._walks and self.machine.walks:
            for walk in self.machine.walkers(table.mm, table.tid):
                if walk.begin_ns < table.unlinked_ns and walk.end_ns > ts:
                    self._hazard("table_use_after_free", ts, walk, table.tid, table.cpu)

    def _hazard(self, kind: str, ts: int, walk: Walk, tid: int, cpu: int) -> None:
        """From `ts`, when the table is free or the split goes on, the walk is exposed to its own end."""
        self.ledger.hazards.append((ts, walk.end_ns, kind, walk.tid, walk.cpu, tid, cpu, walk.mm))


def _begins_idle(timeline: Timeline, nr_cpus: int) -> list[bool]:
    """Whether each CPU begins in its idle task: what its first switch leaves; a CPU that never switches idles."""
    idle = [True] * nr_cpus
    switches = np.flatnonzero(timeline.kind == Op.SWITCH)
    cpus, first = np.unique(timeline.cpu[switches], return_index=True)
    for cpu, row in zip(cpus.tolist(), switches[first].tolist(), strict=True):
        if 0 <= cpu < nr_cpus:
            idle[cpu] = int(timeline.tid[row]) == 0
    return idle


def _busy_stretches(timeline: Timeline) -> dict[int, tuple[list[int], list[int]]]:
    """mm -> (begins, ends) of the stretches in which at least one walk reads it, merged where they overlap."""
    begin, end = walk_bounds(timeline.walks)
    mm = integers(timeline.walks["mm"])
    stretches: dict[int, tuple[list[int], list[int]]] = {}
    for row in np.lexsort((begin,)).tolist():
        if begin[row] == UNKNOWN or end[row] == UNKNOWN:
            continue
        begins, ends = stretches.setdefault(int(mm[row]), ([], []))
        if ends and int(begin[row]) <= ends[-1]:
            ends[-1] = max(ends[-1], int(end[row]))
        else:
            begins.append(int(begin[row]))
            ends.append(int(end[row]))
    return stretches
