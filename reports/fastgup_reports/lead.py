"""The answer in a few sentences, computed from the summary: who interrupts, what RCU holds, what walks do, what is unsafe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastgup_reports.panels.ipis_over_time import CAUSES
from fastgup_reports.theme import NOT_KNOWN, count, duration, is_number, listed, plural, size

Numbers = Mapping[str, Any]
"""One mechanism's part of summary.json."""


def value(numbers: Numbers, *path: str) -> Any:
    """The number at `path` of a summary; None where it is absent or null."""
    found: Any = numbers
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def sentences(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(topic, sentences), both plain text. Mechanisms that give the same answer share a sentence."""
    replayed = summary.get("mechanisms")
    mechanisms = (
        {str(k): v for k, v in replayed.items() if isinstance(v, Mapping)} if isinstance(replayed, Mapping) else {}
    )
    if not mechanisms:
        return [("Nothing replayed", "The outcome has no mechanism.")]
    topics = (("Interrupts", _ipis), ("Memory", _memory), ("Walks", _walks), ("Safety", _safety))
    return [(topic, _together(mechanisms, say)) for topic, say in topics]


def _together(mechanisms: Mapping[str, Numbers], say: Callable[[Numbers], tuple[str, str]]) -> str:
    """One sentence for each distinct answer, the mechanisms that give it in front, in the order of the summary.

    `say` yields what one mechanism does and what several do.
    """
    answers: dict[tuple[str, str], list[str]] = {}
    for name, numbers in mechanisms.items():
        answers.setdefault(say(numbers), []).append(name)
    return " ".join(f"{listed(names)} {one if len(names) == 1 else many}." for (one, many), names in answers.items())


def _same(text: str) -> tuple[str, str]:
    return text, text


def _ipis(numbers: Numbers) -> tuple[str, str]:
    sent, broadcasts = value(numbers, "ipis", "interrupts"), value(numbers, "ipis", "broadcasts")
    if not is_number(sent) or not is_number(broadcasts):
        return _same(f"interrupts: {NOT_KNOWN}")
    if not sent and not broadcasts:
        return "sends no IPI", "send no IPI"
    by_cause = value(numbers, "ipis", "by_cause")
    each = {
        CAUSES.get(cause, str(cause)): value(part, "interrupts")
        for cause, part in (by_cause.items() if isinstance(by_cause, Mapping) else ())
        if isinstance(part, Mapping) and value(part, "interrupts")
    }
    if len(each) == 1:
        why = f", all for {next(iter(each))}"
    elif each:
        parts = sorted(each.items(), key=lambda item: -item[1])
        why = ": " + listed([f"{count(number)} for {cause}" for cause, number in parts])
    else:
        why = ""
    rest = f"{plural(sent, 'interrupt')} in {plural(broadcasts, 'broadcast')}{why}"
    return f"sends {rest}", f"send {rest} each" if not why.startswith(":") else f"each send {rest}"


def _memory(numbers: Numbers) -> tuple[str, str]:
    batches, tables = value(numbers, "rcu", "batches"), value(numbers, "rcu", "tables")
    freed = value(numbers, "tables", "freed")
    if not is_number(batches):
        return _same(f"RCU batches: {NOT_KNOWN}")
    if not batches:
        return "hands no table to RCU", "hand no table to RCU"
    of = f" of the {count(freed)} tables freed" if is_number(freed) and freed != tables else " tables"
    share = "all " if is_number(freed) and freed == tables else ""
    rest = f"{share}{count(tables)}{of} to RCU in {plural(batches, 'batch', 'batches')}"
    if is_number(mean := value(numbers, "rcu", "tables_per_batch_mean")):
        rest += (
            f" ({count(float(mean))} tables a batch, at most {count(value(numbers, 'rcu', 'tables_per_batch_max'))})"
        )
    if is_number(held := value(numbers, "rcu", "held_bytes_max")):
        rest += f", holding up to {size(held)}"
    if is_number(p50 := value(numbers, "rcu", "queue_to_free_ns_p50")):
        rest += f"; half of the batches are free within {duration(p50)}"
        if is_number(p99 := value(numbers, "rcu", "queue_to_free_ns_p99")):
            rest += f", 99 % within {duration(p99)}"
    return f"hands {rest}", f"hand {rest}"


def _walks(numbers: Numbers) -> tuple[str, str]:
    total, fast = value(numbers, "walks", "total"), value(numbers, "walks", "fast")
    if not is_number(total):
        return _same(f"walks: {NOT_KNOWN}")
    if not total:
        return "meets no fast-GUP call in this capture", "meet no fast-GUP call in this capture"
    if not is_number(fast):
        return _same(f"path of the {plural(total, 'walk')}: {NOT_KNOWN}")
    livelocked = value(numbers, "walks", "livelocked")
    tail = (
        f"; {plural(livelocked, 'walk')} never end{'s' if livelocked == 1 else ''}"
        if is_number(livelocked) and livelocked
        else ""
    )
    if not fast:
        rest = f"none of {plural(total, 'walk')} fast{tail}"
    else:
        rest = f"{count(fast)} of {plural(total, 'walk')} fast ({100 * fast / total:.0f} %){tail}"
    return f"serves {rest}", f"serve {rest}"


HAZARDS = {
    "table_use_after_free": "could have used a freed table",
    "split_race": "could have raced a split",
    "free_before_tlbi": "were free before the TLB invalidation that covers them",
}


def _safety(numbers: Numbers) -> tuple[str, str]:
    found = {kind: value(numbers, "hazards", kind) for kind in HAZARDS}
    if not all(is_number(number) for number in found.values()):
        unknown = listed([kind.replace("_", " ") for kind, number in found.items() if not is_number(number)])
        return _same(f"hazards ({unknown}): {NOT_KNOWN}")
    if not any(found.values()):
        rest = "no hazard on this workload"
        return f"shows {rest}", f"show {rest}"
    walks = [
        f"{plural(found[kind], 'overlap')} in which a walk {HAZARDS[kind]}" for kind in list(HAZARDS)[:2] if found[kind]
    ]
    early = found["free_before_tlbi"]
    tables = (
        [f"{plural(early, 'table')} free before the TLB invalidation that covers {'it' if early == 1 else 'them'}"]
        if early
        else []
    )
    rest = listed(walks + tables)
    return f"shows {rest}", f"show {rest}"
