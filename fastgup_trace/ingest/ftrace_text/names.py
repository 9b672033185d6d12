"""Names of tasks that the kernel did not know any more when it printed their records: `<...>`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.decode import Decoder, Event
from fastgup_trace.ingest.ftrace_text.lines import Task
from fastgup_trace.ingest.ftrace_text.numbers import Numbers
from fastgup_trace.ingest.ftrace_text.spans import Spans

COMM_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "sched_switch": (("prev_comm", "prev_pid"), ("next_comm", "next_pid")),
    "sched_process_fork": (("parent_comm", "parent_pid"), ("child_comm", "child_pid")),
    "sched_process_exec": (("filename", "pid"),),
    "task_rename": (("newcomm", "pid"),),
    **dict.fromkeys(
        (
            "sched_wakeup", "sched_wakeup_new", "sched_waking", "sched_process_exit", "sched_process_free",
            "sched_process_wait", "sched_migrate_task", "sched_stat_runtime", "sched_pi_setprio", "task_newtask",
        ),
        (("comm", "pid"),),
    ),
}  # fmt: skip
"""Event -> fields that hold a task's name (of an exec its file's path), each with the field that holds its pid."""

_UNKNOWN = re.compile(rb"<\.\.\.>$|<\d+>$|<idle>$|$")  # Android writes <PID>.
_COMM_MAX = 15
"""TASK_COMM_LEN less its zero."""


def names_told(decoder: Decoder, event: Event, bodies: Spans) -> list[tuple[int, str]]:
    """(pid, name) that records of one event tell, each pair once."""
    pairs = COMM_FIELDS[event.name]
    fields = frozenset(name for pair in pairs for name in pair)
    found: dict[str, list[tuple[int, pa.Array]]] = {}
    for name, _, rows, part in decoder.words(event, bodies, fields):
        found.setdefault(name, []).append((int(rows[0]) if len(rows) else 0, part))
    told: dict[tuple[int, str], None] = {}
    for comm_field, pid_field in pairs:
        for (row, comms), (other, pids) in zip(found.get(comm_field, ()), found.get(pid_field, ()), strict=False):
            if row == other and len(comms) == len(pids):
                told.update(dict.fromkeys(_pairs(comms, pids, is_path=comm_field == "filename")))
    return list(told)


def _pairs(comms: pa.Array | Numbers, pids: pa.Array | Numbers, is_path: bool) -> list[tuple[int, str]]:
    coded = (comms.words() if isinstance(comms, Numbers) else comms).dictionary_encode()
    if isinstance(pids, Numbers):
        numbers = pids.values
    else:
        numbers = np.array([int(word) if word.isdigit() else 0 for word in pids.to_pylist()], np.int64)
    known = (numbers > 0) & (numbers < 1 << 31)
    keys, first = np.unique((numbers << 32 | coded.indices.to_numpy())[known], return_index=True)
    names = [word.decode("utf-8", "replace") for word in coded.dictionary.to_pylist()]
    if is_path:
        names = [name.rpartition("/")[2][:_COMM_MAX] for name in names]
    in_order = keys[np.argsort(first, kind="stable")].tolist()
    return [(key >> 32, names[key & 0xFFFFFFFF]) for key in in_order]


@dataclass
class Names:
    """The names and thread groups of tasks, as lines' heads tell them, and, where those do not, events."""

    comms: dict[int, str]
    tgids: dict[int, int]
    unknown: set[int] = field(default_factory=set)
    """Tasks whose name some head did not tell."""

    def add(self, tasks: list[Task]) -> None:
        for comm, pid_text, tgid in tasks:
            pid = int(pid_text)
            if not _UNKNOWN.match(comm):
                self.comms[pid] = comm.decode("utf-8", "replace")
            elif pid:
                self.unknown.add(pid)
            if tgid[:1].isdigit():
                self.tgids[pid] = int(tgid)

    def resolve(self, told: list[tuple[int, str]]) -> None:
        """Name tasks that no head named. Events before the first `<...>` are not asked: few recordings have any."""
        for pid, name in told:
            if pid in self.unknown and name:
                self.comms.setdefault(pid, name)
