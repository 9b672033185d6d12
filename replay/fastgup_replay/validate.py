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

from fastgup_replay import measured as kernel
from fastgup_replay.measured import Measured
from fastgup_replay.mechanisms import Mechanism, mechanism
from fastgup_replay.outcome import CAUSES, Outcome
from fastgup_replay.replay import replay
from fastgup_trace.errors import ModelError
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
    accounted: tuple[kernel.Event, ...]
    evidence: str = "observed"

    @property
    def error(self) -> int | float | None:
        return None if self.predicted is None or self.measured is None else self.predicted - self.measured

    @property
    def exact(self) -> bool:
        """Whether a count agrees, at once or with every part of the difference accounted for."""
        return self.error == 0 or self.explained is not None

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
    rows = [_row(quantity, capture, outcome, chosen.name) for quantity in QUANTITIES]
    return chosen, [row for row in rows if row is not None]


Measure = Callable[[Capture, Outcome], Measured | int | None]


@dataclass(frozen=True)
class Quantity:
    """One thing to hold: its name is the path of keys in the summary, unless `predict` says otherwise."""

    name: str
    measure: Measure
    kind: str = "count"
    predict: Callable[[dict[str, Any]], Any] | None = None


def _row(quantity: Quantity, capture: Capture, outcome: Outcome, name: str) -> Row | None:
    """The row of one quantity, None where neither side has anything to say."""
    summary = outcome.summary["mechanisms"][name]
    predicted = quantity.predict(summary) if quantity.predict else _lookup(summary, quantity.name)
    found = quantity.measure(capture, outcome)
    if found is None:
        return None
    seen = found if isinstance(found, Measured) else Measured(found, "")
    error = None if predicted is None else predicted - seen.value
    missing = seen.missing if error else ()
    whole = error is not None and error != 0 and sum(event.amount for event in missing) == error
    return Row(
        quantity.name, predicted, seen.value, quantity.kind, seen.source,
        _explain(missing) if whole else None, missing,
    )  # fmt: skip


def _lookup(summary: dict[str, Any], dotted: str) -> Any:
    value: Any = summary
    for key in dotted.split("."):
        value = value["by_cause"][key] if key in value.get("by_cause", ()) else value[key]
    return value


def _explain(missing: tuple[kernel.Event, ...]) -> str:
    """The events in one line: the reasons, each with how many events and their sum."""
    sums: dict[str, list[int]] = defaultdict(list)
    for event in missing:
        sums[event.why.rpartition(": ")[2] if event.why.startswith("batch of") else event.why].append(event.amount)
    parts = [f"{sum(amounts):+d} in {len(amounts)}: {why}" for why, amounts in sums.items()]
    return "; ".join(parts)


def _batched(capture: Capture, outcome: Outcome) -> Measured | None:
    """Measured with, for the batches whose callback was not seen, the size that their gather's tables say."""
    batch = outcome.tables["batch"]
    sizes = dict(zip(batch["queued_ns"].to_pylist(), batch["nr_tables"].to_pylist(), strict=True))
    found = kernel.callbacks(capture)
    order = sorted(sizes)

    def expected(n: int) -> int | None:
        # call_rcu follows its gather's flush at once: the last batch that the model queued before it.
        assert found is not None
        import bisect

        at = bisect.bisect_right(order, int(found.queued_ns[n])) - 1
        return None if at < 0 else int(sizes[order[at]])

    return kernel.batched(capture, expected)


def _freed(capture: Capture, outcome: Outcome) -> Measured | None:
    """Tables by whatever path the kernel took: the sum of the three."""
    parts = [_at_once(capture, outcome), _batched(capture, outcome), _by_ipi(capture, outcome)]
    known = [part for part in parts if part is not None]
    if parts[1] is None and parts[0] is None:
        return None
    missing = tuple(event for part in known for event in part.missing)
    return Measured(sum(part.value for part in known), "at once + batched + by IPI", missing)


def _at_once(capture: Capture, _: Outcome) -> Measured | None:
    return kernel.path(capture, "at_once")


def _by_ipi(capture: Capture, _: Outcome) -> Measured | None:
    return kernel.path(capture, "by_ipi") or kernel.broadcasts(capture, "table_free")


def _percentile(q: int) -> Measure:
    def measure(capture: Capture, _: Outcome) -> Measured | None:
        values = kernel.latencies_ns(capture)
        if values is None:
            return None
        value = int(values[max(0, -(-len(values) * q // 100) - 1)])
        return Measured(value, "call_rcu to callback")

    return measure


def _broadcasts(cause: str) -> Measure:
    return lambda capture, _: kernel.broadcasts(capture, cause)


def _interrupts(cause: str) -> Measure:
    return lambda capture, _: kernel.interrupts(capture, cause)


HELD_CAUSES: Final = tuple(cause for cause in CAUSES if cause != "tlb")

QUANTITIES: Final[tuple[Quantity, ...]] = (
    Quantity("tables.freed", _freed),
    Quantity("tables.at_once", _at_once),
    Quantity("tables.batched", _batched),
    Quantity("tables.by_ipi", _by_ipi),
    Quantity("rcu.batches", lambda capture, _: kernel.batches(capture)),
    Quantity("rcu.tables_per_batch_max", lambda capture, _: kernel.largest_batch(capture)),
    *(
        quantity
        for cause in HELD_CAUSES
        for quantity in (
            Quantity(f"ipis.{cause}.broadcasts", _broadcasts(cause)),
            Quantity(f"ipis.{cause}.interrupts", _interrupts(cause)),
        )
    ),
    Quantity("ipis.interrupts", lambda capture, _: kernel.counted_interrupts(capture)),
    Quantity("rcu.queue_to_free_ns_p50", _percentile(50), "latency"),
    Quantity("rcu.queue_to_free_ns_p99", _percentile(99), "latency"),
)
