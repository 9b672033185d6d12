"""Small trace.dat files written by hand, byte for byte: what no shared recording has, and what damage does.

Both byte orders, 32- and 64-bit longs, versions 6 and 7, all compressions, large sub-buffers, several instances,
absolute and extended times, padding, lost events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from trace_dat_files import MISSED, MISSED_STORED, File, Machine

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.records import Loss, Recording, Window
from fastgup_trace.ingest.trace_dat import open_trace_dat, sniff


def read(tmp_path: Path, data: bytes) -> tuple[Recording, list[Window]]:
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    recording = open_trace_dat(path)
    return recording, list(recording.windows)


MACHINES = [Machine(), Machine(long_bytes=4), Machine(True), Machine(True, 4), Machine(page_bytes=65536)]
WRITERS: dict[str, Callable[[File], bytes]] = {
    "v6": File.v6,
    "v7": File.v7,
    "v7 zlib": lambda file: file.v7("zlib"),
    "v7 none": lambda file: file.v7("none"),
    "v7 of 3.2": lambda file: replace(file, uncounted=0).v7(),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("machine", MACHINES)
def test_records_in_time_order_with_all_kinds_of_stamps(tmp_path: Path, machine: Machine, writer: str) -> None:
    """Two CPUs and two instances; equal stamps go by CPU."""
    m, long = machine, "Q" if machine.long_bytes == 8 else "I"
    head = m.pack("HBBiII", 8, 0, 0, 6, 8 << 16 | 40, 4 << 16 | 48 - 16)
    mask = head + m.pack(long + long, 0xC0900000, 0xC0200004)
    mask = mask.ljust(40, b"\0") + (m.pack("Q", 5) if m.long_bytes == 8 else m.pack("II", 5, 0)) + b"abc\0"
    first = m.page(1000, m.wake(0, 0, b"zero\0xyz") + m.wake(5, -1) + m.extend(1 << 30) + m.wake(1, 2))
    second = m.page(1006 + (1 << 30), m.event(0, mask) + m.padding(16) + m.event(3, mask.ljust(200, b"\0")))
    other = m.page(1005, m.wake(0, 10) + m.stamp(2000) + m.wake(1, 11, b"12345678"))
    extra = m.page(1500, m.wake(0, 20))
    file = File(m, {"": {0: [first, second], 1: [other]}, "mine": {1: [extra]}})
    recording, (window,) = read(tmp_path, WRITERS[writer](file))
    wake = window.events["wake"].to_pydict()
    far = 1006 + (1 << 30)
    assert wake["common_ts_ns"] == [1000, 1005, 1005, 1500, 2001, far]
    assert wake["cpu"] == [0, -1, 10, 20, 11, 2]
    assert wake["common_cpu"] == [0, 0, 1, 1, 1, 0]
    assert wake["common_seq"] == [0, 1, 2, 3, 4, 5]
    assert wake["comm"] == ["zero", "a", "a", "a", "12345678", "a"]
    assert wake["common_pid"] == [5] * 6
    assert wake["common_flags"] == [1] * 6
    masks = window.events["mask"].to_pydict()
    assert masks["common_ts_ns"] == [far, far + 4]
    assert masks["common_seq"] == [6, 7]
    assert masks["cpus"] == [[5], [5]]
    assert masks["text"] == ["abc", "abc"]
    assert masks["why"] == ["why not"] * 2
    assert masks["why.ptr"] == [0xC0900000] * 2
    assert masks["func"] == [0xC0200004] * 2
    assert masks["func.sym"] == ["second"] * 2
    assert window.counts == {"wake": 6, "mask": 2}
    assert window.undecodable == {}
    assert recording.losses == []
    assert (recording.arch, recording.kernel_release, recording.clock) == ("arm", "3.18.0", "local")
    assert (recording.nr_cpus, recording.tracer, recording.comms) == (4, "trace-cmd 3.1.6", {5: "five", 6: "six"})
    assert recording.details["instances"] == [{"name": "", "cpus": [0, 1]}, {"name": "mine", "cpus": [1]}]
    assert recording.details["sub_buffer_bytes"] == m.page_bytes


@pytest.mark.parametrize("writer", ["v6", "v7", "v7 none"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_sub_buffers_larger_than_the_file_says(tmp_path: Path, big_endian: bool, writer: str) -> None:
    """As trace-cmd 3.1.6 writes those of buffer_subbuf_size_kb 16: 4096 in the file, one instance with more."""
    m, large = Machine(big_endian), Machine(big_endian, page_bytes=16384)
    many = [large.page(1000 * n, b"".join(large.wake(1, 1000 * n + k) for k in range(400))) for n in (1, 2, 3)]
    few = [m.page(1500, m.wake(0, 1500))]
    recording, (window,) = read(tmp_path, WRITERS[writer](File(m, {"": {0: few}, "large": {0: many}})))
    numbers = window.events["wake"]["cpu"].to_pylist()
    assert sorted(numbers) == sorted([1500, *(1000 * n + k for n in (1, 2, 3) for k in range(400))])
    assert numbers[0] == 1000
    assert recording.details["sub_buffer_bytes"] == 16384


def test_sub_buffers_of_sizes_far_apart_are_refused(tmp_path: Path) -> None:
    """Pages are laid out alike, the small ones with zeros behind them: for 1 MB these would be all there is."""
    m, large = Machine(page_bytes=4096), Machine(page_bytes=1 << 20)
    many = large.page(1, b"".join(large.wake(1, n) for n in range(40_000)))
    with pytest.raises(RecordingError, match="sizes 64 times apart, found 4096 and 1048576"):
        read(tmp_path, File(m, {"": {0: [m.page(1, m.wake(0, 1))]}, "large": {0: [many]}}).v6())


def test_lost_events_are_placed_and_their_sum_is_the_tracers(tmp_path: Path) -> None:
    m = Machine()
    pages = [
        m.page(100, m.wake(0, 0)),
        m.page(200, m.wake(0, 0), MISSED | MISSED_STORED, 7),
        m.page(300, m.wake(10, 0), MISSED),
    ]
    stats = (
        "CPU: 0\nentries: 0\noverrun: 12\ncommit overrun: 0\nnow ts:     0.000009\ndropped events: 4\nread events: 3"
    )
    recording, _ = read(tmp_path, File(m, {"": {0: pages}}, (stats,)).v7())
    assert recording.losses == [Loss(0, 100, 200, 7), Loss(0, 200, 310, 5), Loss(0, 310, 9000, 4)]
    recording, _ = read(tmp_path, File(m, {"": {0: pages}}).v7())
    assert recording.losses == [Loss(0, 100, 200, 7), Loss(0, 200, 310, None)]


def test_wanted_events_and_fields_are_decoded_and_all_are_counted(tmp_path: Path) -> None:
    m = Machine()
    path = tmp_path / "trace.dat"
    path.write_bytes(File(m, {"": {0: [m.page(1, m.wake(0, 3))]}}).v7())
    recording = open_trace_dat(path, wanted={"wa*": frozenset({"cpu"}), "other": frozenset()})
    (window,) = recording.windows
    assert window.counts == {"wake": 1}
    assert window.events["wake"].column_names[-1] == "cpu"
    (window,) = open_trace_dat(path, wanted={}).windows
    assert (window.counts, window.events) == ({"wake": 1}, {})


def test_windows_follow_each_other_and_hold_every_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of some pages: no record is lost or doubled at a cut, though pages of the CPUs overlap in time."""
    m = Machine()
    rng, cpus, times = random.Random(1), dict[int, list[bytes]](), list[int]()
    for cpu in range(3):
        ts, pages = rng.randrange(50), []
        for _ in range(20 * (cpu + 1)):
            first, data = ts, m.wake(0, ts)
            times.append(ts)
            for _ in range(rng.randrange(9)):
                delta = rng.randrange(4)
                ts += delta
                data += m.wake(delta, ts)
                times.append(ts)
            pages.append(m.page(first, data))
            ts += rng.randrange(30)
        cpus[cpu] = pages
    monkeypatch.setattr("fastgup_trace.ingest.ring_buffer.windows.WINDOW_BYTES", 8 * 4096)
    _, windows = read(tmp_path, File(m, {"": cpus}).v7())
    assert len(windows) > 5
    rows = [row for window in windows for row in window.events["wake"].to_pylist()]
    assert [row["common_ts_ns"] for row in rows] == sorted(times) == [row["cpu"] for row in rows]
    assert [row["common_seq"] for row in rows] == list(range(len(times)))
    keys = [(row["common_ts_ns"], row["common_cpu"]) for row in rows]
    assert keys == sorted(keys)


def small() -> File:
    m = Machine()
    pages = [m.page(100 * n, m.wake(0, n) + m.wake(3, n)) for n in range(1, 5)]
    return File(m, {"": {0: pages, 1: pages[1:]}})


DAMAGE: dict[str, tuple[Callable[[Machine], list[bytes]], str]] = {
    "an event that overruns its page": (lambda m: [m.page(1, m.word(28, 0) + bytes(8))], "overruns its page"),
    "a record shorter than its header": (lambda m: [m.page(1, m.event(0, b"\7\0\0\0"))], "4 bytes"),
    "a long event of no bytes": (lambda m: [m.page(1, m.word(0, 0) + bytes(8))], "found 0"),
    "an event without a format": (lambda m: [m.page(1, m.event(0, bytes([99]) + bytes(11)))], "event 99"),
    "a page that holds more than it can": (lambda m: [m.page(1, b"", 5000)], "5000 bytes"),
    "pages out of order": (lambda m: [m.page(9, m.wake(0, 0)), m.page(5, m.wake(0, 0))], "one at 5"),
    "a page before the last record": (lambda m: [m.page(1, m.wake(9, 0)), m.page(5, m.wake(0, 0))], "one at 5"),
    "a stamp that goes back": (lambda m: [m.page(9, m.wake(0, 0) + m.stamp(3) + m.wake(0, 0))], "one at 3"),
    "a time that wraps": (lambda m: [m.page((1 << 63) - 2, m.wake(9, 0))], "2^63"),
    "half a page": (lambda m: [m.page(1, m.wake(0, 0))[:100]], "100 bytes"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_to_plain_pages_is_refused_with_its_place(tmp_path: Path, kind: str) -> None:
    pages, told = DAMAGE[kind]
    with pytest.raises(RecordingError, match=r"offset \d+: expected") as error:
        read(tmp_path, File(instances={"": {0: pages(Machine())}}).v6())
    assert told in str(error.value)


def test_a_packed_record_without_a_format_is_counted(tmp_path: Path) -> None:
    m = Machine()
    _, (window,) = read(
        tmp_path, File(m, {"": {0: [m.page(1, m.event(0, bytes([99]) + bytes(11)) + m.wake(0, 1))]}}).v7()
    )
    assert window.undecodable == {"record of an event without a format": 1}
    assert window.counts == {"wake": 1}


def test_a_field_that_a_record_is_too_short_for_is_null(tmp_path: Path) -> None:
    m = Machine()
    short = m.event(0, m.pack("HBBii", 7, 0, 0, 5, 3))
    _, (window,) = read(tmp_path, File(m, {"": {0: [m.page(1, short + m.wake(0, 4, b"b"))]}}).v7())
    assert window.events["wake"]["cpu"].to_pylist() == [3, 4]
    assert window.events["wake"]["comm"].to_pylist() == [None, "b"]
    assert window.undecodable == {"record too short for a field": 1}


def test_instances_of_two_clocks_are_refused(tmp_path: Path) -> None:
    data = small().v7("none")
    file = small()
    file.instances["mine"] = file.instances.pop("")
    file.instances = {"": small().instances[""], **file.instances}
    data = file.v7("none")
    place = data.rindex(b"local\0")
    with pytest.raises(RecordingError, match="instances of one clock, found local, loxal"):
        read(tmp_path, data[:place] + b"loxal" + data[place + 5 :])


@pytest.mark.parametrize("writer", WRITERS)
def test_flipped_bits_raise_nothing_but_a_recording_error(tmp_path: Path, writer: str) -> None:
    """And most of them do raise it where the file has no padding; a changed value of a field is just a value."""
    data, rng = WRITERS[writer](small()), random.Random(2)
    for _ in range(400):
        bit = rng.randrange(min(len(data), 4000) * 8)
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            read(tmp_path, bytes(damaged))
        except RecordingError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(("head", "told"), [(b"", "an empty file"), (b"PERFILE2" * 9, "b'PERFILE2PE'")])
def test_other_files_are_refused(tmp_path: Path, head: bytes, told: str) -> None:
    assert not sniff(Path(), head)
    with pytest.raises(RecordingError) as error:
        read(tmp_path, head)
    assert told in str(error.value)


def test_sniff() -> None:
    assert sniff(Path(), small().v6()[:64]) and sniff(Path(), small().v7()[:64])
