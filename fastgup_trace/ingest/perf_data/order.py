"""Records in time order, a bounded stretch of the recording at a time.

perf record writes buffer after buffer, so records of the file are in time order only within one. When all buffers were
read once it writes PERF_RECORD_FINISHED_ROUND: then nothing later can be older than the newest record of the round
before, and what is older is complete (ordered-events, tools/perf/util/session.c: process_finished_round).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.stream import Stretch
from fastgup_trace.ingest.perf_data.walk import NO_TIME, Records, joined, moved

WINDOW_RECORDS: Final = 1 << 17
"""With their data about as much as a CPU's cache holds: each field is a pass over all of it."""

WAITING_RECORDS_MAX: Final = 1 << 22
"""Without rounds all records wait; from so many on the older half of them goes, whatever may follow."""

WAITING_BYTES_MAX: Final = 1 << 28
"""Of unpacked data, likewise."""

RECORD_BYTES_MAX: Final = 1 << 16
_FOREVER: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Sorted:
    """Records in time order, none older than any before it; `ts` tells a time for each."""

    data: NDArray[np.uint8]
    records: Records
    own: dict[int, int]
    """Kind -> number of perf's own records in this stretch of the file."""
    end: int
    needed_from: int
    """Records that wait need the data from here on."""


class Sorter:
    """Sorts the stretches of `file`; counts what had no time of its own, and what came too late for its place."""

    def __init__(self, file: NDArray[np.uint8]) -> None:
        self.timeless = self.late = 0
        self._file = file
        self._newest = self._round = self._complete = self._floor = -1
        """Newest time so far, at the end of the last round and of the round before it; newest that was handed out."""
        self._waiting: list[tuple[NDArray[np.uint8], Records]] = []
        self._fresh = 0
        """Records that came since the last were handed out."""

    def sorted(self, stretches: Iterable[Stretch]) -> Iterator[Sorted]:
        own, end = dict[int, int](), 0
        for stretch in stretches:
            end = stretch.end
            self._add(stretch, own)
            unpacked_bytes = sum(len(data) for data, _ in self._waiting if data is not self._file)
            if self._fresh >= WINDOW_RECORDS or unpacked_bytes > WAITING_BYTES_MAX:
                yield from self._emit(self._complete, unpacked_bytes > WAITING_BYTES_MAX, own, end)
                own, self._fresh = {}, 0
        yield from self._emit(_FOREVER, False, own, end)

    def _add(self, stretch: Stretch, own: dict[int, int]) -> None:
        """Take in a stretch: times for all, how far it makes the recording complete; perf's own records only count."""
        records = stretch.records
        ts = records.ts
        newest = np.maximum(np.maximum.accumulate(ts), self._newest)
        mine = records.kind >= abi.USER
        if mine.any():
            kinds, counts = np.unique(records.kind[mine], return_counts=True)
            for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
                own[kind] = own.get(kind, 0) + count
            for row in np.flatnonzero(records.kind == abi.FINISHED_ROUND)[-2:].tolist():
                self._complete, self._round = self._round, int(newest[row])
        untimed = (ts < 0) & ~mine
        if untimed.any():
            self.timeless += int(np.count_nonzero(untimed))
            attr = np.where(untimed & (records.kind != abi.SAMPLE), NO_TIME, records.attr).astype(np.int32)
            records = replace(records, ts=np.where(untimed, newest, ts), attr=attr)
        self._newest = int(newest[-1]) if len(newest) else self._newest
        kept = records.take(~mine)
        self._waiting.append((stretch.data, kept))
        self._fresh += len(kept)

    def _merged(self) -> tuple[NDArray[np.uint8], Records]:
        """All that waits, in one data."""
        self._waiting = [part for part in self._waiting if len(part[1])]
        if all(data is self._file for data, _ in self._waiting):
            return self._file, joined([records for _, records in self._waiting] or [_none()])
        datas, parts, size = list[NDArray[np.uint8]](), list[Records](), 0
        for data, records in self._waiting:
            first, last = int(records.place.min()), int(records.place.max())
            datas.append(data[first : last + RECORD_BYTES_MAX])
            parts.append(moved(records, size - first))
            size += len(datas[-1])
        return np.concatenate([*datas, np.zeros(8, np.uint8)]), joined(parts)

    def _emit(self, limit: int, crowded: bool, own: dict[int, int], end: int) -> Iterator[Sorted]:
        data, waiting = self._merged()
        if limit < _FOREVER and (crowded or len(waiting) > WAITING_RECORDS_MAX):
            limit = max(limit, int(np.partition(waiting.ts, len(waiting) // 2)[len(waiting) // 2]))
        ready = waiting.ts <= limit
        rows, rest = np.flatnonzero(ready), waiting.take(~ready)
        self._waiting = [(data, rest)]
        rows = rows[np.argsort(waiting.ts[rows], kind="stable")]
        needed = int(rest.place.min()) if len(rest) else end
        for start in range(0, max(len(rows), 1), WINDOW_RECORDS):
            last = start + WINDOW_RECORDS >= len(rows)
            part = waiting.take(rows[start : start + WINDOW_RECORDS])
            yield Sorted(data, self._timed(part), own, end, needed if last else 0)
            own = {}

    def _timed(self, records: Records) -> Records:
        """Nothing older than what went before; what stands before all times has the first."""
        ts = records.ts
        if len(ts):
            first = np.flatnonzero(ts >= 0)[:1]
            floor = max(self._floor, int(ts[first[0]]) if len(first) else 0)
            self.late += int(np.count_nonzero((ts >= 0) & (ts < self._floor)))
            if ts[0] < floor:
                ts = np.maximum(ts, floor)
            self._floor = int(ts[-1])
        return replace(records, ts=ts)


def _none() -> Records:
    empty = np.zeros(0, np.int32)
    return Records(np.zeros(0, np.int64), np.zeros(0, np.int64), *[empty] * 8)
