"""The pages at hand and the windows made of them in numpy alone: for small recordings, and as the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastgup_trace.ingest.kernel_events.decoder import Batch
from fastgup_trace.ingest.records import Loss
from fastgup_trace.ingest.ring_buffer.pages import Pages, PageWalker, Walk
from fastgup_trace.ingest.ring_buffer.streams import NEVER, Block, Stream
from fastgup_trace.ingest.unaligned import Int64s


def pages_of(block: Block, stream: int, page_bytes: int) -> Pages:
    """The pages of a block of stream number `stream`, with the spare bytes that a walk needs."""
    count = len(block.data) // page_bytes
    inner = np.arange(count, dtype=np.int64) * page_bytes
    return Pages(
        np.concatenate([np.frombuffer(block.data, np.uint8), np.zeros(8, np.uint8)]),
        page_bytes,
        np.full(count, stream, np.int64),
        np.full(count, block.offset, np.int64) if block.packed else block.offset + inner,
        inner if block.packed else np.full(count, -1, np.int64),
    )


def check_heads(walker: PageWalker, pages: Pages, stream: Stream) -> tuple[Pages, Int64s]:
    """The pages of a block that have data, and their times. Raises RecordingError where these decrease."""
    ts, commit = walker.heads(pages)
    keep = commit > 0
    pages, ts = pages.take(keep), stream.source.to_times(ts[keep])
    if (bad := ts < np.concatenate([[stream.reached], ts[:-1]])).any():
        page = int(bad.argmax())
        before = stream.reached if page == 0 else int(ts[page - 1])
        expected = f"a page of CPU {stream.source.cpu} at {before} ns or later"
        walker.fail(pages, page, page * pages.page_bytes, expected, f"one at {ts[page]}")
    return pages, ts


class PlainPool:
    """Pages that wait for their window; `losses` fills as the windows go by."""

    def __init__(self, streams: list[Stream], walker: PageWalker, losses: list[Loss]) -> None:
        self._streams, self._walker, self._losses = streams, walker, losses
        self._waiting: list[list[Pages]] = [[] for _ in streams]
        self._seq, self._last_seq = 0, np.full(len(streams), -1, np.int64)

    @property
    def bytes_at_hand(self) -> int:
        return sum(len(pages) * pages.page_bytes for parts in self._waiting for pages in parts)

    def add(self, number: int, block: Block) -> int:
        """Take a block of stream `number`; returns how many bytes of pages with data it has."""
        stream = self._streams[number]
        pages, ts = check_heads(self._walker, pages_of(block, number, stream.source.page_bytes), stream)
        if not len(pages):
            return 0
        stream.reached = int(ts[-1])
        self._waiting[number].append(pages)
        return len(pages) * pages.page_bytes

    def take(self, pages: Pages) -> None:
        """Take pages, which begin in time order, of any streams."""
        for number, waiting in enumerate(self._waiting):
            if (mine := pages.stream == number).any():
                waiting.append(pages.take(mine))

    def window(self, before: int, until: int) -> Batch | None:
        """The records in [before, until); pages that reach `until` keep waiting. None where no pages wait."""
        parts = [pages for waiting in self._waiting for pages in waiting]
        if not parts:
            return None
        pages = joined(parts)
        stream = pages.stream
        walk = self._in_times(self._walker.walk(pages), stream)
        records = walk.records
        last_ts = walk.page_ts.copy()
        last_ts[records.page] = records.ts  # of equal indices the last one stays
        self._check_order(pages, walk, last_ts)
        self._note_losses(pages, walk, last_ts, before, until)
        for number, reader in enumerate(self._streams):
            mine = stream == number
            gone = np.flatnonzero(mine & (last_ts < until))
            if gone.size:
                reader.first_ts = reader.first_ts if reader.first_ts > NEVER else int(walk.page_ts[gone[0]])
                reader.last_ts = max(reader.last_ts, int(last_ts[gone[-1]]))
            keep = mine & (last_ts >= until)
            self._waiting[number] = [pages.take(keep)] if keep.any() else []
        inside = np.flatnonzero((records.ts >= before) & (records.ts < until))
        order = inside[np.argsort(records.ts[inside], kind="stable")]
        page = records.page[order]
        cpus = np.array([reader.source.cpu for reader in self._streams], np.int64)

        def place(row: int) -> str:
            return self._walker.place(pages, int(page[row]), int(records.start[order[row]]))

        return Batch(
            pages.data, records.start[order], records.length[order], records.ts[order], cpus[stream[page]], place,
            previous=self._previous(stream[page]),
        )  # fmt: skip

    def _previous(self, stream: Int64s) -> Int64s:
        """For records in merged order, of these streams: the position of the one before in its stream; -1: none."""
        by_stream = np.argsort(stream.astype(np.uint16), kind="stable")
        begins = np.flatnonzero(np.diff(stream[by_stream], prepend=-1))
        position = by_stream + self._seq
        before = np.roll(position, 1)
        before[begins] = self._last_seq[stream[by_stream[begins]]]
        ends = np.append(begins[1:], len(stream)) - 1 if len(stream) else begins
        self._last_seq[stream[by_stream[ends]]] = position[ends]
        self._seq += len(stream)
        previous = np.empty(len(stream), np.int64)
        previous[by_stream] = before
        return previous

    def _in_times(self, walk: Walk, stream: Int64s) -> Walk:
        """The walk with each CPU's stamps as times."""
        if all(reader.source.times is None for reader in self._streams):
            return walk
        page_ts, ts, of_record = walk.page_ts.copy(), walk.records.ts.copy(), stream[walk.records.page]
        for number, reader in enumerate(self._streams):
            page_ts[stream == number] = reader.source.to_times(page_ts[stream == number])
            ts[of_record == number] = reader.source.to_times(ts[of_record == number])
        return replace(walk, page_ts=page_ts, records=replace(walk.records, ts=ts))

    def _check_order(self, pages: Pages, walk: Walk, last_ts: Int64s) -> None:
        """Raise RecordingError where the times of a CPU decrease: from page to page, or at an absolute stamp."""
        same = pages.stream[1:] == pages.stream[:-1]
        previous = np.where(np.concatenate([[False], same]), np.concatenate([[NEVER], last_ts[:-1]]), NEVER)
        for number, reader in enumerate(self._streams):
            if (first := np.flatnonzero(pages.stream == number)).size:
                previous[first[0]] = reader.last_ts
        if (bad := walk.page_ts < previous).any():
            page = int(bad.argmax())
            self._backwards(pages, page, page * pages.page_bytes, int(previous[page]), int(walk.page_ts[page]))
        records = walk.records
        begins = np.diff(records.page, prepend=-1) != 0
        earlier = np.where(begins, walk.page_ts[records.page], np.roll(records.ts, 1))
        if (bad := records.ts < earlier).any():
            row = int(bad.argmax())
            place = int(records.start[row])
            self._backwards(pages, int(records.page[row]), place, int(earlier[row]), int(records.ts[row]))

    def _backwards(self, pages: Pages, page: int, place: int, before: int, found: int) -> None:
        cpu = self._streams[int(pages.stream[page])].source.cpu
        self._walker.fail(pages, page, place, f"a record of CPU {cpu} at {before} ns or later", f"one at {found}")

    def _note_losses(self, pages: Pages, walk: Walk, last_ts: Int64s, before: int, until: int) -> None:
        records = walk.records
        first_ts = walk.page_ts.copy()
        first_ts[records.page[::-1]] = records.ts[::-1]
        for page in np.flatnonzero(walk.missed & (first_ts >= before) & (first_ts < until)).tolist():
            stream = self._streams[int(pages.stream[page])]
            same = page > 0 and pages.stream[page - 1] == pages.stream[page]
            since = int(last_ts[page - 1]) if same else stream.last_ts
            stream.note_loss(self._losses, since, int(first_ts[page]), int(walk.missed_count[page]))


def joined(parts: list[Pages]) -> Pages:
    """The pages of all parts in one buffer."""
    size = parts[0].page_bytes
    data = np.concatenate([*(part.data[: len(part) * size] for part in parts), np.zeros(8, np.uint8)])
    stream = np.concatenate([part.stream for part in parts])
    offset, inner = (np.concatenate(columns) for columns in zip(*((p.offset, p.inner) for p in parts), strict=True))
    return Pages(data, size, stream, offset, inner)
