"""perf.data of a million samples and more: this tool and perf script on one file, in one run.

FASTGUP_BENCH_PERF_DATA names the file; without it perf records its own benchmark of the scheduler, where it may.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from bench.measure import INGEST, Cost, given, run, say, table

pytestmark = pytest.mark.benchmark

_EVENTS = "sched:sched_switch,sched:sched_waking,sched:sched_wakeup,exceptions:page_fault_user,kmem:mm_page_alloc"
_WORKLOAD = ("perf", "bench", "-f", "simple", "sched", "messaging", "-l", "8000")


def _recorded(path: Path) -> Path:
    line = ["perf", "record", "-q", "-o", str(path), "-a", "-m", "8192", "-e", _EVENTS, "--", *_WORKLOAD]
    if subprocess.run(line, capture_output=True, check=False).returncode or not path.is_file():
        pytest.skip("perf may not record tracepoints here; name a file in FASTGUP_BENCH_PERF_DATA")
    return path


def test_against_perf_script(tmp_path: Path) -> None:
    if shutil.which("perf") is None:
        pytest.skip("perf is not installed")
    recording = given("FASTGUP_BENCH_PERF_DATA") or _recorded(tmp_path / "perf.data")
    run(*INGEST, str(recording), "-o", str(tmp_path / "first"))  # compiles, and fills the page cache
    rows: list[tuple[str, Cost]] = []
    for name, more in (("ingest", ()), ("ingest --keep-raw", ("--keep-raw",))):
        line = (*INGEST, str(recording), "-o", str(tmp_path / "capture"), "--force", "--json", *more)
        rows.append((name, min((run(*line)[0] for _ in range(3)), key=lambda cost: cost.cpu_s)))
    counts = json.loads(rows[0][1].output)["events"]
    samples = sum(count for name, count in counts.items() if not name.startswith("PERF_RECORD_"))
    script, lines = run("perf", "script", "-i", str(recording))
    rows.append(("perf script", script))
    say(table(recording.name, samples, rows, "perf script"))
    assert samples == lines  # tracepoints without callchains: a line each
    assert rows[0][1].cpu_s < script.cpu_s
