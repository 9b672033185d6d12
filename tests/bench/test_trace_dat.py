"""trace.dat of millions of events: this tool, trace-cmd report and trappy on one file, in one run.

FASTGUP_BENCH_RECORDING names the file; without it a shared recording is repeated until it has 200 MB.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from bench.big_recordings import repeated, shared_source
from bench.measure import INGEST, Cost, given, run, say, table

pytestmark = pytest.mark.benchmark

_TRAPPY = "import sys, trappy; trappy.FTrace(sys.argv[1], scope='all', events=['sched_switch'])"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = given("FASTGUP_BENCH_RECORDING")
    return found or repeated(shared_source(), tmp_path_factory.mktemp("bench") / "big.dat", 200 << 20)


def test_against_trace_cmd_and_trappy(recording: Path, tmp_path: Path) -> None:
    if shutil.which("trace-cmd") is None:
        pytest.skip("trace-cmd is not installed")
    rows: list[tuple[str, Cost]] = []
    run(*INGEST, str(recording), "-o", str(tmp_path / "first"), "--json")  # compiles, and fills the page cache
    for name, more in (("ingest", ()), ("ingest --keep-raw", ("--keep-raw",))):
        best = min(
            (
                run(*INGEST, str(recording), "-o", str(tmp_path / "capture"), "--force", "--json", *more)
                for _ in range(3)
            ),
            key=lambda found: found[0].cpu_s,
        )
        rows.append((name, best[0]))
    said = json.loads(rows[0][1].output)
    events = sum(said["events"].values())
    reported, lines = run("trace-cmd", "report", str(recording))
    rows.append(("trace-cmd report", reported))
    if importlib.util.find_spec("trappy"):
        rows.append(("trappy FTrace, sched_switch alone", run(sys.executable, "-c", _TRAPPY, str(recording))[0]))
    say(table(recording.name, events, rows, "trace-cmd report"))
    if not importlib.util.find_spec("trappy"):
        say("trappy is not installed: left out")
    # trace-cmd prints a line of `cpus=N` and one for each gap besides the events.
    assert events <= lines <= events + 1000
    assert rows[0][1].cpu_s < reported.cpu_s
