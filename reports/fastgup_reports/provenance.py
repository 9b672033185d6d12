"""The foot of the page: what was recorded, on what it was replayed, and how far each number can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fastgup_reports.lead import value
from fastgup_reports.theme import NOT_KNOWN, count, duration, esc, is_number, size

OPEN_LOOP: Final = (
    "The replay is open loop: the workload's own time stamps stand, and what a mechanism would delay is accounted but "
    "not fed back into the workload. Every figure of waiting and of holding on this page is to be read so. "
    "All mechanisms see the same workload."
)

LABELS: Final = {
    "name": "name", "workload": "workload", "machine": "machine", "kernel_release": "kernel",
    "mechanism": "has mechanism", "arch": "architecture", "nr_cpus": "CPUs", "hz": "HZ", "page_size": "page size",
    "levels": "page-table levels", "tracer": "tracer", "clock": "clock", "lost": "lost events",
    "losses_unknown": "losses of unknown size", "start_ns": "first record", "end_ns": "last record",
}  # fmt: skip
"""Keys of provenance and platform -> label, in the order of the page; other keys follow under their own names."""


def name(capture: Mapping[str, Any]) -> str | None:
    """What a reader calls the recording: its name in a sidecar, else its file."""
    files = [value(each, "file") for each in _recordings(capture)]
    found = value(capture, "sidecars", "meta", "name") or ", ".join(str(file) for file in files if file)
    return str(found) if found else None


def _recordings(capture: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = capture.get("recordings")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def recordings(capture: Mapping[str, Any]) -> str:
    """A table of the files that the capture was made from."""
    rows = "".join(
        "<tr>" + "".join(f'<td class="text">{_fact(key, each.get(key))}</td>' for key in _FILE) + "</tr>\n"
        for each in _recordings(capture)
    )
    heads = "".join(f'<th scope="col">{esc(label)}</th>' for label in _FILE.values())
    return _scroll("Recordings", f"<thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody>") if rows else ""


_FILE: Final = {"file": "file", "format": "format", "bytes": "size", "sha256": "sha256"}


def definitions(facts: Mapping[str, Any]) -> str:
    """A definition list of `facts`: the labelled ones first, then the rest by name, each with its evidence.

    The evidence of a fact is under its key in `facts["evidence"]`. Null is not known.
    """
    shown = [key for key in facts if key not in ("evidence", "recordings")]
    known = [key for key in LABELS if key in shown]
    rest = sorted(key for key in shown if key not in LABELS)
    rows = "".join(
        f"<dt>{esc(LABELS.get(key, _words(key)))}</dt><dd>{_fact(key, facts[key])}{_evidence_of(facts, key)}</dd>\n"
        for key in [*known, *rest]
    )
    return f"<dl>\n{rows}</dl>\n" if rows else f"<p>{NOT_KNOWN}</p>\n"


def _evidence_of(facts: Mapping[str, Any], key: str) -> str:
    seen = value(facts, "evidence", key)
    return f' <span class="quiet">({esc(seen)})</span>' if isinstance(seen, str) else ""


def _scroll(label: str, table: str) -> str:
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{esc(label)}">'
        f'<table class="plain">{table}</table></div>\n'
    )


def _words(key: object) -> str:
    return str(key).replace("_", " ")


def _fact(key: str, fact: Any) -> str:
    if fact is None:
        return f'<span class="quiet">{NOT_KNOWN}</span>'
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if is_number(fact):
        if key in ("bytes", "size_bytes", "page_size"):
            return esc(f"{count(fact)} bytes" if fact < 1_000_000 else f"{size(fact)} ({count(fact)} bytes)")
        if key in ("start_ns", "end_ns"):
            return esc(f"{fact / 1e9:,.6f} s on the recording's clock")
        if key.endswith("_ns"):
            return esc(duration(fact))
        return esc(count(fact) if isinstance(fact, int) else fact)
    if isinstance(fact, str):
        return f"<code>{esc(fact)}</code>" if key == "sha256" else esc(fact)
    if isinstance(fact, Mapping | list) and not fact:
        return "none"
    if isinstance(fact, Mapping) and len(fact) <= 60:
        rows = "".join(f"<dt>{esc(_words(k))}</dt><dd>{_fact(str(k), v)}</dd>" for k, v in fact.items())
        return f"<details><summary>{count(len(fact))} entries</summary><dl>{rows}</dl></details>"
    if isinstance(fact, list) and all(isinstance(item, str | int) for item in fact) and len(fact) <= 60:
        return esc("; ".join(str(item) for item in fact))
    text = esc_lines(json.dumps(fact, indent=1, ensure_ascii=False))
    return f"<details><summary>show</summary><pre>{text}</pre></details>"


def caveats(summary: Mapping[str, Any]) -> list[str]:
    """The replay's own caveats, the open loop's among them in any case."""
    said = summary.get("caveats")
    own = [str(each) for each in said if isinstance(each, str)] if isinstance(said, list) else []
    return [OPEN_LOOP, *(each for each in own if not each.lower().startswith("open loop"))]


def esc_lines(text: str) -> str:
    """`text` of several lines, escaped line by line."""
    return "\n".join(esc(line) for line in text.split("\n"))


def evidence(mechanisms: Mapping[str, Any]) -> str:
    """A table of each mechanism's `evidence`: a row a mechanism, a column a group of numbers."""
    each = {
        name: part["evidence"]
        for name, part in mechanisms.items()
        if isinstance(part, Mapping) and isinstance(part.get("evidence"), Mapping)
    }
    groups = list(dict.fromkeys(group for part in each.values() for group in part))
    if not groups:
        return f"<p>Evidence of the numbers: {NOT_KNOWN}.</p>\n"
    heads = "".join(f'<th scope="col">{esc(_words(group))}</th>' for group in groups)
    rows = "".join(
        f'<tr><th scope="row">{esc(name)}</th>'
        + "".join(f'<td class="text">{_fact(group, part.get(group))}</td>' for group in groups)
        + "</tr>\n"
        for name, part in each.items()
    )
    head = f'<thead><tr><th scope="col">mechanism</th>{heads}</tr></thead>'
    return _scroll("Evidence", f"{head}<tbody>\n{rows}</tbody>")
