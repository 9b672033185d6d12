"""The walk over records: where each lies, what kind it is, when and where it was written, and its raw data.

`walk` is plain Python over the heads and numpy over the rest; `compiled_walk.walk` is the same loop as machine code,
for large recordings. Both are held to the same tests.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data import attrs as row_of
from fastgup_trace.ingest.perf_data.attrs import Layouts
from fastgup_trace.ingest.unaligned import Int64s, words

Int32s = NDArray[np.int32]

UNKNOWN: Final = -1
"""In Records.attr: the event that a sample's id belongs to is not known, or the record is no sample."""
TOO_SHORT: Final = -2
"""In Records.attr: the sample is too short for what its event's samples have."""

NO_TIME: Final = -3
"""In Records.attr: a record that is no sample, and has no time of its own."""

# Why a walk ended
AT_LIMIT, CUT, BAD_SIZE, NEW_ATTR = range(4)


@dataclass(frozen=True)
class Records:
    """A run of records, one row each."""

    place: Int64s
    """Of its header, in the data that was walked."""
    ts: Int64s
    """Nanoseconds; -1 where it has none (perf itself writes 0 for records that it makes up)."""
    kind: Int32s
    """perf_event_header.type; what is above 255 as 255."""
    attr: Int32s
    """Samples: place of their event; or UNKNOWN, TOO_SHORT, NO_TIME."""
    pid: Int32s
    tid: Int32s
    cpu: Int32s
    """-1 where it has none."""
    raw: Int32s
    """Samples: where PERF_SAMPLE_RAW's data begins in the record; 0 without."""
    raw_bytes: Int32s
    raw_id: Int32s
    """The first two bytes of that data: the kernel's id of the event; 0 without."""

    def __len__(self) -> int:
        return len(self.place)

    def take(self, rows: Int64s | NDArray[np.bool_] | slice) -> Records:
        return Records(*(column[rows] for column in self.columns()))

    def columns(self) -> tuple[Any, ...]:
        return tuple(getattr(self, column.name) for column in fields(self))

    def copy(self) -> Records:
        return Records(*(column.copy() for column in self.columns()))


def joined(parts: list[Records]) -> Records:
    """The records of all parts, one part after another."""
    if len(parts) == 1:
        return parts[0]
    return Records(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


def moved(records: Records, by: int) -> Records:
    """The same records in data that begins `by` bytes earlier."""
    return replace(records, place=records.place + by)


@dataclass(frozen=True)
class Walk:
    records: Records
    end: int
    """Where the walk ended: behind its last record."""
    why: int
    """AT_LIMIT; CUT: the next record is not whole; BAD_SIZE: it has a size that none can have; NEW_ATTR."""


def walk(
    data: NDArray[np.uint8], pos: int, limit: int, end: int, order: str, layouts: Layouts, attrs_from: int
) -> Walk:
    """The records that begin at `pos` and before `limit`, in data that ends at `end`.

    Ends at a PERF_RECORD_HEADER_ATTR behind `attrs_from`, as it changes the layouts.
    """
    places, kinds, sizes, why = list[int](), list[int](), list[int](), AT_LIMIT
    unpack = struct.Struct(f"{order}IHH").unpack_from
    behind = {abi.TRACING_DATA: struct.Struct(f"{order}I"), abi.AUXTRACE: struct.Struct(f"{order}Q")}
    buffer = data.data
    while pos < limit:
        if end - pos < abi.HEADER_BYTES:
            why = CUT
            break
        kind, _, size = unpack(buffer, pos)
        if size < abi.HEADER_BYTES:
            why = BAD_SIZE
            break
        after = pos + size
        if kind == abi.HEADER_ATTR and pos >= attrs_from:
            why = NEW_ATTR
            break
        if kind in behind and size >= abi.HEADER_BYTES + behind[kind].size and after <= end:
            after += behind[kind].unpack_from(buffer, pos + abi.HEADER_BYTES)[0]
        if after > end:
            why = CUT
            break
        places.append(pos)
        kinds.append(min(kind, 255))
        sizes.append(size)
        pos = after
    place, size = np.array(places, np.int64), np.array(sizes, np.int64)
    return Walk(_read(data, place, np.array(kinds, np.int32), size, order, layouts), pos, why)


def _read(data: NDArray[np.uint8], place: Int64s, kind: Int32s, size: Int64s, order: str, layouts: Layouts) -> Records:
    count = len(place)
    ts, (attr, pid, tid, cpu) = np.full(count, -1, np.int64), (np.full(count, -1, np.int32) for _ in range(4))
    raw, raw_bytes, raw_id = (np.zeros(count, np.int32) for _ in range(3))
    records = Records(place, ts, kind, attr, pid, tid, cpu, raw, raw_bytes, raw_id)
    if not len(layouts.attrs):
        return records
    of_sample = kind == abi.SAMPLE
    event = np.where(of_sample, UNKNOWN, 0)
    if layouts.id_at < 0:
        event[:] = 0
    at = np.where(of_sample, layouts.id_at, size - layouts.id_end)
    has_id = (at >= abi.HEADER_BYTES) & (at + 8 <= size) & (kind < abi.USER)
    has_id &= np.where(of_sample, layouts.id_at >= 0, layouts.id_end >= 0)
    ids = words(data, np.where(has_id, place + at, place), f"{order}i8").astype(np.int64)
    slot = np.minimum(np.searchsorted(layouts.ids, ids), max(len(layouts.ids) - 1, 0))
    if len(layouts.ids):
        hit = has_id & (layouts.ids[slot] == ids)
        event = np.where(hit, layouts.id_attr[slot], event)
        cpu[hit] = layouts.id_cpu[slot[hit]]
    event = np.where(of_sample & has_id & (ids == 0) & (event < 0), 0, event)  # perf's own records have id 0
    for number, row in enumerate(layouts.attrs.tolist()):
        mine = (event == number) & (kind < abi.USER)
        _samples(data, records, np.flatnonzero(mine & of_sample), size, order, number, row)
        rows = np.flatnonzero(mine & ~of_sample)
        for end_at, column, dtype in ((row[row_of.TIME_END], ts, "i8"), (row[row_of.CPU_END], cpu, "i4")):
            _put(column, data, rows, place, size - end_at, size, end_at >= 0, f"{order}{dtype}")
        _put(pid, data, rows, place, size - row[row_of.TID_END], size, row[row_of.TID_END] >= 0, f"{order}i4")
        _put(tid, data, rows, place, size - row[row_of.TID_END] + 4, size, row[row_of.TID_END] >= 0, f"{order}i4")
    ts[ts <= 0] = -1
    return records


def _put(
    column: NDArray[np.generic], data: NDArray[np.uint8], rows: Int64s, place: Int64s, at: Int64s, size: Int64s,
    present: bool, dtype: str,
) -> None:  # fmt: skip
    """Fill `column` of `rows` with the numbers `at` bytes behind their beginning, where these are in the record."""
    if present and len(rows):
        rows = rows[(at[rows] >= abi.HEADER_BYTES) & (at[rows] < size[rows])]
        column[rows] = words(data, place[rows] + at[rows], dtype)


def _samples(
    data: NDArray[np.uint8], records: Records, rows: Int64s, sizes: Int64s, order: str, number: int, row: list[int]
) -> None:
    """Samples of one event: fields at fixed places, then READ, CALLCHAIN and RAW, whose lengths they tell."""
    place, size = records.place[rows], sizes[rows]
    at = np.full(len(rows), row[row_of.REST_AT], np.int64)
    good = at <= size

    def number_at(dtype: str) -> Int64s:
        """The number at each row's `at`, which moves on; rows that it does not fit into are no longer good."""
        nonlocal at, good
        width = np.dtype(dtype).itemsize
        good = good & (at + width <= size)
        found = words(data, np.where(good, place + at, place), order + dtype).astype(np.int64)
        at = np.where(good, at + width, at)
        return found

    def skip(count: Int64s, each: int) -> None:
        nonlocal at, good
        good = good & (count >= 0) & (count <= (size - at) // each)
        at = np.where(good, at + count * each, at)

    if row[row_of.READ_FORMAT] >= 0:
        form = row[row_of.READ_FORMAT]
        times = 8 * (bool(form & abi.FORMAT_ENABLED) + bool(form & abi.FORMAT_RUNNING))
        entry = 8 * (1 + bool(form & abi.FORMAT_ID) + bool(form & abi.FORMAT_LOST))
        if form & abi.FORMAT_GROUP:
            values = number_at("i8")
            if times:
                skip(np.ones(len(rows), np.int64), times)
            skip(values, entry)
        else:
            skip(np.ones(len(rows), np.int64), times + entry)
    if row[row_of.HAS_CHAIN]:
        skip(number_at("i8"), 8)
    begin = length = np.zeros(len(rows), np.int64)
    if row[row_of.HAS_RAW]:
        length = number_at("u4")
        begin = at
        skip(length, 1)
    records.attr[rows] = np.where(good, number, TOO_SHORT)
    rows, place, begin, length = rows[good], place[good], begin[good], length[good]
    records.raw[rows], records.raw_bytes[rows] = begin, length
    records.raw_id[rows] = np.where(
        length >= 2, words(data, np.where(length >= 2, place + begin, place), f"{order}u2"), 0
    )
    if row[row_of.TIME_AT] >= 0:
        records.ts[rows] = words(data, place + row[row_of.TIME_AT], f"{order}i8")
    if row[row_of.TID_AT] >= 0:
        records.pid[rows] = words(data, place + row[row_of.TID_AT], f"{order}i4")
        records.tid[rows] = words(data, place + row[row_of.TID_AT] + 4, f"{order}i4")
    if row[row_of.CPU_AT] >= 0:
        records.cpu[rows] = words(data, place + row[row_of.CPU_AT], f"{order}i4")
