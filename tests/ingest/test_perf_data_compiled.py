"""perf.data read by compiled loops (compiled_walk.py, spread.py) against numpy, their oracle, on shared recordings."""

from __future__ import annotations

import numpy as np
import pytest
from shared_captures import needs_shared, shared

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.perf_data import open_perf_data, order, sniff
from fastgup_trace.ingest.perf_data.compiled_walk import CompiledWalk
from fastgup_trace.ingest.perf_data.spread import SHORT, SHORT_SAMPLE, UNKNOWN_EVENT, Spreader
from fastgup_trace.ingest.perf_data.walk import TOO_SHORT, UNKNOWN, Records, walk
from fastgup_trace.ingest.records import Recording, Wanted, WantedRecords
from fastgup_trace.probes import wanted
from fastgup_trace.probes.catalog import worth_decoding


def _text(recording: Recording) -> list[str]:
    """All that the recording says, window after window."""
    found = list[str]()
    try:
        for window in recording.windows:
            found += [f"{sorted(window.counts.items())} {sorted(window.undecodable.items())}"]
            found += [f"{name} {table.schema} {table.to_pydict()}" for name, table in sorted(window.events.items())]
    except RecordingError as error:
        found.append(str(error))
    return [*found, f"{recording.losses} {recording.comms} {recording.tgids}", *map(str, recording.damage)]


@needs_shared
@pytest.mark.parametrize("window_records", [64, 1 << 17])
@pytest.mark.parametrize(
    "asked_for",
    [
        None,
        WantedRecords(wanted(), worth_decoding()),
        {"sched_*": frozenset({"comm"}), "page-faults": frozenset({"ip"})},
    ],
    ids=["all", "probed", "some"],
)
def test_shared_recordings_read_alike(
    asked_for: Wanted | None, window_records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared()
    assert folder is not None
    monkeypatch.setattr(order, "WINDOW_RECORDS", window_records)
    read = 0
    for path in sorted(path for path in folder.rglob("*.data*") if path.is_file()):
        if not sniff(path, path.read_bytes()[:16]):
            continue
        try:
            plain = _text(open_perf_data(path, wanted=asked_for, walker=walk))
        except RecordingError:
            continue  # before any walk
        assert _text(open_perf_data(path, wanted=asked_for, walker=CompiledWalk())) == plain
        read += 1
    assert read >= 3


def _records(rows: list[tuple[int, int, int, int, int]]) -> Records:
    """Samples of (place, attr, raw, raw_bytes, raw_id) at times 10, 11, ..., of thread 7 of process 5."""
    place, attr, raw, raw_bytes, raw_id = np.array(rows, np.int64).T
    count = len(rows)
    small = [column.astype(np.int32) for column in (attr, raw, raw_bytes, raw_id)]
    kind, pid, tid, cpu = (np.full(count, number, np.int32) for number in (9, 5, 7, 1))
    return Records(place, np.arange(10, 10 + count), kind, small[0], pid, tid, cpu, small[1], small[2], small[3])


def test_samples_are_sorted_out_by_what_they_are() -> None:
    rows = [
        (0, 0, 16, 8, 300),  # a tracepoint's
        (32, 1, 16, 8, 300),  # of an event that is no tracepoint
        (64, 0, 16, 7, 300),  # too short for struct trace_entry
        (96, UNKNOWN, 0, 0, 0),
        (128, TOO_SHORT, 0, 0, 0),
        (160, 0, 0, 0, 0),  # a tracepoint's without raw data
        (192, 0, 16, 8, 301),  # not selected
        (224, 0, 16, 8, 300),
    ]
    selected, tgids = np.zeros(1 << 16, np.bool_), np.zeros(16, np.int32)
    selected[300] = True
    data, tracepoints = np.zeros(256, np.uint8), np.array([True, False])
    found = Spreader().window(data, _records(rows), 1000, tracepoints, selected, tgids)
    batch = found.batch
    assert batch.ids is not None and batch.seq is not None and batch.counts is not None
    assert (batch.start.tolist(), batch.length.tolist()) == ([16, 240], [8, 8])
    assert (batch.ts.tolist(), batch.cpu.tolist(), batch.ids.tolist()) == ([10, 17], [1, 1], [300, 300])
    assert batch.seq.tolist() == [1000, 1007]
    assert {number: int(batch.counts[number]) for number in np.flatnonzero(batch.counts)} == {300: 2, 301: 1}
    assert found.others.tolist() == [1, 5]
    assert (found.tally[SHORT], found.tally[UNKNOWN_EVENT], found.tally[SHORT_SAMPLE]) == (1, 1, 1)
    assert np.flatnonzero(tgids).tolist() == [7] and tgids[7] == 5


@pytest.mark.parametrize("row", [(250, 0, 16, 8, 300), (240, 0, 16, 8, 300), (-32, 0, 16, 8, 300)])
def test_raw_data_outside_the_data_is_refused(row: tuple[int, int, int, int, int]) -> None:
    selected, tgids = np.ones(1 << 16, np.bool_), np.zeros(16, np.int32)
    with pytest.raises(ValueError, match="outside their data"):
        Spreader().window(np.zeros(256, np.uint8), _records([row]), 0, np.array([True]), selected, tgids)
