"""The kernel's texts in a trace.dat: header_page, formats, kallsyms, printk formats and command lines.

Version 6 has them one after another, version 7 each in a section of its own; their bytes are the same.
"""

from __future__ import annotations

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.container import Container

FORMATS_MAX = 1 << 16  # an event's id has 16 bits
FORMATS_BYTES_MAX = 1 << 27
"""A kernel's 2,500 formats have 3 MB."""
TEXT_BYTES_MAX = 1 << 28
"""kallsyms of a large kernel has 20 MB."""


def read_header_info(container: Container, cursor: Cursor) -> None:
    cursor.literal(b"header_page\0", "header_page")
    container.header_page = _long_text(cursor, "header_page")
    cursor.literal(b"header_event\0", "header_event")
    container.header_event = _long_text(cursor, "header_event")


def read_ftrace_formats(container: Container, cursor: Cursor) -> None:
    for _ in range(cursor.number(4, "the number of ftrace formats")):
        _keep_format(container, cursor, "ftrace")


def read_event_formats(container: Container, cursor: Cursor) -> None:
    for _ in range(cursor.number(4, "the number of event systems")):
        system = cursor.text("the name of an event system", 256)
        for _ in range(cursor.number(4, f"the number of events of {system!r}")):
            _keep_format(container, cursor, system)


def read_kallsyms(container: Container, cursor: Cursor) -> None:
    container.kallsyms = _text(cursor, 4, "kallsyms")


def read_printk(container: Container, cursor: Cursor) -> None:
    container.printk = _text(cursor, 4, "printk formats")


def read_cmdlines(container: Container, cursor: Cursor) -> None:
    container.cmdlines = _text(cursor, 8, "saved command lines")


def _text(cursor: Cursor, number_bytes: int, what: str) -> bytes:
    """A text behind its size, which is a number of so many bytes."""
    size = cursor.number(number_bytes, f"the size of {what}")
    if size > TEXT_BYTES_MAX:
        cursor.fail(f"at most {TEXT_BYTES_MAX} bytes of {what}", f"{size}", cursor.pos - number_bytes)
    return bytes(cursor.take(size, what))


def _long_text(cursor: Cursor, what: str) -> str:
    return _text(cursor, 8, what).decode("utf-8", "backslashreplace")


def _keep_format(container: Container, cursor: Cursor, system: str) -> None:
    if len(container.formats) >= FORMATS_MAX:
        cursor.fail(f"at most {FORMATS_MAX} formats", "more")
    text = _long_text(cursor, f"a format of {system!r}")
    container.format_bytes += len(text)
    if container.format_bytes > FORMATS_BYTES_MAX:
        cursor.fail(f"at most {FORMATS_BYTES_MAX} bytes of formats", "more")
    container.formats.append((system, text))
