"""`walk.walk` as machine code: one loop over the bytes, which checks every offset itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.perf_data.attrs import Layouts
from fastgup_trace.ingest.perf_data.walk import AT_LIMIT, Records, Walk

_BATCH = 1 << 19
"""Records that the loop finds at a time; its arrays are used again and again."""

_FULL = 4

_MEMO_MASK = 255
"""Places of ids are kept by their lowest bits: the kernel numbers events one after another, so few share a place."""


# Unsigned places need no test for negative ones between the loads, which so become one.
_1, _2, _3, _4 = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)


@compiled
def _u16(data: Any, at: Any, big: bool) -> Any:
    at = np.uintp(at)
    one, two = np.int64(data[at]), np.int64(data[at + _1])
    return one << 8 | two if big else two << 8 | one


@compiled
def _u32(data: Any, at: Any, big: bool) -> Any:
    at = np.uintp(at)
    one, two = np.int64(data[at]), np.int64(data[at + _1])
    three, four = np.int64(data[at + _2]), np.int64(data[at + _3])
    if big:
        return one << 24 | two << 16 | three << 8 | four
    return four << 24 | three << 16 | two << 8 | one


@compiled
def _i64(data: Any, at: Any, big: bool) -> Any:
    at = np.uintp(at)
    first, second = _u32(data, at, big), _u32(data, at + _4, big)
    return first << 32 | second if big else second << 32 | first


@compiled
def _find(ids: Any, wanted: int) -> Any:
    """Where sorted `ids` have `wanted`; -1 if they don't."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(ids) and ids[low] == wanted else -1


@compiled
def _raw(data: Any, pos: int, size: int, big: bool, attrs: Any, event: int) -> Any:
    """Place in the record and length of a sample's raw data, 0 and 0 without; -1 where the sample is too short.

    Columns of `attrs` (Layouts.attrs): 3 the rest, 4 the read format, 5 a call chain, 6 raw data. A row taken by itself
    would be counted as one more user of the array, which costs more than the loads.
    """
    at = attrs[event, 3]
    if at > size:
        return -1, 0
    if attrs[event, 4] >= 0:
        form = attrs[event, 4]
        times = 8 * ((form & 1) + (form >> 1 & 1))
        entry = 8 * (1 + (form >> 2 & 1) + (form >> 4 & 1))
        if form & 8:
            if at + 8 + times > size:
                return -1, 0
            count = _i64(data, pos + at, big)
            at += 8 + times
            if count < 0 or count > (size - at) // entry:
                return -1, 0
            at += count * entry
        else:
            at += times + entry
            if at > size:
                return -1, 0
    if attrs[event, 5]:
        if at + 8 > size:
            return -1, 0
        count = _i64(data, pos + at, big)
        at += 8
        if count < 0 or count > (size - at) // 8:
            return -1, 0
        at += count * 8
    if attrs[event, 6] == 0:
        return 0, 0
    if at + 4 > size:
        return -1, 0
    length = _u32(data, pos + at, big)
    at += 4
    if length > size - at:
        return -1, 0
    return at, length


@compiled
def _loop(
    data: Any, pos: Any, limit: int, end: int, big: bool, attrs: Any, id_at: Any, id_end: Any, ids: Any, id_attr: Any,
    id_cpu: Any, attrs_from: int, places: Any, times: Any, kinds: Any, events: Any, pids: Any, tids: Any, cpus: Any,
    raws: Any, lengths: Any, numbers: Any,
) -> Any:  # fmt: skip
    """Fill the arrays from `places` on; returns how many rows, where the loop ended, and why (4: arrays full)."""
    room = min(len(places), len(times), len(kinds), len(events), len(pids), len(tids), len(cpus))
    room = min(room, len(raws), len(lengths), len(numbers))
    end = min(end, len(data))
    known, count = np.full(_MEMO_MASK + 1, -1, np.int64), 0
    if pos < 0 or len(id_attr) != len(ids) or len(id_cpu) != len(ids) or attrs.shape[1] != 10:
        return 0, pos, 2
    while pos < limit:
        if count >= room:
            return count, pos, 4
        if end - pos < 8:
            return count, pos, 1
        kind, size = _u32(data, pos, big), _u16(data, pos + 6, big)
        if size < 8:
            return count, pos, 2
        after = pos + size
        if kind == 64 and pos >= attrs_from:
            return count, pos, 3
        if after <= end and ((kind == 66 and size >= 12) or (kind == 71 and size >= 16)):
            more = _u32(data, pos + 8, big) if kind == 66 else _i64(data, pos + 8, big)
            if more < 0 or more > end - after:
                return count, pos, 1
            after += more
        if after > end:
            return count, pos, 1
        ts: Any = np.int64(-1)
        event: Any = np.int64(-1)
        pid: Any = np.int64(-1)
        tid: Any = np.int64(-1)
        cpu: Any = np.int64(-1)
        raw: Any = np.int64(0)
        length: Any = np.int64(0)
        if kind < 64 and len(attrs):
            sample = kind == 9
            event = np.int64(-1) if sample and id_at >= 0 else np.int64(0)
            at: Any = id_at if sample else (size - id_end if id_end >= 0 else np.int64(-1))
            if at >= 8 and at + 8 <= size:
                number = _i64(data, pos + at, big)
                line = number & _MEMO_MASK
                slot = known[line]
                if slot < 0 or ids[slot] != number:
                    slot = _find(ids, number)
                    known[line] = slot
                if slot >= 0:
                    event, cpu = np.int64(id_attr[slot]), np.int64(id_cpu[slot])
                elif number == 0:
                    event = np.int64(0)
            if event >= len(attrs):
                event = np.int64(-1)
            if event >= 0:
                if sample:
                    raw, length = _raw(data, pos, size, big, attrs, event)
                    if raw < 0:
                        event, raw = np.int64(-2), np.int64(0)
                    else:
                        if attrs[event, 0] >= 0:
                            ts = _i64(data, pos + attrs[event, 0], big)
                        if attrs[event, 1] >= 0:
                            at = pos + attrs[event, 1]
                            pid, tid = _u32(data, at, big), _u32(data, at + 4, big)
                        if attrs[event, 2] >= 0:
                            cpu = _u32(data, pos + attrs[event, 2], big)
                else:
                    if attrs[event, 7] >= 8 and size - attrs[event, 7] >= 8:
                        ts = _i64(data, pos + size - attrs[event, 7], big)
                    if attrs[event, 8] >= 8 and size - attrs[event, 8] >= 8:
                        at = pos + size - attrs[event, 8]
                        pid, tid = _u32(data, at, big), _u32(data, at + 4, big)
                    if attrs[event, 9] >= 8 and size - attrs[event, 9] >= 8:
                        cpu = _u32(data, pos + size - attrs[event, 9], big)
                    event = np.int64(-1)
        places[count], times[count], kinds[count] = pos, ts if ts > 0 else np.int64(-1), min(kind, 255)
        events[count], pids[count], tids[count], cpus[count] = event, pid, tid, cpu
        raws[count], lengths[count] = raw, length
        numbers[count] = _u16(data, pos + raw, big) if length >= 2 else np.int64(0)
        count += 1
        pos = after
    return count, pos, 0


class CompiledWalk:
    """walk.walk, with arrays that it uses again: the records of one call are copied before the next."""

    def __init__(self) -> None:
        self._arrays: list[Any] = [np.empty(_BATCH, np.int64) for _ in range(2)] + [
            np.empty(_BATCH, np.int32) for _ in range(8)
        ]

    def __call__(
        self, data: NDArray[np.uint8], pos: int, limit: int, end: int, order: str, layouts: Layouts, attrs_from: int
    ) -> Walk:
        count, pos, why = _loop(
            data, pos, limit, end, order == ">", layouts.attrs, layouts.id_at, layouts.id_end, layouts.ids,
            layouts.id_attr, layouts.id_cpu, attrs_from, *self._arrays,
        )  # fmt: skip
        return Walk(Records(*(column[:count] for column in self._arrays)), pos, AT_LIMIT if why == _FULL else why)
