"""Times of guests, of counters with a known rate, and with an offset: as `trace-cmd report` shows them.

A shipped recording (arm64-collapse, two CPUs) and, where there, a shared one of the clock x86-tsc get the options
that trace-cmd would have written: no guest and no `--tsc2nsec` recording is at hand.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_captures import ROOT, needs_shared, shared
from trace_cmd_reports import check, needs_trace_cmd
from trace_dat_files import time_shift, with_options

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.trace_dat import open_trace_dat
from fastgup_trace.ingest.trace_dat.times import Shift, scaled

SHIPPED = ROOT / "datasets" / "captures" / "arm64-futextail" / "trace.dat"
DATE, OFFSET, TIME_SHIFT, GUEST, TSC2NSEC = 1, 7, 12, 13, 14


def made(tmp_path: Path, *options: tuple[int, bytes], source: Path = SHIPPED) -> Path:
    path = tmp_path / "trace.dat"
    path.write_bytes(with_options(source.read_bytes(), *options))
    return path


def span(path: Path) -> tuple[int, int]:
    """The first and the last time of a recording."""
    ts = np.concatenate([t["common_ts_ns"].to_numpy() for w in open_trace_dat(path).windows for t in w.events.values()])
    return int(ts.min()), int(ts.max())


FIRST, LAST = span(SHIPPED)
MIDDLE = (FIRST + LAST) // 2
ONE = (FIRST, 5_000_000_123, 1, 0)
SHIFTS = {
    "one sample": time_shift(7, 1, [[ONE]] * 4),
    "a CPU of its own": time_shift(7, 0, [[ONE], [(FIRST, 77, 1, 0)], [(FIRST, -3000, 1, 0)], [ONE]]),
    "fewer CPUs than there are": time_shift(7, 0, [[ONE]]),
    "two samples, interpolated": time_shift(7, 1, [[(FIRST, 1000, 1, 0), (LAST, 5_001_000, 1, 0)]] * 4),
    "falling, interpolated": time_shift(7, 1, [[(FIRST, 5_001_000, 1, 0), (LAST, -1000, 1, 0)]] * 4),
    "three samples": time_shift(7, 0, [[(FIRST, 10, 1, 0), (MIDDLE, 2000, 1, 0), (LAST - 1000, 3000, 1, 0)]] * 4),
    "three samples, interpolated": time_shift(
        7, 1, [[(FIRST + 1000, 10, 1, 0), (MIDDLE, 90_000, 1, 0), (LAST - 1000, 1000, 1, 0)]] * 4
    ),
    "scaled": time_shift(7, 0, [[(FIRST, 10, 3, 1), (LAST, 10, 3, 1)]] * 4),
    "no fractions (2.9)": time_shift(7, 0, [[(FIRST, 10, 2, 0), (LAST, 10, 2, 0)]] * 4, fractions=False),
    "not in order": time_shift(7, 1, [[(LAST, 10, 1, 0), (FIRST, 100, 1, 0), (LAST, 10, 1, 0)]] * 4),
}


@needs_trace_cmd
@pytest.mark.parametrize("kind", SHIFTS)
def test_a_guests_times_are_those_of_its_host(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, (TIME_SHIFT, SHIFTS[kind]))
    check(path)
    assert span(path) != (FIRST, LAST) or kind == "fewer CPUs than there are"
    assert open_trace_dat(path).details["time_shift"]["peer_trace_id"] == "0x7"  # type: ignore[index]


@needs_trace_cmd
@pytest.mark.parametrize(
    ("options", "offset"),
    [
        ([(OFFSET, b"1000000000\0")], 10**9),
        ([(OFFSET, b"-5000\0")], -5000),
        ([(OFFSET, b"0x10\0"), (OFFSET, b" +010\0")], 24),
        ([(DATE, b"0x5f5e1000\0")], 0x5F5E1000 * 1000),
        ([(DATE, b"1\0"), (OFFSET, b"-1\0")], 999),
        ([(OFFSET, b"\0")], 0),
    ],
    ids=str,
)
def test_offset_and_date(tmp_path: Path, options: list[tuple[int, bytes]], offset: int) -> None:
    path = made(tmp_path, *options)
    check(path)
    assert span(path) == (FIRST + offset, LAST + offset)


@needs_trace_cmd
@needs_shared
def test_a_counter_with_a_known_rate_gives_nanoseconds(tmp_path: Path) -> None:
    """With a shift of more than 32 bits trace-cmd 3.1.6 computes `x << (32 - shift)`, and its times go backwards."""
    folder = shared()
    assert folder is not None
    source = folder / "captures" / "x86" / "clk_tsc.v7.dat"
    assert open_trace_dat(source).unit == "ticks"
    path = made(tmp_path, (TSC2NSEC, struct.pack("<IIQ", 1_717_986_918, 32, 12345)), source=source)
    check(path)
    recording = open_trace_dat(path)
    assert (recording.unit, recording.clock) == ("ns", "x86-tsc")
    assert recording.details["tsc2nsec"] == {"mult": 1_717_986_918, "shift": 32, "offset": 12345}


@needs_shared
def test_the_users_own_word_on_the_rate() -> None:
    """As `trace-cmd report --ts2secs 2500000000`: 10^9 / 2.5 GHz is 0.4 ns a tick."""
    folder = shared()
    assert folder is not None
    source = folder / "captures" / "x86" / "clk_tsc.v7.dat"
    recording = open_trace_dat(source, ticks_per_second=2_500_000_000)
    first = min(table["common_ts_ns"][0].as_py() for table in next(recording.windows).events.values())
    assert (recording.unit, first) == ("ns", int(span(source)[0] * 0.4))


def test_a_negative_offset_may_lead_below_zero(tmp_path: Path) -> None:
    """trace-cmd shows such a time modulo 2^64."""
    path = made(tmp_path, (OFFSET, str(-LAST).encode() + b"\0"))
    assert span(path) == (FIRST - LAST, 0)


def test_a_host_names_its_guests(tmp_path: Path) -> None:
    option = b"vm one\0" + struct.pack("<QIIIII", 0xABCD, 2, 0, 4711, 1, 4712)
    details = open_trace_dat(made(tmp_path, (GUEST, option))).details
    expected = {"name": "vm one", "trace_id": "0xabcd", "host_pid_of_vcpu": {"0": 4711, "1": 4712}}
    assert details["guests"] == [expected]
    with pytest.raises(RecordingError, match="option GUEST: offset 31: expected 4 bytes"):
        open_trace_dat(made(tmp_path, (GUEST, option[:-4])))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ((TSC2NSEC, struct.pack("<IIQ", 1, 64, 0)), "a shift of at most 63 bits, found 64"),
        ((TIME_SHIFT, SHIFTS["one sample"][:40]), "scaling ratios of a clock"),
        ((TIME_SHIFT, time_shift(7, 0, [[(0, 0, 1, 64)] * 2])), "fractions of at most 63 bits"),
        ((OFFSET, b"-9223372036854775808\0"), "an offset below 2^62 ns"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(tmp_path: Path, option: tuple[int, bytes], told: str) -> None:
    with pytest.raises(RecordingError, match="option ") as error:
        open_trace_dat(made(tmp_path, option))
    assert told in str(error.value)


UINT64 = st.integers(0, (1 << 64) - 1)


@given(st.integers(0, (1 << 63) - 1), UINT64, st.integers(0, 63))
def test_scaling_keeps_128_bits(ts: int, factor: int, shift: int) -> None:
    """Where trace-cmd's 64 bits wrap, which a guest's scaled counter with 48 bits of fraction makes them."""
    found = scaled(np.array([ts], np.int64), np.uint64(factor), np.uint64(shift))
    assert int(found[0]) % (1 << 64) == (ts * factor >> shift) % (1 << 64)


SAMPLE = st.tuples(st.integers(100, 1000), st.integers(-300, 300))


@given(st.lists(SAMPLE, max_size=6, unique_by=lambda sample: sample[0]))
def test_a_cpus_records_stay_in_order_where_an_offset_falls(samples: list[tuple[int, int]]) -> None:
    """trace-cmd lets them go backwards; where offsets rise the times are sums of stamp and offset, as its."""
    time, offset = (np.array([sample[i] for sample in sorted(samples)], np.int64) for i in (0, 1))
    one, ts = np.ones(len(samples), np.uint64), np.arange(1100)
    found = Shift(time, offset, one, one - one, False)(ts)
    assert (np.diff(found) >= 0).all()
    if len(samples) > 1 and (np.diff(offset) >= 0).all():
        row = np.clip(np.searchsorted(time, ts, side="right") - 1, 0, len(samples) - 2)
        assert (found == ts + offset[row]).all()
