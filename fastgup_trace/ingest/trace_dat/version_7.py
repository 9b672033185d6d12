"""trace.dat version 7, trace-cmd.dat.v7(5): sections anywhere in the file, which the options tell the places of.

trace-cmd 3.1 to 3.4 write the kernel's texts first, then options, the pages of each instance with more options behind
them, and the strings last: a file that is cut has lost the options that tell where the pages are. `rescue` finds them.
"""

from __future__ import annotations

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat import metadata, rescue
from fastgup_trace.ingest.trace_dat.compression import unpack_chunks, unpacker
from fastgup_trace.ingest.trace_dat.container import (
    BUFFER,
    BUFFER_TEXT,
    CMDLINES,
    CPUS_MAX,
    CPUSTAT,
    DONE,
    EVENT_FORMATS,
    FTRACE_EVENTS,
    HEADER_INFO,
    KALLSYMS,
    NO_PAGES_ADVICE,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    PRINTK,
    UNAME,
    VERSION,
    Container,
    LatencyText,
    Stream,
    cpu_count,
    keep_stream,
)
from fastgup_trace.ingest.trace_dat.sections import (
    NAMES,
    SECTION_HEAD_BYTES,
    STRINGS,
    open_section,
    read_options,
    section_head,
)

_TEXTS = {
    HEADER_INFO: metadata.read_header_info, FTRACE_EVENTS: metadata.read_ftrace_formats,
    EVENT_FORMATS: metadata.read_event_formats, KALLSYMS: metadata.read_kallsyms, PRINTK: metadata.read_printk,
    CMDLINES: metadata.read_cmdlines,
}  # fmt: skip
_CPU_BYTES = 20
"""In a BUFFER option, for each CPU: its number, the place and the size of its data."""

_NEEDED = (HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS)


def read_version_7(container: Container, cursor: Cursor) -> None:
    """Read on behind the page size. Raises RecordingError where the file is not what its format says."""
    container.compression = cursor.text("the name of the compression", 64)
    cursor.text("the version of the compression", 64)
    container.unpack = unpacker(container.compression, cursor)
    place, first = cursor.number(8, "the place of the options"), cursor.pos
    lost = _follow_options(container, cursor, place)
    if lost:
        rescue.find_sections(container, cursor, first)
    _read_texts(container, cursor)
    found = [option for option in container.options.get(BUFFER, ()) if _read_buffer(container, cursor, option)]
    texts = sum(_read_latency(container, cursor, option) for option in container.options.get(BUFFER_TEXT, ()))
    if lost:
        rescue.find_streams(container, cursor, first)
    elif not found and not texts and BUFFER not in container.options:
        cursor.fail("an option that tells where the ring-buffer pages are", "none", advice=NO_PAGES_ADVICE)
    else:
        _check_pages(container, cursor)
        _check_strings(container, cursor)


def _follow_options(container: Container, cursor: Cursor, place: int) -> bool:
    """Read the options sections, from the one at `place`; whether the file ends before the last of them."""
    if not place:
        container.note("the place of the options", "none: trace-cmd did not finish this file")
        return True
    seen = set[int]()
    while place:
        if place in seen:
            cursor.fail("options sections that follow each other", f"the one at {place} again")
        seen.add(place)
        if place + SECTION_HEAD_BYTES > len(container.data):
            container.note(f"an options section at offset {place}", "the end of the file")
            return True
        cursor.seek(place, "an options section")
        end, start = len(container.data), cursor.pos
        _, size = section_head(container, cursor, DONE, cut=True)
        if start + SECTION_HEAD_BYTES + size > end:
            container.note(f"an options section of {size} bytes at offset {place}", f"{end - cursor.pos}")
            return True
        cursor.seek(place, "an options section")
        place = read_options(container, open_section(container, cursor, DONE))
    return False


def _read_texts(container: Container, cursor: Cursor) -> None:
    for number in _NEEDED:
        if number not in container.options:
            found = "the end of the file" if container.damage else "no option that tells where they are"
            cursor.fail(f"the {NAMES[number]}", found, len(container.data))
    for number, read in _TEXTS.items():
        for option in container.options.get(number, ())[:1]:
            cursor.seek(container.number(option), NAMES[number])
            section = open_section(container, cursor, number)
            read(container, section)
            if section.left():
                section.fail(f"the end of the {NAMES[number]}", f"{section.left()} bytes more")


def _check_pages(container: Container, cursor: Cursor) -> None:
    """Raise RecordingError where pages lie behind a section that no option tells of: that option is damaged."""
    starts = {section.offset for section in container.sections}
    for place in sorted({section.end for section in container.sections} - starts):
        if len(container.data) - place < SECTION_HEAD_BYTES:
            continue
        cursor.seek(place, "a section")
        if cursor.number(2, "the number of a section") != BUFFER:
            continue
        cursor.seek(place, "a section of ring-buffer pages")
        _, size = section_head(container, cursor, BUFFER, cut=True)
        if size:
            cursor.fail("an option that tells of these ring-buffer pages", "none", place)


def _check_strings(container: Container, cursor: Cursor) -> None:
    """trace-cmd writes the sections' descriptions last: where they are not whole, the end of the file is missing.

    `trace-cmd restore` writes none (3.1.6 and 3.2), and none of the options that tell the recorder and its machine.
    """
    starts = {section.offset for section in container.sections}
    strings = 0
    for place in sorted({section.end for section in container.sections} - starts):
        while len(container.data) - place >= SECTION_HEAD_BYTES:
            cursor.seek(place, "a strings section")
            if cursor.number(2, "the number of a section") != STRINGS:
                break
            cursor.seek(place, "a strings section")
            try:
                strings += open_section(container, cursor, STRINGS).left()
            except RecordingError as error:
                container.note_error(error)
                return
            place = container.sections[-1].end
    last = max(section.description for section in container.sections)
    ends = max(section.end for section in container.sections) == len(container.data)
    if not strings and ends and not container.options.keys() & {CPUSTAT, UNAME, VERSION}:
        return
    if last and strings <= last:
        container.note("the strings section that trace-cmd writes last", "no whole one")


def _read_buffer(container: Container, cursor: Cursor, option: bytes) -> bool:
    """Keep the pages that a BUFFER option tells of; whether it tells of any."""
    inner = Cursor(memoryview(option), f"{container.path}: option BUFFER", container.big_endian)
    place = inner.number(8, "the place of the pages")
    instance, clock = inner.text("the name of an instance"), inner.text("a clock's name")
    page_bytes = inner.number(4, "the sub-buffer size")
    if not PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX:
        inner.fail(f"a sub-buffer size of {PAGE_BYTES_MIN} to {PAGE_BYTES_MAX}", f"{page_bytes}", inner.pos - 4)
    cpus = cpu_count(inner, inner.number(4, "the number of CPUs"))
    if inner.left() != cpus * _CPU_BYTES:
        inner.fail(f"the places of {cpus} CPUs' data", f"{inner.left()} bytes", inner.pos)
    if not cpus:  # `trace-cmd record -B` leaves an empty top instance
        return False
    cursor.seek(place, "a section of ring-buffer pages")
    packed, size = section_head(container, cursor, BUFFER, cut=True)
    if packed and container.unpack is None:
        cursor.fail("pages that are not packed", "packed ones, in a file without compression", place)
    start, end = cursor.pos, cursor.pos + size
    for _ in range(cpus):
        at = inner.pos
        cpu, offset, size = (inner.number(n, "the place of CPU data") for n in (4, 8, 8))
        if cpu >= CPUS_MAX or (size and offset < start):
            inner.fail(f"a CPU below {CPUS_MAX} with data behind {start}", f"CPU {cpu} at {offset}", at)
        keep_stream(container, inner, Stream(instance, clock or None, cpu, offset, size, end, page_bytes, packed), at)
    return True


def _read_latency(container: Container, cursor: Cursor, option: bytes) -> bool:
    """Keep the text that a BUFFER_TEXT option tells of."""
    inner = Cursor(memoryview(option), f"{container.path}: option BUFFER_TEXT", container.big_endian)
    place, instance = inner.number(8, "the place of a tracer's text"), inner.text("the name of an instance")
    cursor.seek(place, "the text of a tracer")
    packed, size = section_head(container, cursor, BUFFER_TEXT)
    if not packed or container.unpack is None:
        if size > metadata.TEXT_BYTES_MAX:
            cursor.fail(f"at most {metadata.TEXT_BYTES_MAX} bytes of a tracer's text", f"{size}")
        text = bytes(cursor.take(size, "the text of a tracer"))
    else:
        text = unpack_chunks(cursor, container.unpack, "the text of a tracer")
    container.latency.append(LatencyText(instance, text))
    return True
