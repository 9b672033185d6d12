"""A recording in many parts is the recording in one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fastgup_trace.api import ingest_recording
from fastgup_trace.ingest import parts as parts_module
from fastgup_trace.ingest.parts import Parts
from fastgup_trace.ingest.ring_buffer import windows
from fastgup_trace.probes.part import FOREVER
from fastgup_trace.tables import Capture

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "datasets" / "captures").glob("*/trace.dat"))


FAR = {"k313-rfcv2-unmap-big-mt": {"gather", "table_free"}}
"""Gathers of 2014 are inferred from flushes and callbacks that come more than a part (of three seconds) later."""


def in_parts(path: Path, records: int, monkeypatch: pytest.MonkeyPatch) -> Capture:
    monkeypatch.setattr(windows, "WINDOW_BYTES", 1 << 18)
    monkeypatch.setattr(parts_module, "WHOLE_RECORDS", records)
    monkeypatch.setattr(parts_module, "PART_RECORDS", records)
    found = ingest_recording(path)
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_every_table_is_the_same_however_the_recording_is_parted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ingest_recording(path)
    records = sum(len(table) for table in whole.tables.values())
    parted = in_parts(path, max(records // 4, 1000), monkeypatch)
    assert whole.provenance["parts"] == 1
    assert parted.provenance["parts"] > 1 or records < 5000
    for name, table in whole.tables.items():
        assert len(parted[name]) == len(table), name
        if name in FAR.get(path.parent.name, ()):
            assert parted[name].select(["ts_ns", "seq", "tid", "mm"]) == table.select(["ts_ns", "seq", "tid", "mm"])
        else:
            assert parted[name].to_pylist() == table.to_pylist(), name


def test_parts_hold_each_record_once_and_margins_beside(tmp_path: Path) -> None:
    def window(first: int) -> dict[str, pa.Table]:
        seq = list(range(first, first + 10))
        return {"a": pa.table({"common_seq": seq, "common_ts_ns": [s * 10**9 for s in seq], "n": seq})}

    with Parts("x", scratch=tmp_path, part_records=20) as parts:
        for first in range(0, 60, 10):
            parts.add(window(first))
        parts.complete()
        found = [(part.start_seq, part.end_seq, part.events["a"]["n"].to_pylist()) for part in parts]
        assert len(parts) == 3
    assert [(start, end) for start, end, _ in found] == [(0, 20), (20, 40), (40, FOREVER)]
    assert found[1][2] == list(range(18, 41)), "what is less than two seconds away"
    assert list(tmp_path.iterdir()) == [], "what was put aside is gone"
