"""The pages at hand and the windows made of them in compiled code: for large recordings.

Pages are copied once, into one of three buffers that are used again and again: a third of the time of a walk over
fresh memory goes into the kernel's first touch of each page of it. Of the three one is filled, one has the batch that
is used meanwhile, and one takes the pages that wait. Little-endian recordings only, of CPUs whose stamps are times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.kernel_events.decoder import Batch
from fastgup_trace.ingest.records import Loss
from fastgup_trace.ingest.ring_buffer import merging
from fastgup_trace.ingest.ring_buffer.pages import RECORD_BYTES_MIN, Pages, PageWalker
from fastgup_trace.ingest.ring_buffer.plain_pool import PlainPool, check_heads, pages_of
from fastgup_trace.ingest.ring_buffer.streams import FOREVER, NEVER, Block, Stream
from fastgup_trace.ingest.unaligned import Int64s, unaligned

_ROWS_MIN = 1024


class CompiledPool:
    """Pages that wait for their window; `losses` fills as the windows go by.

    A batch's arrays are valid until the one after the next is asked for: see `ahead`.
    """

    def __init__(
        self,
        streams: list[Stream],
        walker: PageWalker,
        losses: list[Loss],
        selected: NDArray[np.bool_] | None,
        window_bytes: int,
    ) -> None:
        self._streams, self._walker, self._losses = streams, walker, losses
        self._selected = np.ones(merging.EVENT_IDS, np.bool_) if selected is None else selected
        self._cpus = np.array([stream.source.cpu for stream in streams], np.int64)
        self._page_bytes = streams[0].source.page_bytes if streams else 0
        self._window_bytes = window_bytes + window_bytes // 4
        self._buffer, self._spares = np.empty(0, np.uint8), [np.empty(0, np.uint8), np.empty(0, np.uint8)]
        self._used = 0
        self._table = np.empty((_ROWS_MIN, merging.PAGE_COLUMNS), np.int64)
        self._rows = 0
        self._state = np.zeros((len(streams), merging.STREAM_COLUMNS), np.int64)
        self._state[:, (merging.LAST_TS, merging.SEQ)] = -1
        self._out, self._spare_out = (np.empty((merging.OUT_COLUMNS, 0), np.int64) for _ in range(2))
        self._seq = 0

    @property
    def bytes_at_hand(self) -> int:
        return self._rows * self._page_bytes

    def add(self, number: int, block: Block) -> int:
        """Take a block of stream `number`; returns how many bytes of pages with data it has."""
        stream, size, header = self._streams[number], self._page_bytes, self._walker.header
        count = len(block.data) // size
        self._reserve(count)
        first, behind = self._used, self._used + count * size
        self._buffer[first:behind] = np.frombuffer(block.data, np.uint8, count * size)
        rows, reached, bad = merging.heads(
            unaligned(self._buffer, "u4"), unaligned(self._buffer, "u8"), first, count, size, header.timestamp_offset,
            header.commit_offset, header.commit_bytes, header.data_offset, stream.reached, self._table, self._rows,
            number, block.offset, block.packed,
        )  # fmt: skip
        if bad >= 0:
            check_heads(self._walker, pages_of(block, number, size), stream)
            found = f"page {bad} of the block at offset {block.offset}"
            raise RecordingError(self._walker.path, "page heads that two readers read alike", found, ADVICE)
        added = rows - self._rows
        if added and stream.first_ts == NEVER:
            stream.first_ts = int(self._table[self._rows, merging.FIRST_TS])
        self._used, self._rows, stream.reached = behind, rows, reached
        return int(added) * size

    def _reserve(self, count: int) -> None:
        """Have room for `count` more pages in the buffer and in the table."""
        need = self._used + count * self._page_bytes + 8
        if need > len(self._buffer):
            grown = np.empty(max(need + need // 4, self._window_bytes), np.uint8)
            grown[: self._used] = self._buffer[: self._used]
            self._buffer = grown
        if self._rows + count > len(self._table):
            table = np.empty((2 * (self._rows + count), merging.PAGE_COLUMNS), np.int64)
            table[: self._rows] = self._table[: self._rows]
            self._table = table

    def window(self, before: int, until: int) -> Batch | None:
        """The selected records in [before, until), and how many of each event there are; None where no pages wait."""
        if not self._rows:
            return None
        table = self._table[: self._rows]
        table = table[np.argsort(table[:, merging.STREAM], kind="stable")]
        numbers = np.arange(len(self._streams))
        self._state[:, merging.PAGE] = np.searchsorted(table[:, merging.STREAM], numbers)
        self._state[:, merging.LAST_PAGE] = np.searchsorted(table[:, merging.STREAM], numbers, side="right")
        room = int(table[:, merging.SIZE].sum()) // (RECORD_BYTES_MIN + 4) + len(self._streams)
        self._out, self._spare_out = self._spare_out, self._out
        if room > self._out.shape[1]:
            self._out = np.empty((merging.OUT_COLUMNS, room + room // 4), np.int64)
        counts = np.zeros(merging.EVENT_IDS, np.int64)
        buffer = self._buffer
        handed, self._seq, sound = merging.merge(
            unaligned(buffer, "u2"), unaligned(buffer, "u4"), self._page_bytes, self._walker.header.data_offset, table,
            self._state, until, self._seq, self._selected, counts, self._out,
        )  # fmt: skip
        if not sound:
            self._explain(table, before)
        self._note_losses(table)
        out = self._out[:, :handed]

        def place(row: int) -> str:
            start = int(out[merging.OUT_START, row])
            page = int(np.argmax((table[:, merging.AT] <= start) & (start < table[:, merging.AT] + self._page_bytes)))
            pages = self._pages(buffer, table[page : page + 1])
            return self._walker.place(pages, 0, start - int(table[page, merging.AT]))

        batch = Batch(
            buffer, out[merging.OUT_START], out[merging.OUT_LENGTH], out[merging.OUT_TS],
            self._cpus[out[merging.OUT_STREAM]], place, ids=out[merging.OUT_ID], counts=counts,
            seq=out[merging.OUT_SEQ], previous=out[merging.OUT_PREVIOUS],
        )  # fmt: skip
        self._keep_rest(table.copy())
        return batch

    def _pages(self, buffer: NDArray[np.uint8], rows: Int64s) -> Pages:
        """Pages of the table in a buffer of their own."""
        parts = [buffer[at : at + self._page_bytes] for at in rows[:, merging.AT].tolist()]
        data = np.concatenate([*parts, np.zeros(8, np.uint8)])
        return Pages(data, self._page_bytes, rows[:, merging.STREAM], rows[:, merging.OFFSET], rows[:, merging.INNER])

    def _explain(self, table: Int64s, before: int) -> NoReturn:
        """Let the oracle raise what is wrong with the pages of the table."""
        came = self._came()
        streams = []
        for number, stream in enumerate(self._streams):
            first = int(np.searchsorted(table[:, merging.STREAM], number))
            entered = first < min(came[number], len(table))
            last_ts = table[first, merging.BEFORE_TS] if entered else self._state[number, merging.LAST_TS]
            streams.append(replace(stream, last_ts=_time(last_ts)))
        oracle = PlainPool(streams, self._walker, [])
        oracle.take(self._pages(self._buffer, table))
        oracle.window(before, FOREVER)
        raise RecordingError(self._walker.path, "records that two walks read alike", "a difference", ADVICE)

    def _came(self) -> Int64s:
        """For each stream the first page of the table that has not been entered."""
        came: Int64s = self._state[:, merging.PAGE] + (self._state[:, merging.STOP] > 0)
        return came

    def _note_losses(self, table: Int64s) -> None:
        for number, stream in enumerate(self._streams):
            stream.last_ts = _time(self._state[number, merging.LAST_TS])
        came = self._came()
        missed = np.flatnonzero(table[:, merging.MISSED])
        for page in missed[missed < came[table[missed, merging.STREAM]]].tolist():
            row = table[page]
            first_ts = int(row[merging.FIRST_RECORD_TS] if row[merging.FIRST_RECORD_TS] >= 0 else row[merging.FIRST_TS])
            stream = self._streams[int(row[merging.STREAM])]
            stream.note_loss(self._losses, _time(row[merging.BEFORE_TS]), first_ts, int(row[merging.LOST]))
            row[merging.MISSED] = 0

    def _keep_rest(self, table: Int64s) -> None:
        """Move the pages that are not yet done with to the buffer that was not used the longest."""
        size, state = self._page_bytes, self._state
        rest = table[np.arange(len(table)) >= state[table[:, merging.STREAM], merging.PAGE]]
        places = rest[:, merging.AT].copy()
        full = self._buffer
        self._spares.append(full)
        self._buffer = self._spares.pop(0)
        self._used = self._rows = 0
        self._reserve(len(rest))
        for row, at in enumerate(places.tolist()):
            self._buffer[row * size : (row + 1) * size] = full[at : at + size]
        rest[:, merging.AT] = np.arange(len(rest)) * size
        # A stream without a page has its last record's place, which the other buffer need not have.
        state[state[:, merging.STOP] == 0, merging.START] = 0
        for number in np.flatnonzero(state[:, merging.STOP] > 0).tolist():
            row = int(np.searchsorted(rest[:, merging.STREAM], number))
            moved = row * size - int(places[row])
            state[number, (merging.PLACE, merging.STOP, merging.START)] += moved
        self._table[: len(rest)] = rest
        self._used, self._rows = len(rest) * size, len(rest)


def _time(ts: int) -> int:
    """A time of the tables: those hold -1 where there is none yet."""
    return int(ts) if ts >= 0 else NEVER
