"""What is left of a version 7 file that was cut, or that trace-cmd did not live to finish.

Its options tell where everything is, and those about the pages come last. Without them the sections are found from the
file's start by their heads, one after another as trace-cmd writes them, and the pages by the order of the CPUs: CPUs
without any record leave no trace, so the numbers are inferred (from the statistics in CPUSTAT where those are whole).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.container import (
    BUFFER,
    CMDLINES,
    CPUS_MAX,
    CPUSTAT,
    DONE,
    HEADER_INFO,
    INSTANCES_MAX,
    Container,
    Stream,
    keep_stream,
)
from fastgup_trace.ingest.trace_dat.sections import SECTION_HEAD_BYTES, open_section, read_options

_SECTIONS_MAX = 4096
_NUMBER_MAX = 63
"""trace-cmd 3.4 has sections up to 25."""


def find_sections(container: Container, cursor: Cursor, first: int) -> None:
    """Make options of the texts' sections that lie whole in the file, from offset `first` on; read options not read."""
    read = {section.offset for section in container.sections}
    for number, offset, size in _walk(container, cursor, first):
        if offset + SECTION_HEAD_BYTES + size > len(container.data):
            return
        if HEADER_INFO <= number <= CMDLINES:
            container.options.setdefault(number, [offset.to_bytes(8, cursor.order)])
        elif number == DONE and offset not in read:
            cursor.seek(offset, "an options section")
            read_options(container, open_section(container, cursor, DONE))


def find_streams(container: Container, cursor: Cursor, first: int) -> None:
    """Keep the pages of the sections that no BUFFER option told of.

    A section whose size was not written yet is the last; one of no bytes before others is an instance without CPUs.
    """
    known = {section.offset for section in container.sections}
    sections = list(_walk(container, cursor, first))
    for place, (number, offset, size) in enumerate(sections):
        if number == BUFFER and offset not in known and place < INSTANCES_MAX and (size or place + 1 == len(sections)):
            cursor.seek(offset, "ring-buffer pages")
            packed = bool(cursor.number(4, "a section's head") >> (16 if not container.big_endian else 0) & 1)
            start = offset + SECTION_HEAD_BYTES
            end = min(start + size, len(container.data)) if size else len(container.data)
            regions = list(_packed(container, start, end) if packed else _plain(container, start, end))
            instance = "" if place == 0 or not container.streams else f"instance at offset {offset}"
            _keep(container, cursor, regions, instance, packed)
    if not container.streams:
        raise RecordingError(
            f"{container.path}: offset {len(container.data)}", "ring-buffer pages", "the end of the file before any",
            "the file was cut before the first record: copy or record it again; trace.dat.cpuN files that "
            "lie beside it are its pages: `trace-cmd restore`",
        )  # fmt: skip


def _walk(container: Container, cursor: Cursor, first: int) -> Iterator[tuple[int, int, int]]:
    """Number, offset and size of each section, until what follows is none; the last may reach behind the file."""
    place = first
    for _ in range(_SECTIONS_MAX):
        if place + SECTION_HEAD_BYTES > len(container.data):
            return
        cursor.seek(place, "a section")
        number, flags = cursor.number(2, "a section's number"), cursor.number(2, "a section's flags")
        description, size = cursor.number(4, "a section's description"), cursor.number(8, "a section's size")
        is_empty = number == DONE and not size  # zeros, which pad pages
        if number > _NUMBER_MAX or flags > 1 or is_empty or description > len(container.data):
            return
        yield number, place, size
        place += SECTION_HEAD_BYTES + size


def _packed(container: Container, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Offset, size and whether it is cut, of the packed pages of each CPU between `start` and `end`."""
    page, place = container.page_bytes, start
    while (place := -(-place // page) * page) + 12 <= end:
        begin = place
        chunks = container.number(bytes(container.data[place : place + 4]))
        place += 4
        if not 0 < chunks <= (end - place) // 9 and place + 8 < end and end < len(container.data):
            return
        whole = 0
        while whole < chunks and place + 8 <= end:
            size = container.number(bytes(container.data[place : place + 4]))
            if place + 8 + size > end:
                break
            place, whole = place + 8 + size, whole + 1
        if whole:
            yield begin, place - begin - 4, whole < chunks
        if whole < chunks:
            return


def _plain(container: Container, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """The same of plain pages: a CPU's first page is where the time steps back."""
    page = container.page_bytes
    begin = place = -(-start // page) * page
    before = -1
    while place + page <= end:
        ts = container.number(bytes(container.data[place : place + 8]))
        if ts < before:
            yield begin, place - begin, False
            begin = place
        before, place = ts, place + page
    if place > begin:
        yield begin, place - begin, False


def _keep(
    container: Container, cursor: Cursor, regions: list[tuple[int, int, bool]], instance: str, packed: bool
) -> None:
    cpus = _cpus_with_records(container)
    inferred = cpus[: len(regions)] if len(cpus) >= len(regions) else list(range(len(regions)))
    for cpu, (offset, size, cut) in zip(inferred, regions[:CPUS_MAX], strict=False):
        if packed and cut:  # the size of a CPU whose end is missing is not known: only what is whole
            container.note(f"the rest of CPU {cpu}'s pages", f"{size} bytes of them")
        clock = container.selected_clock()
        stream = Stream(
            instance, clock, cpu, offset, size, len(container.data), container.page_bytes, packed, packed and cut
        )
        keep_stream(container, cursor, stream, offset)
    container.note(
        "the options that tell the CPUs of the pages", f"none: CPUs {inferred} are inferred from the pages' order"
    )


def _cpus_with_records(container: Container) -> list[int]:
    """The CPUs of which the tracer's statistics count any record, in order."""
    found = list[int]()
    for option in container.options.get(CPUSTAT, ()):
        values = dict(re.findall(rb"^([A-Za-z ]+):\s*(\d{1,18})", option, re.MULTILINE))
        if b"CPU" in values and any(int(values.get(name, 0)) for name in (b"entries", b"read events")):
            found.append(int(values[b"CPU"]))
    return found if found == sorted(set(found)) else []
