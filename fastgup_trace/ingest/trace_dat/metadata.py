"""The kernel's texts in a trace.dat: header_page, formats, kallsyms, printk formats and command lines.

Version 6 has them one after another, version 7 each in a section of its own; their bytes are the same.
"""

from __future__ import annotations

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.container import Container

FORMATS_MAX = 1 << 16  # an event's id has 16 bits


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
    container.kallsyms = bytes(cursor.take(cursor.number(4, "the size of kallsyms"), "kallsyms"))


def read_printk(container: Container, cursor: Cursor) -> None:
    container.printk = bytes(cursor.take(cursor.number(4, "the size of printk formats"), "printk formats"))


def read_cmdlines(container: Container, cursor: Cursor) -> None:
    container.cmdlines = bytes(cursor.take(cursor.number(8, "the size of command lines"), "saved command lines"))


def _long_text(cursor: Cursor, what: str) -> str:
    return str(cursor.take(cursor.number(8, f"the size of {what}"), what), "utf-8", "backslashreplace")


def _keep_format(container: Container, cursor: Cursor, system: str) -> None:
    if len(container.formats) >= FORMATS_MAX:
        cursor.fail(f"at most {FORMATS_MAX} formats", "more")
    container.formats.append((system, _long_text(cursor, f"a format of {system!r}")))
