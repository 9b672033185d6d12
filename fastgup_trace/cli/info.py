"""`fastgup-trace info CAPTURE`: what was recorded, and which questions the capture can and cannot answer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from fastgup_trace.probes.questions import Answer
    from fastgup_trace.tables import Capture

NAME = "info"
HELP = "say what a capture holds and which questions it can answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", type=Path, metavar="CAPTURE", help="a folder that `fastgup-trace ingest` made")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from fastgup_trace.cli.arrow import leave_pandas_out
    from fastgup_trace.probes.questions import answers
    from fastgup_trace.tables import read_capture

    leave_pandas_out()

    capture = read_capture(args.capture)
    found = answers(capture.tables, capture.provenance)
    print(json.dumps(_document(capture, found), indent=1) if args.json else _text(capture, found))
    return 0


def _document(capture: Capture, found: list[Answer]) -> dict[str, Any]:
    return {
        "capture": capture.provenance,
        "tables": {name: {"rows": len(table), "evidence": _evidence(table)} for name, table in capture.tables.items()},
        "questions": [
            {"name": a.question.name, "asks": a.question.asks, "can": a.can, "rows": a.rows, "add": a.question.add}
            for a in found
        ],
    }


def _evidence(table: pa.Table) -> dict[str, int]:
    """Rows by evidence."""
    counts = table["evidence"].cast("string").value_counts().to_pylist()
    return {str(row["values"]): row["counts"] for row in counts}


def _text(capture: Capture, found: list[Answer]) -> str:
    from fastgup_trace.cli.text import count, table

    rows = [
        (name, len(rows), ", ".join(f"{word} {count(number)}" for word, number in _evidence(rows).items()))
        for name, rows in capture.tables.items()
        if len(rows)
    ]
    can = [
        (a.question.asks, a.rows if a.can == "yes" else "none seen, the probe was on") for a in found if a.can != "no"
    ]
    not_ = [(a.question.asks, a.question.add) for a in found if a.can == "no"]
    blocks = [_facts(capture), table(("table", "rows", "evidence"), rows, "lrl") if rows else "no table has rows"]
    if can:
        blocks.append(table(("it can answer", "rows"), can, "lr"))
    if not_:
        blocks.append(table(("it cannot answer", "add"), not_, "ll"))
    return "\n\n".join(blocks)


def _facts(capture: Capture) -> str:
    """What was recorded, on what, for how long, what is lost: one line each."""
    from fastgup_trace.cli.losses import lost_line
    from fastgup_trace.cli.sources import merge_lines
    from fastgup_trace.cli.text import count, duration, size
    from fastgup_trace.display import visible

    known = capture.provenance
    start, end = capture.span_ns

    def fact(key: str) -> str:
        value, evidence = known.get(key), known.get("evidence", {}).get(key, "observed")
        if value is None:
            return "not known"
        return f"{visible(str(value))}{'' if evidence == 'observed' else f' ({evidence})'}"

    files = [
        f"{visible(r['file'])}, {r['format']}, {size(r['bytes'])}, sha256 {r['sha256'][:16]}..."
        for r in known["recordings"]
    ]
    machine = f"{fact('arch')}, {fact('nr_cpus')} CPUs, pages of {fact('page_size')} bytes"
    number = sum(known["events"].values()) + known.get("leaf_calls", 0)
    records = f"{count(number)} records of {len(known['events'])} events"
    unit = known.get("clock_unit", "ns")
    span = duration(end - start) if unit == "ns" else f"{count(end - start)} {unit}, which are no nanoseconds"
    lines = [
        ("recording", "; ".join(files)),
        ("tracer", f"{fact('tracer')}, clock {fact('clock')}"),
        ("machine", f"{machine}, {fact('levels')} levels, HZ {fact('hz')}"),
        ("kernel", f"{fact('kernel_release')}, mechanism {fact('mechanism')}"),
        ("workload", fact("workload")),
        ("span", f"{span}, {records}"),
        ("lost", lost_line(known)),
    ]
    lines += [("merged", line) for line in merge_lines(known)]
    lines += [
        ("cut", visible(f"{d['where']}: expected {d['expected']}, found {d['found']}")) for d in known.get("damage", [])
    ]
    missed = known.get("sidecars", {}).get("kprobe_missed", {})
    if missed:
        lines.append(
            ("missed", ", ".join(f"{visible(name)} {number}" for name, number in missed.items()) + " (kprobe_profile)")
        )
    if known.get("undecodable"):
        lines.append(("undecodable", ", ".join(f"{visible(k)} {v}" for k, v in known["undecodable"].items())))
    return "\n".join(f"{name:<12}{value}" for name, value in lines)
