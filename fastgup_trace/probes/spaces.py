"""Address spaces: which mm_struct a kernel pointer meant at a time, and which mm a thread ran on.

A pointer is reused once its mm_struct is freed, so a life begins where a pointer is seen alive after it was seen dying
(mm_users 0, exit_mmap, a fullmm gather). A thread keeps its mm from fork to exec; what it runs on is told by the
records in which a thread works on its own mm. Kernel threads (khugepaged, kswapd) work on others': a record's own
pointer always wins over the thread's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import joint, last_before, next_after
from fastgup_trace.probes.rows import NULL, Ints, Rows, Words, to_table
from fastgup_trace.probes.sightings import CLONE_THREAD, Sightings, begins_life, in_order


@dataclass(frozen=True)
class Spaces:
    """The `mm` table, and the lookups into it. Row numbers are int64 with NULL for none."""

    table: pa.Table
    _life_pointer: Ints
    _life_seq: Ints
    _threads: _Timeline
    _processes: _Timeline
    groups: dict[int, int]
    """tid -> tgid."""

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
        result = self._threads.at(tids, seqs)
        lost = np.flatnonzero((result == NULL) & (tids > 0))
        if len(lost):
            result[lost] = self._processes.at(leaders(tids[lost], self.groups), seqs[lost])
        return np.where(tids > 0, result, NULL)


def leaders(tids: Ints, groups: dict[int, int]) -> Ints:
    """The process of each thread; a thread of which nothing is known is its own."""
    distinct, inverse = np.unique(tids, return_inverse=True)
    found = np.array([groups.get(tid, tid) for tid in distinct.tolist()], np.int64)
    return found[inverse.reshape(-1)]


class _Timeline:
    """Per thread the moments at which it was seen on a mm, and those at which what its tid means began anew."""

    def __init__(self, tids: Ints, seqs: Ints, mms: Ints, cuts: Rows) -> None:
        self._tids = np.unique(np.r_[tids, cuts["tid"]])
        rank: Ints = np.asarray(np.searchsorted(self._tids, np.r_[tids, cuts["tid"]]), np.int64)
        seq = np.r_[seqs, cuts["seq"]]
        self._span = 2 * (int(seq.max(initial=0)) + 2)
        # At one seq a thread is seen before it is cut.
        key = rank * self._span + 2 * seq + np.repeat([0, 1], [len(tids), len(cuts)])
        order = np.argsort(key, kind="stable")
        self._key, self._rank = key[order], rank[order]
        self._mm = np.r_[mms, np.full(len(cuts), NULL)][order]

    def at(self, tids: Ints, seqs: Ints) -> Ints:
        """The mm last seen before or at each moment, else the next seen after, in the thread's life between cuts."""
        result = np.full(len(tids), NULL)
        if not len(self._key):
            return result
        rank = np.minimum(np.searchsorted(self._tids, tids), len(self._tids) - 1)
        known = np.flatnonzero(self._tids[rank] == tids)
        rank = rank[known]
        point = rank * self._span + 2 * np.minimum(seqs[known], self._span // 2 - 1)
        behind = np.searchsorted(self._key, point, side="right")
        before, after = np.maximum(behind - 1, 0), np.minimum(behind, len(self._key) - 1)
        seen = np.where((behind > 0) & (self._rank[before] == rank), self._mm[before], NULL)
        later = np.where((behind < len(self._key)) & (self._rank[after] == rank), self._mm[after], NULL)
        result[known] = np.where(seen != NULL, seen, later)
        return result


def _life_at(life_pointer: Ints, life_seq: Ints, pointers: Ints, seqs: Ints) -> Ints:
    row = last_before(life_pointer, life_seq, pointers, seqs, or_at=True)
    return np.where(row >= 0, row, NULL)


def find_spaces(found: Sightings, context: Context, words: Words) -> Spaces:
    """The address spaces of a recording: from the records that carry a pointer, else from its tasks."""
    groups = thread_groups(found, context)
    rows = found.lives.take(np.lexsort((found.lives["seq"], found.lives["mm"])))
    pointer = rows["mm"]
    new = begins_life(pointer, rows["alive"])
    # Lives in order of their first record are the rows of the mm table.
    first = np.flatnonzero(new)
    by_row = np.argsort(rows["seq"][first], kind="stable")
    rank = np.empty(len(first), np.int64)
    rank[by_row] = np.arange(len(first))
    reborn = np.r_[False, pointer[1:] == pointer[:-1]][: len(new)] & new
    rows = in_order(rows.having(life=rank[np.cumsum(new) - 1], reborn=reborn.astype(np.int64)))
    table = _mm_table(found, context, words, groups, rows, len(first))
    life_pointer, life_seq = pointer[first][by_row], _life_starts(rows)
    seen = found.seen.having(mm=_life_at(life_pointer, life_seq, found.seen["mm"], found.seen["seq"]))
    if not len(seen):
        inferred, seen = _by_task(found, context, words, groups)
        seen = seen.having(mm=seen["mm"] + len(table))
        table = pa.concat_tables([table, inferred]).unify_dictionaries().combine_chunks()
    told = seen["mm"] != NULL
    tids, seqs, mms = seen["tid"][told], seen["seq"][told], seen["mm"][told]
    cuts = found.cuts
    threads = _Timeline(tids, seqs, mms, cuts)
    return Spaces(table, life_pointer, life_seq, threads, _Timeline(leaders(tids, groups), seqs, mms, cuts), groups)


def _life_starts(sightings: Rows) -> Ints:
    """The first seq of each life; a pointer's first life reaches back to the recording's start."""
    _, start = np.unique(sightings["life"], return_index=True)
    reborn = sightings["reborn"][start] == 1
    return np.where(reborn, sightings["seq"][start], 0)


def thread_groups(found: Sightings, context: Context) -> dict[int, int]:
    """tid -> tgid: as the tracer saved them, else from CLONE_THREAD."""
    groups = {tid: tgid for tid, tgid in context.tgids.items() if tid > 0 and tgid > 0}
    rows = found.new
    for parent, child, flags in zip(
        rows["tid"].tolist(), rows["pid"].tolist(), rows["clone_flags"].tolist(), strict=True
    ):
        groups[child] = groups.get(parent, parent) if flags != NULL and flags & CLONE_THREAD else child
    for child, group in zip(found.forks["child_pid"].tolist(), found.forks["child_group"].tolist(), strict=True):
        if group != NULL:
            groups[child] = group
    return groups


def _mm_table(
    found: Sightings, context: Context, words: Words, groups: dict[int, int], sightings: Rows, lives: int
) -> pa.Table:
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
    born = np.isin(pid, found.births["tid"]) | (sightings["reborn"][start] == 1)
    end = np.zeros(lives, np.int64)
    end[life] = seq
    rows = Rows(
        {
            "seq": seq[start], "ts_ns": sightings["ts_ns"][start], "cpu": sightings["cpu"][start], "tid": pid,
            "pid": pid, "comm": _comms(found, context, words, pid, end), "pointer": sightings["mm"][start],
            "born_ns": np.where(born, sightings["ts_ns"][start], NULL), "died_ns": died, "users_max": users,
        }
    )  # fmt: skip
    return to_table("mm", rows, words)


def _comms(found: Sightings, context: Context, words: Words, pid: Ints, end: Ints) -> Ints:
    """The process's name by the end of a life: at its exit, else of its last exec or fork, else as the tracer saved it.

    A process may rename itself (busybox does after its exec), so the name at its exit is the best; it is taken when no
    exec lies between, as exit_mm comes before sched_process_exit.
    """
    execs, forks, exits = found.execs, found.forks, found.exits
    gone, again = (next_after(rows["tid"], rows["seq"], pid, end) for rows in (exits, execs))
    gone = np.where((again >= 0) & (execs.at("seq", again) < exits.at("seq", gone)), -1, gone)
    # TASK_COMM_LEN is 16 with the NUL; begin_new_exec takes the file's last component.
    named = np.where(execs["comm"] != NULL, execs["comm"], _basenames(words, execs["filename"]))
    execs = execs.having(comm=named)
    saved = [context.comms.get(process) for process in pid.tolist()]
    candidates = (
        exits.at("comm", gone),
        execs.at("comm", last_before(execs["tid"], execs["seq"], pid, end)),
        forks.at("child_comm", last_before(forks["child_pid"], forks["seq"], pid, end)),
        np.array([NULL if name is None else words.code(name) for name in saved], np.int64),
    )
    return np.select([name != NULL for name in candidates], list(candidates), NULL)


def _basenames(words: Words, filenames: Ints) -> Ints:
    texts = words.texts
    names = [NULL if code == NULL else words.code(texts[code].rsplit("/", 1)[-1][:15]) for code in filenames.tolist()]
    return np.array(names, np.int64)


def _by_task(found: Sightings, context: Context, words: Words, groups: dict[int, int]) -> tuple[pa.Table, Rows]:
    """No thread was seen on its own mm: one mm a process and exec, inferred from who called what."""
    rows, cuts = found.calls, found.cuts
    group = np.array([groups.get(tid, tid) for tid in rows["tid"].tolist()], np.int64)
    cut = last_before(cuts["tid"], cuts["seq"], group, rows["seq"])
    _, first, life = np.unique(joint(group, cut), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    life = rank[life.reshape(-1)]
    first = np.sort(first)
    end = np.zeros(len(first), np.int64)
    end[life] = rows["seq"]
    comms = _comms(found, context, words, group[first], end)
    table = rows.take(first).having(pid=group[first], comm=comms, evidence=words.code("inferred"))
    return to_table("mm", table, words), rows.having(mm=life)
