"""The walk over ring-buffer pages: where each record lies and when it was written.

A page is a header (events/header_page) and a run of events, each a word of 5 bits type_len and 27 bits time_delta
(include/linux/ring_buffer.h). All pages are walked in step: turn k looks at the k-th event of every page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.ring_buffer.header import PageHeader
from fastgup_trace.ingest.unaligned import Int64s, words

# include/linux/ring_buffer.h: enum ring_buffer_type
_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31

# kernel/trace/ring_buffer.c: RB_MISSED_EVENTS, RB_MISSED_STORED; the count of bytes is below them (RB_MISSED_MASK).
_MISSED, _MISSED_STORED, _COMMIT_MASK = 1 << 31, 1 << 30, (1 << 27) - 1

# An absolute stamp has 59 bits; the kernel takes the others from the time before it (rb_fix_abs_ts, v5.18).
_STAMP_BITS = 59

RECORD_BYTES_MIN = 8
"""struct trace_entry: type, flags, preempt count, pid."""


@dataclass(frozen=True)
class Pages:
    """Whole pages in one buffer, `page_bytes` apart, 8 spare bytes behind them; and where each came from."""

    data: NDArray[np.uint8]
    page_bytes: int
    stream: Int64s
    offset: Int64s
    """Where the file has the page, or the packed chunk that it is in."""
    inner: Int64s
    """Its place in that chunk; -1 where it is not packed."""

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, keep: NDArray[np.bool_]) -> Pages:
        rows = self.data[: len(self) * self.page_bytes].reshape(len(self), self.page_bytes)[keep]
        data = np.concatenate([rows.reshape(-1), np.zeros(8, np.uint8)])
        return Pages(data, self.page_bytes, self.stream[keep], self.offset[keep], self.inner[keep])


@dataclass(frozen=True)
class Records:
    """Data records in page order: the page, the payload's place in the buffer and its length, the time."""

    page: Int64s
    start: Int64s
    length: Int64s
    ts: Int64s


@dataclass(frozen=True)
class Walk:
    """A walk over pages: their records, and for each page its first time and whether the writer missed events."""

    records: Records
    page_ts: Int64s
    missed: NDArray[np.bool_]
    missed_count: Int64s
    """-1 where the page does not tell the count."""


class PageWalker:
    """Walks pages of one layout; `path` names the file in errors."""

    def __init__(self, header: PageHeader, page_bytes: int, big_endian: bool, path: str) -> None:
        self.header, self.path, self.big_endian = header, path, big_endian
        self._page_bytes, self._order = page_bytes, ">" if big_endian else "<"

    def place(self, pages: Pages, page: int, place: int) -> str:
        """Where the recording has what the buffer has at `place`, on `page`."""
        offset, inner = int(pages.offset[page]), int(pages.inner[page])
        byte = place - page * self._page_bytes
        return f"offset {offset + byte}" if inner < 0 else f"offset {offset}, byte {inner + byte} unpacked"

    def fail(self, pages: Pages, page: int, place: int, expected: str, found: str) -> NoReturn:
        raise RecordingError(f"{self.path}: {self.place(pages, page, place)}", expected, found, ADVICE)

    def heads(self, pages: Pages) -> tuple[Int64s, Int64s]:
        """First time and data bytes of each page."""
        base = np.arange(len(pages), dtype=np.int64) * self._page_bytes
        ts = words(pages.data, base + self.header.timestamp_offset, f"{self._order}u8").astype(np.int64)
        commit = self._commit(pages, base) & _COMMIT_MASK
        room = self._page_bytes - self.header.data_offset
        if (bad := (commit > room) | (ts < 0)).any():
            page = int(bad.argmax())
            found = f"a time of {int(ts[page]) % (1 << 64)} and {commit[page]} bytes"
            self.fail(
                pages, page, page * self._page_bytes, f"a page with a time below 2^63 and at most {room} bytes", found
            )
        return ts, commit

    def _commit(self, pages: Pages, base: Int64s) -> Int64s:
        size = self.header.commit_bytes
        return words(pages.data, base + self.header.commit_offset, f"{self._order}u{size}").astype(np.int64)

    def walk(self, pages: Pages) -> Walk:
        """Every data record of `pages`. Raises RecordingError where an event does not fit its page."""
        count = len(pages)
        base = np.arange(count, dtype=np.int64) * self._page_bytes
        page_ts, commit = self.heads(pages)
        place = base + self.header.data_offset
        end = place + commit
        turns: list[tuple[Int64s, Int64s, Int64s, Int64s]] = []
        live = np.flatnonzero(place < end)
        place, stop, ts = place[live], end[live], page_ts[live]
        while live.size:
            if (bad := place + 4 > stop).any():
                self._overrun(pages, live, place, stop, bad)
            word = words(pages.data, place, f"{self._order}u4").astype(np.int64)
            kind, delta = (word >> 27, word & 0x7FF_FFFF) if self.big_endian else (word & 31, word >> 5)
            after, start, length = place + 4 + 4 * kind, place + 4, 4 * kind
            ts = ts + delta
            is_record = np.ones(len(live), np.bool_)
            odd = np.flatnonzero((kind == 0) | (kind >= _PADDING))
            if odd.size:
                self._odd(pages, live, place, stop, kind, delta, odd, after, start, length, ts, is_record)
            if (bad := ts < 0).any():
                turn = int(bad.argmax())
                self.fail(pages, int(live[turn]), int(place[turn]), "a time below 2^63 ns", "one that wraps")
            if (bad := after > stop).any():
                self._overrun(pages, live, place, stop, bad)
            if (bad := is_record & (length < RECORD_BYTES_MIN)).any():
                turn = int(bad.argmax())
                found = f"{length[turn]} bytes"
                self.fail(pages, int(live[turn]), int(place[turn]), f"a record of {RECORD_BYTES_MIN} bytes", found)
            turns.append((live[is_record], start[is_record], length[is_record], ts[is_record]))
            more = after < stop
            live, place, stop, ts = live[more], after[more], stop[more], ts[more]
        missed, missed_count = self._missed(pages, base, commit)
        return Walk(_in_page_order(turns, count), page_ts, missed, missed_count)

    def _odd(
        self, pages: Pages, live: Int64s, place: Int64s, stop: Int64s, kind: Int64s, delta: Int64s, odd: Int64s,
        after: Int64s, start: Int64s, length: Int64s, ts: Int64s, is_record: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Events whose second word matters: long records, padding, time extends and absolute stamps; in place."""
        kinds, at = kind[odd], place[odd]
        empty = (kinds == _PADDING) & (delta[odd] == 0)  # nothing more on this page
        if (bad := (at + 8 > stop[odd]) & ~empty).any():
            self._overrun(pages, live[odd], at, stop[odd], bad)
        second = words(pages.data, at, f"{self._order}u8").astype(np.uint64)
        second = (second & np.uint64(0xFFFF_FFFF) if self.big_endian else second >> np.uint64(32)).astype(np.int64)
        sized = ((kinds == 0) | (kinds == _PADDING)) & ~empty
        if (bad := sized & (second < 4)).any():
            turn = int(odd[bad.argmax()])
            self.fail(
                pages, int(live[turn]), int(place[turn]), "an event of 4 bytes or more", f"{second[bad.argmax()]}"
            )
        after[odd] = np.where(sized, at + 4 + ((second + 3) & ~3), np.where(empty, stop[odd], at + 8))
        long = kinds == 0
        start[odd[long]] = at[long] + 8
        length[odd[long]] = second[long] - 4
        is_record[odd[~long]] = False
        extend = kinds == _TIME_EXTEND
        ts[odd[extend]] += second[extend] << 27
        stamp = kinds == _TIME_STAMP
        if stamp.any():
            turn = odd[stamp]
            before = ts[turn] - delta[turn]
            value = (second[stamp] << 27) + delta[turn] | before >> _STAMP_BITS << _STAMP_BITS
            ts[turn] = np.where((before >> _STAMP_BITS > 0) & (value < before), value + (1 << _STAMP_BITS), value)

    def _overrun(self, pages: Pages, live: Int64s, place: Int64s, stop: Int64s, bad: NDArray[np.bool_]) -> NoReturn:
        turn = int(bad.argmax())
        room = int(stop[turn] - place[turn])
        self.fail(
            pages, int(live[turn]), int(place[turn]), f"an event of at most {room} bytes", "one that overruns its page"
        )

    def _missed(self, pages: Pages, base: Int64s, commit: Int64s) -> tuple[NDArray[np.bool_], Int64s]:
        word = self._commit(pages, base)
        size = self.header.commit_bytes
        behind = self.header.data_offset + commit
        stored = (word & _MISSED_STORED != 0) & (behind + size <= self._page_bytes)
        count = np.full(len(base), -1, np.int64)
        count[stored] = words(pages.data, (base + behind)[stored], f"{self._order}u{size}").astype(np.int64)
        return (word & _MISSED) != 0, count


def _in_page_order(turns: list[tuple[Int64s, Int64s, Int64s, Int64s]], pages: int) -> Records:
    """The records of all turns, put where page after page would have them."""
    per_page = np.zeros(pages, np.int64)
    for live, *_ in turns:
        per_page[live] += 1
    first = np.cumsum(per_page) - per_page
    total = int(per_page.sum())
    columns = [np.empty(total, np.int64) for _ in range(4)]
    for turn in turns:
        target = first[turn[0]]
        first[turn[0]] += 1
        for column, values in zip(columns, turn, strict=True):
            column[target] = values
    return Records(*columns)
