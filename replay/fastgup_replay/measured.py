"""What the recorded kernel did, from what it was seen to do: callbacks, handlers, interrupt counters.

Nothing here reads what the replay reads. The replay's operations are tables, mm_users, gathers, splits and collapses;
the measurement is the callbacks that the kernel queued and ran, the handlers and IPIs that other CPUs took, the path
that an instrumented kernel reports, and the counters of /proc/interrupts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_replay.columns import UNKNOWN, Int64s, integers, nulls, strings, where
from fastgup_replay.timeline import TABLE_RCU
from fastgup_trace.probes.known import CALLBACKS
from fastgup_trace.tables import Capture


@dataclass(frozen=True)
class Event:
    """One event that explains a part of a difference: `amount` is added to the measured value."""

    ts_ns: int
    amount: int
    why: str


@dataclass(frozen=True)
class Measured:
    """One measured number, where it comes from, and the events that it is known to lack or to have too many."""

    value: int
    source: str
    missing: tuple[Event, ...] = ()
    exact: bool = True
    """False where the recording can't tell all of what it counts, and a difference proves nothing."""


@dataclass(frozen=True)
class Callbacks:
    """The RCU callbacks of table batches, each queueing matched to the next run of the same rcu_head.

    `size` is null (UNKNOWN) where the probe that saw it has no count. `ran` is the row of `freed`, UNKNOWN where no
    run was seen; `missed` marks those that must have run all the same: their page was queued again, or a callback
    queued later on the same CPU ran (a CPU's callbacks run in order).
    """

    queued_ns: Int64s
    tid: Int64s
    size: Int64s
    ran: Int64s
    missed: NDArray[np.bool_]
    freed_ns: Int64s
    freed_size: Int64s
    unqueued: Int64s
    """Rows of the runs whose queueing the recording does not show: they were queued before it began."""


def callbacks(capture: Capture) -> Callbacks | None:
    """The table batches' callbacks, None where no probe tells queued callbacks apart by function."""
    rcu = capture["rcu"]
    queues = where(rcu, "phase", "queue")
    if nulls(rcu["func"])[queues].any():
        return None  # the function tracer has no arguments
    ours = where(rcu, "func", TABLE_RCU)
    phase = strings(rcu["phase"].take(pa.array(ours)))
    queued = ours[[p == "queue" for p in phase]] if len(ours) else ours
    invoked = ours[[p == "invoke" for p in phase]] if len(ours) else ours
    if not len(queues) and (len(ours) or CALLBACKS not in (capture.provenance.get("known") or ())):
        return None
    # The head is an address in the upper half of 64 bits: as int64 only its identity matters.
    head = np.asarray(rcu["head"].fill_null(0).to_numpy()).astype(np.int64)
    ts, cpu, tid, nr = (integers(rcu[name]) for name in ("ts_ns", "cpu", "tid", "nr"))
    ran, again = _match(head, queued, invoked)
    later = _later_ran(cpu[queued], ran)
    return Callbacks(
        queued_ns=ts[queued], tid=tid[queued], size=nr[queued], ran=ran,
        missed=(ran == UNKNOWN) & (again | later), freed_ns=ts[invoked], freed_size=nr[invoked],
        unqueued=np.setdiff1d(np.arange(len(invoked)), ran),
    )  # fmt: skip


def _match(head: Int64s, queued: NDArray[np.intp], invoked: NDArray[np.intp]) -> tuple[Int64s, NDArray[np.bool_]]:
    """For each queueing the position of its run in `invoked`, and whether its page was queued again before one."""
    ran = np.full(len(queued), UNKNOWN, np.int64)
    again = np.zeros(len(queued), bool)
    waiting: dict[int, int] = {}
    events = sorted(
        [(row, True, n) for n, row in enumerate(queued)] + [(row, False, n) for n, row in enumerate(invoked)]
    )
    for row, is_queue, n in events:
        address = int(head[row])
        if is_queue:
            if address in waiting:
                again[waiting[address]] = True
            waiting[address] = n
        elif address in waiting:
            ran[waiting.pop(address)] = n
    return ran, again


def _later_ran(cpu: Int64s, ran: Int64s) -> NDArray[np.bool_]:
    """For each queueing whether one that came later on the same CPU was seen to run."""
    later = np.zeros(len(cpu), bool)
    for one in np.unique(cpu):
        rows = np.flatnonzero(cpu == one)
        seen = (ran[rows] != UNKNOWN)[::-1]
        later[rows] = (np.cumsum(seen) - seen)[::-1] > 0
    return later


def batches(capture: Capture, found: Callbacks | None) -> Measured | None:
    """Batches that were queued; where queueing is not told apart, those that ran, which is a bound."""
    if found is not None:
        return Measured(len(found.queued_ns), f"call_rcu of {TABLE_RCU}")
    ran = where(capture["rcu"], "func", TABLE_RCU)
    source = f"runs of {TABLE_RCU}: batches in flight at either end can't be told"
    return Measured(len(ran), source, exact=False) if len(ran) else None


def batched(found: Callbacks, model: Int64s) -> Measured | None:
    """Tables that callbacks freed or, where the queueing tells its size, were queued with.

    `model`, the sizes of the queued batches according to the tables of their gathers (UNKNOWN where that is not
    known), explains what callbacks that were not seen would have freed; it is no part of the value.
    """
    if _queue_tells(found):
        return Measured(int(found.size.sum()), "sizes of the queued batches")
    if (found.freed_size == UNKNOWN).any():
        return None
    missing = [
        Event(int(found.freed_ns[n]), -int(found.freed_size[n]), "batch queued before the recording began")
        for n in found.unqueued
    ]
    for n in np.flatnonzero((found.ran == UNKNOWN) & (model != UNKNOWN)):
        missing.append(Event(int(found.queued_ns[n]), int(model[n]), _fate(found, int(n))))
    missing.sort(key=lambda event: event.ts_ns)
    return Measured(int(found.freed_size.sum()), f"sizes that {TABLE_RCU} freed", tuple(missing))


def _fate(found: Callbacks, n: int) -> str:
    missed = "batch whose callback ran unseen: its page or a later one of its CPU was freed (a missed probe hit)"
    return missed if found.missed[n] else "batch in flight when the recording ended"


def _queue_tells(found: Callbacks) -> bool:
    return bool(len(found.size) and (found.size != UNKNOWN).all())


def _seen_sizes(found: Callbacks) -> Int64s:
    """The size of each queued batch as the kernel told it when queued or freed; UNKNOWN where neither was seen."""
    if _queue_tells(found):
        return found.size
    sizes = np.full(len(found.ran), UNKNOWN, np.int64)
    seen = found.ran != UNKNOWN
    sizes[seen] = found.freed_size[found.ran[seen]]
    return sizes


def largest_batch(found: Callbacks, model: Int64s) -> Measured | None:
    """The largest batch that was queued in the recording and whose size was seen."""
    if (found.freed_size == UNKNOWN).any():
        return None
    sizes = _seen_sizes(found)
    largest = int(sizes.max(initial=0))
    unseen = [n for n in np.flatnonzero(sizes == UNKNOWN).tolist() if model[n] > largest]
    missing: tuple[Event, ...] = ()
    if unseen:
        n = max(unseen, key=lambda n: int(model[n]))
        missing = (Event(int(found.queued_ns[n]), int(model[n]) - largest, "the largest " + _fate(found, n)),)
    return Measured(largest, "the largest batch seen queued or freed", missing)


def sizes_that_differ(found: Callbacks, model: Int64s) -> Measured | None:
    """Batches whose size, as the kernel told it, is not the number of tables of their gather."""
    if (found.freed_size == UNKNOWN).any():
        return None
    sizes = _seen_sizes(found)
    seen = sizes != UNKNOWN
    differ = int((sizes[seen] != model[seen]).sum())
    return Measured(differ, f"{int(seen.sum())} batches compared one by one")


def latencies_ns(found: Callbacks) -> Int64s:
    """Queue-to-run times of the batches whose callback was seen, sorted."""
    seen = np.flatnonzero(found.ran != UNKNOWN)
    return np.sort(found.freed_ns[found.ran[seen]] - found.queued_ns[seen])


def path(capture: Capture, name: str) -> Measured | None:
    """Tables by the path that an instrumented kernel reports; None where no probe reports all of them."""
    paths = strings(capture["table_free"]["path"])
    if None in paths or (not paths and "table_free" not in (capture.provenance.get("known") or ())):
        return None
    return Measured(paths.count(name), "the path that the kernel reports of each table")
