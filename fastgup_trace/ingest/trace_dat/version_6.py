"""trace.dat version 6, trace-cmd.dat.v6(5): its parts one after another, the pages of the CPUs last."""

from __future__ import annotations

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat import metadata
from fastgup_trace.ingest.trace_dat.container import (
    BUFFER,
    CPUCOUNT,
    DONE,
    NO_PAGES_ADVICE,
    TRACECLOCK,
    Container,
    LatencyText,
    Stream,
    cpu_count,
    keep_option,
    keep_stream,
)

_KIND_BYTES = 10
_LATENCY, _PAGES, _OPTIONS = b"latency  \0", b"flyrecord\0", b"options  \0"
_CLOCKS_BYTES_MAX = 4096
_GAP_ADVICE = "trace-cmd leaves no gap: the table of CPUs is damaged, and pages between are not read; copy it again"


def read_version_6(container: Container, cursor: Cursor) -> None:
    """Read on behind the page size. Raises RecordingError where the file is not what its format says."""
    metadata.read_header_info(container, cursor)
    metadata.read_ftrace_formats(container, cursor)
    metadata.read_event_formats(container, cursor)
    metadata.read_kallsyms(container, cursor)
    metadata.read_printk(container, cursor)
    metadata.read_cmdlines(container, cursor)
    if not cursor.left():
        cursor.fail("ring-buffer pages", "the end of the file behind the kernel's texts", advice=NO_PAGES_ADVICE)
    cpus = cpu_count(cursor, cursor.number(4, "the number of CPUs"))
    kind = _kind(cursor)
    if kind == _OPTIONS:
        while (number := cursor.number(2, "an option's number")) != DONE:
            keep_option(container, cursor, number, cursor.number(4, "an option's size"))
        kind = _kind(cursor)
    if (count := container.option_number(CPUCOUNT)) is not None:  # libtracecmd goes by this one where they differ
        cpus = cpu_count(cursor, count)
    if kind == _PAGES and TRACECLOCK in container.options:
        _read_clocks(container, cursor, cursor.pos + 16 * cpus)
    _read_buffer(container, cursor, kind, "", cpus)
    for option in container.options.get(BUFFER, ()):
        inner = Cursor(memoryview(option), f"{container.path}: option BUFFER", container.big_endian)
        offset, name = inner.number(8, "the place of an instance"), inner.text("the name of an instance")
        count = inner.number(4, "the number of CPUs") if inner.left() >= 4 else cpus
        if offset + _KIND_BYTES + 16 * count > len(container.data):
            container.note(f"the pages of instance {name!r} at offset {offset}", "the end of the file")
            continue
        cursor.seek(offset, f"instance {name!r}")
        _read_buffer(container, cursor, _kind(cursor), name, cpu_count(cursor, count))


def _kind(cursor: Cursor) -> bytes:
    return bytes(cursor.take(_KIND_BYTES, "the kind of data"))


def _read_clocks(container: Container, cursor: Cursor, place: int) -> None:
    """The text of trace_clock behind the table of CPUs, of files whose TRACECLOCK option is empty or not."""
    start = cursor.pos
    if place + 8 <= len(container.data):
        cursor.seek(place, "the text of trace_clock")
        size = cursor.number(8, "the size of trace_clock")
        # "There was a bug in the original setting of the trace_clock file" (trace-input.c): then it is not there.
        if 0 < size <= min(_CLOCKS_BYTES_MAX, cursor.left()):
            text = bytes(cursor.take(size, "the text of trace_clock"))
            container.clocks = text.split(b"\0")[0].decode("utf-8", "backslashreplace").strip()
    cursor.pos = start


def _read_buffer(container: Container, cursor: Cursor, kind: bytes, instance: str, cpus: int) -> None:
    if kind == _LATENCY:
        if cursor.left() > metadata.TEXT_BYTES_MAX:
            cursor.fail(f"at most {metadata.TEXT_BYTES_MAX} bytes of a tracer's text", f"{cursor.left()}")
        container.latency.append(LatencyText(instance, bytes(cursor.take(cursor.left(), "the text of a tracer"))))
        return
    if kind != _PAGES:
        cursor.fail("'flyrecord' or 'latency'", f"{kind!r}", cursor.pos - len(kind))
    behind = 0
    for cpu in range(cpus):
        place = cursor.pos
        offset, size = cursor.number(8, "the place of CPU data"), cursor.number(8, "the size of CPU data")
        stream = Stream(
            instance, container.selected_clock(), cpu, offset, size, offset + size, container.page_bytes, False
        )
        keep_stream(container, cursor, stream, place)
        if size and behind and offset > -(-behind // container.page_bytes) * container.page_bytes:
            container.note(f"the pages of CPU {cpu} at offset {behind}", f"{offset}", _GAP_ADVICE, place)
        behind = offset + size or behind
