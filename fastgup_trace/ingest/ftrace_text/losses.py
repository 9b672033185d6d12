"""`CPU:1 [LOST 12 EVENTS]` and `CPU:1 [12 EVENTS DROPPED]`: where events are missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from fastgup_trace.ingest.ftrace_text.lines import LOST, Records
from fastgup_trace.ingest.records import Loss

ANY_CPU = -1
"""The CPU of a loss that the recording tells for all CPUs together."""


@dataclass
class Losses:
    """Turns loss lines into `losses`: from the CPU's last record before the line to its first after it."""

    losses: list[Loss]
    first_ns: int | None = None
    last_ns: int = 0
    cpu_ns: dict[int, int] = field(default_factory=dict)
    """Time of the last record of each CPU."""
    open: list[tuple[int, int, int | None]] = field(default_factory=list)
    """(cpu, from, count) of losses whose CPU has had no record since."""

    def add(self, lines: Records, undecodable: Counter[str], no_record: str) -> None:
        """Read the loss lines of a block; every other line that is no record is counted under `no_record`."""
        ts, cpu = lines.ts_ns, lines.cpu
        if len(ts) and self.first_ns is None:
            self.first_ns = int(ts[0])
        self.open = [loss for loss in self.open if not self._close(loss, lines, 0)]
        for row, line in lines.others:
            found = LOST.match(line.rstrip())
            if not found:
                undecodable[no_record] += 1
                continue
            number = int(found[1])
            before = np.flatnonzero(cpu[:row] == number)
            start = int(ts[before[-1]]) if len(before) else self.cpu_ns.get(number, self.first_ns or 0)
            loss = number, start, int(found[2]) if found[2] else None
            if not self._close(loss, lines, row):
                self.open.append(loss)
        if len(ts):
            latest = np.full(int(cpu.max()) + 2, -1, np.int64)
            latest[cpu + 1] = np.arange(len(cpu))  # Of equal indices the last one counts.
            there = np.flatnonzero(latest >= 0)
            self.cpu_ns.update(zip((there - 1).tolist(), ts[latest[there]].tolist(), strict=True))
            self.last_ns = int(ts[-1])

    def _close(self, loss: tuple[int, int, int | None], lines: Records, row: int) -> bool:
        after = np.flatnonzero(lines.cpu[row:] == loss[0])
        if len(after):
            self.losses.append(Loss(loss[0], loss[1], int(lines.ts_ns[row + after[0]]), loss[2]))
        return len(after) > 0

    def finish(self, entries: tuple[int, int] | None) -> None:
        """After the last block; `entries` are the header's entries-in-buffer and entries-written.

        What was written and is not in the buffer was overwritten before its first record, nobody knows on which CPU.
        """
        for cpu, start, count in self.open:
            self.losses.append(Loss(cpu, start, self.last_ns, count))
        self.open = []
        if entries and entries[0] < entries[1]:
            start = self.first_ns or 0
            self.losses.append(Loss(ANY_CPU, start, start, entries[1] - entries[0]))
