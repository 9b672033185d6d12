"""Which records tell of an address space: with a pointer to it, or by what only a thread with one does.

Of a long recording only those are kept that something turns on: where a mm begins to live or to die, where a thread
goes over to another, and the first and last of each stretch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import by_key, codes, last_before
from fastgup_trace.probes.part import Part
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Bools, Ints, Rows, stack

CLONE_VM: Final = 0x100
CLONE_THREAD: Final = 0x10000
FAULT_FLAG_REMOTE: Final = 0x80
"""handle_mm_fault on another task's mm (ptrace, exec's new stack), since 4.6 (1b2ee1266ea6); 3.13 has USER there."""

# Events in which a thread works on its own mm, and those that carry the pointer of any.
OWN: Final = ("handle_mm_fault", "fault", "gup_fast", "gup_walk", "futex_again", "exit_mmap")
ANY: Final = (
    "tlb_gather_mmu", "tlb_gather_mmu_fullmm", "tlb_finish_mmu", "tlb_remove_table", "tlb_flush_mmu", "tlb_flush_at_*",
    "free_pgtables", "__split_huge_pmd", "pmdp_invalidate", "pmdp_collapse_flush", "collapse_huge_page",
    "collapse_and_free_pmd", "collapse_file", "collapse_pte_mapped_thp", "__gup_longterm_locked", "__get_user_pages",
    "mm_khugepaged_scan_pmd", "mm_khugepaged_scan_file", "mm_collapse_huge_page",
    "table_alloc", "table_free", "table_batch_flush", "tlb_flush", "thp_split_ipi", "readers_wait",
    "flush_tlb_mm", "flush_tlb_range", "flush_tlb_page", "broadcast_tlb_mm_a15_erratum",
)  # fmt: skip
# A mm that only these touch may be a dead one: they do not begin a new life unless mm_users says so.
NEUTRAL: Final = (
    "tlb_finish_mmu", "tlb_flush_mmu", "tlb_flush_at_*", "free_pgtables", "tlb_remove_table", "tlb_flush",
    "__split_huge_pmd", "pmdp_invalidate", "pmdp_collapse_flush", "collapse_huge_page", "collapse_and_free_pmd",
    "collapse_file", "collapse_pte_mapped_thp", "mm_khugepaged_scan_pmd", "mm_khugepaged_scan_file",
    "mm_collapse_huge_page", "table_free", "table_batch_flush", "thp_split_ipi", "readers_wait", "flush_tlb_mm",
    "flush_tlb_range", "flush_tlb_page", "broadcast_tlb_mm_a15_erratum", "check_and_switch_context",
)  # fmt: skip
# Without any pointer (function tracer) a thread that calls one of these has a mm of its own.
USERLAND: Final = (
    "handle_mm_fault", "do_page_fault", "get_user_pages_fast", "__get_user_pages_fast", "internal_get_user_pages_fast",
    "exit_mmap", "page_fault_user", "sys_enter", "sys_enter_*", "get_futex_key", "unmap_region",
    "page-faults", "minor-faults", "major-faults",
)  # fmt: skip
POINTER_FIELDS: Final = ("mm", "users", "mm_users", "flags")


@dataclass(frozen=True)
class Sightings:
    """What the parts of a recording tell of its address spaces."""

    lives: Rows
    """mm, users, owner (the thread whose mm it is), own, alive (NULL: can't tell): where a mm's state may change."""
    seen: Rows
    """tid, mm (the pointer): a thread on its own mm."""
    calls: Rows
    """tid: without any pointer, a thread that has a mm of its own."""
    forks: Rows
    """sched_process_fork or PERF_RECORD_FORK: child_pid, child_comm, child_group (its process, where told)."""
    new: Rows
    """task_newtask: pid, clone_flags."""
    execs: Rows
    """sched_process_exec: filename; or PERF_RECORD_COMM of an exec: comm."""
    exits: Rows
    """sched_process_exit or PERF_RECORD_EXIT: comm."""

    @property
    def births(self) -> Rows:
        """New tasks, their tid as `tid`."""
        return stack([self.forks.having(tid=self.forks["child_pid"]), self.new.having(tid=self.new["pid"])])

    @property
    def cuts(self) -> Rows:
        """Where what a tid means begins anew: a new task, an exec."""
        return _plain(stack([self.births, self.execs]))


def _plain(rows: Rows) -> Rows:
    return Rows({name: rows[name] for name in ("seq", "ts_ns", "cpu", "tid")})


def sightings(part: Part, records: Records, context: Context) -> Sightings:
    """Those of one part of a recording, thinned."""
    pointers = part.core(_pointers(records, context))
    by_mm = pointers.take(np.lexsort((pointers["seq"], pointers["mm"])))
    life: Ints = np.cumsum(begins_life(by_mm["mm"], by_mm["alive"]), dtype=np.int64)
    found = Sightings(
        lives=_thin_lives(by_mm),
        seen=by_mm.having(life=life),
        calls=_plain(part.core(records.rows(*USERLAND))),
        forks=part.core(forks(records)),
        new=part.core(records.rows("task_newtask", fields=("pid", "clone_flags"))),
        execs=part.core(execs(records)),
        exits=part.core(exits(records)),
    )
    cuts = found.cuts
    return replace(found, seen=_thin_seen(found.seen, cuts), calls=_thin_calls(found.calls, cuts))


def forks(records: Records) -> Rows:
    """New tasks: child_pid, child_comm, child_group. perf's own record where the tracepoint was off."""
    if "sched_process_fork" in records:
        return records.rows("sched_process_fork", fields=("child_pid", "child_comm"))
    rows = _happened(records.rows("PERF_RECORD_FORK", fields=("pid", "tid", "ptid", "synthesized")))
    return rows.having(child_pid=rows["its_tid"], child_group=rows["pid"], tid=rows["ptid"])


def execs(records: Records) -> Rows:
    """Tasks that go over to another program: filename or comm."""
    if "sched_process_exec" in records:
        return records.rows("sched_process_exec", fields=("filename", "pid"))
    rows = _happened(records.rows("PERF_RECORD_COMM", fields=("comm", "exec", "synthesized")))
    return rows.take(np.flatnonzero(rows["exec"] == 1))


def exits(records: Records) -> Rows:
    """Tasks that end: comm where it is told."""
    if "sched_process_exit" in records:
        return records.rows("sched_process_exit", fields=("comm", "pid"))
    rows = _happened(records.rows("PERF_RECORD_EXIT", fields=("tid", "synthesized")))
    return rows.having(tid=rows["its_tid"])


def _happened(rows: Rows) -> Rows:
    """Without the records that perf makes up at its start for what ran already."""
    return rows.take(np.flatnonzero(rows["synthesized"] != 1))


def together(parts: Iterable[Sightings]) -> Sightings:
    """The sightings of all parts as one, in `seq` order."""
    parts = list(parts)
    names = ("lives", "seen", "calls", "forks", "new", "execs", "exits")
    return Sightings(*(stack([getattr(part, name) for part in parts]) for name in names))


def _thin_lives(rows: Rows) -> Rows:
    """Of rows in (mm, seq) order the first, the last and the first own one of each run of one state.

    The first has the run's greatest `users`.
    """
    if not len(rows):
        return rows
    mm, alive, own = rows["mm"], rows["alive"], rows["own"]
    first = np.flatnonzero(np.r_[True, (mm[1:] != mm[:-1]) | (alive[1:] != alive[:-1])])
    last = np.r_[first[1:], len(rows)] - 1
    first_own = np.minimum.reduceat(np.where(own == 1, np.arange(len(rows)), len(rows)), first)
    users = rows["users"].copy()
    users[first] = np.maximum.reduceat(users, first)
    keep = np.unique(np.r_[first, last, first_own[first_own < len(rows)]])
    return in_order(rows.having(users=users).take(keep))


def _thin_seen(rows: Rows, cuts: Rows) -> Rows:
    """The first sighting of each stretch in which a thread stays on one life of a mm, no cut between."""
    rows = rows.take(np.flatnonzero(rows["own"] == 1))
    rows = rows.having(tid=rows["owner"])
    cut = last_before(cuts["tid"], cuts["seq"], rows["tid"], rows["seq"])
    order = by_key(codes(rows["tid"])[0])
    keep = order[_run_starts(*(column[order] for column in (rows["tid"], rows["life"], cut)))]
    kept = rows.take(np.sort(keep))
    return in_order(_plain(kept).having(mm=kept["mm"]))


def _thin_calls(rows: Rows, cuts: Rows) -> Rows:
    """The first and the last call of each thread between cuts."""
    rows = rows.take(np.flatnonzero(rows["tid"] > 0))
    cut = last_before(cuts["tid"], cuts["seq"], rows["tid"], rows["seq"])
    order = by_key(codes(rows["tid"])[0])
    first = np.flatnonzero(_run_starts(rows["tid"][order], cut[order]))
    last = np.r_[first[1:], len(rows)][: len(first)] - 1
    return in_order(rows.take(order[np.unique(np.r_[first, last])]))


def _run_starts(*columns: Ints) -> Bools:
    starts: Bools = np.ones(len(columns[0]), np.bool_)
    if len(starts):
        starts[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return starts


def in_order(rows: Rows) -> Rows:
    return rows.take(np.argsort(rows["seq"], kind="stable"))


def _pointers(records: Records, context: Context) -> Rows:
    """Every record with a mm pointer: mm, users, owner (the thread whose mm it is), own, alive (NULL: can't tell)."""
    own, other = records.rows(*OWN, fields=POINTER_FIELDS), records.rows(*ANY, fields=POINTER_FIELDS)
    event = own["event"]
    remote = (
        (event == records.code("handle_mm_fault")) & (own["flags"] != NULL) & (own["flags"] & FAULT_FLAG_REMOTE != 0)
    )
    remote &= context.kernel >= (4, 6)
    own = own.having(owner=own["tid"], own=(~remote).astype(np.int64))
    other = other.having(owner=NULL, own=0)
    rows = stack([own, other, _switches(records)])
    users = np.where(rows["users"] != NULL, rows["users"], rows["mm_users"])
    dying = _is(rows, records, ("exit_mmap", "tlb_gather_mmu_fullmm")) | (users == 0)
    alive = np.where(dying, 0, np.where(_is(rows, records, NEUTRAL) & (users < 1), NULL, 1))
    rows = rows.having(users=users, alive=alive)
    return rows.take(np.flatnonzero((rows["mm"] != NULL) & (rows["mm"] != 0)))


def _is(rows: Rows, records: Records, patterns: tuple[str, ...]) -> Bools:
    return np.isin(rows["event"], records.words.codes(records.like(*patterns)))


def _switches(records: Records) -> Rows:
    """check_and_switch_context(mm): right after a sched_switch on its CPU it names the mm of the thread to come."""
    rows = records.rows("check_and_switch_context", fields=("mm", "users"))
    switches = records.rows("sched_switch", fields=("prev_pid", "next_pid"))
    if not len(rows):
        return rows
    row = last_before(switches["cpu"], switches["seq"], rows["cpu"], rows["seq"])
    owner = np.where(switches.at("prev_pid", row) == rows["tid"], switches.at("next_pid", row), rows["tid"])
    return rows.having(owner=owner, own=(owner > 0).astype(np.int64))


def begins_life(pointer: Ints, alive: Ints) -> Bools:
    """Rows in (pointer, seq) order: True where a pointer is new, or is alive after it was dying."""
    new: Bools = np.r_[True, pointer[1:] != pointer[:-1]][: len(pointer)]
    told = np.flatnonzero((alive != NULL) | new)
    state = np.where(alive[told] == NULL, 1, alive[told])
    again = np.r_[False, (state[1:] == 1) & (state[:-1] == 0)] & ~new[told]
    new[told[again]] = True
    return new
