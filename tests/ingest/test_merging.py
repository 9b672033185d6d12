"""Several recordings as one: in time order, every event once, with the offset of their clocks, or a line that says why.

tests/data/pair is one run that ftrace and perf recorded at once; its counts are those of perf script and of `trace`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from event_records import by_hand
from fake_recordings import MS, capture_of, read, recording, stamps
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_captures import needs_shared, shared

from fastgup_trace.ingest import Format, sniff
from fastgup_trace.ingest.merging import merged
from fastgup_trace.ingest.records import Recording, Window

PAIR = Path(__file__).resolve().parents[1] / "data" / "pair"


# The pair


@pytest.mark.parametrize("names", [("ftrace", "perf.data"), ("perf.data", "ftrace"), ("perf.data", "trace.txt.gz")])
def test_a_run_recorded_by_two_tracers_is_counted_once(names: tuple[str, str]) -> None:
    found = capture_of([PAIR / name for name in names], clock="mono").provenance
    # ftrace has all 79 switches and 10 forks; of them perf has 31 and 10, and 10 execs besides.
    events = {name: found["events"][name] for name in found["events"] if name.startswith("sched_")}
    assert events == {
        "sched_switch": 79, "sched_process_exit": 11, "sched_process_fork": 10, "sched_process_exec": 10,
    }  # fmt: skip
    assert {e: once["dropped"] for e, once in found["details"]["taken_once"].items()} == {
        "sched_switch": {names[1]: 31},
        "sched_process_fork": {names[1]: 10},
    }
    assert {once["from"] for once in found["details"]["taken_once"].values()} == {names[0]}
    offset = found["details"]["offset_ns"][names[1]]
    assert offset["to"] == names[0]
    assert abs(offset["median"]) < 2000
    assert offset["pairs"] >= 41
    assert [one["file"] for one in found["recordings"]] == list(names)
    assert (found["clock"], found["arch"], found["kernel_release"]) == ("mono", "x86_64", "6.18.44-fc-v769")


def test_the_provenance_tells_of_each_recording() -> None:
    found = capture_of([PAIR / "ftrace", PAIR / "perf.data"]).provenance
    ftrace, perf = found["details"]["recordings"]
    assert (ftrace["file"], ftrace["events"], ftrace["clock"]) == ("ftrace", 100, "mono")
    assert (perf["file"], perf["format"], perf["tracer"]) == ("perf.data", "perf.data", "perf 6.1.187")
    assert found["start_ns"] == min(ftrace["start_ns"], perf["start_ns"])
    assert found["end_ns"] == max(ftrace["end_ns"], perf["end_ns"])
    assert [list(one) for one in found["recordings"]] == [
        ["file", "sha256", "bytes", "format", "clock", "start_ns", "end_ns", "events"]
    ] * 2
    assert [one["start_ns"] for one in found["recordings"]] == [ftrace["start_ns"], perf["start_ns"]]
    assert [one["bytes"] for one in found["recordings"]] == [ftrace_bytes(), (PAIR / "perf.data").stat().st_size]


def ftrace_bytes() -> int:
    return sum(path.stat().st_size for path in (PAIR / "ftrace" / "per_cpu").glob("*/trace_pipe_raw"))


# The law: what was taken apart and merged is what it was


class _Halves:
    """A recording, cut in two by event."""

    def __init__(self, path: Path) -> None:
        self._path, self._chosen = path, sniff(path)

    def half(self, number: int, **options: Any) -> Recording:
        whole = self._chosen.open(self._path, **options)

        def windows() -> Iterator[Window]:
            for window in whole.windows:
                mine = [event for event in window.counts if sum(event.encode()) % 2 == number]
                yield Window(
                    {event: window.events[event] for event in mine if event in window.events},
                    {event: window.counts[event] for event in mine},
                    window.undecodable if number == 0 else {},
                )

        return replace(whole, windows=windows(), losses=whole.losses if number == 0 else [])


@needs_shared
@pytest.mark.parametrize("name", ["arm64-unmap_mt", "arm64-thpsplit", "armhf-collapse", "arm64-fg_mixed"])
def test_a_recording_cut_in_two_by_event_and_merged_is_the_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared()
    assert folder is not None
    path = folder / "captures" / name / "trace.dat"
    whole = capture_of([path])
    monkeypatch.setattr("fastgup_trace.ingest.ring_buffer.windows.WINDOW_BYTES", 1 << 17)
    halves = _Halves(path)
    numbers = {tmp_path / f"half{n}.dat": n for n in (0, 1)}
    for half in numbers:
        half.write_bytes(b"half")
    fake = Format("fake", "", lambda path, head: True, lambda path, **options: halves.half(numbers[path], **options))
    monkeypatch.setattr("fastgup_trace.ingest.formats.FORMATS", (fake,))
    again = capture_of(list(numbers), meta=path.parent)
    for table in whole.tables:
        # Records of one time may stand in another order, and numbers count on across what was not decoded.
        columns = [c for c in whole[table].schema.names if c not in ("seq", "end_seq")]
        assert rows(again[table], columns) == rows(whole[table], columns), table
    for key in ("events", "leaf_calls", "unwanted", "undecodable", "lost", "start_ns", "end_ns", "arch", "hz"):
        assert again.provenance[key] == whole.provenance[key], key


def rows(table: pa.Table, columns: list[str]) -> list[str]:
    return sorted(str(row) for row in table.select(columns).to_pylist())


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1), st.integers(0, 2), st.sampled_from("abc")), max_size=40),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_the_order_is_by_time_then_by_recording_and_nothing_is_lost(
    records: list[tuple[int, int, int, str]], sizes: list[int]
) -> None:
    """Recordings of events that only one has each, in windows of any size."""
    records = sorted(records, key=lambda record: record[0])
    one, two = (
        [
            (ts * MS // 4, n, f"{event}{number}")
            for n, (ts, _, owner, event) in enumerate(records)
            if owner % 2 == number
        ]
        for number in (0, 1)
    )
    result = merged([recording(f"r{n}", *windows(part, sizes)) for n, part in enumerate((one, two))])
    tables, counts = read(result)
    rows = sorted(
        (row["common_seq"], row["common_ts_ns"], row["at"], event)
        for event, table in tables.items()
        for row in table.to_pylist()
    )
    expected = [
        (ts, at, event) for ts, _, at, event in sorted((ts, event[-1], at, event) for ts, at, event in one + two)
    ]
    assert [row[1:] for row in rows] == expected
    assert counts == Counter(event for _, _, event in expected)


def windows(records: list[tuple[int, int, str]], sizes: list[int]) -> list[dict[str, pa.Table]]:
    """Windows of so many records in turn."""
    found, number = list[dict[str, pa.Table]](), 0
    while records:
        size = sizes[number % len(sizes)]
        part, records, number = records[:size], records[size:], number + 1
        tables = {}
        for event in {record[2] for record in part}:
            mine = [(ts, at) for ts, at, name in part if name == event]
            tables[event] = pa.table({
                "common_seq": pa.array([at for _, at in mine], pa.int64()),
                "common_ts_ns": pa.array([ts for ts, _ in mine], pa.int64()),
                "common_cpu": pa.array([0] * len(mine), pa.int32()),
                "common_pid": pa.array([1] * len(mine), pa.int32()),
                "at": [at for _, at in mine],
            })  # fmt: skip
        found.append(tables)
    return found


# What is in both


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), st.sampled_from("ab")), max_size=60),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
    st.integers(0, 3),
)
@settings(deadline=None)
def test_a_recording_merged_with_its_copy_is_itself(
    records: list[tuple[int, int, str]], sizes: list[int], others: list[int], coarse: int
) -> None:
    """However both are cut into windows, and with many records of one time."""
    every_ns = (1, 5000, MS // 2, 7 * MS)[coarse]
    made = [(ts * every_ns, n, event) for n, (ts, _, event) in enumerate(sorted(records, key=lambda r: r[0]))]
    whole, counts = read(merged([recording("alone", *windows(made, sizes))]))
    result = merged([recording("one", *windows(made, sizes)), recording("two", *windows(made, others))])
    again, counts_again = read(result)
    assert counts_again == counts
    assert {event: stamps(table) for event, table in again.items()} == {e: stamps(t) for e, t in whole.items()}
    assert result.details["taken_once"] == {
        event: {"from": "one", "dropped": {"two": count}} for event, count in sorted(counts.items())
    }


def test_what_the_first_recording_lacks_is_taken_from_the_next() -> None:
    """It began later, it lost one at 30 ms, it does not have thread 8, it ended before."""
    one = recording("one", by_hand("20000000 0 7 a x=1\n40000000 0 7 a x=1\n50000000 0 7 b x=1"))
    two = by_hand(
        "10000000 0 7 a x=2\n20000900 0 7 a x=2\n30000000 0 7 a x=2\n39999800 0 7 a x=2\n40000000 0 8 a x=2\n"
        "40000000 1 7 a x=2\n60000000 0 7 a x=2"
    )
    result = merged([one, recording("two", two)])
    tables, counts = read(result)
    assert list(zip((t // MS for t in stamps(tables["a"])), tables["a"]["x"].to_pylist(), strict=True)) == [
        (10, 2), (20, 1), (30, 2), (40, 1), (40, 2), (40, 2), (60, 2),
    ]  # fmt: skip
    assert counts == {"a": 7, "b": 1}
    assert result.details["taken_once"] == {"a": {"from": "one", "dropped": {"two": 2}}}


def test_two_halves_of_one_recording_share_nothing_however_near() -> None:
    first, second = by_hand("1000 0 7 a\n2000 0 7 a"), by_hand("3000 0 7 a\n4000 0 7 a")
    for halves in ((first, second), (second, first)):
        result = merged([recording(f"half{n}", half) for n, half in enumerate(halves)])
        tables, _ = read(result)
        assert stamps(tables["a"]) == [1000, 2000, 3000, 4000]
        assert result.details["taken_once"] == {}


def test_a_double_is_found_across_the_border_of_windows() -> None:
    """The stamps of one event lie in different windows of the two, and on both sides of where they were cut."""
    times = range(0, 100 * MS, 10 * MS)
    one = [by_hand(f"{ts} 0 7 a x=1") for ts in times]
    two = [by_hand("\n".join(f"{ts + 900} 0 7 a x=2" for ts in times[n : n + 3])) for n in range(0, 10, 3)]
    for first, second in ((one, two), (two, one)):
        tables, counts = read(merged([recording("one", *first), recording("two", *second)]))
        assert len(set(tables["a"]["x"].to_pylist())) == 1
        assert counts == {"a": 10}


def test_three_recordings_have_it_and_it_is_counted_once() -> None:
    text = "\n".join(f"{n * 5 * MS} {n % 2} 7 a" for n in range(30))
    result = merged([recording(name, by_hand(text)) for name in ("x/one", "two", "y/one")])
    assert read(result)[1] == {"a": 30}
    assert result.details["taken_once"] == {"a": {"from": "x/one", "dropped": {"two": 30, "y/one": 30}}}


def test_a_burst_whose_stamps_overtake_each_other_is_paired_one_by_one() -> None:
    one = by_hand("\n".join(f"{n * 5000} 0 7 a" for n in range(100)))
    two = by_hand("\n".join(f"{n * 5000 + 7000} 0 7 a" for n in range(100)))
    assert read(merged([recording("one", one), recording("two", two)]))[1] == {"a": 100}


def test_records_without_a_cpu_are_compared_by_their_thread() -> None:
    one = by_hand("1000 -1 7 a\n9000000 -1 8 a")
    two = by_hand("1100 1 7 a\n9000100 3 8 a\n9000200 3 9 a")
    assert read(merged([recording("one", one), recording("two", two)]))[1] == {"a": 3}


def test_a_stack_stays_with_its_record() -> None:
    def with_stack(name: str, first: int) -> Recording:
        """Two records with a stack each, every number's neighbour unknown, in windows cut between record and stack."""
        seqs = [first, first + 3]
        events = [
            ("a", seqs, [1000, 9_000_000], None),
            ("kernel_stack", [s + 1 for s in seqs], [1100, 9_000_100], seqs),
        ]
        tables = {}
        for event, seq, ts, of_seq in events:
            head = {"common_seq": seq, "common_ts_ns": ts}
            table = pa.table({**head, "common_cpu": pa.array([0, 0], pa.int32()), "common_pid": [7, 7]})
            tables[event] = table if of_seq is None else table.append_column("of_seq", pa.array(of_seq, pa.int64()))
        parts = [{"a": tables["a"].slice(0, 1)}, {"kernel_stack": tables["kernel_stack"].slice(0, 1)}]
        return recording(name, *parts, {event: table.slice(1) for event, table in tables.items()})

    tables, counts = read(merged([with_stack("one", 5), with_stack("two", 100)]))
    assert counts == {"a": 2, "kernel_stack": 2}
    assert tables["kernel_stack"]["of_seq"].to_pylist() == tables["a"]["common_seq"].to_pylist()
    assert tables["a"]["common_seq"].to_pylist()[0] == 5, "what was not decoded is counted"


def test_records_that_nobody_wants_are_counted_once_too() -> None:
    """As many of them as the first has in the same time are taken to be the same."""
    one = Window(by_hand("1000 0 7 a\n9000000 0 7 a"), {"a": 2, "kmalloc": 50, "x": 3})
    two = Window(by_hand("5000 0 8 b\n20000000 0 8 b"), {"b": 2, "kmalloc": 50, "y": 3})
    later = Window(by_hand("90000000 0 8 b"), {"b": 1, "kmalloc": 4})
    result = merged([recording("one", one), recording("two", two, later)])
    assert read(result)[1] == {"a": 2, "b": 3, "kmalloc": 54, "x": 3, "y": 3}
    assert result.details["taken_once"] == {"kmalloc": {"from": "one", "dropped": {"two": 50}}}


# Clocks
