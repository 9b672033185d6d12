"""The foot of the page: what was recorded, on what it was replayed, and how far each number can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fastgup_reports.theme import NOT_KNOWN, count, duration, esc, is_number, size

OPEN_LOOP: Final = (
    "The replay is open loop: the workload's own time stamps stand, and what a mechanism would delay is accounted but "
    "not fed back into the workload. Every figure of waiting and of holding on this page is to be read so. "
    "All mechanisms see the same workload."
)

LABELS: Final = {
    "source": "recording", "file": "recording", "path": "recording", "sha256": "sha256", "bytes": "size",
    "size_bytes": "size", "format": "format", "tracer": "tracer", "kernel_release": "kernel", "kernel": "kernel",
    "arch": "architecture", "machine": "machine", "nr_cpus": "CPUs", "cpus": "CPUs", "hz": "HZ",
    "page_size": "page size", "clock": "clock", "lost": "lost events", "lost_events": "lost events",
    "start_ns": "first record", "end_ns": "last record", "tool_version": "fastgup-trace", "tool": "fastgup-trace",
}  # fmt: skip
"""Keys of the provenance -> label, in the order of the page; other keys follow under their own names."""

ASSUMED_FIRST: Final = ("observed", "inferred", "assumed")


def definitions(facts: Mapping[str, Any]) -> str:
    """A definition list of `facts`: the labelled ones first, then the rest by name; null is not known."""
    known = [key for key in LABELS if key in facts]
    rest = sorted(key for key in facts if key not in LABELS)
    rows = "".join(
        f"<dt>{esc(LABELS.get(key, _words(key)))}</dt><dd>{_fact(key, facts[key])}</dd>\n" for key in [*known, *rest]
    )
    return f"<dl>\n{rows}</dl>\n" if rows else f"<p>{NOT_KNOWN}</p>\n"


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
    if isinstance(fact, Mapping) and fact and len(fact) <= 60:
        rows = "".join(f"<dt>{esc(_words(k))}</dt><dd>{_fact(str(k), v)}</dd>" for k, v in fact.items())
        return f"<details><summary>{count(len(fact))} entries</summary><dl>{rows}</dl></details>"
    if isinstance(fact, list) and all(isinstance(item, str | int) for item in fact) and len(fact) <= 60:
        return esc(", ".join(str(item) for item in fact)) if fact else "none"
    text = esc_lines(json.dumps(fact, indent=1, ensure_ascii=False))
    return f"<details><summary>show</summary><pre>{text}</pre></details>"


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
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="Evidence"><table class="plain">'
        f'<thead><tr><th scope="col">mechanism</th>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n'
    )
