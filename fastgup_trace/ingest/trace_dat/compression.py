"""Unpacking of version 7 sections and of the chunks that hold ring-buffer pages (zstd, zlib)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.ring_buffer.windows import Block

UNPACKED_BYTES_MAX = 1 << 28
"""No section or chunk unpacks to more: kallsyms of a large kernel has 20 MB, a chunk some pages."""

Unpack = Callable[[memoryview, int], bytes]


def unpacker(name: str, cursor: Cursor) -> Unpack | None:
    """How `name` of the file header unpacks; None for `none`. Raises RecordingError for a name that is not known."""
    if name == "none":
        return None
    if name == "zlib":
        return _zlib
    if name == "zstd":
        return _zstd
    return cursor.fail("compression zstd, zlib or none", repr(name))


def _zlib(packed: memoryview, size: int) -> bytes:
    machine = zlib.decompressobj()
    data = machine.decompress(packed, size + 1)
    if not machine.eof or machine.unused_data:
        raise ValueError("a stream that does not end where its size says")
    return data


def _zstd(packed: memoryview, size: int) -> bytes:
    import zstandard

    found = zstandard.frame_content_size(packed)
    if found not in (size, -1):
        raise ValueError(f"a frame of {found} bytes")
    data: bytes = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
    return data


def unpack_block(cursor: Cursor, unpack: Unpack, what: str) -> bytes:
    """One block at the cursor: packed size, unpacked size (4 bytes each), data."""
    start = cursor.pos
    packed_size, size = cursor.number(4, f"the size of {what}"), cursor.number(4, f"the size of {what}")
    if not 0 < size <= UNPACKED_BYTES_MAX:
        cursor.fail(f"{what} of 1 to {UNPACKED_BYTES_MAX} bytes unpacked", f"{size}", start)
    packed = cursor.take(packed_size, what)
    try:
        data = unpack(packed, size)
    except Exception as error:  # zlib.error, ZstdError and ValueError share no base
        cursor.fail(f"{what} that unpacks", str(error).splitlines()[0] if str(error) else type(error).__name__, start)
    if len(data) != size:
        cursor.fail(f"{what} of {size} bytes unpacked", f"{len(data)}", start)
    return data


def blocks(cursor: Cursor, size: int, unpack: Unpack | None, page_bytes: int, what: str) -> Iterator[Block]:
    """The data of one CPU, which begins at the cursor, in blocks of whole pages.

    Plain data has `size` bytes. Packed data begins with the number of chunks, four bytes that `size` leaves out.
    """
    if unpack is None:
        step, start = max(1, (1 << 18) // page_bytes) * page_bytes, cursor.pos
        for pos in range(start, start + size, step):
            data = cursor.take(min(step, start + size - pos), what)
            yield Block(data, pos, False, cursor.pos)
        return
    chunks = cursor.number(4, f"the number of chunks of {what}")
    if chunks * 9 > cursor.left():
        cursor.fail(f"a number of chunks that fit {cursor.left()} bytes", f"{chunks}", cursor.pos - 4)
    begin = cursor.pos
    for _ in range(chunks):
        start = cursor.pos
        data = memoryview(unpack_block(cursor, unpack, f"a chunk of {what}"))
        if len(data) % page_bytes:
            cursor.fail(f"a chunk of whole pages of {page_bytes} bytes", f"{len(data)} bytes", start)
        yield Block(data, start, True, cursor.pos)
    if (found := cursor.pos - begin) != size:
        cursor.fail(f"{size} bytes of chunks of {what}", f"{found}", begin)
