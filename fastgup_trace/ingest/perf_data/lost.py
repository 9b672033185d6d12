"""Losses: what PERF_RECORD_LOST and PERF_RECORD_LOST_SAMPLES count, placed in time on their CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.walk import NO_TIME, Records
from fastgup_trace.ingest.records import Loss
from fastgup_trace.ingest.unaligned import Int64s

_CPUS_MAX = 1 << 16
_COUNT_MAX = (1 << 63) - 1


class LostRecords:
    """Fills `losses`. A LOST record stands where the buffer took records again: the loss ends there.

    At its end perf record asks each event how much it lost in all (PERF_FORMAT_LOST, v6.1) and writes LOST_SAMPLES
    without a time: that counts the same records again, so only what exceeds the LOST records is a loss of its own.
    """

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._last = np.full(_CPUS_MAX, -1, np.int64)
        """Time of the last record of each CPU in earlier windows."""
        self._noted: list[tuple[int, int]] = []
        self._told = self._in_all = 0
        self._first_ts = self._last_ts = -1

    def note(self, records: Records, rows: Int64s, counts: Sequence[int], kind: int) -> None:
        """Take in the LOST or LOST_SAMPLES records `rows` of a window."""
        for row, count in zip(rows.tolist(), counts, strict=True):
            if kind == abi.LOST_SAMPLES and records.attr[row] == NO_TIME:
                self._in_all += count
            else:
                self._told += count if kind == abi.LOST else 0
                self._noted.append((row, min(count, _COUNT_MAX)))

    def window(self, records: Records) -> None:
        """The window is read: place its losses."""
        if not len(records):
            return
        self._first_ts = self._first_ts if self._first_ts >= 0 else int(records.ts[0])
        self._last_ts = int(records.ts[-1])
        for cpu in {int(records.cpu[row]) for row, _ in self._noted}:
            rows = np.flatnonzero(records.cpu == cpu)
            for row, count in sorted(noted for noted in self._noted if records.cpu[noted[0]] == cpu):
                before = int(np.searchsorted(rows, row)) - 1
                since = int(records.ts[rows[before]]) if before >= 0 else self._before(cpu)
                end = int(records.ts[row])
                self._losses.append(Loss(cpu, since if since >= 0 else end, end, count))
        self._noted.clear()
        known = (records.cpu >= 0) & (records.cpu < _CPUS_MAX)
        self._last[records.cpu[known]] = records.ts[known]

    def _before(self, cpu: int) -> int:
        return int(self._last[cpu]) if 0 <= cpu < _CPUS_MAX else -1

    def end(self) -> None:
        """All windows are read: what was lost and stands in no LOST record has no place, and no CPU (-1)."""
        more = min(self._in_all - self._told, _COUNT_MAX)
        if more > 0:
            self._losses.append(Loss(-1, max(self._first_ts, 0), max(self._last_ts, 0), more))
        self._losses.sort(key=lambda loss: (loss.end_ns, loss.cpu))
