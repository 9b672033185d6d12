"""sched and task: context switches, and the tasks that come and go."""

from __future__ import annotations

import numpy as np

from fastgup_trace.probes.pairing import next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Rows, stack
from fastgup_trace.probes.sightings import CLONE_THREAD, CLONE_VM, execs, exits, forks
from fastgup_trace.probes.spaces import Spaces


def switches(records: Records, spaces: Spaces) -> Rows:
    """sched_switch, else perf's own records of threads that leave a CPU."""
    if "sched_switch" in records:
        rows = records.rows("sched_switch", fields=("prev_pid", "next_pid", "prev_state"))
    else:
        rows = records.rows("PERF_RECORD_SWITCH*", fields=("out", "next_prev_tid"))
        rows = rows.take(np.flatnonzero(rows["out"] == 1)).having()
        rows = rows.having(next_pid=rows["next_prev_tid"])
    prev, entering = rows["prev_pid"], rows["next_pid"]
    tid = np.where(prev == NULL, rows["tid"], prev)
    return rows.having(
        tid=tid, prev_tid=tid, next_tid=entering, next_mm=spaces.of_thread(entering, rows["seq"]), pointer=NULL
    )


def tasks(records: Records, spaces: Spaces) -> Rows:
    """fork and thread (one row a new task), exec, exit. `pid` is the process of the task that the row is about."""
    return stack([_forks(records, spaces), _execs(records), _exits(records, spaces.groups)])


def _forks(records: Records, spaces: Spaces) -> Rows:
    """sched_process_fork and task_newtask of one clone as one row; without clone_flags the tgid or the mm tells."""
    born = forks(records)
    new = records.rows("task_newtask", fields=("pid", "comm", "clone_flags"))
    groups = spaces.groups
    # task_newtask comes first (kernel/fork.c: copy_process, then kernel_clone's sched_process_fork).
    twin = next_after(born["child_pid"], born["seq"], new["pid"], new["seq"])
    flags = np.full(len(born), NULL)
    flags[twin[twin >= 0]] = new["clone_flags"][twin >= 0]
    born = born.having(child_tid=born["child_pid"], comm=born["child_comm"], clone_flags=flags)
    alone = new.take(np.flatnonzero(twin < 0))
    rows = stack([born, alone.having(child_tid=alone["pid"])])
    child, parent, flags = rows["child_tid"], rows["tid"], rows["clone_flags"]
    told = flags != NULL
    group = np.array([groups.get(tid, NULL) for tid in child.tolist()], np.int64)
    group = np.where(rows["child_group"] != NULL, rows["child_group"], group)
    theirs = np.array([groups.get(tid, tid) for tid in parent.tolist()], np.int64)
    # A new task's own records come after its birth, which ended what its tid meant before.
    child_mm, parent_mm = spaces.of_thread(child, rows["seq"] + 1), spaces.of_thread(parent, rows["seq"])
    same_mm = (child_mm == parent_mm) & (child_mm != NULL)
    thread = np.where(told, flags & (CLONE_VM | CLONE_THREAD) == CLONE_VM | CLONE_THREAD, False)
    thread = np.where(told, thread, np.where(group != NULL, group == theirs, same_mm))
    code = records.code
    return rows.having(
        op=np.where(thread, code("thread"), code("fork")),
        pid=np.where(thread, theirs, child),
        evidence=np.where(told, code("observed"), code("inferred")),
        pointer=NULL,
    )


def _execs(records: Records) -> Rows:
    rows = execs(records)
    texts = records.words.texts
    names = ["" if code == NULL else texts[code].rsplit("/", 1)[-1][:15] for code in rows["filename"].tolist()]
    comm = np.where(rows["comm"] != NULL, rows["comm"], records.words.codes(names))
    return rows.having(op=records.code("exec"), comm=comm, pid=rows["tid"], pointer=NULL)


def _exits(records: Records, groups: dict[int, int]) -> Rows:
    rows = exits(records)
    pid = np.array([groups.get(tid, tid) for tid in rows["tid"].tolist()], np.int64)
    return rows.having(op=records.code("exit"), pid=pid, pointer=NULL)
