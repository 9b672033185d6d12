"""Predicted against measured, on a kernel that contains the mechanism.

What is held is listed in `quantities`. A difference is explained event by event or not at all: `explained` is null
when the sum of the events that account for it is not the difference.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from fastgup_replay.measured import Event
from fastgup_replay.mechanisms import mechanism
from fastgup_replay.policies import Mechanism
from fastgup_replay.quantities import NOT_PREDICTED, QUANTITIES, Case, Quantity, on_each_cpu
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
    case = Case(capture, replay(capture, [chosen.name]), chosen)
    quantities = (*QUANTITIES, *on_each_cpu(capture))
    rows = [_row(quantity, case) for quantity in quantities]
    return chosen, [row for row in rows if row is not None]


def _row(quantity: Quantity, case: Case) -> Row | None:
    """The row of one quantity, None where nothing measures it."""
    predicted, seen = quantity.predicted(case), quantity.measure(case)
    if seen is None:
        return None
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


def _explain(missing: tuple[Event, ...]) -> str:
    """The events in one line: the reasons, each with its sum and how many events."""
    amounts: dict[str, list[int]] = defaultdict(list)
    for event in missing:
        amounts[event.why].append(event.amount)
    return "; ".join(f"{sum(parts):+d} in {len(parts)}: {why}" for why, parts in amounts.items())
