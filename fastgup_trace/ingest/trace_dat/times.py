"""From a record's stamp to the time that trace-cmd shows: a guest's shift, a counter's rate, a fixed offset.

In the order of trace-cmd (libtracecmd, trace-input.c: timestamp_calc, at 3.1.6 and 3.4): TIME_SHIFT, then `--ts2secs`
or TSC2NSEC, then DATE and OFFSET. Products have 128 bits here; trace-cmd's own have 64 and wrap for a guest whose
counter is scaled with 48 bits of fraction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE, Cursor
from fastgup_trace.ingest.ring_buffer.clocks import TICK_CLOCKS
from fastgup_trace.ingest.trace_dat import container as parts
from fastgup_trace.ingest.trace_dat.container import Container
from fastgup_trace.ingest.unaligned import Int64s

_INTERPOLATE = 1  # TRACECMD_TSYNC_FLAG_INTERPOLATE
_SHIFT_MAX = 63
_SAMPLES_MAX = 1 << 20
_WORD = 1 << 64
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFF_FFFF)


@dataclass(frozen=True)
class Shift:
    """What was found of a guest CPU's clock against the host's: at each time an offset, and a rate scaling >> fraction.

    Arrays of one length, by time.
    """

    time: Int64s
    offset: Int64s
    scaling: NDArray[np.uint64]
    fraction: NDArray[np.uint64]
    interpolate: bool

    def __call__(self, ts: Int64s) -> Int64s:
        """Host time; of one sample the offset alone is used. Never decreases where `ts` does not."""
        if not len(self.time):
            return ts
        if len(self.time) == 1:
            moved: Int64s = ts + self.offset[0]
            return moved
        found = self._at(ts, self._row(ts))
        # Where a sample's offset steps back, times wait for it: a CPU's records stay in their order.
        ends = self._at(self.time[1:-1] - 1, np.arange(len(self.time) - 2))
        reached = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(ends)])
        times: Int64s = np.maximum(found, reached[self._row(ts)])
        return times

    def _row(self, ts: Int64s) -> Int64s:
        row: Int64s = np.clip(np.searchsorted(self.time, ts, side="right") - 1, 0, len(self.time) - 2)
        return row

    def _at(self, ts: Int64s, row: Int64s) -> Int64s:
        offset = self.offset[row]
        if self.interpolate:
            span = self.time[row + 1] - self.time[row]
            rise = (ts - self.time[row]) * (self.offset[row + 1] - offset) + span // 2
            offset = offset + np.sign(rise) * (np.abs(rise) // span)  # C's division rounds to zero
        return scaled(ts, self.scaling[row], self.fraction[row]) + offset


@dataclass(frozen=True)
class Times:
    """How stamps become times."""

    clock: str | None
    shifts: dict[int, Shift]
    """By CPU: a guest's."""
    shift_details: dict[str, object] | None
    multiplier: int
    """0 where the counter's rate is not known."""
    shift: int
    tsc_offset_ns: int
    offset_ns: int
    """Of OFFSET and DATE."""
    ticks_per_second: int | None = None
    """The user's own word on the counter's rate (trace-cmd report --ts2secs)."""

    @property
    def unit(self) -> str:
        """`ns`, or `ticks` of a counter whose rate is not known."""
        return "ns" if self.multiplier or self.ticks_per_second or self.clock not in TICK_CLOCKS else "ticks"

    @property
    def is_identity(self) -> bool:
        return not (self.shifts or self.multiplier or self.offset_ns or self.ticks_per_second)

    def of(self, ts: Int64s, cpu: int) -> Int64s:
        """The times of stamps of `cpu`."""
        if shift := self.shifts.get(cpu):
            ts = shift(ts)
        if self.ticks_per_second:
            ts = (ts * (1e9 / self.ticks_per_second)).astype(np.int64)
        elif self.multiplier:
            ts = scaled(ts, np.uint64(self.multiplier), np.uint64(self.shift))
        return ts + self.offset_ns

    def of_one(self, ts: int, cpu: int) -> int:
        return int(self.of(np.array([ts], np.int64), cpu)[0])

    def details(self) -> dict[str, object]:
        found: dict[str, object] = {}
        if self.shift_details is not None:
            found["time_shift"] = self.shift_details
        if self.multiplier:
            found["tsc2nsec"] = {"mult": self.multiplier, "shift": self.shift, "offset": self.tsc_offset_ns}
        if self.offset_ns:
            found["offset_ns"] = self.offset_ns
        if self.ticks_per_second:
            found["ticks_per_second"] = self.ticks_per_second
        return found


def scaled(ts: Int64s, multiplier: NDArray[np.uint64] | np.uint64, shift: NDArray[np.uint64] | np.uint64) -> Int64s:
    """(ts * multiplier) >> shift of 64-bit numbers, modulo 2^64."""
    value, shift = ts.astype(np.uint64), np.asarray(shift, np.uint64)
    factor = np.asarray(multiplier, np.uint64)
    low_low = (value & _LOW) * (factor & _LOW)
    low_high, high_low = (value & _LOW) * (factor >> _HALF), (value >> _HALF) * (factor & _LOW)
    middle = (low_low >> _HALF) + (low_high & _LOW) + (high_low & _LOW)
    low = (middle << _HALF) | (low_low & _LOW)
    high = (value >> _HALF) * (factor >> _HALF) + (low_high >> _HALF) + (high_low >> _HALF) + (middle >> _HALF)
    # A shift of all 64 bits is undefined in C: the upper half goes in two steps.
    result: Int64s = (low >> shift | high << (np.uint64(63) - shift) << np.uint64(1)).astype(np.int64)
    return result


def read_times(container: Container, clock: str | None, ticks_per_second: int | None) -> Times:
    """Raises RecordingError for options that are not whole, or a shift of more than 63 bits."""
    multiplier = shift = tsc_offset = 0
    if option := container.options.get(parts.TSC2NSEC):
        cursor = Cursor(memoryview(option[0]), f"{container.path}: option TSC2NSEC", container.big_endian)
        multiplier, shift = cursor.number(4, "the multiplier"), cursor.number(4, "the shift")
        tsc_offset = cursor.number(8, "the offset")
        if shift > _SHIFT_MAX:
            cursor.fail(f"a shift of at most {_SHIFT_MAX} bits", f"{shift}", 4)
    offset = sum(_signed(container, text, "OFFSET") for text in container.options.get(parts.OFFSET, ()))
    offset += 1000 * sum(_signed(container, text, "DATE") for text in container.options.get(parts.DATE, ()))
    if not -(1 << 62) < offset < 1 << 62:
        where = f"{container.path}: option OFFSET or DATE"
        raise RecordingError(where, "an offset below 2^62 ns", f"{offset}", ADVICE)
    shifts, told = dict[int, Shift](), None
    if option := container.options.get(parts.TIME_SHIFT):
        shifts, told = _read_shifts(container, option[-1])
    return Times(clock, shifts, told, multiplier, shift, tsc_offset, offset, ticks_per_second)


def _signed(container: Container, option: bytes, name: str) -> int:
    """The number as strtoll(text, NULL, 0) reads it: decimal, 0x hexadecimal or 0 octal; 0 for no number."""
    match = re.match(rb"\s*([-+]?)(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,21}|[1-9][0-9]{0,18})", option)
    if match is None:
        return 0
    text = match[2].lower()
    base = 16 if text.startswith(b"0x") else 8 if text.startswith(b"0") else 10
    value = int(text, base)
    return -value if match[1] == b"-" else value


def _read_shifts(container: Container, option: bytes) -> tuple[dict[int, Shift], dict[str, object]]:
    """A TIME_SHIFT option: peer, flags, and for each CPU its samples; the fractions follow behind all (since 3.0)."""
    cursor = Cursor(memoryview(option), f"{container.path}: option TIME_SHIFT", container.big_endian)
    peer, flags = cursor.number(8, "the peer's trace id"), cursor.number(4, "the flags")
    rows = list[list[NDArray[np.uint64]]]()
    for _ in range(parts.cpu_count(cursor, cursor.number(4, "the number of CPUs"))):
        count = cursor.number(4, "the number of samples")
        if count > _SAMPLES_MAX:
            cursor.fail(f"at most {_SAMPLES_MAX} samples", f"{count}", cursor.pos - 4)
        rows.append([_numbers(cursor, count, what) for what in ("times", "offsets", "scaling ratios")])
    with_fraction = cursor.left() > 0
    shifts: dict[int, Shift] = {}
    for cpu, (time, offset, scaling) in enumerate(rows):
        fraction = _numbers(cursor, len(time), "fractions") if with_fraction else np.zeros(len(time), np.uint64)
        if len(time) and int(fraction.max()) > _SHIFT_MAX:
            cursor.fail(f"fractions of at most {_SHIFT_MAX} bits", f"{fraction.max()}")
        signed = time.astype(np.int64)
        _, first = np.unique(signed, return_index=True)
        shifts[cpu] = Shift(
            signed[first], offset.astype(np.int64)[first], scaling[first], fraction[first], bool(flags & _INTERPOLATE)
        )
    told: dict[str, object] = {
        "peer_trace_id": f"{peer:#x}",
        "interpolated": bool(flags & _INTERPOLATE),
        "samples": {str(cpu): len(shift.time) for cpu, shift in shifts.items()},
    }
    return shifts, told


def _numbers(cursor: Cursor, count: int, what: str) -> NDArray[np.uint64]:
    data = cursor.take(8 * count, f"{what} of a clock")
    return np.frombuffer(data, ">u8" if cursor.order == "big" else "<u8").astype(np.uint64)
