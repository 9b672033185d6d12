"""ftrace text of hundreds of MB: this tool, and pandas, polars and pyarrow with one regular expression, in one run.

The peers split lines into task, pid, tgid, cpu, flags, time, event and body, each in the way that its documentation
shows, and keep them in memory; this tool reads the bodies of the probed events too, types their fields and writes the
capture. FASTGUP_BENCH_TEXT names the text; without it a shared or shipped one is repeated until it has 300 MB.
FASTGUP_BENCH_PYTHON names an interpreter that has the peers, where this one has not.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench.measure import INGEST, Cost, given, run, say, table
from shared_captures import ROOT, shared

pytestmark = pytest.mark.benchmark

_REGEX = (
    r"^ *(?P<comm>.{1,40}?)-(?P<pid>\d+) +(?:\( *(?P<tgid>[\d-]+)\) +)?\[(?P<cpu>\d+)\] +(?:(?P<flags>\S{3,9}) +)?"
    r"(?P<ts>\d+\.\d+): (?P<event>[^\s:(]+)(?:: |\(| -> | <-)?(?P<body>.*)$"
)
_PEERS = {
    "pandas": """
import pandas as pd
found = pd.Series(open(path).read().splitlines()).str.extract(regex).dropna(how="all")
""",
    "polars": """
import polars as pl
lines = pl.read_csv(path, has_header=False, new_columns=["line"], separator="\\x01", quote_char=None)["line"]
found = lines.str.extract_groups(regex).struct.unnest().drop_nulls("event")
""",
    "pyarrow": """
import pyarrow.compute as pc, pyarrow.csv as csv
options = csv.ReadOptions(column_names=["line"]), csv.ParseOptions(delimiter="\\x01", quote_char=False)
found = pc.drop_null(pc.extract_regex(csv.read_csv(path, *options)["line"], regex))
""",
}
_BYTES = 300 << 20
_STAMP = re.compile(rb"^(.{20,60}?)(\d+)\.(\d{6}): (.*)$", re.DOTALL)


def repeated_text(source: Path, target: Path, size_bytes: int) -> Path:
    """Write the records of `source` again and again, each turn behind the last one in time."""
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    head = [line for line in lines if line.startswith(b"#") and b"entries-in-buffer" not in line]
    records = [found.groups() for line in lines if not line.startswith(b"#") and (found := _STAMP.match(line))]
    times_us = [int(seconds) * 10**6 + int(fraction) for _, seconds, fraction, _ in records]
    step_us, written = max(times_us) - min(times_us) + 1000, 0
    with target.open("wb") as file:
        file.writelines(head)
        turn = 0
        while written < size_bytes:
            for (before, _, _, rest), time_us in zip(records, times_us, strict=True):
                written += file.write(b"%s%d.%06d: %s" % (before, *divmod(time_us + turn * step_us, 10**6), rest))
            turn += 1
    return target


def _source() -> Path:
    folder = shared()
    if folder:
        return folder / "captures" / "arm64-unmap_mt" / "ftrace.txt.gz"
    found = sorted((ROOT / "datasets" / "captures").glob("*/ftrace.txt.gz"))
    if not found:
        pytest.skip("neither the shared recordings nor those of datasets/captures are here")
    return found[0]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = given("FASTGUP_BENCH_TEXT")
    return found or repeated_text(_source(), tmp_path_factory.mktemp("bench") / "trace.txt", _BYTES)


def test_against_regular_expressions(text: Path, tmp_path: Path) -> None:
    python = os.environ.get("FASTGUP_BENCH_PYTHON", sys.executable)
    run(*INGEST, str(text), "-o", str(tmp_path / "first"))  # compiles, and fills the page cache
    line = (*INGEST, str(text), "-o", str(tmp_path / "capture"), "--force")
    ours = min((run(*line)[0] for _ in range(3)), key=lambda cost: cost.cpu_s)
    rows: list[tuple[str, Cost]] = [("ingest", ours)]
    counted = set()
    for name, code in _PEERS.items():
        program = f"import sys\npath, regex = sys.argv[1:]\n{code}print(len(found))"
        if subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode:
            say(f"{name} is not installed: left out")
            continue
        cost, _ = run(python, "-c", program, str(text), _REGEX)
        counted.add(int(cost.output))
        rows.append((name, cost))
    if len(rows) == 1:
        pytest.skip("no peer is installed")
    assert len(counted) == 1  # Of each other's lines none is missed.
    fastest = min(rows[1:], key=lambda row: row[1].cpu_s)
    say(table(f"{text.name}, {text.stat().st_size / 1e6:.0f} MB", counted.pop(), rows, fastest[0]))
    say(f"{text.stat().st_size / 1e6 / ours.cpu_s:.0f} MB of text a CPU second")
    assert all(ours.cpu_s < cost.cpu_s for _, cost in rows[1:])
