"""Address spaces: which mm_struct a kernel pointer meant at a time, and which mm a thread ran on.

A pointer is reused once its mm_struct is freed, so a life begins where a pointer is seen alive after it was seen dying
(mm_users 0, exit_mmap, a fullmm gather). A thread keeps its mm from fork to exec; what it runs on is told by the
records in which a thread works on its own mm. Kernel threads (khugepaged, kswapd) work on others': a record's own
pointer always wins over the thread's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import joint, last_before, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Bools, Ints, Rows, stack, to_table

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
)  # fmt: skip
POINTER_FIELDS: Final = ("mm", "users", "mm_users", "flags")


@dataclass(frozen=True)
class Spaces:
    """The `mm` table, and the lookups into it. Row numbers are int64 with NULL for none."""

    table: pa.Table
    _life_pointer: Ints
    _life_seq: Ints
    _seen: Rows  # thread, seq, mm: a thread on its own mm
    _cuts: Rows  # tid, seq: a new task or an exec
    _groups: dict[int, int]

    def of(self, rows: Rows, pointers: Ints | None = None) -> Ints:
        """The mm of each row: by its pointer, else the thread's at that moment."""
        if pointers is None:
            return self.of_thread(rows["tid"], rows["seq"])
        result = self.of_pointer(pointers, rows["seq"])
        bare = np.flatnonzero(pointers == NULL)
        result[bare] = self.of_thread(rows["tid"][bare], rows["seq"][bare])
        return result

    def of_pointer(self, pointers: Ints, seqs: Ints) -> Ints:
        return _life_at(self._life_pointer, self._life_seq, pointers, seqs)

    def of_thread(self, tids: Ints, seqs: Ints) -> Ints:
        """The mm that each thread ran on: as last seen before, else next seen after, never across its exec."""
        if not len(tids) or not len(self._seen):
            return np.full(len(tids), NULL)
        result = self._seen_by(tids, seqs, self._seen["tid"])
        lost = np.flatnonzero((result == NULL) & (tids > 0))
        if len(lost):
            result[lost] = self._seen_by(self._leaders(tids[lost]), seqs[lost], self._seen_leaders)
        return np.where(tids > 0, result, NULL)

    def _leaders(self, tids: Ints) -> Ints:
        distinct, inverse = np.unique(tids, return_inverse=True)
        return np.array([self._groups.get(tid, tid) for tid in distinct.tolist()], np.int64)[inverse.reshape(-1)]

    @cached_property
    def _seen_leaders(self) -> Ints:
        return self._leaders(self._seen["tid"])

    def _seen_by(self, keys: Ints, seqs: Ints, seen_keys: Ints) -> Ints:
        cuts = self._cuts
        point_cut = last_before(cuts["tid"], cuts["seq"], keys, seqs)
        seen_cut = last_before(cuts["tid"], cuts["seq"], seen_keys, self._seen["seq"])
        both = joint(np.concatenate([seen_keys, keys]), np.concatenate([seen_cut, point_cut]))
        seen_epoch, epoch = both[: len(seen_keys)], both[len(seen_keys) :]
        row = last_before(seen_epoch, self._seen["seq"], epoch, seqs, or_at=True)
        row = np.where(row >= 0, row, next_after(seen_epoch, self._seen["seq"], epoch, seqs))
        return self._seen.at("mm", row)


def _life_at(life_pointer: Ints, life_seq: Ints, pointers: Ints, seqs: Ints) -> Ints:
    row = last_before(life_pointer, life_seq, pointers, seqs, or_at=True)
    return np.where(row >= 0, row, NULL)


def find_spaces(records: Records, context: Context) -> Spaces:
    """The address spaces of a recording: from the records that carry a pointer, else from its tasks."""
    groups = thread_groups(records, context)
    cuts = stack([_births(records), records.rows("sched_process_exec")])
    cuts = Rows({name: cuts[name] for name in ("seq", "ts_ns", "cpu", "tid")})
    sightings = _sightings(records, context)
    sightings = sightings.take(np.lexsort((sightings["seq"], sightings["mm"])))
    pointer = sightings["mm"]
    new = _begins_life(pointer, sightings["alive"])
    # Lives in order of their first record are the rows of the mm table.
    first = np.flatnonzero(new)
    by_row = np.argsort(sightings["seq"][first], kind="stable")
    rank = np.empty(len(first), np.int64)
    rank[by_row] = np.arange(len(first))
    reborn = np.r_[False, pointer[1:] == pointer[:-1]][: len(new)] & new
    sightings = sightings.having(life=rank[np.cumsum(new) - 1], reborn=reborn.astype(np.int64))
    sightings = sightings.take(np.argsort(sightings["seq"], kind="stable"))
    table = _mm_table(records, context, groups, sightings, len(first))
    seen = sightings.take(np.flatnonzero(sightings["own"] == 1))
    seen = seen.having(tid=seen["owner"], mm=seen["life"])
    if not len(seen):
        inferred, seen = _by_task(records, context, groups, cuts)
        seen = seen.having(mm=seen["mm"] + len(table))
        table = pa.concat_tables([table, inferred]).unify_dictionaries().combine_chunks()
    return Spaces(table, pointer[first][by_row], _life_starts(sightings), seen, cuts, groups)


def _life_starts(sightings: Rows) -> Ints:
    """The first seq of each life; a pointer's first life reaches back to the recording's start."""
    _, start = np.unique(sightings["life"], return_index=True)
    reborn = sightings["reborn"][start] == 1
    return np.where(reborn, sightings["seq"][start], 0)


def _sightings(records: Records, context: Context) -> Rows:
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


def _begins_life(pointer: Ints, alive: Ints) -> Bools:
    """Rows in (pointer, seq) order: True where a pointer is new, or is alive after it was dying."""
    new: Bools = np.r_[True, pointer[1:] != pointer[:-1]][: len(pointer)]
    told = np.flatnonzero((alive != NULL) | new)
    state = np.where(alive[told] == NULL, 1, alive[told])
    again = np.r_[False, (state[1:] == 1) & (state[:-1] == 0)] & ~new[told]
    new[told[again]] = True
    return new


def _births(records: Records) -> Rows:
    rows = records.rows("sched_process_fork", "task_newtask", fields=("child_pid", "pid"))
    return rows.having(tid=np.where(rows["child_pid"] != NULL, rows["child_pid"], rows["pid"]))


def thread_groups(records: Records, context: Context) -> dict[int, int]:
    """tid -> tgid: as the tracer saved them, else from CLONE_THREAD."""
    groups = {tid: tgid for tid, tgid in context.tgids.items() if tid > 0 and tgid > 0}
    rows = records.rows("task_newtask", fields=("pid", "clone_flags"))
    for parent, child, flags in zip(
        rows["tid"].tolist(), rows["pid"].tolist(), rows["clone_flags"].tolist(), strict=True
    ):
        groups[child] = groups.get(parent, parent) if flags != NULL and flags & CLONE_THREAD else child
    return groups


def _mm_table(records: Records, context: Context, groups: dict[int, int], sightings: Rows, lives: int) -> pa.Table:
    """One row a life: its process, its span and its users."""
    life, seq = sightings["life"], sightings["seq"]
    _, start = np.unique(life, return_index=True)
    pid = np.full(lives, NULL)
    for claim in (sightings["alive"] == 0, sightings["own"] == 1):  # the later claim is the better one
        told = np.flatnonzero(claim)[::-1]
        owner = np.where(sightings["owner"][told] != NULL, sightings["owner"][told], sightings["tid"][told])
        pid[life[told]] = [groups.get(tid, tid) for tid in owner.tolist()]
    users = np.full(lives, NULL)
    np.maximum.at(users, life, sightings["users"])
    died = np.full(lives, NULL)
    dying = np.flatnonzero(sightings["alive"] == 0)
    died[life[dying]] = sightings["ts_ns"][dying]
    # What a process that was forked within the recording has was born in it, though its tables may be made before the
    # fork is reported.
    born = np.isin(pid, _births(records)["tid"]) | (sightings["reborn"][start] == 1)
    end = np.zeros(lives, np.int64)
    end[life] = seq
    rows = Rows(
        {
            "seq": seq[start], "ts_ns": sightings["ts_ns"][start], "cpu": sightings["cpu"][start], "tid": pid,
            "pid": pid, "comm": _comms(records, context, pid, end), "pointer": sightings["mm"][start],
            "born_ns": np.where(born, sightings["ts_ns"][start], NULL), "died_ns": died, "users_max": users,
        }
    )  # fmt: skip
    return to_table("mm", rows, records.words)


def _comms(records: Records, context: Context, pid: Ints, end: Ints) -> Ints:
    """The process's name by the end of a life: at its exit, else of its last exec or fork, else as the tracer saved it.

    A process may rename itself (busybox does after its exec), so the name at its exit is the best; it is taken when no
    exec lies between, as exit_mm comes before sched_process_exit.
    """
    execs = records.rows("sched_process_exec", fields=("filename",))
    forks = records.rows("sched_process_fork", fields=("child_pid", "child_comm"))
    exits = records.rows("sched_process_exit", fields=("comm",))
    gone, again = (next_after(rows["tid"], rows["seq"], pid, end) for rows in (exits, execs))
    gone = np.where((again >= 0) & (execs.at("seq", again) < exits.at("seq", gone)), -1, gone)
    # TASK_COMM_LEN is 16 with the NUL; begin_new_exec takes the file's last component.
    execs = execs.having(comm=_basenames(records, execs["filename"]))
    saved = [context.comms.get(process) for process in pid.tolist()]
    candidates = (
        exits.at("comm", gone),
        execs.at("comm", last_before(execs["tid"], execs["seq"], pid, end)),
        forks.at("child_comm", last_before(forks["child_pid"], forks["seq"], pid, end)),
        np.array([NULL if name is None else records.code(name) for name in saved], np.int64),
    )
    return np.select([name != NULL for name in candidates], list(candidates), NULL)


def _basenames(records: Records, filenames: Ints) -> Ints:
    texts = records.words.texts
    names = [NULL if code == NULL else records.code(texts[code].rsplit("/", 1)[-1][:15]) for code in filenames.tolist()]
    return np.array(names, np.int64)


def _by_task(records: Records, context: Context, groups: dict[int, int], cuts: Rows) -> tuple[pa.Table, Rows]:
    """No thread was seen on its own mm: one mm a process and exec, inferred from who called what."""
    rows = records.rows(*USERLAND)
    rows = rows.take(np.flatnonzero(rows["tid"] > 0))
    group = np.array([groups.get(tid, tid) for tid in rows["tid"].tolist()], np.int64)
    cut = last_before(cuts["tid"], cuts["seq"], group, rows["seq"])
    _, first, life = np.unique(joint(group, cut), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    life = rank[life.reshape(-1)]
    first = np.sort(first)
    end = np.zeros(len(first), np.int64)
    end[life] = rows["seq"]
    comms = _comms(records, context, group[first], end)
    table = rows.take(first).having(pid=group[first], comm=comms, evidence=records.code("inferred"))
    return to_table("mm", table, records.words), rows.having(mm=life)
