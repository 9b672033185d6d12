"""The sections of a version 7 file: a head of 16 bytes, and contents that may be packed; and the options among them."""

from __future__ import annotations

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.compression import unpack_block
from fastgup_trace.ingest.trace_dat.container import (
    BUFFER,
    BUFFER_TEXT,
    CMDLINES,
    DONE,
    EVENT_FORMATS,
    FTRACE_EVENTS,
    HEADER_INFO,
    KALLSYMS,
    PRINTK,
    Container,
    Section,
    keep_option,
)

STRINGS = 15  # as the number of a section
SECTION_HEAD_BYTES = 16
NAMES = {
    DONE: "options", HEADER_INFO: "header info", FTRACE_EVENTS: "ftrace event formats", EVENT_FORMATS: "event formats",
    KALLSYMS: "kallsyms", STRINGS: "strings", PRINTK: "printk formats", CMDLINES: "saved command lines",
    BUFFER: "ring-buffer pages", BUFFER_TEXT: "text of a tracer",
}  # fmt: skip


def section_head(container: Container, cursor: Cursor, number: int, *, cut: bool = False) -> tuple[bool, int]:
    """Whether the section at the cursor, which must have `number`, is packed, and the bytes behind its head.

    With `cut` the file may end before the section.
    """
    start, name = cursor.pos, NAMES[number]
    found, flags = cursor.number(2, f"the number of the {name} section"), cursor.number(2, "a section's flags")
    description = cursor.number(4, "a section's description")
    size = cursor.number(8, f"the size of the {name} section")
    if found != number or flags > 1:
        cursor.fail(f"the {name} section (number {number})", f"number {found}, flags {flags}", start)
    if size > cursor.left() and not cut:
        cursor.fail(f"{size} bytes of the {name} section", f"{cursor.left()} bytes to the end", start)
    container.sections.append(Section(start, cursor.pos + size, description))
    return bool(flags), size


def open_section(container: Container, cursor: Cursor, number: int) -> Cursor:
    """The contents of the section at the cursor, unpacked."""
    start, name = cursor.pos, NAMES[number]
    packed, size = section_head(container, cursor, number)
    end = cursor.pos + size
    if not packed:
        return Cursor(cursor.data[:end], cursor.where, container.big_endian, cursor.pos)
    if container.unpack is None:
        cursor.fail(f"a {name} section that is not packed", "one that is, in a file without compression", start)
    data = unpack_block(cursor, container.unpack, f"the {name} section")
    if cursor.pos != end:
        cursor.fail(f"a {name} section of {size} bytes", f"one of {size + cursor.pos - end}", start)
    return Cursor(memoryview(data), f"{container.path}: offset {start}, {name} unpacked", container.big_endian)


def read_options(container: Container, cursor: Cursor) -> int:
    """Keep the options of one section; returns where the next section is, 0 after the last."""
    while True:
        number, size = cursor.number(2, "an option's number"), cursor.number(4, "an option's size")
        keep_option(container, cursor, number, size)
        if number == DONE:
            if cursor.left():
                cursor.fail("the end of the options", f"{cursor.left()} bytes more")
            return container.number(container.options.pop(DONE)[0])
