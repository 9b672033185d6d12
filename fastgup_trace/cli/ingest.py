"""`fastgup-trace ingest RECORDING... -o CAPTURE`: a recording becomes a folder of Arrow tables."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastgup_trace.tables import Capture

NAME = "ingest"
HELP = "turn a recording, or several of one run, into a capture"

_UNWANTED_SHOWN: Final = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="RECORDING",
        help="what a tracer wrote (see `fastgup-trace formats`), or dataset:NAME of the catalogue",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CAPTURE", help="the folder to make")
    parser.add_argument("--force", action="store_true", help="replace a capture that is there")
    parser.add_argument("--keep-raw", action="store_true", help="keep all fields of all events too, under raw/")
    parser.add_argument(
        "--meta", type=Path, metavar="DIR", help="where meta.json and the counters lie (default: beside it)"
    )
    parser.add_argument("--format", metavar="NAME", help="the recording's format (default: as its content says)")
    parser.add_argument(
        "--kallsyms", type=Path, metavar="FILE", help="a copy of /proc/kallsyms, for recordings without symbols"
    )
    parser.add_argument(
        "--clock", metavar="NAME", help="the one trace clock of several recordings, where they do not tell it"
    )
    parser.add_argument(
        "--ts2secs", type=int, metavar="HZ", help="the rate of the counter (x86-tsc) that stamped the records"
    )
    parser.add_argument("--strict", action="store_true", help="refuse a recording that is cut")
    parser.add_argument(
        "--fail-on-loss", action="store_true", help="exit with 1 if events were lost, undecodable or cut off"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(args: argparse.Namespace) -> int:
    from fastgup_trace import api
    from fastgup_trace.cli.arrow import leave_pandas_out
    from fastgup_trace.cli.progress import progress_bar
    from fastgup_trace.display import visible
    from fastgup_trace.tables import refuse_existing

    leave_pandas_out()

    refuse_existing(args.output, args.force)
    started = time.monotonic()
    with progress_bar(Path(args.recordings[0]).name) as progress:
        capture = api.ingest_recording(
            *args.recordings, folder=args.output, force=args.force, format=args.format, meta=args.meta,
            kallsyms=args.kallsyms, clock=args.clock, ticks_per_second=args.ts2secs,
            strict=args.strict, keep_raw=args.keep_raw, progress=progress,
        )  # fmt: skip
    seconds = time.monotonic() - started
    print(json.dumps(summary(capture, seconds), indent=1) if args.json else _text(args.output, capture, seconds))
    for damage in capture.provenance["damage"]:
        print(f"fastgup-trace: warning: {visible(_sentence(damage))}", file=sys.stderr)
    return 1 if args.fail_on_loss and _is_incomplete(capture.provenance) else 0


def _sentence(damage: dict[str, str]) -> str:
    return f"{damage['where']}: expected {damage['expected']}, found {damage['found']}; what is before it was read"


def _is_incomplete(found: dict[str, Any]) -> bool:
    """Whether some event that happened is not in the capture."""
    return bool(found["lost"] or found["losses_unknown"] or found["undecodable"] or found["damage"])


def summary(capture: Capture, seconds: float) -> dict[str, Any]:
    """What `--json` prints: every record counted by name, rows by table, what was lost, bytes read, seconds."""
    found = capture.provenance
    return {
        "events": found["events"],
        "leaf_calls": found["leaf_calls"],
        "tables": found["tables"],
        "unwanted": found["unwanted"],
        "undecodable": found["undecodable"],
        "lost": found["lost"],
        "losses_unknown": found["losses_unknown"],
        "damage": found["damage"],
        "bytes": sum(recording["bytes"] for recording in found["recordings"]),
        "seconds": round(seconds, 6),
        "start_ns": found["start_ns"],
        "end_ns": found["end_ns"],
    }


def _text(folder: Path, capture: Capture, seconds: float) -> str:
    from fastgup_trace.cli.losses import losses_text, lost_line
    from fastgup_trace.cli.sources import merge_lines
    from fastgup_trace.cli.text import count, size, table
    from fastgup_trace.display import visible

    found, said = capture.provenance, summary(capture, seconds)
    rows = [(name, rows) for name, rows in found["tables"].items() if rows]
    events = sum(found["events"].values()) + found["leaf_calls"]
    lines = [table(("table", "rows"), rows) if rows else "no event of the recording says anything about the mm", ""]
    if found["unwanted"]:
        lines += [
            f"{count(sum(found['unwanted'].values()))} records that no table wants: {_listing(found['unwanted'])}"
        ]
    if found["undecodable"]:
        lines += [f"{count(sum(found['undecodable'].values()))} records not decoded: {_listing(found['undecodable'])}"]
    lines += merge_lines(found)
    missing = losses_text(capture)
    lines += ["", missing, "", lost_line(found)] if missing else [lost_line(found)]
    read = said["bytes"]
    lines += [
        f"{count(events)} records, {size(read)} in {seconds:.2f} s ({read / max(seconds, 1e-9) / 1e6:.1f} MB/s)"
        f" -> {visible(str(folder))}"
    ]
    return "\n".join(lines)


def _listing(counts: dict[str, int]) -> str:
    """`name count, ...`, the most frequent ones."""
    from fastgup_trace.cli.text import count
    from fastgup_trace.display import visible

    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{visible(name)} {count(number)}" for name, number in ordered[:_UNWANTED_SHOWN])
    rest = len(ordered) - _UNWANTED_SHOWN
    return f"{shown}, and {rest} more (--json lists all)" if rest > 0 else shown
