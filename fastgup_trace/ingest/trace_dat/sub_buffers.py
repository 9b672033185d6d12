"""Sub-buffers of any size: found where the file does not tell it, and laid out alike for all CPUs.

A kernel since v6.8 may have sub-buffers larger than a page, each instance its own (buffer_subbuf_size_kb, commit
2808e31ec12e). trace-cmd before 3.3 does not know: its files say 4096 while a page's commit counts more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.ring_buffer.header import PageHeader
from fastgup_trace.ingest.ring_buffer.windows import Block

SUB_BUFFER_BYTES_MAX = 1 << 24
_RATIO_MAX = 64
_LAID_BYTES = 1 << 20
"""Of one block."""
COMMIT_MASK = (1 << 27) - 1  # kernel/trace/ring_buffer.c: RB_MISSED_MASK; flags are above it
MISSED = 1 << 31  # RB_MISSED_EVENTS
_DATA_MAX, _PADDING = 28, 29  # include/linux/ring_buffer.h: enum ring_buffer_type


def common_size(where: str, sizes: Sequence[int]) -> int:
    """The largest of the sizes. Raises RecordingError where it is so much more than the least that padding is waste."""
    largest, least = max(sizes), min(sizes)
    if largest > _RATIO_MAX * least:
        advice = "take one instance out with `trace-cmd split`, or ingest each instance's folder by itself"
        raise RecordingError(where, f"sub-buffers of sizes {_RATIO_MAX} times apart", f"{least} and {largest}", advice)
    return largest


def found_size(first: memoryview, told: int, header: PageHeader, big_endian: bool) -> int:
    """The sub-buffer size of pages that begin with `first`: `told`, or the next power of two that holds its commit."""
    if len(first) < header.data_offset:
        return told
    word = first[header.commit_offset : header.commit_offset + header.commit_bytes]
    commit = int.from_bytes(word, "big" if big_endian else "little") & COMMIT_MASK
    size = told
    while header.data_offset + commit > size and size < SUB_BUFFER_BYTES_MAX:
        size *= 2
    return size if size <= SUB_BUFFER_BYTES_MAX else told


def rescued(page: memoryview, page_bytes: int, header: PageHeader, big_endian: bool) -> bytes:
    """A whole page of the beginning of one: with its whole events alone; nothing where it has none."""
    order: Literal["big", "little"] = "big" if big_endian else "little"
    if len(page) < header.data_offset:
        return b""
    place = header.commit_offset, header.commit_offset + header.commit_bytes
    word = int.from_bytes(page[slice(*place)], order)
    told = word & COMMIT_MASK
    limit = min(len(page), header.data_offset + told)
    end = header.data_offset
    while end + 4 <= limit:
        size = _event_bytes(page[end : end + 8], big_endian)
        if not size or end + size > limit:
            break
        end += size
    data = end - header.data_offset
    if not data:
        return b""
    # What was lost before the page is told behind its last event: where that is missing, the count is.
    flags = word & ~COMMIT_MASK & (MISSED if data < told else -1)
    head = page[: place[0]], (flags | data).to_bytes(header.commit_bytes, order), page[place[1] : end]
    return b"".join(head).ljust(page_bytes, b"\0")


def _event_bytes(head: memoryview, big_endian: bool) -> int:
    """The size of an event with its header, of which these are the first bytes; 0 where it can't be told."""
    order: Literal["big", "little"] = "big" if big_endian else "little"
    word = int.from_bytes(head[:4], order)
    kind, delta = (word >> 27, word & 0x7FF_FFFF) if big_endian else (word & 31, word >> 5)
    if 0 < kind <= _DATA_MAX:
        return 4 + 4 * kind
    if kind > _PADDING:
        return 8
    if len(head) < 8 or (kind == _PADDING and not delta):
        return 0
    second = int.from_bytes(head[4:8], order)
    return 4 + (second + 3 & ~3) if second >= 4 else 0


def peeked(blocks: Iterator[Block]) -> tuple[memoryview, Iterator[Block]]:
    """The first block's data, and all blocks."""
    first = next(blocks, None)
    return (memoryview(b""), blocks) if first is None else (first.data, chain([first], blocks))


def laid_out(
    blocks: Iterable[Block], page_bytes: int, common_bytes: int, told_bytes: int, cursor: Cursor, cut: bool
) -> Iterator[Block]:
    """Blocks of whole sub-buffers of `page_bytes`, each with zeros behind it up to `common_bytes`.

    `told_bytes` is the size that the blocks are whole multiples of. Raises RecordingError (`cursor` knows where) for
    less than a sub-buffer at the end, unless the pages are `cut` there.
    """
    if page_bytes == common_bytes == told_bytes:
        yield from blocks
        return
    rest, place = b"", 0
    for block in blocks:
        place = place if rest else block.offset
        data = rest + bytes(block.data)
        whole = len(data) - len(data) % page_bytes
        rest = data[whole:]
        step = max(_LAID_BYTES // common_bytes, 1) * page_bytes
        for first in range(0, whole, step):
            pages = (data[start : start + page_bytes] for start in range(first, min(first + step, whole), page_bytes))
            laid = b"".join(page.ljust(common_bytes, b"\0") for page in pages)
            # Offsets inside are no longer the file's: errors name the block, as for a packed one.
            yield Block(memoryview(laid), place, True, block.end if first + step >= whole else place)
        if whole:
            place = block.offset
    if rest and not cut:
        cursor.fail(f"whole sub-buffers of {page_bytes} bytes", f"{len(rest)} bytes more")
