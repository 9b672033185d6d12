"""Work done ahead in a thread: the same items, the same errors, no thread that outlives its iterator."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_captures import needs_shared, shared

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import perf_data
from fastgup_trace.ingest.ahead import ahead, cores
from fastgup_trace.ingest.kernel_events.batches import Batch
from fastgup_trace.ingest.perf_data import order
from fastgup_trace.ingest.perf_data.compiled_walk import CompiledWalk
from fastgup_trace.ingest.records import Loss, Recording, Wanted, WantedRecords
from fastgup_trace.ingest.ring_buffer import windows
from fastgup_trace.ingest.trace_dat import open_trace_dat
from fastgup_trace.probes import wanted
from fastgup_trace.probes.catalog import worth_decoding


class Source:
    """Items 0 to `count` - 1, then `error` if there is one; notes which threads made and closed it."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.made, self.threads, self.closed = 0, set[str](), ""
        self.items = self._run(count, error)

    def _run(self, count: int, error: BaseException | None) -> Iterator[int]:
        try:
            for number in range(count):
                self.threads.add(threading.current_thread().name)
                self.made += 1
                yield number
            if error is not None:
                raise error
        finally:
            self.closed = threading.current_thread().name


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("ahead")]


@given(st.lists(st.integers()), st.booleans())
def test_items_are_the_same(items: list[int], threaded: bool) -> None:
    assert list(ahead(iter(items), threaded)) == items
    assert not _threads()


def test_one_item_is_made_while_one_is_used() -> None:
    source = Source(10)
    items = ahead(source.items, True)
    assert source.made == 0  # nothing begins before the first item is asked for
    for number in items:
        assert number + 1 <= source.made <= number + 2
    assert source.threads == {"fastgup-trace ahead"}
    assert not _threads()


@pytest.mark.parametrize("error", [RecordingError("a.dat", "a page", "none", "copy it"), KeyboardInterrupt()])
@pytest.mark.parametrize("threaded", [True, False])
def test_an_error_comes_in_its_place(error: BaseException, threaded: bool) -> None:
    source, found = Source(3, error), list[int]()
    with pytest.raises(type(error)) as raised:
        for number in ahead(source.items, threaded):
            found.append(number)
    assert raised.value is error
    assert found == [0, 1, 2]
    assert not _threads()


@pytest.mark.parametrize("asked_for", [0, 1, 5])
def test_closed_early_no_thread_stays_and_the_source_is_closed(asked_for: int) -> None:
    source = Source(10)
    items = ahead(source.items, True)
    for _ in range(asked_for):
        next(items)
    items.close()  # type: ignore[attr-defined]
    assert not _threads()
    assert source.made <= asked_for + 1
    assert source.closed == ("fastgup-trace ahead" if asked_for else "")


def test_dropped_early_no_thread_stays() -> None:
    source = Source(10)
    items = ahead(source.items, True)
    assert next(items) == 0
    assert _threads()
    del items
    gc.collect()
    assert not _threads()
    assert source.closed == "fastgup-trace ahead"


def test_an_error_of_the_user_ends_the_thread() -> None:
    source = Source(10)

    def use() -> None:
        for number in ahead(source.items, True):
            if number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert not _threads()


def test_an_iterator_that_cannot_be_closed() -> None:
    items = ahead(iter([1, 2]), True)
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    assert not _threads()


def test_chained_threads_end_together() -> None:
    source = Source(10)
    items = ahead(ahead(source.items, True), True)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert not _threads()
    assert source.closed


def test_there_is_a_cpu() -> None:
    assert cores() >= 1


Read = tuple[list[tuple[dict[str, pa.Table], dict[str, int], dict[str, int]]], list[Loss], str]


def _read(recording: Recording) -> Read:
    found, error = [], ""
    try:
        for window in recording.windows:
            found.append((window.events, window.counts, window.undecodable))
    except RecordingError as raised:
        error = str(raised)
    return found, recording.losses, error


def _same(one: Read, other: Read) -> int:
    """Check that both are equal to the last bit; how many records there are."""
    assert one[1:] == other[1:]
    assert len(one[0]) == len(other[0])
    for (tables, *numbers), (theirs, *their_numbers) in zip(one[0], other[0], strict=True):
        assert numbers == their_numbers
        assert list(tables) == list(theirs)
        for name, table in tables.items():
            assert table.equals(theirs[name]), name
    return sum(sum(counts.values()) for _, counts, _ in one[0])


def _lasting(batches: Iterator[Batch], threaded: bool) -> Iterator[Batch]:
    """The batches, each checked to be what it was when the one after it is made."""
    before: list[tuple[Any, Any]] = []
    for batch in batches:
        assert all(np.array_equal(array, kept) for array, kept in before)
        arrays = [batch.start, batch.length, batch.ts, batch.cpu, batch.ids, batch.counts, batch.seq, batch.previous]
        before = [(array, array.copy()) for array in [batch.data, *arrays] if array is not None]
        yield batch
    assert not threaded


PROBED = WantedRecords(wanted(), worth_decoding())


@needs_shared
@pytest.mark.parametrize("asked_for", [None, PROBED], ids=["all", "probed"])
def test_trace_dat_reads_alike(asked_for: Wanted | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared()
    assert folder is not None
    monkeypatch.setattr(windows, "COMPILED_BYTES_MIN", 0)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 1 << 20)  # many windows, each in memory that was used before
    records = 0
    for path in sorted(folder.rglob("*.dat")):
        found = list[Read]()
        for number, way in ((1, _lasting), (2, ahead)):
            monkeypatch.setattr(windows, "cores", lambda number=number: number)
            monkeypatch.setattr(windows, "ahead", way)
            found.append(_read(open_trace_dat(path, wanted=asked_for)))
        records += _same(*found)
    assert records > 1_000_000


@needs_shared
@pytest.mark.parametrize("asked_for", [None, PROBED], ids=["all", "probed"])
def test_perf_data_reads_alike(asked_for: Wanted | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared()
    assert folder is not None
    monkeypatch.setattr(perf_data, "COMPILED_BYTES", 0)
    monkeypatch.setattr(order, "WINDOW_RECORDS", 1 << 10)
    records = 0
    for path in sorted(path for path in folder.rglob("*.data*") if path.is_file()):
        if perf_data.sniff(path, path.read_bytes()[:16]):
            records += _alike(path, asked_for, monkeypatch)
    assert records > 10_000


def _alike(path: Path, asked_for: Wanted | None, monkeypatch: pytest.MonkeyPatch) -> int:
    found = list[Read]()
    for number in (1, 2):
        monkeypatch.setattr(perf_data, "cores", lambda number=number: number)
        try:
            found.append(_read(perf_data.open_perf_data(path, wanted=asked_for, walker=CompiledWalk())))
        except RecordingError as error:
            found.append(([], [], str(error)))
    return _same(*found)
