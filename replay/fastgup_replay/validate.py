"""Predicted against measured, on a kernel that contains the mechanism.

A quantity is one row of QUANTITIES: how the replay's summary gives it and how `measured` does. They never read the
same field. A difference is explained event by event or not at all: `explained` is null when the sum of the events
that account for it is not the difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastgup_replay import measured, measured_ipis
from fastgup_replay.columns import UNKNOWN, Int64s, integers, strings
from fastgup_replay.measured import Callbacks, Event, Measured
from fastgup_replay.mechanisms import mechanism
from fastgup_replay.outcome import CAUSES, Outcome
from fastgup_replay.policies import Mechanism, Walker
from fastgup_replay.replay import replay
from fastgup_replay.timeline import fold_laps
from fastgup_trace.errors import ModelError
from fastgup_trace.probes.pairing import last_before
from fastgup_trace.tables import Capture


@dataclass(frozen=True)
class Row:
    """One quantity. `error` is predicted less measured, null when one is not known."""

    quantity: str
    predicted: int | float | None
    measured: int | float | None
    kind: str
    source: str
    explained: str | None
    accounted: tuple[Event, ...]
    evidence: str = "observed"

    @property
    def error(self) -> int | float | None:
        return None if self.predicted is None or self.measured is None else self.predicted - self.measured

    @property
    def exact(self) -> bool:
        """Whether a count agrees, or its whole difference is accounted for, or the measure itself is only inferred."""
        return self.error == 0 or self.explained is not None or self.evidence == "inferred"

    def as_dict(self) -> dict[str, Any]:
        return {
            "quantity": self.quantity, "predicted": self.predicted, "measured": self.measured, "error": self.error,
            "kind": self.kind, "evidence": self.evidence, "explained": self.explained, "source": self.source,
            "accounted": [{"ts_ns": e.ts_ns, "amount": e.amount, "why": e.why} for e in self.accounted],
        }  # fmt: skip


def recorded_mechanism(capture: Capture) -> Mechanism:
    """The mechanism of the recorded kernel. Raises ModelError if nothing beside the recording names it."""
    name = capture.provenance.get("mechanism")
    if not name:
        raise ModelError(
            "capture", "the recorded kernel's mechanism in its meta.json", "none", "name it with --mechanism NAME"
        )
    return mechanism(str(name))


def validate(capture: Capture, name: str | None = None) -> tuple[Mechanism, list[Row]]:
    """Replay the recorded kernel's mechanism (or `name`) and hold each quantity against the recording."""
    chosen = mechanism(name) if name else recorded_mechanism(capture)
    outcome = replay(capture, [chosen.name])
    rows = [_row(quantity, capture, outcome, chosen) for quantity in QUANTITIES]
    return chosen, [row for row in rows if row is not None]


Measure = Callable[[Capture, Outcome], Measured | int | None]


@dataclass(frozen=True)
class Quantity:
    """One thing to hold: its name is the path of keys in the summary, unless `predict` says otherwise."""

    name: str
    measure: Measure
    kind: str = "count"
    predict: Callable[[dict[str, Any], Mechanism], Any] | None = None


def _row(quantity: Quantity, capture: Capture, outcome: Outcome, chosen: Mechanism) -> Row | None:
    """The row of one quantity, None where nothing measures it."""
    summary = outcome.summary["mechanisms"][chosen.name]
    predicted = quantity.predict(summary, chosen) if quantity.predict else _lookup(summary, quantity.name)
    found = quantity.measure(capture, outcome)
    if found is None:
        return None
    seen = found if isinstance(found, Measured) else Measured(found, "")
    error = None if predicted is None else predicted - seen.value
    missing = seen.missing if error else ()
    whole = error is not None and error != 0 and sum(event.amount for event in missing) == error
    explained = _explain(missing) if whole else None
    if predicted is None and quantity.name.startswith("walks."):
        explained = NOT_PREDICTED
    return Row(
        quantity.name, predicted, seen.value, quantity.kind, seen.source,
        explained, missing, "observed" if seen.exact else "inferred",
    )  # fmt: skip


def _lookup(summary: dict[str, Any], dotted: str) -> Any:
    value: Any = summary
    for key in dotted.split("."):
        value = value["by_cause"][key] if key in value.get("by_cause", ()) else value[key]
    return value


def _explain(missing: tuple[Event, ...]) -> str:
    """The events in one line: the reasons, each with its sum and how many events."""
    amounts: dict[str, list[int]] = defaultdict(list)
    for event in missing:
        amounts[event.why].append(event.amount)
    return "; ".join(f"{sum(parts):+d} in {len(parts)}: {why}" for why, parts in amounts.items())


def _expected(outcome: Outcome) -> measured.Expected:
    """The size that the model gives each batch the kernel queued: the thread's last batch in the model before it."""
    batch = outcome.tables["batch"]
    order = np.lexsort((integers(batch["queued_ns"]), integers(batch["tid"])))
    tid, ts, size = (integers(batch[name])[order] for name in ("tid", "queued_ns", "nr_tables"))

    def sizes(found: Callbacks) -> Int64s:
        at = last_before(tid, ts, found.tid, found.queued_ns, or_at=True)
        return np.where(at >= 0, size[np.maximum(at, 0)], UNKNOWN) if len(size) else np.full(len(at), UNKNOWN)

    return sizes


def _batched(capture: Capture, outcome: Outcome) -> Measured | None:
    return measured.batched(capture, _expected(outcome))


def _freed(capture: Capture, outcome: Outcome) -> Measured | None:
    """Tables by whatever path the kernel took: the sum of the three."""
    parts = [_at_once(capture, outcome), _batched(capture, outcome), _by_ipi(capture, outcome)]
    known = [part for part in parts if part is not None]
    if parts[1] is None and parts[0] is None:
        return None
    missing = tuple(event for part in known for event in part.missing)
    return Measured(sum(part.value for part in known), "at once + batched + by IPI", missing)


def _at_once(capture: Capture, _: Outcome) -> Measured | None:
    return measured.path(capture, "at_once")


def _by_ipi(capture: Capture, _: Outcome) -> Measured | None:
    return measured.path(capture, "by_ipi") or measured_ipis.broadcasts(capture, "table_free")


def _percentile(q: int) -> Measure:
    def measure(capture: Capture, _: Outcome) -> Measured | None:
        values = measured.latencies_ns(capture)
        if values is None:
            return None
        value = int(values[max(0, -(-len(values) * q // 100) - 1)])
        return Measured(value, "call_rcu to callback")

    return measure


def _ipis(measure: Callable[[Capture, str], Measured | None], cause: str) -> Measure:
    def applicable(capture: Capture, _: Outcome) -> Measured | None:
        # Erratum 798181 is the Cortex-A15's.
        if cause == "erratum" and capture.provenance.get("arch") != "arm":
            return None
        return measure(capture, cause)

    return applicable


def _walks(path: str) -> Measure:
    """Calls that the kernel served by `path`; each lap that get_futex_key makes is a call of its own there."""

    def measure(capture: Capture, _: Outcome) -> Measured | None:
        seen, folded = strings(capture["walk"]["path"]), strings(fold_laps(capture["walk"])["path"])
        if None in seen:
            return None
        laps = seen.count(path) - folded.count(path)
        why = "laps of a shared futex on a THP tail page, one call to the replay"
        missing = (Event(capture.span_ns[0], -laps, why),) if laps else ()
        return Measured(seen.count(path), "the path of each call, as the recording shows it", missing)

    return measure


def _walks_predicted(path: str) -> Callable[[dict[str, Any], Mechanism], Any]:
    """Without a walker every call is slow; with one it follows from what the walk got, where a probe of its own tells.

    Otherwise only the recorded path does, and that is what is measured.
    """

    def predict(summary: dict[str, Any], chosen: Mechanism) -> Any:
        told = chosen.walker is Walker.NONE or summary["evidence"]["walk_results"] == "observed"
        return summary["walks"][path] if told else None

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
    Quantity("rcu.batches", lambda capture, _: measured.batches(capture)),
    Quantity("rcu.tables_per_batch_max", lambda capture, out: measured.largest_batch(capture, _expected(out))),
    Quantity(
        "rcu.batches_of_other_size",
        lambda capture, out: measured.sizes_that_differ(capture, _expected(out)),
        predict=lambda summary, _: 0,
    ),
    *(
        quantity
        for cause in HELD_CAUSES
        for quantity in (
            Quantity(f"ipis.{cause}.broadcasts", _ipis(measured_ipis.broadcasts, cause)),
            Quantity(f"ipis.{cause}.interrupts", _ipis(measured_ipis.interrupts, cause)),
        )
    ),
    Quantity("ipis.interrupts", lambda capture, _: measured_ipis.counted_interrupts(capture)),
    Quantity("walks.fast", _walks("fast"), predict=_walks_predicted("fast")),
    Quantity("walks.slow", _walks("slow"), predict=_walks_predicted("slow")),
    Quantity("rcu.queue_to_free_ns_p50", _percentile(50), "latency"),
    Quantity("rcu.queue_to_free_ns_p99", _percentile(99), "latency"),
)
