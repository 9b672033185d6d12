"""The kernel's texts as perf record copies them: feature TRACING_DATA, or what follows PERF_RECORD_HEADER_TRACING_DATA.

The layout is the head of trace.dat in a version of its own, 0.5 and 0.6 (tools/perf/util/trace-event-info.c).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fastgup_trace.ingest.cursor import Cursor

MAGIC: Final = b"\x17\x08\x44tracing"
_FORMATS_MAX: Final = 1 << 16  # an event's id has 16 bits


@dataclass(frozen=True)
class TracingData:
    """Texts as the kernel gave them; all empty where events were no tracepoints."""

    big_endian: bool | None = None
    long_bytes: int | None = None
    page_bytes: int | None = None
    formats: list[tuple[str, str]] = field(default_factory=list)
    """System and format text of each event."""
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: bytes = b""


def parse_tracing_data(cursor: Cursor) -> TracingData:
    """Raises RecordingError where the data is not whole."""
    cursor.literal(MAGIC, "tracing data")
    version = cursor.text("the version of the tracing data", 8)
    order, long_bytes = cursor.number(1, "the byte order"), cursor.number(1, "the size of a long")
    if order > 1 or long_bytes not in (4, 8):
        cursor.fail("byte order 0 or 1 and longs of 4 or 8 bytes", f"{order} and {long_bytes}", cursor.pos - 2)
    cursor.order = "big" if order else "little"
    page_bytes = cursor.number(4, "the page size")
    if not 512 <= page_bytes <= 1 << 24 or page_bytes & (page_bytes - 1):
        cursor.fail("a page size that is a power of two", f"{page_bytes}", cursor.pos - 4)
    for name in (b"header_page\0", b"header_event\0"):
        cursor.literal(name, "the ring buffer's layout")
        cursor.take(cursor.number(8, "a size"), "the ring buffer's layout")
    formats = [("ftrace", _text(cursor)) for _ in range(_count(cursor))]
    for _ in range(_count(cursor)):
        system = cursor.text("the name of an event system", 256)
        formats.extend((system, _text(cursor)) for _ in range(_count(cursor)))
    kallsyms = bytes(cursor.take(cursor.number(4, "the size of kallsyms"), "kallsyms"))
    printk = bytes(cursor.take(cursor.number(4, "the size of printk formats"), "printk formats"))
    cmdlines = b""
    if version != "0.5":  # v0.6 came with v4.15 (commit 99ce8e9fce9b)
        cmdlines = bytes(cursor.take(cursor.number(8, "the size of command lines"), "saved command lines"))
    return TracingData(bool(order), long_bytes, page_bytes, formats, kallsyms, printk, cmdlines)


def _count(cursor: Cursor) -> int:
    count = cursor.number(4, "a number of event formats")
    if count > _FORMATS_MAX:
        cursor.fail(f"at most {_FORMATS_MAX} event formats", f"{count}", cursor.pos - 4)
    return count


def _text(cursor: Cursor) -> str:
    raw = cursor.take(cursor.number(8, "the size of an event format"), "an event format")
    return bytes(raw).decode("utf-8", "backslashreplace")
