"""`fastgup-trace validate CAPTURE`: the replay's numbers against what the recorded kernel was seen to do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastgup_replay.validate import Row

NAME = "validate"
HELP = "hold the replay's numbers against what the recorded kernel did"

EVENTS_SHOWN = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", type=Path, metavar="CAPTURE", help="a folder that `fastgup-trace ingest` made")
    parser.add_argument(
        "-m",
        "--mechanism",
        metavar="NAME",
        help="the mechanism that the recorded kernel has (default: as its meta.json says)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with every event that accounts for a difference"
    )
    parser.add_argument("--events", action="store_true", help="print every event that accounts for a difference")


def run(args: argparse.Namespace) -> int:
    from fastgup_trace.cli.arrow import leave_pandas_out

    """Exit code 0 when every count agrees or is accounted for, 1 when one does not."""
    from fastgup_trace import api

    leave_pandas_out()

    chosen, rows = api.validate(args.capture, args.mechanism)
    wrong = [row for row in rows if row.kind == "count" and row.predicted is not None and not row.exact]
    if args.json:
        import json

        print(json.dumps({"mechanism": chosen.name, "rows": [row.as_dict() for row in rows]}, indent=1))
    else:
        _print(chosen.name, rows, wrong, events=args.events)
    return 1 if wrong else 0


def _print(name: str, rows: list[Row], wrong: list[Row], *, events: bool) -> None:
    from fastgup_trace.cli.text import table

    print(f"Predicted by the replay of {name}, measured on the recorded kernel\n")
    print(
        table(
            ("quantity", "predicted", "measured", "error", "measured from"),
            [_cells(row) for row in rows],
            align="lrrrl",
        )
    )
    for row in rows:
        if row.error and row.kind == "count":
            print(f"\n{row.quantity}: {_verdict(row)}")
            shown = row.accounted if events else row.accounted[:EVENTS_SHOWN]
            for event in shown:
                print(f"  {event.ts_ns / 1e9:.9f} s  {event.amount:+d}  {event.why}")
            if len(shown) < len(row.accounted):
                print(f"  and {len(row.accounted) - len(shown)} more (--events shows all)")
    counts = [row for row in rows if row.kind == "count" and row.predicted is not None]
    exact = sum(row.error == 0 for row in counts)
    bounds = sum(bool(row.error) and row.evidence == "inferred" for row in counts)
    accounted = len(counts) - exact - bounds - len(wrong)
    told = f", {bounds} known as a bound only" if bounds else ""
    print(f"\n{exact} of {len(counts)} counts exact, {accounted} accounted for{told}, {len(wrong)} not.")


def _verdict(row: Row) -> str:
    if row.evidence == "inferred":
        return f"a bound only; measured from {row.source}"
    return row.explained or "the difference is not accounted for"


def _cells(row: Row) -> tuple[object, ...]:
    from fastgup_trace.cli.text import count, duration

    if row.kind == "latency":
        share = f"{row.error / row.measured:+.0%}" if row.error is not None and row.measured else "-"
        return row.quantity, duration(row.predicted), duration(row.measured), share, row.source
    return row.quantity, count(row.predicted), count(row.measured), count(row.error), row.source
