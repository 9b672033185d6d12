"""What `validate` holds: each quantity by how the replay predicts it and how the recording measures it.

The two sides never read the same field of a capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from fastgup_replay import measured, measured_ipis
from fastgup_replay.columns import UNKNOWN, Int64s, integers, strings
from fastgup_replay.measured import Callbacks, Event, Measured
from fastgup_replay.outcome import CAUSES, Outcome
from fastgup_replay.policies import Mechanism, Walker
from fastgup_replay.summary import percentile
from fastgup_replay.timeline import fold_laps
from fastgup_trace.probes.pairing import last_before
from fastgup_trace.tables import Capture


@dataclass(frozen=True)
class Case:
    """One capture and the replay of one mechanism over it: what every quantity is predicted and measured from."""

    capture: Capture
    outcome: Outcome
    mechanism: Mechanism

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.outcome.summary["mechanisms"][self.mechanism.name]
        return found

    @cached_property
    def callbacks(self) -> Callbacks | None:
        return measured.callbacks(self.capture)

    @cached_property
    def model_sizes(self) -> Int64s:
        """The size that the model gives each batch the kernel queued: its thread's last batch in the model by then."""
        found, batch = self.callbacks, self.outcome.tables["batch"]
        if found is None or not len(batch):
            return np.full(0 if found is None else len(found.tid), UNKNOWN)
        order = np.lexsort((integers(batch["queued_ns"]), integers(batch["tid"])))
        tid, ts, size = (integers(batch[name])[order] for name in ("tid", "queued_ns", "nr_tables"))
        at = last_before(tid, ts, found.tid, found.queued_ns, or_at=True)
        return np.where(at >= 0, size[np.maximum(at, 0)], UNKNOWN)


Measure = Callable[[Case], Measured | None]
Predict = Callable[[Case], Any]


@dataclass(frozen=True)
class Quantity:
    """One thing to hold: its name is the path of keys in the summary, unless `predict` says otherwise."""

    name: str
    measure: Measure
    kind: str = "count"
    predict: Predict | None = None

    def predicted(self, case: Case) -> Any:
        return self.predict(case) if self.predict else _lookup(case.summary, self.name)


def _lookup(summary: dict[str, Any], dotted: str) -> Any:
    value: Any = summary
    for key in dotted.split("."):
        value = value["by_cause"][key] if key in value.get("by_cause", ()) else value[key]
    return value


def _of_batches(measure: Callable[[Callbacks, Int64s], Measured | None]) -> Measure:
    return lambda case: None if case.callbacks is None else measure(case.callbacks, case.model_sizes)


_batched = _of_batches(measured.batched)


def _freed(case: Case) -> Measured | None:
    """Tables by whatever path the kernel took: the sum of the three."""
    parts = [_at_once(case), _batched(case), _by_ipi(case)]
    known = [part for part in parts if part is not None]
    if parts[1] is None and parts[0] is None:
        return None
    missing = tuple(event for part in known for event in part.missing)
    return Measured(sum(part.value for part in known), "at once + batched + by IPI", missing)


def _at_once(case: Case) -> Measured | None:
    return measured.path(case.capture, "at_once")


def _by_ipi(case: Case) -> Measured | None:
    return measured.path(case.capture, "by_ipi") or measured_ipis.broadcasts(case.capture, "table_free")


def _percentile(q: int) -> Measure:
    def measure(case: Case) -> Measured | None:
        found = None if case.callbacks is None else percentile(measured.latencies_ns(case.callbacks).tolist(), q)
        return None if found is None else Measured(found, "call_rcu to callback")

    return measure


def _ipis(measure: Callable[[Capture, str], Measured | None], cause: str) -> Measure:
    def applicable(case: Case) -> Measured | None:
        # Erratum 798181 is the Cortex-A15's.
        if cause == "erratum" and case.capture.provenance.get("arch") != "arm":
            return None
        return measure(case.capture, cause)

    return applicable


def _walks(path: str) -> Measure:
    """Calls that the kernel served by `path`; each lap that get_futex_key makes is a call of its own there."""

    def measure(case: Case) -> Measured | None:
        walks = case.capture["walk"]
        seen, folded = strings(walks["path"]), strings(fold_laps(walks)["path"])
        if None in seen:
            return None
        laps = seen.count(path) - folded.count(path)
        why = "laps of a shared futex on a THP tail page, one call to the replay"
        missing = (Event(case.capture.span_ns[0], -laps, why),) if laps else ()
        return Measured(seen.count(path), "the path of each call, as the recording shows it", missing)

    return measure


def _walks_predicted(path: str) -> Predict:
    """Without a walker every call is slow; with one it follows from what the walk got, where a probe of its own tells.

    Otherwise only the recorded path does, and that is what is measured.
    """

    def predict(case: Case) -> Any:
        told = case.mechanism.walker is Walker.NONE or case.summary["evidence"]["walk_results"] == "observed"
        return case.summary["walks"][path] if told else None

    return predict


NOT_PREDICTED: Final = (
    "not predicted: the recording has no probe of the walk's own result, and page tables are no model yet"
)

HELD_CAUSES: Final = tuple(cause for cause in CAUSES if cause != "tlb")

QUANTITIES: Final[tuple[Quantity, ...]] = (
    Quantity("tables.freed", _freed),
    Quantity("tables.at_once", _at_once),
    Quantity("tables.batched", _batched),
    Quantity("tables.by_ipi", _by_ipi),
    Quantity("rcu.batches", lambda case: measured.batches(case.capture, case.callbacks)),
    Quantity("rcu.tables_per_batch_max", _of_batches(measured.largest_batch)),
    Quantity("rcu.batches_of_other_size", _of_batches(measured.sizes_that_differ), predict=lambda _: 0),
    *(
        quantity
        for cause in HELD_CAUSES
        for quantity in (
            Quantity(f"ipis.{cause}.broadcasts", _ipis(measured_ipis.broadcasts, cause)),
            Quantity(f"ipis.{cause}.interrupts", _ipis(measured_ipis.interrupts, cause)),
        )
    ),
    Quantity("ipis.interrupts", lambda case: measured_ipis.counted_interrupts(case.capture)),
    Quantity("walks.fast", _walks("fast"), predict=_walks_predicted("fast")),
    Quantity("walks.slow", _walks("slow"), predict=_walks_predicted("slow")),
    Quantity("rcu.queue_to_free_ns_p50", _percentile(50), "latency"),
    Quantity("rcu.queue_to_free_ns_p99", _percentile(99), "latency"),
)


def on_each_cpu(capture: Capture) -> Iterator[Quantity]:
    """The interrupts of each CPU, where /proc/interrupts counts broadcasts alone."""
    for cpu in range(len(measured_ipis.counted_on_each_cpu(capture))):
        yield Quantity(f"ipis.interrupts.cpu{cpu}", _counted_on(cpu), predict=_received_by(cpu))


def _counted_on(cpu: int) -> Measure:
    source = f"/proc/interrupts, {measured_ipis.CALL}"
    return lambda case: Measured(measured_ipis.counted_on_each_cpu(case.capture)[cpu], source)


def _received_by(cpu: int) -> Predict:
    def predict(case: Case) -> int:
        targets = case.outcome.tables["ipi_target"]
        mine = integers(targets["target_cpu"]) == cpu
        return int(integers(targets["interrupts"])[mine].sum())

    return predict
