"""`fastgup-trace replay CAPTURE -o OUTCOME`: what each mechanism would have cost on a capture's workload."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAME = "replay"
HELP = "run a capture against models of page-table freeing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", type=Path, metavar="CAPTURE", help="a folder that `fastgup-trace ingest` made")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUTCOME", help="the outcome folder to make"
    )
    parser.add_argument(
        "-m", "--mechanism", action="append", metavar="MECHANISM",
        help="a mechanism to replay; repeat for more (default: seven, see `fastgup-trace mechanisms`)",
    )  # fmt: skip
    limits = parser.add_argument_group("what to replay (grace periods are always driven by the whole recording)")
    limits.add_argument("--pid", type=int, action="append", metavar="PID", help="only this process; may be repeated")
    limits.add_argument("--comm", action="append", metavar="NAME", help="only processes of this name; may be repeated")
    limits.add_argument(
        "--cpu", type=int, action="append", metavar="CPU", help="only operations on this CPU; may be repeated"
    )
    limits.add_argument(
        "--from", dest="from_s", type=seconds, metavar="S", help="from S seconds after the recording's start"
    )
    limits.add_argument(
        "--to", dest="to_s", type=seconds, metavar="S", help="up to S seconds after the recording's start"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, for a cover letter")
    parser.add_argument("--json", action="store_true", help="print summary.json instead of the table")
    parser.add_argument("--force", action="store_true", help="replace the outcome if it exists")


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:  # neither infinite nor no number
        raise ValueError(text)
    return value


def run(args: argparse.Namespace) -> int:
    from fastgup_trace import api
    from fastgup_trace.cli.arrow import leave_pandas_out
    from fastgup_trace.cli.progress import progress_bar
    from fastgup_trace.tables import refuse_existing

    leave_pandas_out()

    def nanoseconds(seconds: float | None) -> int | None:
        return None if seconds is None else round(seconds * 1e9)

    refuse_existing(args.output, args.force)
    with progress_bar("replay", in_bytes=False) as advance:
        outcome = api.replay(
            args.capture, args.mechanism, pids=args.pid, comms=args.comm, cpus=args.cpu,
            from_ns=nanoseconds(args.from_s), to_ns=nanoseconds(args.to_s), progress=advance,
        )  # fmt: skip
    api.write_outcome(args.output, outcome, force=args.force)
    if args.json:
        import json

        print(json.dumps(outcome.summary, indent=1))
        return 0
    print(summary_table(outcome.summary, markdown=args.markdown))
    if not args.markdown:
        for line in footnotes(outcome.summary):
            print(line)
        print(f"\nOutcome: {args.output} (draw it with `fastgup-trace report {args.output} -o report.html`)")
    return 0


HEADERS = ("mechanism", "IPIs", "interrupts", "freed", "at once", "by RCU", "by IPI", "batches", "tables/batch", "held",
           "p50", "p99", "fast", "slow", "livelock", "UAF", "races", "early")  # fmt: skip

LEGEND = """\
IPIs: broadcasts; interrupts: the CPUs they target; N+ is at least N, where the recording can't tell a cause.
freed = at once + by RCU + by IPI: page-table pages; held: the most memory in unlinked tables and batch pages.
p50, p99: from call_rcu to free. fast, slow, livelock: fast-GUP calls by how they would be served, or never.
UAF: walks over a freed table; races: walks over a split; early: tables free before the TLBI. -: not known."""


def summary_table(summary: dict[str, Any], *, markdown: bool) -> str:
    """One row for each mechanism of a summary.json."""
    from fastgup_trace.cli.text import count, duration, size, table

    rows = []
    for name, one in summary["mechanisms"].items():
        ipis, rcu, tables, walks, hazards = (one[key] for key in ("ipis", "rcu", "tables", "walks", "hazards"))
        rows.append((
            name, at_least(ipis, "broadcasts"), at_least(ipis, "interrupts"), tables["freed"], tables["at_once"],
            tables["batched"], tables["by_ipi"], rcu["batches"], count(rcu["tables_per_batch_mean"]),
            size(rcu["held_bytes_max"]), duration(rcu["queue_to_free_ns_p50"]), duration(rcu["queue_to_free_ns_p99"]),
            walks["fast"], walks["slow"], walks["livelocked"],
            hazards["table_use_after_free"], hazards["split_race"], hazards["free_before_tlbi"],
        ))  # fmt: skip
    return table(HEADERS, rows, align="l" + "r" * (len(HEADERS) - 1), markdown=markdown)


def at_least(ipis: dict[str, Any], key: str) -> str:
    """A total of all causes; the sum of the known ones and a `+` where one is not known, `-` where that sum is 0."""
    from fastgup_trace.cli.text import count

    if ipis[key] is not None:
        return count(ipis[key])
    known = sum(cause[key] or 0 for cause in ipis["by_cause"].values())
    return f"{known:,}+" if known else "-"


def footnotes(summary: dict[str, Any]) -> list[str]:
    """What the reader of the table must know: its columns, the capture's gaps, and the replay's caveats."""
    gaps = dict.fromkeys(gap for one in summary["mechanisms"].values() for gap in one["evidence"]["gaps"])
    return ["", LEGEND, *(f"Not known: {gap}" for gap in gaps), *summary["caveats"]]
