"""A recording of a megabyte: the wall seconds of a first run, with no code of numba's kept, and of a second.

Python's own bytecode is what the installation left: pip compiles it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.measure import INGEST, run, say
from shared_captures import ROOT

pytestmark = pytest.mark.benchmark


def _size_of(path: Path) -> int:
    return path.stat().st_size


def test_a_small_recording_is_ingested_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = sorted((ROOT / "datasets" / "captures").glob("*/trace.dat"), key=_size_of)
    if not recordings:
        pytest.skip("the recordings of datasets/captures are not in this checkout")
    recording = min(recordings, key=lambda path: abs(_size_of(path) - (1 << 20)))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "compiled"))
    walls = []
    for number in range(2):
        cost, _ = run(*INGEST, str(recording), "-o", str(tmp_path / f"capture{number}"))
        walls.append(cost.wall_s)
    name, size = recording.parent.name, _size_of(recording) / 1e6
    say(f"{name}, {size:.2f} MB: first {walls[0]:.2f} s, second {walls[1]:.2f} s")
    assert walls[0] < 1.5
    assert walls[1] < 1.0
