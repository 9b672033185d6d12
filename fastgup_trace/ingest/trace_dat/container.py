"""What a trace.dat file holds and where: its header, sections and options, version 6 and 7.

The layout is that of trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5). Nothing is decoded here but the container:
the texts of the kernel stay texts, the ring-buffer pages stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.compression import Unpack, unpack_block, unpacker

MAGIC = b"\x17\x08\x44tracing"

# Option numbers of trace-cmd.dat.v7(5); 15 is the text of saved_tgids (trace-cmd 2.9).
DONE, DATE, CPUSTAT, BUFFER, TRACECLOCK, UNAME, HOOK, OFFSET, CPUCOUNT, VERSION = range(10)
PROCMAPS, TRACEID, TIME_SHIFT, GUEST, TSC2NSEC, SAVED_TGIDS = range(10, 16)
HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS, KALLSYMS, PRINTK, CMDLINES, BUFFER_TEXT = range(16, 23)

STRINGS = 15  # as the number of a section
SECTION_HEAD_BYTES = 16
OPTIONS_MAX = 65536
OPTION_ID_MAX = 255
CPUS_MAX = 8192  # the largest NR_CPUS of any architecture
INSTANCES_MAX = 256
FORMATS_MAX = 1 << 16  # an event's id has 16 bits
PAGE_BYTES_MAX = 1 << 24
_FIXED_SIZE = {DONE: 8, CPUCOUNT: 4, TRACEID: 8, TSC2NSEC: 16} | dict.fromkeys(range(HEADER_INFO, CMDLINES + 1), 8)
_NAMES = {
    HEADER_INFO: "header info", FTRACE_EVENTS: "ftrace event formats", EVENT_FORMATS: "event formats",
    KALLSYMS: "kallsyms", STRINGS: "strings", PRINTK: "printk formats", CMDLINES: "saved command lines",
    BUFFER: "ring-buffer pages",
}  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """The ring-buffer pages of one CPU of one trace instance, and where the file has them."""

    instance: str
    """Empty for the top instance."""
    clock: str | None
    cpu: int
    offset: int
    size: int
    end: int
    """The data ends at or before this offset."""
    page_bytes: int
    packed: bool


@dataclass(frozen=True)
class Section:
    """Where a section of version 7 is: its head, its end, and its description's place in the strings sections."""

    offset: int
    end: int
    description: int


@dataclass
class Container:
    """A trace.dat file, opened. Texts are as the kernel gave them; `options` keeps each option's bytes by number."""

    path: Path
    data: memoryview
    version: int
    big_endian: bool
    long_bytes: int
    page_bytes: int
    compression: str = "none"
    unpack: Unpack | None = None
    header_page: str = ""
    header_event: str = ""
    formats: list[tuple[str, str]] = field(default_factory=list)
    """System and format text of each event."""
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: bytes = b""
    options: dict[int, list[bytes]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def cursor(self, pos: int = 0) -> Cursor:
        cursor = Cursor(self.data, str(self.path), self.big_endian)
        cursor.seek(pos, "data")
        return cursor

    def option_text(self, number: int) -> str | None:
        """The first option of this number as text, without the zero byte and blanks at its end."""
        values = self.options.get(number)
        return values[0].split(b"\0")[0].decode("utf-8", "backslashreplace").strip() if values else None

    def option_number(self, number: int) -> int | None:
        values = self.options.get(number)
        return int.from_bytes(values[0], "big" if self.big_endian else "little") if values else None


def read_container(path: Path, data: memoryview) -> Container:
    """Read all but the ring-buffer pages. Raises RecordingError where the file is not what its format says."""
    cursor = Cursor(data, str(path))
    if len(data) < len(MAGIC) + 10:
        cursor.fail("a trace.dat file", "an empty file" if not len(data) else f"{len(data)} bytes")
    cursor.literal(MAGIC, "the magic")
    text = cursor.text("the file version", 8)
    if text not in ("6", "7"):
        cursor.fail("file version 6 or 7", repr(text), advice="convert it with `trace-cmd convert`")
    endian, long_bytes = cursor.number(1, "the byte order"), cursor.number(1, "the size of a long")
    if endian > 1 or long_bytes not in (4, 8):
        cursor.fail("byte order 0 or 1 and longs of 4 or 8 bytes", f"{endian} and {long_bytes}", cursor.pos - 2)
    cursor.order = "big" if endian else "little"
    page_bytes = cursor.number(4, "the page size")
    if not 512 <= page_bytes <= PAGE_BYTES_MAX or page_bytes & (page_bytes - 1):
        cursor.fail("a page size that is a power of two", f"{page_bytes}", cursor.pos - 4)
    container = Container(path, data, int(text), bool(endian), long_bytes, page_bytes)
    if text == "6":
        _read_v6(container, cursor)
    else:
        _read_v7(container, cursor)
    ordered = sorted(container.streams, key=lambda stream: stream.offset)
    for one, other in pairwise(ordered):
        if one.offset + one.size > other.offset:
            found = f"those of CPU {one.cpu} to {one.offset + one.size}"
            cursor.fail(f"pages of CPU {other.cpu} of their own", found, other.offset)
    return container


def _read_v6(container: Container, cursor: Cursor) -> None:
    _header_info(container, cursor)
    _ftrace_formats(container, cursor)
    _event_formats(container, cursor)
    container.kallsyms = bytes(cursor.take(cursor.number(4, "the size of kallsyms"), "kallsyms"))
    container.printk = bytes(cursor.take(cursor.number(4, "the size of printk formats"), "printk formats"))
    container.cmdlines = bytes(cursor.take(cursor.number(8, "the size of command lines"), "saved command lines"))
    cpus = _cpus(cursor, cursor.number(4, "the number of CPUs"))
    kind = bytes(cursor.take(10, "the kind of data"))
    if kind == b"options  \0":
        while (number := cursor.number(2, "an option's number")) != DONE:
            _keep_option(container, cursor, number, cursor.number(4, "an option's size"))
        kind = bytes(cursor.take(10, "the kind of data"))
    clock = selected_clock(container)
    _v6_streams(container, cursor, kind, "", clock, cpus)
    for option in container.options.get(BUFFER, ()):
        inner = Cursor(memoryview(option), f"{container.path}: option BUFFER", container.big_endian)
        offset, name = inner.number(8, "the place of an instance"), inner.text("the name of an instance")
        count = inner.number(4, "the number of CPUs") if inner.left() >= 4 else cpus
        cursor.seek(offset, f"instance {name!r}")
        kind = bytes(cursor.take(10, "the kind of data"))
        _v6_streams(container, cursor, kind, name, clock, _cpus(cursor, count))


def _v6_streams(container: Container, cursor: Cursor, kind: bytes, instance: str, clock: str | None, cpus: int) -> None:
    if kind == b"latency  \0":
        cursor.fail("ring-buffer pages", "the text of a latency tracer", advice="ingest that text itself")
    if kind != b"flyrecord\0":
        cursor.fail("'flyrecord'", f"{kind!r}", cursor.pos - len(kind))
    for cpu in range(cpus):
        place = cursor.pos
        offset, size = cursor.number(8, "the place of CPU data"), cursor.number(8, "the size of CPU data")
        stream = Stream(instance, clock, cpu, offset, size, offset + size, container.page_bytes, False)
        _keep_stream(container, cursor, stream, place)


def _keep_stream(container: Container, cursor: Cursor, stream: Stream, place: int) -> None:
    if stream.size == 0:
        return
    if stream.offset + stream.size > stream.end or stream.end > len(container.data) or stream.offset < len(MAGIC):
        found = f"{stream.size} bytes at {stream.offset}"
        cursor.fail(f"pages of CPU {stream.cpu} inside {min(stream.end, len(container.data))} bytes", found, place)
    if not stream.packed and stream.size % stream.page_bytes:
        cursor.fail(f"whole pages of {stream.page_bytes} bytes for CPU {stream.cpu}", f"{stream.size} bytes", place)
    container.streams.append(stream)


def _read_v7(container: Container, cursor: Cursor) -> None:
    container.compression = cursor.text("the name of the compression", 64)
    cursor.text("the version of the compression", 64)
    container.unpack = unpacker(container.compression, cursor)
    place, seen = cursor.number(8, "the place of the options"), set[int]()
    while place:
        if place in seen:
            cursor.fail("options sections that follow each other", f"the one at {place} again")
        seen.add(place)
        cursor.seek(place, "an options section")
        place = _read_options(container, _section(container, cursor, DONE))
    for number in (HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS):
        if number not in container.options:
            cursor.fail(f"an option that tells where the {_NAMES[number]} are", "none")
    for number, read in _V7_SECTIONS.items():
        for option in container.options.get(number, ())[:1]:
            cursor.seek(int.from_bytes(option, "big" if container.big_endian else "little"), _NAMES[number])
            section = _section(container, cursor, number)
            read(container, section)
            if section.left():
                section.fail(f"the end of the {_NAMES[number]}", f"{section.left()} bytes more")
    if not container.options.get(BUFFER):
        advice = "it has the text of a latency tracer only" if BUFFER_TEXT in container.options else "record it again"
        cursor.fail("an option that tells where the ring-buffer pages are", "none", advice=advice)
    for option in container.options[BUFFER]:
        _v7_streams(container, cursor, option)
    _check_strings(container, cursor)


def _check_strings(container: Container, cursor: Cursor) -> None:
    """trace-cmd writes the sections' descriptions last: where they are not whole, the end of the file is missing."""
    starts = {section.offset for section in container.sections}
    strings = 0
    for place in sorted({section.end for section in container.sections} - starts):
        while len(container.data) - place >= SECTION_HEAD_BYTES:
            cursor.seek(place, "a strings section")
            if cursor.number(2, "the number of a section") != STRINGS:
                break
            cursor.seek(place, "a strings section")
            strings += _section(container, cursor, STRINGS).left()
            place = container.sections[-1].end
    last = max(section.description for section in container.sections)
    if last and strings <= last:
        cursor.fail("the strings section that trace-cmd writes last", "no whole one", len(container.data))


def _section_head(container: Container, cursor: Cursor, number: int) -> tuple[bool, int]:
    """Whether the section at the cursor, which must have `number`, is packed, and the bytes behind its head."""
    start, name = cursor.pos, _NAMES.get(number, "options")
    found, flags = cursor.number(2, f"the number of the {name} section"), cursor.number(2, "a section's flags")
    description = cursor.number(4, "a section's description")
    size = cursor.number(8, f"the size of the {name} section")
    if found != number or flags > 1:
        cursor.fail(f"the {name} section (number {number})", f"number {found}, flags {flags}", start)
    if size > cursor.left():
        cursor.fail(f"{size} bytes of the {name} section", f"{cursor.left()} bytes to the end", start)
    container.sections.append(Section(start, cursor.pos + size, description))
    return bool(flags), size


def _section(container: Container, cursor: Cursor, number: int) -> Cursor:
    """The contents of the section at the cursor, unpacked."""
    start, name = cursor.pos, _NAMES.get(number, "options")
    packed, size = _section_head(container, cursor, number)
    end = cursor.pos + size
    if not packed:
        return Cursor(cursor.data[:end], cursor.where, container.big_endian, cursor.pos)
    if container.unpack is None:
        cursor.fail(f"a {name} section that is not packed", "one that is, in a file without compression", start)
    data = unpack_block(cursor, container.unpack, f"the {name} section")
    if cursor.pos != end:
        cursor.fail(f"a {name} section of {size} bytes", f"one of {size + cursor.pos - end}", start)
    return Cursor(memoryview(data), f"{container.path}: offset {start}, {name} unpacked", container.big_endian)


def _read_options(container: Container, cursor: Cursor) -> int:
    """Keep the options of one section; returns where the next section is, 0 after the last."""
    while True:
        number, size = cursor.number(2, "an option's number"), cursor.number(4, "an option's size")
        _keep_option(container, cursor, number, size)
        if number == DONE:
            if cursor.left():
                cursor.fail("the end of the options", f"{cursor.left()} bytes more")
            return int.from_bytes(container.options.pop(DONE)[0], "big" if container.big_endian else "little")


def _keep_option(container: Container, cursor: Cursor, number: int, size: int) -> None:
    start = cursor.pos - 6
    if number > OPTION_ID_MAX:
        cursor.fail(f"an option's number of at most {OPTION_ID_MAX}", f"{number}", start)
    if number in _FIXED_SIZE and size != _FIXED_SIZE[number]:
        cursor.fail(f"option {number} of {_FIXED_SIZE[number]} bytes", f"{size}", start)
    limit = INSTANCES_MAX if number == BUFFER else OPTIONS_MAX
    if len(container.options.get(number, ())) >= limit:
        cursor.fail(f"at most {limit} options of number {number}", "more", start)
    container.options.setdefault(number, []).append(bytes(cursor.take(size, f"option {number}")))


def _header_info(container: Container, cursor: Cursor) -> None:
    cursor.literal(b"header_page\0", "header_page")
    container.header_page = _long_text(cursor, "header_page")
    cursor.literal(b"header_event\0", "header_event")
    container.header_event = _long_text(cursor, "header_event")


def _long_text(cursor: Cursor, what: str) -> str:
    return str(cursor.take(cursor.number(8, f"the size of {what}"), what), "utf-8", "backslashreplace")


def _ftrace_formats(container: Container, cursor: Cursor) -> None:
    for _ in range(cursor.number(4, "the number of ftrace formats")):
        _keep_format(container, cursor, "ftrace")


def _event_formats(container: Container, cursor: Cursor) -> None:
    for _ in range(cursor.number(4, "the number of event systems")):
        system = cursor.text("the name of an event system", 256)
        for _ in range(cursor.number(4, f"the number of events of {system!r}")):
            _keep_format(container, cursor, system)


def _keep_format(container: Container, cursor: Cursor, system: str) -> None:
    if len(container.formats) >= FORMATS_MAX:
        cursor.fail(f"at most {FORMATS_MAX} formats", "more")
    container.formats.append((system, _long_text(cursor, f"a format of {system!r}")))


def _kallsyms(container: Container, cursor: Cursor) -> None:
    container.kallsyms = bytes(cursor.take(cursor.number(4, "the size of kallsyms"), "kallsyms"))


def _printk(container: Container, cursor: Cursor) -> None:
    container.printk = bytes(cursor.take(cursor.number(4, "the size of printk formats"), "printk formats"))


def _cmdlines(container: Container, cursor: Cursor) -> None:
    container.cmdlines = bytes(cursor.take(cursor.number(8, "the size of command lines"), "saved command lines"))


_V7_SECTIONS = {
    HEADER_INFO: _header_info, FTRACE_EVENTS: _ftrace_formats, EVENT_FORMATS: _event_formats,
    KALLSYMS: _kallsyms, PRINTK: _printk, CMDLINES: _cmdlines,
}  # fmt: skip


def _v7_streams(container: Container, cursor: Cursor, option: bytes) -> None:
    inner = Cursor(memoryview(option), f"{container.path}: option BUFFER", container.big_endian)
    place = inner.number(8, "the place of the pages")
    instance, clock = inner.text("the name of an instance"), inner.text("a clock's name")
    page_bytes = inner.number(4, "the sub-buffer size")
    if not 512 <= page_bytes <= PAGE_BYTES_MAX:
        inner.fail(f"a sub-buffer size of 512 to {PAGE_BYTES_MAX}", f"{page_bytes}", inner.pos - 4)
    cpus = _cpus(inner, inner.number(4, "the number of CPUs"))
    if not cpus:  # `trace-cmd record -B` leaves an empty top instance
        return
    cursor.seek(place, "a section of ring-buffer pages")
    packed, size = _section_head(container, cursor, BUFFER)
    if packed and container.unpack is None:
        cursor.fail("pages that are not packed", "packed ones, in a file without compression", place)
    start, end = cursor.pos, cursor.pos + size
    for _ in range(cpus):
        at = inner.pos
        cpu, offset, size = (inner.number(n, "the place of CPU data") for n in (4, 8, 8))
        if cpu >= CPUS_MAX or offset < start:
            inner.fail(f"a CPU below {CPUS_MAX} with data behind {start}", f"CPU {cpu} at {offset}", at)
        _keep_stream(container, inner, Stream(instance, clock or None, cpu, offset, size, end, page_bytes, packed), at)


def _cpus(cursor: Cursor, count: int) -> int:
    if count > CPUS_MAX:
        cursor.fail(f"at most {CPUS_MAX} CPUs", f"{count}", cursor.pos - 4)
    return count


def selected_clock(container: Container) -> str | None:
    """The clock in brackets in the text of the TRACECLOCK option: `[local] global counter`."""
    text = container.option_text(TRACECLOCK)
    if not text:
        return None
    return text.partition("[")[2].partition("]")[0] or text
