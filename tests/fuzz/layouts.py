"""Where a seed has its structure, and how many records lie where: so that a silent loss is told from a legal one.

Most formats have no checksum: damage inside a block of records may change what is in this block, and nothing can tell.
Damage elsewhere must not change how many records there are without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastgup_trace.ingest.ring_buffer.header import PageHeader, parse_page_header
from fastgup_trace.ingest.trace_dat.container import Container
from fastgup_trace.ingest.trace_dat.opening import read_container

_PADDING, _EXTEND, _STAMP = 29, 30, 31


@dataclass(frozen=True)
class Block:
    """Bytes of a seed with records in them, for which only the block's own bytes vouch."""

    start: int
    end: int
    records: int


@dataclass(frozen=True)
class Layout:
    hot: tuple[int, ...] = ()
    """Places of sizes, offsets and counts."""
    blocks: tuple[Block, ...] = ()


def page_records(page: bytes, header: PageHeader, big_endian: bool) -> int:
    """Records of a sub-buffer, counted by its event headers (include/linux/ring_buffer.h, enum ring_buffer_type)."""
    order: Literal["big", "little"] = "big" if big_endian else "little"
    commit = int.from_bytes(page[header.commit_offset : header.commit_offset + header.commit_bytes], order)
    at, found = header.data_offset, 0
    end = min(at + (commit & 0x7FF_FFFF), len(page))
    while at + 4 <= end:
        word = int.from_bytes(page[at : at + 4], order)
        kind, delta = (word >> 27, word & 0x7FF_FFFF) if big_endian else (word & 31, word >> 5)
        long_size = 4 + max(4, int.from_bytes(page[at + 4 : at + 8], order) + 3 & ~3)
        if kind in (_EXTEND, _STAMP):
            at += 8
        elif kind == _PADDING:
            at = at + long_size if delta else end
        else:
            found += 1
            at += 4 + 4 * kind if kind else long_size
    return found


def of_trace_dat(data: bytes) -> Layout:
    container = read_container(Path("seed"), memoryview(data))
    header = parse_page_header(container.header_page, "seed")

    def records(page: bytes) -> int:
        return page_records(page, header, container.big_endian)

    blocks = list[Block]()
    for stream in container.streams:
        if stream.packed:
            blocks += _chunks(container, stream.offset, stream.page_bytes, records)
        else:
            for at in range(stream.offset, stream.offset + stream.size, stream.page_bytes):
                blocks.append(Block(at, at + stream.page_bytes, records(data[at : at + stream.page_bytes])))
    hot = [0, 8, 12, *(block.start for block in blocks)]
    first = min((stream.offset for stream in container.streams), default=len(data))
    if container.version == 7:
        hot += [section.offset for section in container.sections]
        hot += [len(data) - at for at in range(16, min(2000, len(data)), 24)]
    else:
        hot += [first - at for at in range(16, min(800, first), 24)]
        hot += [match.start() for match in re.finditer(rb"header_page|header_event|options  |flyrecord|name: ", data)]
    return Layout(tuple(hot), tuple(blocks))


def _chunks(container: Container, start: int, page_bytes: int, records: Callable[[bytes], int]) -> list[Block]:
    assert container.unpack is not None
    cursor = container.cursor(start)
    blocks = list[Block]()
    for _ in range(cursor.number(4, "chunks")):
        at = cursor.pos
        packed, size = cursor.number(4, "size"), cursor.number(4, "size")
        pages = container.unpack(cursor.take(packed, "chunk"), size)
        found = sum(records(pages[i : i + page_bytes]) for i in range(0, len(pages), page_bytes))
        blocks.append(Block(at, cursor.pos, found))
    return blocks


def of_pages(pages: list[bytes], header_page: str, big_endian: bool) -> Layout:
    """Pages, one behind the other, as trace_pipe_raw gives them."""
    header, blocks, at = parse_page_header(header_page, "seed"), list[Block](), 0
    for page in pages:
        blocks.append(Block(at, at + len(page), page_records(page, header, big_endian)))
        at += len(page)
    return Layout(tuple(block.start for block in blocks), tuple(blocks))


def of_perf_data(data: bytes) -> Layout:
    """The heads of all records; a packed one vouches for all that come after it, too, as its stream goes on."""
    order: Literal["big", "little"] = "big" if data[:1] == b"2" else "little"

    def number(at: int, size: int = 8) -> int:
        return int.from_bytes(data[at : at + size], order)

    pipe = number(8) == 16
    start, end = (16, len(data)) if pipe else (number(40), number(40) + number(48))
    blocks, at = list[Block](), start
    while at + 8 <= end:
        size = number(at + 6, 2)
        blocks.append(Block(at, at + size, 1))
        at += max(size, 8)
        if number(blocks[-1].start, 4) in (66, 67):  # what follows of tracing data and the like is not in the size
            break
    hot = [*range(8, 104, 8), *(block.start for block in blocks)]
    if not pipe:
        hot += [*range(number(24), number(24) + number(32), 8), *range(end, min(end + 400, len(data)), 8)]
    return Layout(tuple(hot), tuple(blocks))
