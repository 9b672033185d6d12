"""The events of a recording: struct perf_event_attr, the ids of their samples, their names, where a sample has what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.unaligned import Int64s

ATTR_BYTES_MIN: Final = 64  # PERF_ATTR_SIZE_VER0
ATTR_BYTES_MAX: Final = 4096
ATTRS_MAX: Final = 1 << 16

_NO_CLOCKID: Final = 96
"""Attrs of fewer bytes have no clockid (PERF_ATTR_SIZE_VER3, v4.1)."""


@dataclass(frozen=True)
class Attr:
    """One event as perf_event_open(2) was asked for it."""

    type: int
    config: int
    sample_type: int
    read_format: int
    flags: int
    """The bit-field behind read_format, `disabled` as bit 0 in either byte order."""
    clockid: int
    ids: tuple[int, ...] = ()
    """Ids of its counters, one for each CPU or thread, as signed numbers."""
    name: str | None = None
    """As perf record noted it."""

    @property
    def sample_id_all(self) -> bool:
        return bool(self.flags >> 18 & 1)

    @property
    def clock(self) -> str:
        """The clock of its times; perf's own (sched_clock) without use_clockid."""
        return abi.CLOCKS.get(self.clockid, f"clockid {self.clockid}") if self.flags >> 25 & 1 else "perf"


def parse_attr(cursor: Cursor, size: int) -> Attr:
    """The attr of `size` bytes at the cursor; what is behind regs_intr (v3.19) says nothing that matters here."""
    if not ATTR_BYTES_MIN <= size <= ATTR_BYTES_MAX:
        cursor.fail(f"an attr of {ATTR_BYTES_MIN} to {ATTR_BYTES_MAX} bytes", f"{size}")
    inner = Cursor(cursor.data, cursor.where, cursor.order == "big", cursor.pos)
    cursor.take(size, "an attr")
    kind = inner.number(4, "attr.type")
    inner.take(4, "attr.size")
    config = inner.number(8, "attr.config")
    inner.take(8, "attr.sample_period")
    sample_type, read_format = inner.number(8, "attr.sample_type"), inner.number(8, "attr.read_format")
    flags = inner.number(8, "attr.flags")
    if cursor.order == "big":  # bit-fields begin at the highest bit there
        flags = int(f"{flags:064b}"[::-1], 2)
    clockid = 0
    if size >= _NO_CLOCKID:
        inner.take(44, "attr")
        clockid = inner.number(4, "attr.clockid")
    return Attr(kind, config, sample_type, read_format, flags, clockid)


def parse_ids(cursor: Cursor, size: int) -> tuple[int, ...]:
    """`size` bytes of ids."""
    order = ">" if cursor.order == "big" else "<"
    ids: list[int] = np.frombuffer(cursor.take(size // 8 * 8, "ids"), f"{order}i8").tolist()
    return tuple(ids)


def named(attr: Attr, name: str) -> Attr:
    return replace(attr, name=name)


def event_name(attr: Attr) -> str:
    """The event's name as perf prints it; of software events without modifiers and aliases (`faults:u`).

    tools/perf/util/evsel.c has the rules for an event that perf record left no name of.
    """
    if attr.type == abi.SOFTWARE and attr.config < len(abi.SOFTWARE_NAMES):
        return abi.SOFTWARE_NAMES[attr.config]
    if attr.name:
        return attr.name
    if attr.type == abi.HARDWARE and attr.config < len(abi.HARDWARE_NAMES):
        return abi.HARDWARE_NAMES[attr.config] + _modifiers(attr)
    if attr.type == abi.HW_CACHE:
        cache, operation, result = (attr.config >> shift & 0xFF for shift in (0, 8, 16))
        if cache < len(abi.CACHE_NAMES) and operation < len(abi.CACHE_OPERATIONS) and result < 2:
            one, many = abi.CACHE_OPERATIONS[operation]
            return f"{abi.CACHE_NAMES[cache]}-" + (f"{one}-misses" if result else many) + _modifiers(attr)
    if attr.type == abi.RAW_EVENT:
        return f"raw 0x{attr.config:x}" + _modifiers(attr)
    return f"type {attr.type} config 0x{attr.config:x}"


def _modifiers(attr: Attr) -> str:
    """`:u` for an event of user space only, `:pp` for a precise one."""
    excluded = [bool(attr.flags >> bit & 1) for bit in (5, 4, 6)]  # exclude_kernel, exclude_user, exclude_hv
    levels = "".join(letter for letter, out in zip("kuh", excluded, strict=True) if not out) if any(excluded) else ""
    text = levels + "p" * (attr.flags >> 15 & 3)
    return f":{text}" if text else ""


def place_in_sample(attr: Attr, bit: int) -> int:
    """Bytes from a sample's beginning to the field `bit` of abi.SAMPLE_ORDER; -1 if its samples have none."""
    if not attr.sample_type & bit:
        return -1
    before = abi.SAMPLE_ORDER[: abi.SAMPLE_ORDER.index(bit)]
    return abi.HEADER_BYTES + 8 * sum(bool(attr.sample_type & other) for other in before)


def _from_end(attr: Attr, bit: int) -> int:
    """Bytes from the field `bit` of the trailer to the record's end; -1 without."""
    if not attr.sample_id_all or not attr.sample_type & bit:
        return -1
    behind = abi.TRAILER_ORDER[abi.TRAILER_ORDER.index(bit) :]
    return 8 * sum(bool(attr.sample_type & other) for other in behind)


# Columns of Layouts.attrs
TIME_AT, TID_AT, CPU_AT, REST_AT, READ_FORMAT, HAS_CHAIN, HAS_RAW, TIME_END, TID_END, CPU_END = range(10)


@dataclass(frozen=True)
class Layouts:
    """Where the samples of each event have what, as plain numbers for the walk."""

    attrs: Int64s
    """A row an event: places from a record's beginning (_AT) or end (_END), -1 for none; READ_FORMAT -1 for none."""
    id_at: int
    """Where every sample has its event's id; -1 where there is but one event."""
    id_end: int
    """How far before their end other records have it; -1 without."""
    ids: Int64s
    """Sorted."""
    id_attr: NDArray[np.int32]
    id_cpu: NDArray[np.int32]
    """The CPU that an id belongs to; -1 for threads on any CPU, or where the recording does not tell."""


def layouts(attrs: Sequence[Attr], cpus: dict[int, int]) -> Layouts:
    """The layouts of `attrs`; `cpus` has what PERF_RECORD_ID_INDEX tells: id -> CPU."""
    rows = [_row(attr) for attr in attrs]
    known = sorted((number, place) for place, attr in enumerate(attrs) for number in attr.ids)
    first = attrs[0] if attrs else None
    id_at = id_end = -1
    if first is not None and (len(attrs) > 1 or cpus):
        # All events of a file have their id at one place: PERF_SAMPLE_IDENTIFIER is there for that (v3.12).
        bit = abi.IDENTIFIER if first.sample_type & abi.IDENTIFIER else abi.ID
        id_at, id_end = place_in_sample(first, bit), _from_end(first, bit)
        if id_at < 0 and len(attrs) > 1:
            id_at = 0  # no sample can have it there: whose they are is not known
    return Layouts(
        np.array(rows, np.int64).reshape(-1, 10),
        id_at,
        id_end,
        np.array([number for number, _ in known], np.int64),
        np.array([place for _, place in known], np.int32),
        np.array([cpus.get(number, -1) for number, _ in known], np.int32),
    )


def _row(attr: Attr) -> tuple[int, ...]:
    places = (place_in_sample(attr, bit) for bit in (abi.TIME, abi.TID, abi.CPU))
    rest = abi.HEADER_BYTES + 8 * sum(bool(attr.sample_type & bit) for bit in abi.SAMPLE_ORDER)
    read = attr.read_format & 31 if attr.sample_type & abi.SAMPLE_READ else -1
    chain, raw = (int(bool(attr.sample_type & bit)) for bit in (abi.CALLCHAIN, abi.RAW))
    ends = (_from_end(attr, bit) for bit in (abi.TIME, abi.TID, abi.CPU))
    return (*places, rest, read, chain, raw, *ends)
