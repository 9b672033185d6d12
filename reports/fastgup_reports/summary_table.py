"""The table of mechanisms, each number of summary.json under its own heading; what is not known says so, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastgup_reports.lead import Numbers, value
from fastgup_reports.panels.ipis_over_time import CAUSES
from fastgup_reports.theme import count, duration, esc, is_number, size, style

NONE: Final = "–"


@dataclass(frozen=True)
class Column:
    """One column: its heading, where its number is in the summary, how it is written.

    `of` is the number without which there is nothing to tell (no batch, no latency), and `none` says so;
    `unknown` is the reason to give where the number is null.
    """

    heading: str
    path: tuple[str, ...]
    write: Callable[[object], str] = count
    of: tuple[str, ...] = ()
    none: str = ""
    unknown: str = "the capture or the mechanism's model does not tell this"


_BATCHES: Final = ("rcu", "batches")
_NO_BATCH: Final = "no table went through RCU"
_FREED_LATE: Final = "no batch was freed within the recording"
_NO_PROBE: Final = "the capture has no probe on the fast-GUP calls"

GROUPS: Final[tuple[tuple[str, tuple[Column, ...]], ...]] = (
    ("IPIs", (Column("broadcasts", ("ipis", "broadcasts")), Column("interrupts", ("ipis", "interrupts")))),
    (
        "RCU",
        (
            Column("batches", _BATCHES),
            Column("tables per batch, mean", ("rcu", "tables_per_batch_mean"), of=_BATCHES, none=_NO_BATCH),
            Column("tables per batch, max", ("rcu", "tables_per_batch_max"), of=_BATCHES, none=_NO_BATCH),
            Column("held, max", ("rcu", "held_bytes_max"), size, of=_BATCHES, none=_NO_BATCH),
            Column("queue to free, p50", ("rcu", "queue_to_free_ns_p50"), duration, _BATCHES, _NO_BATCH, _FREED_LATE),
            Column("queue to free, p99", ("rcu", "queue_to_free_ns_p99"), duration, _BATCHES, _NO_BATCH, _FREED_LATE),
        ),
    ),
    (
        "Walks",
        tuple(Column(path, ("walks", path), unknown=_NO_PROBE) for path in ("fast", "slow", "mixed", "livelocked")),
    ),
    (
        "Hazards",
        (
            Column("use of a freed table", ("hazards", "table_use_after_free")),
            Column("split race", ("hazards", "split_race")),
            Column("free before TLBI", ("hazards", "free_before_tlbi")),
        ),
    ),
)

DETAILS: Final[tuple[tuple[str, tuple[Column, ...]], ...]] = (
    (
        "Tables",
        (
            Column("freed", ("tables", "freed")),
            Column("at once", ("tables", "at_once")),
            Column("batched", ("tables", "batched")),
            Column("by IPI", ("tables", "by_ipi")),
        ),
    ),
    (
        "Interrupts (broadcasts), by cause",
        tuple(Column(words, ("ipis", "by_cause", cause)) for cause, words in CAUSES.items()),
    ),
    (
        "Sender's wait",
        (
            Column("total", ("ipis", "wait_ns_total"), duration, ("ipis", "broadcasts"), "no broadcast, nobody waits"),
            Column("max", ("ipis", "wait_ns_max"), duration, ("ipis", "broadcasts"), "no broadcast, nobody waits"),
        ),
    ),
    ("Walks", (Column("total", ("walks", "total"), unknown=_NO_PROBE),)),
)


def table(mechanisms: Mapping[str, Any], groups: tuple[tuple[str, tuple[Column, ...]], ...], caption: str) -> str:
    """The HTML table, its footnotes (why a number is missing) below it. `caption` is plain text."""
    notes: dict[str, int] = {}
    top = "".join(f'<th scope="colgroup" colspan="{len(columns)}">{esc(name)}</th>' for name, columns in groups)
    heads = "".join(
        f'<th scope="col"{" class=first" if i == 0 else ""}>{esc(column.heading)}</th>'
        for _, columns in groups
        for i, column in enumerate(columns)
    )
    body = "".join(
        f'<tr><th scope="row"><span class="key" style="background:{style(position).colour}"></span>{esc(name)}</th>'
        + "".join(
            f"<td{' class=first' if i == 0 else ''}>{_cell(numbers, column, notes)}</td>"
            for _, columns in groups
            for i, column in enumerate(columns)
        )
        + "</tr>\n"
        for position, (name, numbers) in enumerate(mechanisms.items())
    )
    foot = "".join(f"<li>{esc(reason)}</li>" for reason in notes)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{esc(caption)}"><table>\n'
        f"<caption>{esc(caption)}</caption>\n"
        f'<thead><tr><th rowspan="2" scope="col">mechanism</th>{top}</tr><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n" + (f'<ol class="notes">{foot}</ol>\n' if foot else "")
    )


def _cell(numbers: Numbers, column: Column, notes: dict[str, int]) -> str:
    number = value(numbers, *column.path)
    if isinstance(number, Mapping):  # one cause: {"broadcasts": 385, "interrupts": 1155}
        sent, broadcasts = value(number, "interrupts"), value(number, "broadcasts")
        if is_number(sent):
            return esc(count(sent)) + (f' <span class="quiet">({esc(count(broadcasts))})</span>' if sent else "")
        number = None
    if column.of and value(numbers, *column.of) == 0 and not number:
        return _noted(NONE, column.none, notes)
    if not is_number(number):
        return _noted(column.write(None), column.unknown, notes)
    return esc(column.write(number))


def _noted(text: str, reason: str, notes: dict[str, int]) -> str:
    mark = notes.setdefault(reason, len(notes) + 1)
    return f'<span class="quiet" title="{esc(reason)}">{esc(text)}<sup>{mark}</sup></span>'
