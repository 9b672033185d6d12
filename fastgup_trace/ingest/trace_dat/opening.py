"""Opens a trace.dat: the magic, the version, the byte order; then what its version has."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.container import MAGIC, PAGE_BYTES_MAX, PAGE_BYTES_MIN, Container
from fastgup_trace.ingest.trace_dat.version_6 import read_version_6
from fastgup_trace.ingest.trace_dat.version_7 import read_version_7

_VERSIONS = {"6": read_version_6, "7": read_version_7}


def read_container(path: Path, data: memoryview, *, strict: bool = False) -> Container:
    """Read all but the ring-buffer pages. Raises RecordingError where the file is not what its format says.

    Of a file that is cut, what lies before the cut is kept, and `Container.damage` says so; `strict` raises that.
    """
    cursor = Cursor(data, str(path))
    if len(data) < len(MAGIC) + 10:
        cursor.fail("a trace.dat file", "an empty file" if not len(data) else f"{len(data)} bytes")
    cursor.literal(MAGIC, "the magic")
    text = cursor.text("the file version", 8)
    if text not in _VERSIONS:
        cursor.fail("file version 6 or 7", repr(text), advice="convert it with `trace-cmd convert`")
    endian, long_bytes = cursor.number(1, "the byte order"), cursor.number(1, "the size of a long")
    if endian > 1 or long_bytes not in (4, 8):
        cursor.fail("byte order 0 or 1 and longs of 4 or 8 bytes", f"{endian} and {long_bytes}", cursor.pos - 2)
    cursor.order = "big" if endian else "little"
    page_bytes = cursor.number(4, "the page size")
    if not PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX or page_bytes & (page_bytes - 1):
        cursor.fail("a page size that is a power of two", f"{page_bytes}", cursor.pos - 4)
    container = Container(path, data, int(text), bool(endian), long_bytes, page_bytes, strict)
    _VERSIONS[text](container, cursor)
    ordered = sorted(container.streams, key=lambda stream: stream.offset)
    for one, other in pairwise(ordered):
        if one.offset + one.size > other.offset:
            found = f"those of CPU {one.cpu} to {one.offset + one.size}"
            cursor.fail(f"pages of CPU {other.cpu} of their own", found, other.offset)
    return container
