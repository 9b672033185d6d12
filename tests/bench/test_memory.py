"""The largest memory of an ingest of a recording far larger than its windows: FASTGUP_BENCH_GB of it, 1 by default."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench.big_recordings import repeated, shared_source
from bench.measure import INGEST, given, run, say

pytestmark = pytest.mark.benchmark

RSS_BYTES_MAX = 600e6


@pytest.mark.parametrize("more", [(), ("--keep-raw",)], ids=["probed", "keep-raw"])
def test_memory_stays_flat(more: tuple[str, ...], tmp_path: Path) -> None:
    size = int(float(os.environ.get("FASTGUP_BENCH_GB", "1")) * 1e9)
    path = repeated(given("FASTGUP_BENCH_RECORDING") or shared_source(), tmp_path / "big.dat", size)
    cost, _ = run(*INGEST, str(path), "-o", str(tmp_path / "capture"), "--json", *more)
    events = sum(json.loads(cost.output)["events"].values())
    size = path.stat().st_size
    path.unlink()
    say(
        f"{size / 1e9:.2f} GB, {events:,} events, ingest {' '.join(more)}: {cost.rss_bytes / 1e6:.0f} MB, "
        f"{cost.cpu_s:.1f} CPU s, {cost.wall_s:.1f} s"
    )
    assert events > 0
    assert cost.rss_bytes < RSS_BYTES_MAX
