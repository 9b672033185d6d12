"""Which ticks found their CPU in the kernel, where a tick is no quiescent state.

rcu_check_callbacks counts a tick that interrupted user mode or the idle task (v3.13 kernel/rcu/tree.c). No event
tells the mode, so it is inferred: kernel threads, and threads inside a system call, a fault, a gather or a walk that
the recording shows, are in the kernel; everyone else is taken to be in user mode.
"""

from __future__ import annotations

import numpy as np

from fastgup_replay.columns import UNKNOWN, Bools, Int64s, Rows, integers, nulls
from fastgup_trace.tables import Capture

SPANS = ("fault", "vma_op", "gather", "walk")
"""Capture tables whose rows are stretches that a thread spends in the kernel."""


def in_kernel(capture: Capture, rows: Rows) -> Bools:
    """For each of these rows of the `rcu` table whether its thread is known to be in the kernel."""
    rcu = capture["rcu"]
    tid, mm, ts = (integers(rcu[name])[rows] for name in ("tid", "mm", "ts_ns"))
    # A thread without an address space is the kernel's, in a recording that tells address spaces at all.
    tells_spaces = bool((~nulls(capture["mm"]["pointer"])).any())
    kernel_thread = (tid != 0) & (mm == UNKNOWN) & tells_spaces
    inside = np.zeros(len(rows), bool)
    for name in SPANS:
        table = capture[name]
        begin = integers(table["ts_ns"])
        end = begin + integers(table["duration_ns"], 0) if name == "fault" else integers(table["end_ns"])
        known = end > begin
        inside |= covered(integers(table["tid"])[known], begin[known], end[known], tid, ts)
    return np.asarray((tid != 0) & (kernel_thread | inside))


def covered(tid: Int64s, begin: Int64s, end: Int64s, point_tid: Int64s, point: Int64s) -> Bools:
    """For each point whether a stretch of the same thread holds it: more of them have begun than have ended."""
    if not len(tid) or not len(point):
        return np.zeros(len(point), bool)
    low = int(min(begin.min(), point.min()))
    span = int(max(end.max(), point.max())) - low + 1
    threads = np.unique(tid)
    rank = np.searchsorted(threads, point_tid)
    known = (rank < len(threads)) & (threads[np.minimum(rank, len(threads) - 1)] == point_tid)
    own = np.searchsorted(threads, tid)
    at = rank * span + (point - low)
    begun = np.searchsorted(np.sort(own * span + (begin - low)), at, side="right")
    ended = np.searchsorted(np.sort(own * span + (end - low)), at, side="right")
    return np.asarray(known & (begun > ended))
