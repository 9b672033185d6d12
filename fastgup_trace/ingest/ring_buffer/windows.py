"""The records of all CPUs in time order, a bounded stretch of the recording at a time.

Each CPU's pages come in time order. The CPU that lags most is read on until enough pages are at hand; what lies
before the time that every CPU has reached is then complete: one window. Pages that reach further wait for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.ingest.ahead import ahead, cores
from fastgup_trace.ingest.kernel_events.decoder import Batch
from fastgup_trace.ingest.records import Loss, Progress
from fastgup_trace.ingest.ring_buffer.losses import CpuStat, complete
from fastgup_trace.ingest.ring_buffer.pages import PageWalker
from fastgup_trace.ingest.ring_buffer.plain_pool import PlainPool
from fastgup_trace.ingest.ring_buffer.streams import FOREVER, NEVER, Block, Source, Stream, release

WINDOW_BYTES = 12 << 20
"""Pages that make a window: about 0.45 M events of 36 bytes."""

COMPILED_BYTES_MIN = 96 << 20
"""Pages of which a recording must have more for compiled loops: loading these takes as long as numpy needs for them."""

_PACKED_RATIO = 8
"""Pages are so much larger than packed ones: 7 to 9 times with zstd."""

__all__ = ["Block", "Merger", "Source"]


class Pool(Protocol):
    """Pages at hand, and the windows made of them."""

    @property
    def bytes_at_hand(self) -> int: ...

    def add(self, number: int, block: Block) -> int: ...

    def window(self, before: int, until: int) -> Batch | None: ...


class Merger:
    """Merges sources; `losses` fills as the windows go by, `stats` are what the tracer itself counted for each.

    `compiled` True or False says which loops to use; None takes what suits the size.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        stats: Iterable[CpuStat],
        walker: PageWalker,
        losses: list[Loss],
        size_bytes: int,
        progress: Progress | None,
        *,
        compiled: bool | None = None,
    ) -> None:
        self._walker, self._losses, self._progress, self._size_bytes = walker, losses, progress, size_bytes
        self._sources = sorted(sources, key=lambda s: s.cpu)
        self._streams: list[Stream] = []
        self._stats, self._compiled = stats, compiled
        self._read_bytes = 0
        self._large = False

    def batches(self, selected: NDArray[np.bool_] | None = None) -> Iterator[Batch]:
        """Every window, in time order; `selected` tells for each event id whether its records are to be in it.

        Of a large recording each is read and merged while the one before it is used, where there are cores.
        Raises RecordingError for damage to pages, chunks or times.
        """
        pool = self._pool(selected)
        yield from ahead(self._windows(pool), self._large and cores() > 1)

    def _windows(self, pool: Pool) -> Iterator[Batch]:
        before = NEVER
        while True:
            until = self._read_until(pool)
            batch = pool.window(before, until)
            if batch is not None:
                yield batch
            if until == FOREVER:
                self._complete_losses()
                return
            before = until

    def _pool(self, selected: NDArray[np.bool_] | None) -> Pool:
        packed, sources = False, list[Source]()
        for source in self._sources:
            first = next(source.blocks, None)
            packed |= first is not None and first.packed
            blocks = source.blocks if first is None else chain([first], source.blocks)
            sources.append(replace(source, blocks=blocks))
        self._streams = [Stream(source) for source in sources]
        self._large = self._size_bytes * (_PACKED_RATIO if packed else 1) >= COMPILED_BYTES_MIN
        simple = not self._walker.big_endian and all(source.times is None for source in sources)
        if not simple or not (self._large if self._compiled is None else self._compiled):
            return PlainPool(self._streams, self._walker, self._losses)
        from fastgup_trace.ingest.ring_buffer.compiled_pool import CompiledPool

        return CompiledPool(self._streams, self._walker, self._losses, selected, WINDOW_BYTES)

    def _read_until(self, pool: Pool) -> int:
        """Read the streams that lag until a window's bytes wait; returns the time before which all is complete."""
        at_hand = pool.bytes_at_hand
        # Pages of one long moment may fill a window without completing it: then it must grow.
        budget = WINDOW_BYTES + (at_hand if at_hand > WINDOW_BYTES // 2 else 0)
        while True:
            lagging = min(
                (number for number, stream in enumerate(self._streams) if not stream.done),
                key=lambda number: self._streams[number].reached,
                default=None,
            )
            if lagging is None:
                return FOREVER
            if at_hand >= budget and self._streams[lagging].reached > NEVER:
                return self._streams[lagging].reached
            at_hand += self._read_block(pool, lagging)

    def _read_block(self, pool: Pool, number: int) -> int:
        """Take the next block of a stream; returns how many bytes of pages with data it has."""
        block = next(self._streams[number].source.blocks, None)
        if block is None:
            self._streams[number].done = True
            return 0
        if self._progress is not None:
            self._read_bytes = max(self._read_bytes + block.end - block.offset, 0)
            self._progress(min(self._read_bytes, self._size_bytes), self._size_bytes)
        added = pool.add(number, block)
        if not block.packed:
            release(block.data, block.offset, block.end)
        return added

    def _complete_losses(self) -> None:
        """Put what the tracer's own statistics count beside the marks of the pages."""
        stats = {(stat.instance, stat.cpu): stat for stat in self._stats}
        end = max((stream.last_ts for stream in self._streams), default=NEVER)
        for stream in self._streams:
            stat = stats.pop((stream.source.instance, stream.source.cpu), None)
            if stat is not None and stream.last_ts > NEVER:
                marked = {id(loss) for loss in stream.marked}
                self._losses[:] = [loss for loss in self._losses if id(loss) not in marked]
                self._losses.extend(complete(stat, stream.marked, stream.first_ts, stream.last_ts))
        for stat in stats.values():  # CPUs of which no record is left
            last = end if end > NEVER else 0
            self._losses.extend(complete(stat, [], last, last))
        self._losses.sort(key=lambda loss: (loss.end_ns, loss.cpu))
