"""What the recorded kernel did, from what it was seen to do: callbacks, handlers, interrupt counters.

Nothing here reads what the replay reads. The replay's operations are tables, mm_users, gathers, splits and collapses;
the measurement is the callbacks that the kernel queued and ran, the handlers and IPIs that other CPUs took, the path
that an instrumented kernel reports, and the counters of /proc/interrupts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_replay.columns import UNKNOWN, Int64s, integers, strings, where
from fastgup_replay.timeline import TABLE_RCU
from fastgup_trace.tables import Capture

CALL = "Function call interrupts"
SINGLE = "Single function call interrupts"


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


@dataclass(frozen=True)
class Callbacks:
    """The RCU callbacks of table batches, each queueing matched to the next run of the same rcu_head.

    `size` is null (UNKNOWN) where the probe that saw it has no count. `ran` is the row of `freed`, UNKNOWN where no
    run was seen; `missed` marks those that must have run all the same: their page was queued again, or a callback
    queued later on the same CPU ran (a CPU's callbacks run in order).
    """

    queued_ns: Int64s
    cpu: Int64s
    head: Int64s
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
    ours = where(rcu, "func", TABLE_RCU)
    phase = strings(rcu["phase"].take(pa.array(ours)))
    queued = ours[[p == "queue" for p in phase]] if len(ours) else ours
    invoked = ours[[p == "invoke" for p in phase]] if len(ours) else ours
    if not len(ours) and not where(rcu, "phase", "queue").size:
        return None
    # The head is an address in the upper half of 64 bits: as int64 only its identity matters.
    head = np.asarray(rcu["head"].fill_null(0).to_numpy()).astype(np.int64)
    ts, cpu, nr = (integers(rcu[name]) for name in ("ts_ns", "cpu", "nr"))
    ran, again = _match(head, queued, invoked)
    later = _later_ran(cpu[queued], ran)
    return Callbacks(
        queued_ns=ts[queued], cpu=cpu[queued], head=head[queued], size=nr[queued], ran=ran,
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


def batches(capture: Capture) -> Measured | None:
    found = callbacks(capture)
    return None if found is None else Measured(len(found.queued_ns), f"call_rcu of {TABLE_RCU}")


def batched(capture: Capture, expected: Callable[[int], int | None]) -> Measured | None:
    """Tables that callbacks freed or, where the queueing tells its size, were queued with.

    `expected(n)` is the size of the n-th queued batch according to the gather's tables, for those whose callback was
    not seen: it explains the difference, and is no part of the value.
    """
    found = callbacks(capture)
    if found is None:
        return None
    if (found.size != UNKNOWN).all() and len(found.size):
        return Measured(int(found.size.sum()), "sizes of the queued batches")
    if (found.freed_size == UNKNOWN).any():
        return None
    missing = [
        Event(int(found.freed_ns[n]), -int(found.freed_size[n]), "its batch was queued before the recording began")
        for n in found.unqueued
    ]
    for n in np.flatnonzero(found.ran == UNKNOWN):
        size = expected(int(n))
        if size is not None:
            why = (
                "its callback ran unseen (a missed probe hit)"
                if found.missed[n]
                else "in flight when the recording ended"
            )
            missing.append(Event(int(found.queued_ns[n]), size, f"batch of {size} tables: {why}"))
    return Measured(int(found.freed_size.sum()), f"sizes that {TABLE_RCU} freed", tuple(sorted(missing, key=_ts)))


def _ts(event: Event) -> int:
    return event.ts_ns


def largest_batch(capture: Capture) -> Measured | None:
    found = callbacks(capture)
    if found is None:
        return None
    sizes = found.size if (found.size != UNKNOWN).all() and len(found.size) else found.freed_size
    if (sizes == UNKNOWN).any():
        return None
    return Measured(int(sizes.max(initial=0)), "the largest batch seen queued or freed")


def latencies_ns(capture: Capture) -> Int64s | None:
    """Queue-to-run times of the batches whose callback was seen, sorted."""
    found = callbacks(capture)
    if found is None or not (found.ran != UNKNOWN).any():
        return None
    seen = np.flatnonzero(found.ran != UNKNOWN)
    return np.sort(found.freed_ns[found.ran[seen]] - found.queued_ns[seen])


def path(capture: Capture, name: str) -> Measured | None:
    """Tables by the path that an instrumented kernel reports; None where no probe reports all of them."""
    paths = strings(capture["table_free"]["path"])
    if None in paths or (not paths and "table_free" not in (capture.provenance.get("known_tables") or ())):
        return None
    return Measured(paths.count(name), "the path that the kernel reports of each table")


def calls_are_broadcasts(capture: Capture) -> bool:
    """Whether the kernel counts single-CPU function calls apart, so that `Function call interrupts` are broadcasts
    alone (before "smp: Consolidate the prototypes of arch_send_call_function", arm64 up to 4.x: IPI1 and IPI2)."""
    return SINGLE in _interrupts(capture)


def _interrupts(capture: Capture) -> dict[str, list[int]]:
    rows = (capture.provenance.get("sidecars") or {}).get("interrupts") or {}
    return {str(label): [int(n) for n in deltas] for label, deltas in rows.items()}


def counted_interrupts(capture: Capture) -> Measured | None:
    """`Function call interrupts` of /proc/interrupts, where these are broadcasts alone."""
    if not calls_are_broadcasts(capture) or CALL not in _interrupts(capture):
        return None
    return Measured(sum(_interrupts(capture)[CALL]), f"/proc/interrupts, {CALL}, after less before")


def broadcasts(capture: Capture, cause: str) -> Measured | None:
    """Broadcasts of one cause that the kernel was seen to send."""
    if calls_are_broadcasts(capture):
        raised = _call_rows(capture, "raise")
        return None if raised is None else Measured(len(_of_cause(capture, raised, cause)), f"ipi_raise, {CALL}")
    sync = capture["sync"]
    rows = np.intersect1d(where(sync, "kind", "broadcast"), where(sync, "cause", cause))
    functions = sorted({f for f in strings(sync["function"].take(pa.array(rows))) if f})
    return Measured(len(rows), ", ".join(functions) or "the functions that broadcast")


def interrupts(capture: Capture, cause: str) -> Measured | None:
    """Handlers that ran on other CPUs for one cause; what each broadcast lacks of N-1 is named."""
    if calls_are_broadcasts(capture):
        entered = _call_rows(capture, "entry")
        return None if entered is None else Measured(len(_of_cause(capture, entered, cause)), f"ipi_entry, {CALL}")
    ipi = capture["ipi"]
    rows = where(ipi, "phase", "handler")
    names = sorted({name for name in strings(ipi["callback"].take(pa.array(rows))) if name})
    ours = _of_cause(capture, rows, cause)
    return Measured(len(ours), f"handlers: {', '.join(names) or 'none seen'}", _unseen_handlers(capture, ours, cause))


def _unseen_handlers(capture: Capture, handlers: NDArray[np.intp], cause: str) -> tuple[Event, ...]:
    """For each broadcast of `cause` the CPUs whose handler was not seen while the sender waited."""
    nr_cpus = capture.provenance.get("nr_cpus")
    if nr_cpus is None:
        return ()
    begin, end, _ = _broadcast_bounds(capture, cause)
    ts, cpu = (integers(capture["ipi"][name])[handlers] for name in ("ts_ns", "cpu"))
    missed = dict((capture.provenance.get("sidecars") or {}).get("kprobe_missed") or {})
    profile = ", ".join(f"{name} {n}" for name, n in missed.items() if "smp_sync" in name or "erratum" in name)
    events = []
    for b, e in zip(begin.tolist(), end.tolist(), strict=True):
        seen = cpu[(ts >= b) & (ts <= e)]
        lacking = int(nr_cpus) - 1 - len(seen)
        if lacking:
            why = f"handlers seen on CPUs {sorted(seen.tolist())} only; missed in kprobe_profile: {profile or 'none'}"
            events.append(Event(b, lacking, why))
    return tuple(events)


def _call_rows(capture: Capture, phase: str) -> NDArray[np.intp] | None:
    ipi = capture["ipi"]
    rows = where(ipi, "phase", phase)
    return np.intersect1d(rows, where(ipi, "reason", CALL)) if len(ipi) else None


def _broadcast_bounds(capture: Capture, cause: str | None = None) -> tuple[Int64s, Int64s, list[str | None]]:
    """Begin, end and cause of each broadcast, of one cause or of all; one still open ends with the recording."""
    sync = capture["sync"]
    sent = where(sync, "kind", "broadcast")
    if cause is not None:
        sent = np.intersect1d(sent, where(sync, "cause", cause))
    begin, end = integers(sync["ts_ns"])[sent], integers(sync["end_ns"])[sent]
    return begin, np.where(end == UNKNOWN, capture.span_ns[1], end), strings(sync["cause"].take(pa.array(sent)))


def _of_cause(capture: Capture, rows: NDArray[np.intp], cause: str) -> NDArray[np.intp]:
    """The rows of `ipi` inside a broadcast of `cause`: the sender waits, so its targets' handlers run within it.

    Where broadcasts overlap, a row belongs to the one that began last.
    """
    begin, end, causes = _broadcast_bounds(capture)
    ts = integers(capture["ipi"]["ts_ns"])[rows]
    owner = np.full(len(rows), UNKNOWN, np.int64)
    for n, (first, past) in enumerate(zip(np.searchsorted(ts, begin), np.searchsorted(ts, end, "right"), strict=True)):
        owner[first:past] = n
    wanted = np.array([c == cause for c in causes] + [False])  # the last stands for UNKNOWN, -1
    kept: NDArray[np.intp] = rows[wanted[owner]]
    return kept
