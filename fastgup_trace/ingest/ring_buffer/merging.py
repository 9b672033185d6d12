"""Compiled loops over ring-buffer pages: their heads, and the records of all CPUs in time order.

`merge` does in one pass what the numpy walk (pages.py, its oracle) and a sort do in several: it walks the CPU whose
next record is the earliest for as long as that stays so, counts every record by its event's id and hands out only
those that are wanted. Little-endian pages only.

What is read from a page is checked before it is used: the page lies in the buffer, its data in the page, each header
and length word in the data, each record with its 8 bytes of struct trace_entry too, an output index in its array.
Where that fails, `merge` says so and stops: the oracle then tells what is wrong in words.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.unaligned import Int64s

Words2: TypeAlias = NDArray[np.uint16]
Words4: TypeAlias = NDArray[np.uint32]
Words8: TypeAlias = NDArray[np.uint64]

FOREVER = (1 << 63) - 1
EVENT_IDS = 1 << 16

# Columns of the table of pages, a row each.
AT, FIRST_TS, SIZE, STREAM, OFFSET, INNER, MISSED, LOST, BEFORE_TS, FIRST_RECORD_TS = range(10)
PAGE_COLUMNS = 10
"""Place in the buffer, time, data bytes, stream; place in the file or of its chunk, place in the chunk or -1; whether
events before it were dropped and how many (-1: not told); the time of the record before it and of its first one, -1
until `merge` came there."""

# Columns of the table of streams.
PAGE, LAST_PAGE, PLACE, STOP, TS, LAST_TS, START, LENGTH, RECORD_TS, SEQ = range(10)
STREAM_COLUMNS = 10
"""The page that is walked and the one behind the stream's last; where in it the next event and its end lie, and the
time up to there; the time of the last record or page; the next record, found but not handed out (length 0: none) and
its time; the number of the last record that was counted."""

# Columns of what merge hands out.
OUT_START, OUT_LENGTH, OUT_TS, OUT_STREAM, OUT_ID, OUT_SEQ, OUT_PREVIOUS = range(7)
OUT_COLUMNS = 7

# What merge needs to be told: sizes and limits.
_MISSED, _MISSED_STORED, _COMMIT_MASK = 1 << 31, 1 << 30, (1 << 27) - 1
_DATA_MAX, _PADDING, _TIME_EXTEND, _TIME_STAMP = 28, 29, 30, 31
_STAMP_BITS = 59


@compiled
def heads(
    bytes4: Words4, bytes8: Words8, first: int, count: int, page_bytes: int, timestamp_offset: int, commit_offset: int,
    commit_bytes: int, data_offset: int, reached: int, table: Int64s, row: int, stream: int, offset: int, packed: bool,
) -> tuple[int, int, int]:  # fmt: skip
    """Put the pages with data among `count` ones at `first` into `table` from `row` on.

    Returns the row behind them, the last one's time and -1; or the number of the page that is not in order.
    """
    end = first + count * page_bytes
    if first < 0 or end > len(bytes8) or row + count > len(table) or table.shape[1] != PAGE_COLUMNS:
        return row, reached, 0
    if timestamp_offset + 8 > page_bytes or commit_offset + 8 > page_bytes or data_offset > page_bytes:
        return row, reached, 0
    for number in range(count):
        at = first + number * page_bytes
        ts = np.int64(bytes8[at + timestamp_offset])
        word = np.int64(bytes4[at + commit_offset])
        size = word & _COMMIT_MASK
        if ts < 0 or size > page_bytes - data_offset:
            return row, reached, number
        if not size:
            continue
        if ts < reached:
            return row, reached, number
        reached = int(ts)
        lost = np.int64(-1)
        behind = data_offset + size
        if word & _MISSED_STORED and behind + commit_bytes <= page_bytes:
            lost = np.int64(bytes8[at + behind]) if commit_bytes == 8 else np.int64(bytes4[at + behind])
        table[row, AT] = at
        table[row, FIRST_TS] = ts
        table[row, SIZE] = size
        table[row, STREAM] = stream
        table[row, OFFSET] = offset if packed else offset + number * page_bytes
        table[row, INNER] = number * page_bytes if packed else -1
        table[row, MISSED] = word & _MISSED
        table[row, LOST] = lost
        table[row, BEFORE_TS] = -1
        table[row, FIRST_RECORD_TS] = -1
        row += 1
    return row, reached, -1


@compiled
def merge(
    bytes2: Words2, bytes4: Words4, page_bytes: int, data_offset: int, pages: Int64s, streams: Int64s, until: int,
    seq: int, selected: NDArray[np.bool_], counts: Int64s, out: Int64s,
) -> tuple[int, int, bool]:  # fmt: skip
    """Hand out the selected records before `until` in merged order, the first of all as number `seq`.

    `pages` are sorted by stream, `streams` tell where each one's begin and end. Returns how many records were handed
    out, the number of the record to come, and whether all was in order.
    """
    room = len(bytes4) - page_bytes - 8
    if (
        pages.shape[1] != PAGE_COLUMNS or streams.shape[1] != STREAM_COLUMNS or out.shape[0] != OUT_COLUMNS
        or len(selected) != EVENT_IDS or len(counts) != EVENT_IDS or len(bytes2) < len(bytes4)
    ):  # fmt: skip
        return 0, seq, False
    heap = np.empty(len(streams), np.int64)
    waiting = 0
    for s in range(len(streams)):
        row = streams[s]
        if row[PAGE] < 0 or row[LAST_PAGE] > len(pages) or row[START] < 0 or row[START] + row[LENGTH] > len(bytes4):
            return 0, seq, False
        if row[STOP] > len(bytes4) or row[PLACE] < 0:
            return 0, seq, False
        if row[LENGTH] == 0:
            row[RECORD_TS] = -1
            if row[PLACE] >= row[STOP] and row[PAGE] >= row[LAST_PAGE]:
                continue
        heap[waiting] = s
        waiting += 1
    for top in range(waiting // 2 - 1, -1, -1):
        _sift(heap, waiting, top, streams)
    handed = 0
    while waiting:
        s = heap[0]
        row = streams[s]
        ts = row[RECORD_TS]
        if ts >= until:
            break
        limit = until
        if waiting > 1:  # this stream goes on until another one's record comes first; of one time, the lower number's
            other = heap[1]
            if waiting > 2 and _earlier(heap[2], other, streams):
                other = heap[2]
            limit = min(limit, streams[other, RECORD_TS] + (1 if s < other else 0))
        page, last_page, place, stop, now = row[PAGE], row[LAST_PAGE], row[PLACE], row[STOP], row[TS]
        last_ts, start, length, previous = row[LAST_TS], row[START], row[LENGTH], row[SEQ]
        sound = True
        while True:
            if length:
                number = np.int64(bytes2[start])
                counts[number] += 1
                if selected[number]:
                    if handed >= out.shape[1]:
                        sound = False
                        break
                    out[OUT_START, handed] = start
                    out[OUT_LENGTH, handed] = length
                    out[OUT_TS, handed] = ts
                    out[OUT_STREAM, handed] = s
                    out[OUT_ID, handed] = number
                    out[OUT_SEQ, handed] = seq
                    out[OUT_PREVIOUS, handed] = previous
                    handed += 1
                previous = seq
                seq += 1
                length = 0
            while True:  # to the stream's next record
                if place >= stop:
                    if page >= 0 and stop > 0:
                        page += 1
                    if page >= last_page:
                        ts, place, stop = FOREVER, 0, 0
                        break
                    at, size = pages[page, AT], pages[page, SIZE]
                    if at < 0 or at > room or size < 0 or size > page_bytes - data_offset or pages[page, STREAM] != s:
                        sound = False
                        break
                    now = pages[page, FIRST_TS]
                    if now < last_ts:
                        sound = False
                        break
                    pages[page, BEFORE_TS] = last_ts
                    pages[page, FIRST_RECORD_TS] = -1
                    last_ts = now
                    place = at + data_offset
                    stop = place + size
                    continue
                if place + 4 > stop:
                    sound = False
                    break
                word = np.int64(bytes4[place])
                kind = word & 31
                delta = word >> 5
                if 0 < kind <= _DATA_MAX:
                    now += delta
                    start = place + 4
                    length = 4 * kind
                    place = start + length
                elif kind == _PADDING and delta == 0:  # nothing more on this page
                    place = stop
                    continue
                else:
                    if place + 8 > stop:
                        sound = False
                        break
                    second = np.int64(bytes4[place + 4])
                    if kind == _TIME_EXTEND:
                        now += delta + (second << 27)
                        place += 8
                    elif kind == _TIME_STAMP:
                        before = now >> _STAMP_BITS << _STAMP_BITS
                        value = (second << 27) + delta | before
                        if before > 0 and value < now:
                            value += 1 << _STAMP_BITS
                        now = value
                        place += 8
                    else:
                        if second < 4:
                            sound = False
                            break
                        now += delta
                        start = place + 8
                        if kind == 0:
                            length = second - 4
                        place += 4 + ((second + 3) & ~3)
                        if place > stop or now < 0 or (kind == 0 and length == 0):
                            sound = False
                            break
                    if now < 0:
                        sound = False
                        break
                    if not length:
                        continue
                if place > stop or length < 8 or now < last_ts:
                    sound = False
                    break
                if pages[page, FIRST_RECORD_TS] < 0:
                    pages[page, FIRST_RECORD_TS] = now
                last_ts = now
                ts = now
                break
            if not sound or ts >= limit:
                break
        row[PAGE], row[PLACE], row[STOP], row[TS], row[LAST_TS] = page, place, stop, now, last_ts
        row[START], row[LENGTH], row[RECORD_TS], row[SEQ] = start, length, ts, previous
        if not sound:
            return handed, seq, False
        if ts == FOREVER and not length:
            waiting -= 1
            heap[0] = heap[waiting]
        _sift(heap, waiting, 0, streams)
    return handed, seq, True


@compiled
def _earlier(one: int, other: int, streams: Int64s) -> bool:
    """Whether the next record of stream `one` comes before that of `other`."""
    mine, theirs = streams[one, RECORD_TS], streams[other, RECORD_TS]
    return bool(mine < theirs or (mine == theirs and one < other))


@compiled
def _sift(heap: Int64s, size: int, top: int, streams: Int64s) -> None:
    """Let the stream at `top` of the heap of `size` streams sink to where it belongs."""
    while True:
        child = 2 * top + 1
        if child >= size:
            return
        if child + 1 < size and _earlier(heap[child + 1], heap[child], streams):
            child += 1
        if not _earlier(heap[child], heap[top], streams):
            return
        heap[top], heap[child] = heap[child], heap[top]
        top = child
