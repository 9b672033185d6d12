"""The records of a window, in merged order and then event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.ingest.unaligned import Int64s, words

EVENT_IDS = 1 << 16


@dataclass(frozen=True)
class Batch:
    """Records of a window in merged order: where each one's payload (struct trace_entry and fields) lies in `data`.

    A reader with compiled loops may leave out the records that nobody wants. It then sets all that follows `place`;
    its arrays need to last only until the next batch.
    """

    data: NDArray[np.uint8]
    """With 8 spare bytes at its end."""
    start: Int64s
    length: Int64s
    ts: Int64s
    cpu: Int64s
    place: Callable[[int], str]
    """Row -> where the recording has it, for errors: `offset 4711`."""
    ids: Int64s | None = None
    """Each record's event id."""
    counts: Int64s | None = None
    """For each of the 65536 event ids how many records the window has, also of those left out."""
    seq: Int64s | None = None
    """Each record's position in the merged order of the whole recording."""
    previous: Int64s | None = None
    """The position of the record before it on its CPU; -1: none. May be left out always."""

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Group:
    """The records of one event in merged order."""

    id: int
    start: Int64s
    length: Int64s
    ts: Int64s
    cpu: Int64s
    seq: Int64s
    previous: Int64s | None

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: Int64s) -> Group:
        """Some of the records."""
        start, length, ts, cpu, seq = (
            column[rows] for column in (self.start, self.length, self.ts, self.cpu, self.seq)
        )
        return Group(self.id, start, length, ts, cpu, seq, None if self.previous is None else self.previous[rows])


def groups(batch: Batch, selected: NDArray[np.bool_], order: str, seq: int) -> tuple[Int64s, Iterator[Group]]:
    """How many records of each event id there are, and those that are selected, event by event."""
    if batch.ids is not None and batch.counts is not None and batch.seq is not None:
        return batch.counts, _compiled_groups(batch, batch.ids, batch.counts * selected, batch.seq)
    ids = words(batch.data, batch.start, f"{order}u2").astype(np.uint16)
    counts = np.bincount(ids, minlength=EVENT_IDS)
    kept = np.flatnonzero(selected[ids])
    return counts, _plain_groups(batch, kept[np.argsort(ids[kept], kind="stable")], counts * selected, seq)


def _plain_groups(batch: Batch, rows: Int64s, counts: Int64s, seq: int) -> Iterator[Group]:
    first = 0
    for number in np.flatnonzero(counts).tolist():
        mine = rows[first : first + counts[number]]
        start, length, ts, cpu = (column[mine] for column in (batch.start, batch.length, batch.ts, batch.cpu))
        previous = None if batch.previous is None else batch.previous[mine]
        yield Group(number, start, length, ts, cpu, mine + seq, previous)
        first += len(mine)


def _compiled_groups(batch: Batch, ids: Int64s, counts: Int64s, seq: Int64s) -> Iterator[Group]:
    from fastgup_trace.ingest.kernel_events.gathering import group

    previous = seq if batch.previous is None else batch.previous
    out = np.empty((6, len(batch)), np.int64)
    first = np.cumsum(counts) - counts
    if counts.sum() != len(batch) or not group(
        batch.start, batch.length, batch.ts, batch.cpu, ids, seq, previous, first.copy(), out
    ):
        raise ValueError("a batch whose counts are not those of its records")
    for number in np.flatnonzero(counts).tolist():
        mine = slice(first[number], first[number] + counts[number])
        before = None if batch.previous is None else out[5, mine]
        yield Group(number, out[0, mine], out[1, mine], out[2, mine], out[3, mine], out[4, mine], before)
