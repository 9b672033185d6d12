"""`fastgup-trace report OUTCOME -o report.html`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from fastgup_trace.errors import UsageError

NAME: Final = "report"
HELP: Final = "draw an outcome as one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("outcome", metavar="OUTCOME", type=Path, help="a folder that `fastgup-trace replay` wrote")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, default=Path("report.html"), help="the page (default: report.html)"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    from fastgup_trace.cli.arrow import leave_pandas_out

    """Write the page and say where it is. Raises FastgupError for what can't be read or written."""

    leave_pandas_out()
    page: Path = args.output
    if page.is_dir():
        raise UsageError(str(page), "a name for the page", "a folder", "add a file name, such as report.html")
    from fastgup_trace import api
    from fastgup_trace.tables import refuse_existing, write_file

    refuse_existing(page, args.force)
    text = api.report(args.outcome)
    write_file(page, text)
    print(f"{page}: {len(text.encode()) / 1e6:.1f} MB, opens in any browser, offline")
    return 0
