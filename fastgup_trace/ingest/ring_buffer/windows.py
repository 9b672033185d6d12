"""The records of all CPUs in time order, a bounded stretch of the recording at a time.

Each CPU's pages come in time order. The CPU that lags most is read on until enough pages are at hand; what lies
before the time that every CPU has reached is then complete: one window. Pages that reach further wait for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from fastgup_trace.ingest.kernel_events.decoder import Batch
from fastgup_trace.ingest.records import Loss, Progress
from fastgup_trace.ingest.ring_buffer.losses import CpuStat, complete
from fastgup_trace.ingest.ring_buffer.pages import Pages, PageWalker, Walk
from fastgup_trace.ingest.unaligned import Int64s

WINDOW_BYTES = 36 << 20
"""Pages that make a window: about 1 M events of 36 bytes."""

_FOREVER = (1 << 63) - 1
_NEVER = -_FOREVER


@dataclass(frozen=True)
class Block:
    """Bytes of whole ring-buffer pages and the file offset that they came from."""

    data: memoryview
    offset: int
    packed: bool
    end: int
    """Where the block ends in the file."""


@dataclass(frozen=True)
class Source:
    """The pages of one CPU of one instance, in blocks in time order; `instance` is empty for the top one."""

    instance: str
    cpu: int
    page_bytes: int
    blocks: Iterator[Block]
    times: Callable[[Int64s], Int64s] | None = None
    """From the stamps of this CPU to times; it must not decrease where they do not. None: they are times."""

    def to_times(self, ts: Int64s) -> Int64s:
        return ts if self.times is None else self.times(ts)


@dataclass
class _Reader:
    """The pages of one stream, read block after block; `reached` is the first time of the last page read."""

    source: Source
    reached: int = _NEVER
    first_ts: int = _NEVER
    last_ts: int = _NEVER
    """Times of its first and last record that were handed out."""
    marked: list[Loss] = field(default_factory=list)
    done: bool = False
    waiting: list[Pages] = field(default_factory=list)


class Merger:
    """Merges sources; `losses` fills as the windows go by, `stats` are what the tracer itself counted for each."""

    def __init__(
        self,
        sources: Iterable[Source],
        stats: Iterable[CpuStat],
        walker: PageWalker,
        losses: list[Loss],
        size_bytes: int,
        progress: Progress | None,
    ) -> None:
        self._walker, self._losses, self._progress, self._size_bytes = walker, losses, progress, size_bytes
        self._readers = [_Reader(source) for source in sorted(sources, key=lambda s: s.cpu)]
        self._stats = stats
        self._read_bytes = 0

    def _read_block(self, number: int) -> int:
        """Take the next block of a stream; returns how many bytes of pages with records it has."""
        reader = self._readers[number]
        block = next(reader.source.blocks, None)
        if block is None:
            reader.done = True
            return 0
        if self._progress is not None:
            self._read_bytes = max(self._read_bytes + block.end - block.offset, 0)
            self._progress(min(self._read_bytes, self._size_bytes), self._size_bytes)
        size = reader.source.page_bytes
        count = len(block.data) // size
        inner = np.arange(count, dtype=np.int64) * size
        plain = not block.packed
        pages = Pages(
            np.concatenate([np.frombuffer(block.data, np.uint8), np.zeros(8, np.uint8)]),
            size,
            np.full(count, number, np.int64),
            block.offset + inner if plain else np.full(count, block.offset, np.int64),
            np.full(count, -1, np.int64) if plain else inner,
        )
        ts, commit = self._walker.heads(pages)
        keep = commit > 0
        pages, ts = pages.take(keep), reader.source.to_times(ts[keep])
        if not len(pages):
            return 0
        if (bad := ts < np.concatenate([[reader.reached], ts[:-1]])).any():
            page = int(bad.argmax())
            before = reader.reached if page == 0 else int(ts[page - 1])
            found = f"one at {ts[page]}"
            self._walker.fail(
                pages, page, page * size, f"a page of CPU {reader.source.cpu} at {before} ns or later", found
            )
        reader.reached = int(ts[-1])
        reader.waiting.append(pages)
        return len(pages) * size

    def batches(self) -> Iterator[Batch]:
        """Every window, in time order. Raises RecordingError for damage to pages, chunks or times."""
        before = _NEVER
        while True:
            until = self._read_until()
            batch = self._window(before, until)
            if batch is not None:
                yield batch
            if until == _FOREVER:
                self._complete_losses()
                return
            before = until

    def _read_until(self) -> int:
        """Read the streams that lag until a window's bytes wait; returns the time before which all is complete."""
        at_hand = sum(len(pages) * pages.page_bytes for reader in self._readers for pages in reader.waiting)
        # Pages of one long moment may fill a window without completing it: then it must grow.
        budget = WINDOW_BYTES + (at_hand if at_hand > WINDOW_BYTES // 2 else 0)
        while True:
            lagging = min(
                (number for number, reader in enumerate(self._readers) if not reader.done),
                key=lambda number: self._readers[number].reached,
                default=None,
            )
            if lagging is None:
                return _FOREVER
            if at_hand >= budget and self._readers[lagging].reached > _NEVER:
                return self._readers[lagging].reached
            at_hand += self._read_block(lagging)

    def _window(self, before: int, until: int) -> Batch | None:
        """The records in [before, until); pages that reach `until` keep waiting."""
        parts = [pages for reader in self._readers for pages in reader.waiting]
        if not parts:
            return None
        size = parts[0].page_bytes
        data = np.concatenate([*(part.data[: len(part) * size] for part in parts), np.zeros(8, np.uint8)])
        stream = np.concatenate([part.stream for part in parts])
        offset, inner = (np.concatenate(columns) for columns in zip(*((p.offset, p.inner) for p in parts), strict=True))
        pages = Pages(data, size, stream, offset, inner)
        walk = self._in_times(self._walker.walk(pages), stream)
        records = walk.records
        last_ts = walk.page_ts.copy()
        last_ts[records.page] = records.ts  # of equal indices the last one stays
        self._check_order(pages, walk, last_ts)
        self._note_losses(pages, walk, last_ts, before, until)
        for number, reader in enumerate(self._readers):
            mine = stream == number
            gone = np.flatnonzero(mine & (last_ts < until))
            if gone.size:
                reader.first_ts = reader.first_ts if reader.first_ts > _NEVER else int(walk.page_ts[gone[0]])
                reader.last_ts = max(reader.last_ts, int(last_ts[gone[-1]]))
            keep = mine & (last_ts >= until)
            reader.waiting = [pages.take(keep)] if keep.any() else []
        inside = np.flatnonzero((records.ts >= before) & (records.ts < until))
        order = inside[np.argsort(records.ts[inside], kind="stable")]
        page = records.page[order]
        cpus = np.array([reader.source.cpu for reader in self._readers], np.int64)

        def place(row: int) -> str:
            return self._walker.place(pages, int(page[row]), int(records.start[order[row]]))

        return Batch(data, records.start[order], records.length[order], records.ts[order], cpus[stream[page]], place)

    def _in_times(self, walk: Walk, stream: Int64s) -> Walk:
        """The walk with each CPU's stamps as times."""
        if all(reader.source.times is None for reader in self._readers):
            return walk
        page_ts, ts, of_record = walk.page_ts.copy(), walk.records.ts.copy(), stream[walk.records.page]
        for number, reader in enumerate(self._readers):
            page_ts[stream == number] = reader.source.to_times(page_ts[stream == number])
            ts[of_record == number] = reader.source.to_times(ts[of_record == number])
        return replace(walk, page_ts=page_ts, records=replace(walk.records, ts=ts))

    def _check_order(self, pages: Pages, walk: Walk, last_ts: Int64s) -> None:
        """Raise RecordingError where the times of a CPU decrease: from page to page, or at an absolute stamp."""
        same = pages.stream[1:] == pages.stream[:-1]
        previous = np.where(np.concatenate([[False], same]), np.concatenate([[_NEVER], last_ts[:-1]]), _NEVER)
        for number, reader in enumerate(self._readers):
            if (first := np.flatnonzero(pages.stream == number)).size:
                previous[first[0]] = reader.last_ts
        if (bad := walk.page_ts < previous).any():
            page = int(bad.argmax())
            self._backwards(pages, page, page * pages.page_bytes, int(previous[page]), int(walk.page_ts[page]))
        records = walk.records
        if (bad := (records.ts[1:] < records.ts[:-1]) & (records.page[1:] == records.page[:-1])).any():
            row = int(bad.argmax()) + 1
            place = int(records.start[row])
            self._backwards(pages, int(records.page[row]), place, int(records.ts[row - 1]), int(records.ts[row]))

    def _backwards(self, pages: Pages, page: int, place: int, before: int, found: int) -> None:
        cpu = self._readers[int(pages.stream[page])].source.cpu
        self._walker.fail(pages, page, place, f"a record of CPU {cpu} at {before} ns or later", f"one at {found}")

    def _note_losses(self, pages: Pages, walk: Walk, last_ts: Int64s, before: int, until: int) -> None:
        records = walk.records
        first_ts = walk.page_ts.copy()
        first_ts[records.page[::-1]] = records.ts[::-1]
        for page in np.flatnonzero(walk.missed & (first_ts >= before) & (first_ts < until)).tolist():
            reader = self._readers[int(pages.stream[page])]
            same = page > 0 and pages.stream[page - 1] == pages.stream[page]
            since, end = int(last_ts[page - 1]) if same else reader.last_ts, int(first_ts[page])
            count = int(walk.missed_count[page])
            loss = Loss(reader.source.cpu, since if since > _NEVER else end, end, count if count >= 0 else None)
            self._losses.append(loss)
            reader.marked.append(loss)

    def _complete_losses(self) -> None:
        """Put what the tracer's own statistics count beside the marks of the pages."""
        stats = {(stat.instance, stat.cpu): stat for stat in self._stats}
        end = max((reader.last_ts for reader in self._readers), default=_NEVER)
        for reader in self._readers:
            stat = stats.pop((reader.source.instance, reader.source.cpu), None)
            if stat is not None and reader.last_ts > _NEVER:
                marked = {id(loss) for loss in reader.marked}
                self._losses[:] = [loss for loss in self._losses if id(loss) not in marked]
                self._losses.extend(complete(stat, reader.marked, reader.first_ts, reader.last_ts))
        for stat in stats.values():  # CPUs of which no record is left
            last = end if end > _NEVER else 0
            self._losses.extend(complete(stat, [], last, last))
        self._losses.sort(key=lambda loss: (loss.end_ns, loss.cpu))
