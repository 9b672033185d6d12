"""A CPU's pages as they come: blocks of the recording, and how far they have been read."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastgup_trace.ingest.records import Loss
from fastgup_trace.ingest.unaligned import Int64s

FOREVER = (1 << 63) - 1
NEVER = -FOREVER


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
class Stream:
    """A source that is read; `reached` is the first time of the last page read."""

    source: Source
    reached: int = NEVER
    first_ts: int = NEVER
    last_ts: int = NEVER
    """Times of its first page and its last record that were handed out."""
    marked: list[Loss] = field(default_factory=list)
    """What its pages tell to be lost."""
    done: bool = False

    def note_loss(self, losses: list[Loss], before_ts: int, first_ts: int, count: int) -> None:
        """Events were dropped between a page that begins at `first_ts` and the record before it (NEVER: none)."""
        since = before_ts if before_ts > NEVER else first_ts
        loss = Loss(self.source.cpu, since, first_ts, count if count >= 0 else None)
        losses.append(loss)
        self.marked.append(loss)


def release(data: memoryview, start: int, end: int) -> None:
    """Give back the memory of bytes [start, end) of a mapped file, which `data` shows from its beginning.

    A mapped page counts as the process's memory from its first use until the mapping ends.
    """
    if isinstance(data.obj, mmap.mmap):
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        size = min(end, len(data.obj)) - first
        if size >= mmap.PAGESIZE:
            data.obj.madvise(mmap.MADV_DONTNEED, first, size - size % mmap.PAGESIZE)
