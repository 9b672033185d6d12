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

    `unknown` is why the number is null; but where the number at `of` is zero there is nothing to tell (no batch, no
    latency), and `none` says so.
    """

    heading: str
    path: tuple[str, ...]
    write: Callable[[object], str] = count
    unknown: str = ""
    of: tuple[str, ...] = ()
    none: str = ""


Groups = tuple[tuple[str, tuple[Column, ...]], ...]
"""Heading of a group -> its columns."""

_NO_WALKS: Final = "the capture has no probe on fast GUP (get_user_pages_fast)"
_NO_PATH: Final = "the capture has no probe on fast GUP, or none that tells the path under this mechanism"
_NO_TABLES: Final = "the capture has no probe on tables that leave their parent (tlb_remove_table)"
_NO_USERS: Final = "the capture does not tell mm_users, which decides between at once and batched"
_NO_BOUNDS: Final = "the capture does not tell when each walk begins and ends"
_NO_FLUSHES: Final = "the capture lacks the splits, collapses, flushes or context switches that decide it"


def _latency(heading: str, key: str) -> Column:
    return Column(heading, ("rcu", key), duration, _NO_TABLES, of=("rcu", "batches"), none="no batch to wait for")


GROUPS: Final[Groups] = (
    (
        "IPIs",
        (
            Column("broadcasts", ("ipis", "broadcasts"), unknown=_NO_FLUSHES),
            Column("interrupts", ("ipis", "interrupts"), unknown=_NO_FLUSHES),
        ),
    ),
    (
        "RCU",
        (
            Column("batches", ("rcu", "batches"), unknown=_NO_TABLES),
            Column("tables a batch, mean", ("rcu", "tables_per_batch_mean"), unknown=_NO_TABLES),
            Column("tables a batch, max", ("rcu", "tables_per_batch_max"), unknown=_NO_TABLES),
            Column("held, max", ("rcu", "held_bytes_max"), size, _NO_TABLES),
            _latency("queue to free, p50", "queue_to_free_ns_p50"),
            _latency("queue to free, p99", "queue_to_free_ns_p99"),
        ),
    ),
    (
        "Walks",
        tuple(Column(path, ("walks", path), unknown=_NO_PATH) for path in ("fast", "slow", "mixed", "livelocked")),
    ),
    (
        "Hazards",
        (
            Column("freed table used", ("hazards", "table_use_after_free"), unknown=_NO_BOUNDS),
            Column("split race", ("hazards", "split_race"), unknown=_NO_BOUNDS),
            Column("free before TLBI", ("hazards", "free_before_tlbi"), unknown=_NO_TABLES),
        ),
    ),
)

DETAILS: Final[Groups] = (
    (
        "Tables",
        (
            Column("freed", ("tables", "freed"), unknown=_NO_TABLES),
            Column("at once", ("tables", "at_once"), unknown=_NO_USERS),
            Column("batched", ("tables", "batched"), unknown=_NO_USERS),
            Column("by IPI", ("tables", "by_ipi"), unknown=_NO_TABLES),
        ),
    ),
    (
        "Batches",
        (
            Column("full", ("rcu", "full_batches"), unknown=_NO_TABLES),
            Column("in flight at the end", ("rcu", "in_flight"), unknown=_NO_TABLES),
        ),
    ),
    (
        "Interrupts (broadcasts) by cause",
        tuple(Column(words, ("ipis", "by_cause", cause), unknown=_NO_FLUSHES) for cause, words in CAUSES.items()),
    ),
    (
        "Sender's wait",
        (
            Column("total", ("ipis", "wait_ns_total"), duration, _NO_BOUNDS),
            Column("max", ("ipis", "wait_ns_max"), duration, _NO_BOUNDS),
        ),
    ),
    (
        "Spins on walkers",
        (
            Column("spins", ("spins", "count"), unknown=_NO_BOUNDS),
            Column("total", ("spins", "wait_ns_total"), duration, _NO_BOUNDS),
        ),
    ),
    ("Walks", (Column("total", ("walks", "total"), unknown=_NO_WALKS),)),
)
"""Groups that no mechanism's summary has are left out."""


def table(mechanisms: Mapping[str, Any], groups: Groups, caption: str) -> str:
    """The HTML table, its footnotes (why a number is missing) below it. `caption` is plain text."""
    notes: dict[str, int] = {}
    groups = tuple(group for group in groups if not mechanisms or any(_has(m, group) for m in mechanisms.values()))
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


def _has(numbers: Numbers, group: tuple[str, tuple[Column, ...]]) -> bool:
    return any(column.path[-1] in (value(numbers, *column.path[:-1]) or ()) for column in group[1])


def _cell(numbers: Numbers, column: Column, notes: dict[str, int]) -> str:
    number, behind = value(numbers, *column.path), ""
    if isinstance(number, Mapping):  # one cause: {"broadcasts": 385, "interrupts": 1155}
        broadcasts, number = value(number, "broadcasts"), value(number, "interrupts")
        behind = f' <span class="quiet">({esc(count(broadcasts))})</span>' if number else ""
    if is_number(number):
        return esc(column.write(number)) + behind
    if column.of and value(numbers, *column.of) == 0:
        return _noted(NONE, column.none, notes)
    return _noted(column.write(None), column.unknown, notes)


def _noted(text: str, reason: str, notes: dict[str, int]) -> str:
    mark = notes.setdefault(reason, len(notes) + 1)
    return f'<span class="quiet" title="{esc(reason)}">{esc(text)}<sup>{mark}</sup></span>'
