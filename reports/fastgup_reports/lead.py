"""The answer in a few sentences, computed from the summary: interrupts, tables, memory, walks and safety."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastgup_reports.panels.ipis_over_time import CAUSES
from fastgup_reports.theme import NOT_KNOWN, count, duration, is_number, listed, plural, size

Numbers = Mapping[str, Any]
"""One mechanism's part of summary.json."""

Answer = tuple[str, str]
"""What one mechanism does, and what several do: `sends no IPI`, `send no IPI`."""


def value(numbers: Any, *path: str) -> Any:
    """The number at `path` of a summary; None where it is absent or null."""
    for key in path:
        numbers = numbers.get(key) if isinstance(numbers, Mapping) else None
    return numbers


def sentences(mechanisms: Mapping[str, Numbers]) -> list[tuple[str, list[str]]]:
    """(topic, its sentences), plain text. Mechanisms that give the same answer share a sentence."""
    if not mechanisms:
        return [("Nothing", ["No mechanism was replayed."])]
    return [
        ("Interrupts", _together(mechanisms, _ipis)),
        ("Tables", _together(mechanisms, _tables)),
        ("Memory", _memory(mechanisms)),
        ("Walks", _together(mechanisms, _walks)),
        ("Safety", _together(mechanisms, _safety)),
    ]


def _together(mechanisms: Mapping[str, Numbers], say: Callable[[Numbers], Answer]) -> list[str]:
    """A sentence for each distinct answer, the mechanisms that give it in front, in the order of the summary."""
    answers: dict[Answer, list[str]] = {}
    for name, numbers in mechanisms.items():
        answers.setdefault(say(numbers), []).append(name)
    return [f"{listed(names)} {one if len(names) == 1 else many}." for (one, many), names in answers.items()]


def _unknown(what: str) -> Answer:
    return f"– {what}: {NOT_KNOWN}", f"– {what}: {NOT_KNOWN}"


def _ipis(numbers: Numbers) -> Answer:
    parts = value(numbers, "ipis", "by_cause")
    by_cause = {str(cause): value(parts, cause, "interrupts") for cause in parts} if isinstance(parts, Mapping) else {}
    known = {cause: sent for cause, sent in by_cause.items() if is_number(sent)}
    sent, broadcasts = value(numbers, "ipis", "interrupts"), value(numbers, "ipis", "broadcasts")
    least, tail = "", ""
    if not is_number(sent) or not is_number(broadcasts):
        if not known:
            return _unknown("interrupts")
        # The whole is not known, but what is known of it is worth telling.
        sent, broadcasts = sum(known.values()), sum(value(parts, cause, "broadcasts") or 0 for cause in known)
        least = "at least "
        tail = f"; for {listed([CAUSES.get(cause, cause) for cause in by_cause if cause not in known])}: {NOT_KNOWN}"
    if not sent and not broadcasts:
        return f"sends no IPI{tail}", f"send no IPI{tail}"
    causes = sorted((cause for cause in known if known[cause] > 0), key=lambda cause: -known[cause])
    if len(causes) == 1:
        why = f", all for {CAUSES.get(causes[0], causes[0])}"
    else:
        why = "".join(f", {count(known[cause])} for {CAUSES.get(cause, cause)}" for cause in causes)
    rest = f"{least}{plural(sent, 'interrupt')} in {plural(broadcasts, 'broadcast')}{why}{tail}"
    return f"sends {rest}", f"each send {rest}"


def _tables(numbers: Numbers) -> Answer:
    batches, tables = value(numbers, "rcu", "batches"), value(numbers, "rcu", "tables")
    freed = value(numbers, "tables", "freed")
    if not is_number(batches) or not is_number(tables):
        return _unknown("tables handed to RCU")
    if not batches:
        rest = f"no table to RCU; {count(freed)} are freed without it" if is_number(freed) else "no table to RCU"
        return f"hands {rest}", f"hand {rest}"
    if freed == tables:
        share = f"all {plural(tables, 'table')}"
    else:
        share = f"{count(tables)} of {plural(freed, 'table')}" if is_number(freed) else plural(tables, "table")
    rest = f"{share} to RCU in {plural(batches, 'batch', 'batches')}"
    mean, most = (value(numbers, "rcu", f"tables_per_batch_{of}") for of in ("mean", "max"))
    if is_number(mean) and is_number(most):
        rest += f" of {count(float(mean))} tables on average and {count(most)} at most"
    return f"hands {rest}", f"hand {rest}"


def _memory(mechanisms: Mapping[str, Numbers]) -> list[str]:
    """How much is held for RCU and how long, from the least to the most of the mechanisms that batch."""
    batching = {name: numbers for name, numbers in mechanisms.items() if value(numbers, "rcu", "batches")}
    if not batching:
        none = all(value(numbers, "rcu", "batches") == 0 for numbers in mechanisms.values())
        return ["Nothing is held for RCU." if none else f"What is held for RCU: {NOT_KNOWN}."]
    said = []
    for key, what, write in (
        ("held_bytes_max", "At peak, batches hold {}.", size),
        ("queue_to_free_ns_p50", "Half of the batches are free {} after call_rcu.", lambda t: f"within {duration(t)}"),
        ("queue_to_free_ns_p99", "99% are free {} after call_rcu.", lambda t: f"within {duration(t)}"),
    ):
        found = {name: value(numbers, "rcu", key) for name, numbers in batching.items()}
        known = {name: number for name, number in found.items() if is_number(number)}
        if known:
            said.append(what.format(_range(known, write)))
    return said or [f"What is held for RCU: {NOT_KNOWN}."]


def _range(numbers: Mapping[str, Any], write: Callable[[object], str]) -> str:
    """`1.4 MB (rfc-v2)`, or from the least to the most: `1.2 MB (rfc-v2) to 1.4 MB (mainline-3.18)`."""
    least, most = min(numbers, key=lambda name: numbers[name]), max(numbers, key=lambda name: numbers[name])
    if write(numbers[least]) == write(numbers[most]):
        return f"{write(numbers[most])} ({listed(list(numbers))})"
    return f"{write(numbers[least])} ({least}) to {write(numbers[most]).removeprefix('within ')} ({most})"


def _walks(numbers: Numbers) -> Answer:
    total, fast = value(numbers, "walks", "total"), value(numbers, "walks", "fast")
    if not is_number(total):
        return _unknown("fast-GUP calls")
    if not total:
        return "– no fast-GUP call in this capture", "– no fast-GUP call in this capture"
    if not is_number(fast):
        return _unknown(f"path of {plural(total, 'fast-GUP call')}")
    rest = f"{count(fast) if fast else 'none'} of {plural(total, 'fast-GUP call')} fast"
    if fast:
        rest += f" ({share(fast, total)})"
    livelocked = value(numbers, "walks", "livelocked")
    if not is_number(livelocked):
        rest += "; how many never end is not known"
    elif livelocked:
        rest += f"; {count(livelocked)} never end{'s' if livelocked == 1 else ''}"
    return f"serves {rest}", f"serve {rest}"


_USE: Final = "in which a walk could have used a freed table"
_EARLY: Final = "free before the TLB invalidation that covers"
HAZARDS: Final = {
    "table_use_after_free": (f"overlap {_USE}", f"overlaps {_USE}"),
    "split_race": ("overlap of a walk with a split", "overlaps of a walk with a split"),
    "free_before_tlbi": (f"table {_EARLY} it", f"tables {_EARLY} them"),
}
"""Kind of hazard -> words for one and for several."""

_UNTOLD: Final = {
    "table_use_after_free": "use of a freed table",
    "split_race": "race with a split",
    "free_before_tlbi": "free before the TLB invalidation",
}


def _safety(numbers: Numbers) -> Answer:
    found = {kind: value(numbers, "hazards", kind) for kind in HAZARDS}
    seen = [plural(found[kind], *words) for kind, words in HAZARDS.items() if is_number(found[kind]) and found[kind]]
    unknown = [_UNTOLD[kind] for kind in HAZARDS if not is_number(found[kind])]
    if unknown and not seen:
        return _unknown(listed(unknown))
    rest = listed(seen) if seen else "no hazard on this workload"
    if unknown:
        rest += f" ({listed(unknown)}: {NOT_KNOWN})"
    return f"shows {rest}", f"show {rest}"


def share(part: int, whole: int) -> str:
    """`75%`; a part that is not the whole is not rounded to it, nor one that is something to nothing."""
    percent = round(100 * part / whole)
    if percent == 100 and part < whole:
        return "over 99%"
    return "under 1%" if percent == 0 and part else f"{percent}%"
