"""Unpacking of version 7 sections and of the chunks that hold ring-buffer pages (zstd, zlib)."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.ring_buffer.streams import Block, release

UNPACKED_BYTES_MAX = 1 << 28
"""No section or chunk unpacks to more: kallsyms of a large kernel has 20 MB, a chunk some pages."""

CHUNK_BYTES_MIN = 9
"""Packed and unpacked size, and a byte of data."""

_THREAD = threading.local()

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
    if not hasattr(_THREAD, "zstd"):
        _THREAD.zstd = zstandard.ZstdDecompressor()  # made once a thread: a tenth of the time of unpacking chunks
    data: bytes = _THREAD.zstd.decompress(packed, max_output_size=size, allow_extra_data=False)
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


def unpack_chunks(cursor: Cursor, unpack: Unpack, what: str) -> bytes:
    """All chunks at the cursor as one: their number, and each as `unpack_block` has it."""
    parts, size = list[bytes](), 0
    for _ in range(_chunk_count(cursor, what)):
        parts.append(unpack_block(cursor, unpack, f"a chunk of {what}"))
        size += len(parts[-1])
        if size > UNPACKED_BYTES_MAX:
            cursor.fail(f"{what} of at most {UNPACKED_BYTES_MAX} bytes unpacked", f"{size}")
    return b"".join(parts)


def _chunk_count(cursor: Cursor, what: str) -> int:
    chunks = cursor.number(4, f"the number of chunks of {what}")
    if chunks * CHUNK_BYTES_MIN > cursor.left():
        cursor.fail(f"a number of chunks that fit {cursor.left()} bytes", f"{chunks}", cursor.pos - 4)
    return chunks


def plain_blocks(cursor: Cursor, size: int, page_bytes: int, what: str) -> Iterator[Block]:
    """`size` bytes of pages at the cursor, in blocks of whole pages."""
    step, start = max(1, (1 << 18) // page_bytes) * page_bytes, cursor.pos
    for pos in range(start, start + size, step):
        data = cursor.take(min(step, start + size - pos), what)
        yield Block(data, pos, False, cursor.pos)


def packed_blocks(
    cursor: Cursor, size: int, unpack: Unpack, page_bytes: int, what: str, cut: bool = False
) -> Iterator[Block]:
    """The packed data of one CPU, which begins at the cursor, in blocks of whole pages.

    It begins with the number of chunks, four bytes that `size` leaves out before trace-cmd 3.2 and has in it since
    (trace-cmd commit 4b921329). With `cut` the file ends inside: the chunks that lie in it whole are all there is.
    """
    begin = cursor.pos
    chunks = cursor.number(4, f"the number of chunks of {what}") if cut else _chunk_count(cursor, what)
    for _ in range(chunks):
        start = cursor.pos
        if cut and not _whole_chunk(cursor):
            return
        data = memoryview(unpack_block(cursor, unpack, f"a chunk of {what}"))
        if len(data) % page_bytes:
            cursor.fail(f"a chunk of whole pages of {page_bytes} bytes", f"{len(data)} bytes", start)
        yield Block(data, start, True, cursor.pos)
        release(cursor.data, start, cursor.pos)
    if size not in ((found := cursor.pos - begin), found - 4):
        cursor.fail(f"{size} bytes of chunks of {what}", f"{found}", begin)


def _whole_chunk(cursor: Cursor) -> bool:
    start, left = cursor.pos, cursor.left()
    size = cursor.number(4, "the size of a chunk") if left >= CHUNK_BYTES_MIN else left
    cursor.pos = start
    return left >= CHUNK_BYTES_MIN and size + 8 <= left
