"""`fastgup-trace formats`: the recordings that can be read, how each is recognised, and the events that tables need."""

from __future__ import annotations

import argparse

NAME = "formats"
HELP = "list the formats of recordings and the events that the tables are made of"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = "example: `fastgup-trace formats | grep walk` shows the events that the table walk is made of"


def run(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fastgup_trace.ingest.formats import FORMATS
    from fastgup_trace.probes.catalog import PROBES

    if args.json:
        import json

        formats = [{"name": known.name, "recognised_by": known.recognised_by} for known in FORMATS]
        print(json.dumps({"formats": formats, "probes": [asdict(probe) for probe in PROBES]}, indent=1))
    else:
        print(_text())
    return 0


def _text() -> str:
    from fastgup_trace.cli.text import count, table
    from fastgup_trace.ingest.formats import FORMATS
    from fastgup_trace.probes.catalog import PROBES

    formats = table(("format", "recognised by"), [(known.name, known.recognised_by) for known in FORMATS])
    # The catalogue has what belongs together side by side, not always of one table.
    order = list(dict.fromkeys(probe.table for probe in PROBES))
    probes = table(
        ("table", "event", "tells", "recorded as, in"),
        [
            (probe.table, probe.event, probe.tells, probe.kernels)
            for probe in sorted(PROBES, key=lambda probe: order.index(probe.table))
        ],
    )
    return "\n".join([
        formats,
        "",
        "The content decides, not the name; `ingest --format NAME` says otherwise. `ingest` takes several recordings",
        "of one run together, if they have one clock.",
        "",
        probes,
        "",
        f"{count(len(PROBES))} probes; * stands for the rest of a name. Records of the function tracers under these",
        "names count too. Other events are counted, and kept with `ingest --keep-raw`.",
    ])  # fmt: skip
