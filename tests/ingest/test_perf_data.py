"""perf.data files written by hand: what every record becomes, in each form and byte order, compiled or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trace_dat_files
from hypothesis import given, settings
from hypothesis import strategies as st
from perf_data_files import (
    CPU,
    CYCLES,
    FAULTS,
    ID,
    IDENTIFIER,
    IP,
    RAW,
    SAMPLE_ID_ALL,
    TID,
    TIME,
    USE_CLOCKID,
    WAKES,
    Event,
    File,
    Machine,
    mixed,
)  # fmt: skip

from fastgup_trace.ingest import FORMATS
from fastgup_trace.ingest import sniff as sniff_format
from fastgup_trace.ingest.perf_data import abi, open_perf_data, order
from fastgup_trace.ingest.perf_data.compiled_walk import CompiledWalk
from fastgup_trace.ingest.perf_data.stream import Walker
from fastgup_trace.ingest.perf_data.walk import walk
from fastgup_trace.ingest.records import Loss, Recording

Rows = dict[str, list[dict[str, Any]]]
M = Machine()


@pytest.fixture(params=["plain", "compiled"])
def walker(request: pytest.FixtureRequest) -> Walker:
    return walk if request.param == "plain" else CompiledWalk()


def read(path: Path, **options: Any) -> tuple[Recording, Rows, Counter[str], Counter[str]]:
    """The recording with its rows by event, counts, and what was undecodable."""
    recording = open_perf_data(path, **options)
    rows, counts, undecodable = Rows(), Counter[str](), Counter[str]()
    for window in recording.windows:
        counts.update(window.counts)
        undecodable.update(window.undecodable)
        for name, table in window.events.items():
            rows.setdefault(name, []).extend(table.to_pylist())
    return recording, rows, counts, undecodable


def made(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "perf.data"
    path.write_bytes(data)
    return path


def own(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("common_")}


def heads(rows: Rows) -> list[tuple[Any, ...]]:
    """Time, CPU, thread and event of all records, in merged order."""
    found = [(row["common_seq"], row["common_ts_ns"], row["common_cpu"], row["common_pid"], name)
             for name, part in rows.items() for row in part]  # fmt: skip
    return [row[1:] for row in sorted(found)]


@pytest.mark.parametrize("form", ["file", "pipe", "packed", "packed2"])
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
def test_every_record_in_every_form(form: str, big_endian: bool, walker: Walker, tmp_path: Path) -> None:
    path = made(tmp_path, mixed(Machine(big_endian), form))
    recording, rows, counts, undecodable = read(path, walker=walker)
    assert not undecodable
    assert not recording.damage
    assert heads(rows) == [
        (90, 0, 1, "PERF_RECORD_COMM"),  # made up by perf without a time: it has the first
        (90, 1, 5, "wake"),
        (95, -1, 5, "cycles"),  # its samples have no CPU
        (100, 0, 5, "page-faults"),
        (110, 0, 5, "PERF_RECORD_FORK"),
        (120, 0, 6, "PERF_RECORD_COMM"),
        (130, 0, 0, "PERF_RECORD_LOST"),
        (135, 0, 0, "PERF_RECORD_LOST_SAMPLES"),
        (140, 0, 5, "PERF_RECORD_SWITCH_CPU_WIDE"),
        (150, 0, 6, "PERF_RECORD_MMAP"),
        (160, 0, 6, "wake"),
        (170, 0, 5, "PERF_RECORD_EXIT"),
    ]
    assert counts == {name: len(part) for name, part in rows.items()}
    assert [own(row) for row in rows["wake"]] == [{"cpu": 3, "comm": "a"}, {"cpu": 9, "comm": "zz"}]
    assert [row["common_flags"] for row in rows["wake"]] == [1, 1]
    assert [own(row) for row in rows["page-faults"]] == [{"ip": 0xC010_0004, "addr": 0x1000, "period": 1}]
    assert [own(row) for row in rows["PERF_RECORD_COMM"]] == [
        {"pid": 1, "tid": 1, "exec": 0, "comm": "init", "synthesized": 1},
        {"pid": 6, "tid": 6, "exec": 1, "comm": "child", "synthesized": 0},
    ]  # fmt: skip
    assert own(rows["PERF_RECORD_FORK"][0]) == {"pid": 6, "ppid": 5, "tid": 6, "ptid": 5, "synthesized": 0}
    assert own(rows["PERF_RECORD_MMAP"][0]) == {
        "pid": 6, "tid": 6, "addr": 0x1000, "len": 0x2000, "pgoff": 0, "filename": "/lib/x.so", "synthesized": 0,
    }  # fmt: skip
    switch = {"next_prev_pid": 77, "next_prev_tid": 78, "out": 1, "preempt": 1, "synthesized": 0}
    assert own(rows["PERF_RECORD_SWITCH_CPU_WIDE"][0]) == switch
    assert recording.losses == [Loss(0, 120, 130, 4), Loss(0, 130, 135, 2)]
    assert (recording.comms, recording.tgids) == ({1: "init", 6: "child"}, {1: 1, 5: 5, 6: 6})
    found = (recording.arch, recording.kernel_release, recording.nr_cpus, recording.tracer, recording.clock)
    assert found == ("arm64", "3.18.0", 4, "perf 6.1", "perf")
    assert (recording.page_size, recording.unit) == (4096, "ns")
    assert recording.details["events"] == ["page-faults", "sys:wake", "cycles"]
    assert (recording.details["records_without_time"], recording.details["records_out_of_order"]) == (1, 0)


@pytest.mark.parametrize("magic", [b"PERFILE2", b"2ELIFREP", b"PERFFILE"])
def test_a_perf_data_is_known_by_its_magic(magic: bytes, tmp_path: Path) -> None:
    assert sniff_format(made(tmp_path, magic + bytes(100))).name == "perf.data"
    assert sum(known.sniff(tmp_path / "perf.data", magic + bytes(100)) for known in FORMATS) == 1


@pytest.mark.parametrize("attr_bytes", [64, 72, 80, 96, 104, 112, 120, 136, 200])
def test_attrs_of_older_and_newer_kernels(attr_bytes: int, tmp_path: Path) -> None:
    event = Event(flags=SAMPLE_ID_ALL | USE_CLOCKID, clockid=1)
    for data in (
        File(M, (event,), M.sample(event, 7), attr_bytes=attr_bytes).file(),
        File(M, (event,), M.sample(event, 7), attr_bytes=attr_bytes).pipe(),
    ):
        recording, rows, _, _ = read(made(tmp_path, data))
        assert heads(rows) == [(7, 0, 5, "page-faults")]
        assert recording.clock == ("mono" if attr_bytes >= 96 else "realtime")


@pytest.mark.parametrize(
    ("kind", "config", "flags", "name"),
    [
        (abi.SOFTWARE, 5, 0, "minor-faults"), (abi.HARDWARE, 1, 0, "instructions"),
        (abi.HARDWARE, 0, 1 << 5 | 1 << 6 | 2 << 15, "cycles:upp"), (abi.HW_CACHE, 0x1_00_03, 0, "dTLB-load-misses"),
        (abi.HW_CACHE, 0x0_01_00, 0, "L1-dcache-stores"), (abi.RAW_EVENT, 0x1C2, 0, "raw 0x1c2"),
        (11, 3, 0, "type 11 config 0x3"),
    ],
)  # fmt: skip
def test_events_without_a_name_get_perfs(kind: int, config: int, flags: int, name: str, tmp_path: Path) -> None:
    event = Event(kind, config, flags=flags | SAMPLE_ID_ALL)
    _, _, counts, _ = read(made(tmp_path, File(M, (event,), M.sample(event, 7), names=False).file()))
    assert counts == {name: 1}


def test_rounds_make_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two buffers, read in turn: what is older than the round before is complete, and the order is that of times."""
    monkeypatch.setattr(order, "WINDOW_RECORDS", 8)
    monkeypatch.setattr("fastgup_trace.ingest.perf_data.stream.STRETCH_BYTES", 600)
    data = b""
    for turn in range(20):
        for cpu in (0, 1):
            data += b"".join(
                M.sample(WAKES, turn * 100 + 10 * n + 5 * cpu + 1, cpu=cpu, raw=M.wake(cpu)) for n in range(5)
            )
        data += M.round()
    path = made(tmp_path, File(M, (FAULTS, WAKES), data, M.tracing_data()).file())
    windows = list(open_perf_data(path).windows)
    assert len(windows) > 3
    times = [window.events["wake"]["common_ts_ns"].to_pylist() for window in windows]
    assert [ts for part in times for ts in part] == sorted(ts for part in times for ts in part)
    seqs = [seq for window in windows for seq in window.events["wake"]["common_seq"].to_pylist()]
    assert seqs == list(range(200))


def test_a_record_later_than_its_round_is_moved_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "WINDOW_RECORDS", 1)
    monkeypatch.setattr("fastgup_trace.ingest.perf_data.stream.STRETCH_BYTES", 1)
    event = Event()
    data = M.sample(event, 100) + M.round() + M.sample(event, 200) + M.round()
    data += M.sample(event, 210) + M.sample(event, 50) + M.round()
    recording, rows, _, _ = read(made(tmp_path, File(M, (event,), data).file()))
    assert [row[0] for row in heads(rows)] == [100, 100, 200, 210]
    assert recording.details["records_out_of_order"] == 1


def test_without_times_records_are_positions(tmp_path: Path) -> None:
    event = Event(sample_type=IP | TID, ids=())
    recording, rows, _, _ = read(made(tmp_path, File(M, (event,), M.sample(event, 0) * 3).file()))
    assert (recording.unit, [row[0] for row in heads(rows)]) == ("positions", [0, 1, 2])


def test_old_side_band_records_have_the_time_of_what_went_before(tmp_path: Path) -> None:
    event = Event(sample_type=IP | TID | TIME, flags=0, ids=())
    data = M.comm(event, 0, b"one", 1, 1) + M.sample(event, 7) + M.comm(event, 0, b"two", 2, 2) + M.sample(event, 8)
    _, rows, _, _ = read(made(tmp_path, File(M, (event,), data).file()))
    record = "PERF_RECORD_COMM"
    assert heads(rows) == [(7, -1, 1, record), (7, -1, 5, "page-faults"), (7, -1, 2, record), (8, -1, 5, "page-faults")]


def test_what_no_event_claims_or_fits_is_counted(walker: Walker, tmp_path: Path) -> None:
    data = M.sample(CYCLES, 7, number=99) + M.record(abi.SAMPLE, M.pack("QQ", 31, 1))
    data += M.sample(WAKES, 8, raw=b"\x07\0") + M.record(abi.MMAP2, M.pack("ii", 1, 1) + M.trailer(FAULTS, 9))
    data += (
        M.sample(WAKES, 9, raw=M.pack("HBBi", 77, 0, 0, 5)) + M.record(abi.AUXTRACE, M.pack("QQ", 16, 0)) + bytes(16)
    )
    path = made(tmp_path, File(M, (FAULTS, WAKES, CYCLES), data, M.tracing_data()).file())
    _, _, counts, undecodable = read(path, walker=walker)
    assert counts == {"PERF_RECORD_MMAP2": 1, "PERF_RECORD_AUXTRACE": 1}
    assert undecodable == {
        "sample of an event that the header does not have": 1,
        "sample too short for its fields": 1,
        "raw data too short for a kernel event": 1,
        "record too short for a field": 1,
        "record of an event without a format": 1,
    }


def test_what_perf_counts_at_its_end_is_lost_but_once(tmp_path: Path) -> None:
    """5 lost by LOST; 7 in all by the events' own counts, which have no time; 3 that a BPF filter dropped."""
    event = Event()
    data = M.sample(event, 5) + M.lost(event, 10, 5) + M.lost_samples(event, 0, 7)
    data += M.lost_samples(event, 12, 3, misc=abi.MISC_LOST_SAMPLES_BPF)
    recording, _, _, _ = read(made(tmp_path, File(M, (event,), data).file()))
    assert recording.losses == [Loss(0, 5, 10, 5), Loss(-1, 5, 12, 2)]


def test_the_cpu_of_a_sample_without_one_is_its_counters(walker: Walker, tmp_path: Path) -> None:
    event = Event(sample_type=IP | TID | TIME | IDENTIFIER, ids=(1, 2))
    index = M.record(abi.ID_INDEX, M.pack("Q8Q", 2, 1, 0, 0, 0, 2, 1, 3, 0))
    data = index + M.sample(event, 5, number=1) + M.sample(event, 6, number=2)
    _, rows, _, _ = read(made(tmp_path, File(M, (event,), data).file()), walker=walker)
    assert [row[1] for row in heads(rows)] == [0, 3]


def test_kernel_symbols(tmp_path: Path) -> None:
    event = Event()
    data = M.sample(event, 5, ip=0xC010_0004) + M.sample(event, 6, ip=0xC010_0004, misc=2)
    path = made(tmp_path, File(M, (event,), data).file())
    _, rows, _, _ = read(path, kallsyms=b"c0100000 T handle_mm_fault\n")
    assert [row["ip.sym"] for row in rows["page-faults"]] == ["handle_mm_fault", None]


def test_only_what_is_wanted_is_decoded(tmp_path: Path) -> None:
    wanted = {"page-faults": frozenset({"addr"}), "wake": frozenset({"comm"})}
    _, rows, counts, _ = read(made(tmp_path, mixed(M, "file")), wanted=wanted)
    assert {name: list(own(part[0])) for name, part in rows.items()} == {"page-faults": ["addr"], "wake": ["comm"]}
    assert sum(counts.values()) == 12


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, (1 << 11) - 1), st.integers(0, 31), st.booleans(), st.booleans(),
    st.lists(st.integers(0, (1 << 64) - 1), max_size=4), st.binary(max_size=40), st.integers(0, 3),
)  # fmt: skip
def test_raw_data_is_found_behind_any_fields(
    tmp_path_factory: pytest.TempPathFactory, bits: int, form: int, big: bool, id_all: bool, chain: list[int],
    junk: bytes, values: int,
) -> None:  # fmt: skip
    """Any sample_type and read_format: both walks find what was written, and nothing else."""
    machine = Machine(big)
    flags = SAMPLE_ID_ALL * id_all
    event = Event(abi.TRACEPOINT, 9, bits | RAW | TIME | TID | IDENTIFIER, form, flags, ids=(3,), name="sys:tick")
    other = Event(abi.HARDWARE, 0, (bits & ~RAW) | TIME | IDENTIFIER, form, flags, ids=(4,))
    data = machine.sample(event, 50, cpu=2, chain=chain, raw=machine.tick(77) + junk, values=values)
    data += machine.comm(event, 60, b"x", 8, 9, cpu=1) + machine.sample(other, 55, chain=chain, values=values)
    path = tmp_path_factory.mktemp("perf") / "perf.data"
    path.write_bytes(File(machine, (event, other), data, machine.tracing_data()).file())
    both = [read(path, walker=walker) for walker in (walk, CompiledWalk())]
    assert both[0][1:] == both[1][1:]
    _, rows, counts, undecodable = both[0]
    assert (counts, undecodable) == ({"tick": 1, "PERF_RECORD_COMM": 1, "page-faults": 1}, {})
    assert [(row["common_ts_ns"], row["at"]) for row in rows["tick"]] == [(50, 77)]
    assert rows["tick"][0]["common_cpu"] == (2 if bits & CPU else -1)
    comm = rows["PERF_RECORD_COMM"][0]
    assert (comm["common_ts_ns"], comm["comm"]) == (60 if id_all else 50, "x")


def test_both_walks_find_the_same_in_any_bytes() -> None:
    """Random bytes with heads that say something: equal records, ends and reasons, at every start."""
    rng = np.random.default_rng(5)
    from fastgup_trace.ingest.cursor import Cursor
    from fastgup_trace.ingest.perf_data.attrs import layouts, parse_attr

    attrs = [parse_attr(Cursor(memoryview(M.attr(event)), ""), 128) for event in (FAULTS, WAKES, CYCLES)]
    attrs = [type(attr)(**(attr.__dict__ | {"ids": (place,)})) for place, attr in enumerate(attrs)]
    found = layouts(attrs, {1: 2})
    machine_walk, reasons = CompiledWalk(), Counter[int]()
    for _ in range(300):
        data = rng.integers(0, 4, 2000).astype(np.uint8)
        for at in range(0, 1960, 40):
            kind = int(rng.choice([1, 3, 9, 64, 66, 68, 71, 81], p=[0.1, 0.1, 0.7, 0.01, 0.005, 0.05, 0.005, 0.03]))
            size = int(rng.choice([40, 80, 7, 16], p=[0.98, 0.01, 0.005, 0.005]))
            data[at : at + 8] = np.frombuffer(M.pack("IHH", kind, 0, size), np.uint8)
        for byte_order in "<>":
            args = (data, 0, 2000, 2000, byte_order, found, 1000)
            one, other = walk(*args), machine_walk(*args)
            reasons[one.why] += 1
            assert (one.end, one.why) == (other.end, other.why)
            for ours, theirs in zip(one.records.columns(), other.records.columns(), strict=True):
                assert ours.tolist() == theirs.tolist()
    assert set(reasons) == {0, 1, 2, 3}


def test_an_event_whose_format_is_none_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = 'name: tick\nID: 9\nformat:\n\tfield:u64 at;\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: ""\n'
    data = M.sample(WAKES, 5, raw=M.tick(1)) + M.sample(WAKES, 6, raw=M.wake(1))
    path = made(tmp_path, File(M, (WAKES,), data, M.tracing_data([broken, trace_dat_files.WAKE])).file())
    windows = list(open_perf_data(path).windows)
    assert [w.undecodable for w in windows] == [{"tick: its format can't be used": 1}]
    assert [w.counts for w in windows] == [{"tick": 1, "wake": 1}]


def test_ids_stand_where_the_sample_type_has_them(walker: Walker, tmp_path: Path) -> None:
    """Before v3.12 there is no IDENTIFIER: the id stands behind ADDR."""
    one = Event(sample_type=IP | TID | TIME | ID | CPU, ids=(5,), name="faults")
    two = Event(abi.SOFTWARE, 3, IP | TID | TIME | ID | CPU, ids=(6,), name="cs")
    data = M.sample(one, 1) + M.sample(two, 2, cpu=1) + M.comm(two, 3, b"x", 1, 1, cpu=1)
    _, rows, _, _ = read(made(tmp_path, File(M, (one, two), data).file()), walker=walker)
    assert heads(rows) == [(1, 0, 5, "page-faults"), (2, 1, 5, "context-switches"), (3, 1, 1, "PERF_RECORD_COMM")]
