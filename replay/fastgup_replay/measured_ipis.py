"""The IPIs that the recorded kernel sent and took, from its own events and counters: see `measured`."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_replay.columns import UNKNOWN, Int64s, Rows, integers, strings, where
from fastgup_replay.measured import Event, Measured
from fastgup_replay.quiescence import covered
from fastgup_trace.tables import Capture

CALL: Final = "Function call interrupts"
SINGLE: Final = "Single function call interrupts"
HANDLERS: Final = {
    "split": ("do_nothing", "thp_splitting_flush_sync"),
    "table_free": ("tlb_remove_table_smp_sync",),
    "collapse": ("tlb_remove_table_smp_sync",),
    "erratum": ("ipi_flush_tlb_a15_erratum",),
}
"""What a broadcast of each cause runs on its targets: kick_all_cpus_sync (3.18) and the posted patches' own function;
mm/mmu_gather.c; arch/arm/kernel/smp_tlb.c."""


def calls_are_broadcasts(capture: Capture) -> bool:
    """Whether /proc/interrupts counts single-CPU function calls in a row of their own, as arm and arm64 of 2014 do.

    Then `Function call interrupts` are broadcasts alone, and may be told by their reason.
    """
    return SINGLE in _interrupts(capture)


def _interrupts(capture: Capture) -> dict[str, list[int]]:
    rows = (capture.provenance.get("sidecars") or {}).get("interrupts") or {}
    return {str(label): [int(n) for n in deltas] for label, deltas in rows.items()}


def counted_interrupts(capture: Capture) -> Measured | None:
    """`Function call interrupts` of /proc/interrupts, where these are broadcasts alone."""
    counted = counted_on_each_cpu(capture)
    return Measured(sum(counted), f"/proc/interrupts, {CALL}, after less before") if counted else None


def counted_on_each_cpu(capture: Capture) -> list[int]:
    """The same by CPU, empty where there is no such row."""
    return _interrupts(capture).get(CALL, []) if calls_are_broadcasts(capture) else []


def broadcasts(capture: Capture, cause: str) -> Measured | None:
    """Broadcasts of one cause that the kernel was seen to send."""
    if calls_are_broadcasts(capture):
        raised = _rows(capture, "raise", CALL)
        return None if raised is None else Measured(len(_of_cause(capture, raised, cause)), f"ipi_raise, {CALL}")
    if cause == "split":
        return _inside_splits(capture)
    sync = capture["sync"]
    rows = np.intersect1d(where(sync, "kind", "broadcast"), where(sync, "cause", cause))
    rows = rows[integers(sync["nr_targets"])[rows] != 0]  # a call that found nobody to interrupt is no broadcast
    functions = sorted({f for f in strings(sync["function"].take(pa.array(rows))) if f})
    return Measured(len(rows), ", ".join(functions) or "calls of the functions that broadcast")


def _inside_splits(capture: Capture) -> Measured | None:
    """IPIs to more than one CPU that a thread raised while it split a PMD.

    A kernel that merges calls raises to fewer, so this finds that there are any rather than how many. With two CPUs a
    broadcast looks like a wake-up, and nothing can be told.
    """
    ipi, thp = capture["ipi"], capture["thp"]
    raised = _rows(capture, "raise", CALL)
    if raised is None or (capture.provenance.get("nr_cpus") or 0) < 3:
        return None
    several = raised[integers(ipi["nr_targets"])[raised] > 1]
    splits = where(thp, "kind", "split_pmd")
    begin, end = integers(thp["ts_ns"])[splits], integers(thp["end_ns"])[splits]
    open_ended = end < begin
    inside = covered(
        integers(thp["tid"])[splits][~open_ended], begin[~open_ended], end[~open_ended],
        integers(ipi["tid"])[several], integers(ipi["ts_ns"])[several],
    )  # fmt: skip
    return Measured(int(inside.sum()), f"ipi_raise to several CPUs inside {len(splits)} splits")


def interrupts(capture: Capture, cause: str) -> Measured | None:
    """Handlers that ran on other CPUs for one cause; what each broadcast lacks of its targets is named.

    By the function that ran where a probe tells it, else by the reason of the IPI where that means broadcasts alone.
    """
    ipi = capture["ipi"]
    handlers = np.intersect1d(where(ipi, "phase", "handler"), where(ipi, "callback", *HANDLERS[cause]))
    if len(handlers) or not calls_are_broadcasts(capture):
        if cause == "split" and not len(handlers):
            return None  # no function is known that a split of these kernels would run elsewhere
        ours = _of_cause(capture, handlers, cause)
        source = f"handlers: {', '.join(HANDLERS[cause])}"
        return Measured(len(ours), source, _missed_hits(capture, _unseen(capture, ours, cause), cause))
    entered = _rows(capture, "entry", CALL)
    if entered is None:
        return None
    ours = _of_cause(capture, entered, cause)
    missing = tuple(Event(b, 1, _why_unseen(capture, target, b, e)) for b, e, target in _unseen(capture, ours, cause))
    return Measured(len(ours), f"ipi_entry, {CALL}", missing)


def _missed_hits(capture: Capture, unseen: list[tuple[int, int, int]], cause: str) -> tuple[Event, ...]:
    """Handlers unseen by a kprobe, as many as kprobe_profile counts: beyond that nothing explains them."""
    missed = dict((capture.provenance.get("sidecars") or {}).get("kprobe_missed") or {})
    hits = sum(int(missed.get(name, 0)) for name in HANDLERS[cause])
    why = f"handler unseen: kprobe_profile counts {hits} hits that its probe missed"
    return tuple(Event(begin_ns, 1, why) for begin_ns, _, _ in unseen[:hits])


def _unseen(capture: Capture, handlers: Rows, cause: str) -> list[tuple[int, int, int]]:
    """(begin, end, CPU) of each target of a broadcast of `cause` whose handler was not seen while the sender waited."""
    nr_cpus = capture.provenance.get("nr_cpus")
    if nr_cpus is None:
        return []
    ipi, sync = capture["ipi"], capture["sync"]
    rows = np.intersect1d(where(sync, "kind", "broadcast"), where(sync, "cause", cause))
    begin, end, _ = _broadcast_bounds(capture, cause)
    senders, reached = integers(sync["cpu"])[rows], integers(sync["nr_targets"])[rows]
    ts, cpu = (integers(ipi[name])[handlers] for name in ("ts_ns", "cpu"))
    unseen = []
    free = np.ones(len(ts), bool)
    # Broadcasts may overlap: each takes, on every CPU, the first handler in its wait that no other has taken, the one
    # that ends first choosing first.
    for n in np.argsort(end, kind="stable").tolist():
        window = np.arange(np.searchsorted(ts, begin[n]), np.searchsorted(ts, end[n], "right"))
        window = window[free[window]]
        taken, first = np.unique(cpu[window], return_index=True)
        free[window[first]] = False
        lacking = sorted(set(range(int(nr_cpus))) - set(taken.tolist()) - {int(senders[n])})
        reached_n = int(nr_cpus) - 1 if reached[n] == UNKNOWN else int(reached[n])
        unseen += [(int(begin[n]), int(end[n]), target) for target in lacking[: max(0, reached_n - len(taken))]]
    return unseen


def _why_unseen(capture: Capture, cpu: int, begin_ns: int, end_ns: int) -> str:
    """Why a handler that must have run, as the sender's wait ended, has no entry event."""
    ipi = capture["ipi"]
    rows = np.intersect1d(np.flatnonzero(integers(ipi["cpu"]) == cpu), where(ipi, "phase", "entry", "exit"))
    ts = integers(ipi["ts_ns"])[rows]
    first = int(np.searchsorted(ts, begin_ns))
    before = strings(ipi["phase"].take(pa.array(rows[max(first - 1, 0) : first])))
    if before == ["entry"] and first < len(ts) and ts[first] <= end_ns:
        return "no entry event: its CPU was inside another IPI's handler"
    return (
        "no entry event, though the sender's wait for its CPU ended: an IPI that interrupts the writing of a record is "
        "not traced, as it looks like a recursion before irq_enter"
    )


def _rows(capture: Capture, phase: str, reason: str) -> Rows | None:
    """Rows of `ipi` of that phase and reason, None for a recording without IPI events."""
    ipi = capture["ipi"]
    return np.intersect1d(where(ipi, "phase", phase), where(ipi, "reason", reason)) if len(ipi) else None


def _broadcast_bounds(capture: Capture, cause: str | None = None) -> tuple[Int64s, Int64s, list[str | None]]:
    """Begin, end and cause of each broadcast, of one cause or of all; one still open ends with the recording."""
    sync = capture["sync"]
    sent = where(sync, "kind", "broadcast")
    if cause is not None:
        sent = np.intersect1d(sent, where(sync, "cause", cause))
    begin, end = integers(sync["ts_ns"])[sent], integers(sync["end_ns"])[sent]
    return begin, np.where(end == UNKNOWN, capture.span_ns[1], end), strings(sync["cause"].take(pa.array(sent)))


def _of_cause(capture: Capture, rows: Rows, cause: str) -> Rows:
    """The rows of `ipi` inside a broadcast of `cause`: the sender waits, so its targets' handlers run within it.

    Where broadcasts overlap, a row belongs to the one that began last.
    """
    begin, end, causes = _broadcast_bounds(capture)
    ts = integers(capture["ipi"]["ts_ns"])[rows]
    owner = np.full(len(rows), UNKNOWN, np.int64)
    for n, (first, past) in enumerate(zip(np.searchsorted(ts, begin), np.searchsorted(ts, end, "right"), strict=True)):
        owner[first:past] = n
    wanted = np.array([c == cause for c in causes] + [False])  # the last stands for UNKNOWN, -1
    kept: Rows = rows[wanted[owner]]
    return kept
