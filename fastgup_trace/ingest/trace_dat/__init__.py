"""trace.dat, the file of trace-cmd: version 6 and 7, as docs trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5) have it.

Damage to the structure (header, sections, chunks, pages, times that decrease) raises RecordingError. A record of an
event without a format raises it in plain data, where nothing else shows damage; in packed data, whose chunks already
had to unpack to their size, it is counted in `Window.undecodable`, as is a record too short for one of its fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.kernel_events.decoder import EventDecoder
from fastgup_trace.ingest.kernel_events.fields import Context
from fastgup_trace.ingest.kernel_events.formats import Formats
from fastgup_trace.ingest.kernel_events.symbols import Symbols, parse_cmdlines, parse_printk_formats, parse_tgids
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window
from fastgup_trace.ingest.ring_buffer.header import PageHeader, check_event_header, parse_page_header
from fastgup_trace.ingest.ring_buffer.losses import parse_cpu_stats
from fastgup_trace.ingest.ring_buffer.pages import PageWalker
from fastgup_trace.ingest.ring_buffer.windows import Merger, Source
from fastgup_trace.ingest.trace_dat import container as parts
from fastgup_trace.ingest.trace_dat.compression import blocks
from fastgup_trace.ingest.trace_dat.container import MAGIC, Container, Stream, read_container

_TICKS = ("x86-tsc", "ppc-tb", "counter")
"""Trace clocks that count something other than nanoseconds."""

_ARCH = {"aarch64": "arm64", "aarch64_be": "arm64"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is a trace.dat."""
    return head.startswith(MAGIC)


def open_trace_dat(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open the trace.dat file `path`; `wanted` None decodes every event.

    Ticks of a clock that is no time (x86-tsc, counter) stay as they are: `clock` says so.
    Raises RecordingError, here or while the windows are read, for a file that is damaged or of another version.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except OSError as error:
        raise RecordingError(
            str(path), "a file to read", error.strerror or str(error), "check its name and mode"
        ) from None
    container = read_container(path, data)
    where = str(path)
    header = parse_page_header(container.header_page, where)
    check_event_header(container.header_event, where)
    page_bytes = header.data_offset + header.data_bytes
    for stream in container.streams:
        if stream.page_bytes != page_bytes:
            found = f"{stream.page_bytes} for CPU {stream.cpu}"
            raise RecordingError(where, f"sub-buffers of {page_bytes} bytes as header_page says", found, ADVICE)
    clock = _clock(container)
    losses: list[Loss] = []
    context = Context(
        ">" if container.big_endian else "<",
        header.commit_bytes,
        Symbols(container.kallsyms or kallsyms, where),
        parse_printk_formats(container.printk),
    )
    decoder = EventDecoder(Formats(container.formats, where), context, wanted, where, strict=container.unpack is None)
    walker = PageWalker(header, page_bytes, container.big_endian, where)
    stats = parse_cpu_stats(container.options.get(parts.CPUSTAT, ()), clock)
    sources = [_source(container, stream) for stream in container.streams]
    merger = Merger(sources, stats, walker, losses, size, progress)
    uname = (container.option_text(parts.UNAME) or "").split()
    version = (container.option_text(parts.VERSION) or "").split()
    tgids = container.options.get(parts.SAVED_TGIDS, [])
    return Recording(
        path=path,
        format=f"trace.dat v{container.version}",
        size_bytes=size,
        clock=clock,
        nr_cpus=container.option_number(parts.CPUCOUNT) or len({stream.cpu for stream in container.streams}) or None,
        arch=(_ARCH.get(uname[-1]) or ("arm" if uname[-1].startswith("arm") else uname[-1]))
        if len(uname) >= 4
        else None,
        kernel_release=uname[-2] if len(uname) >= 4 else None,
        page_size=container.page_bytes,
        tracer=f"trace-cmd {version[0]}" if version else None,
        comms=parse_cmdlines(container.cmdlines),
        tgids=parse_tgids(b"\n".join(tgids)),
        losses=losses,
        windows=_windows(merger, decoder),
        unit="ticks" if clock in _TICKS else "ns",
        details=_details(container, header),
    )


def _windows(merger: Merger, decoder: EventDecoder) -> Iterator[Window]:
    for batch in merger.batches():
        yield decoder.window(batch)


def _source(container: Container, stream: Stream) -> Source:
    cursor = container.cursor(stream.offset)
    cursor.data = cursor.data[: stream.end]
    unpack = container.unpack if stream.packed else None
    pages = blocks(cursor, stream.size, unpack, stream.page_bytes, f"CPU {stream.cpu}")
    return Source(stream.instance, stream.cpu, stream.page_bytes, pages)


def _clock(container: Container) -> str | None:
    """The one clock of all instances. Raises RecordingError if they have several: their times can't be merged."""
    clocks = sorted({stream.clock for stream in container.streams if stream.clock})
    if len(clocks) > 1:
        advice = "take one instance out with `trace-cmd split`"
        raise RecordingError(str(container.path), "instances of one clock", ", ".join(clocks), advice)
    return clocks[0] if clocks else parts.selected_clock(container)


def _details(container: Container, header: PageHeader) -> dict[str, object]:
    texts = {
        "uname": parts.UNAME,
        "trace_cmd": parts.VERSION,
        "trace_clock": parts.TRACECLOCK,
        "date": parts.DATE,
        "offset": parts.OFFSET,
    }
    details: dict[str, object] = {key: text for key, number in texts.items() if (text := container.option_text(number))}
    instances: dict[str, list[int]] = {}
    for stream in container.streams:
        instances.setdefault(stream.instance, []).append(stream.cpu)
    details["instances"] = [{"name": name, "cpus": cpus} for name, cpus in instances.items()]
    details["sub_buffer_bytes"] = header.data_offset + header.data_bytes
    details["compression"] = container.compression
    details["kernel_long_bytes"] = header.commit_bytes
    if (trace_id := container.option_number(parts.TRACEID)) is not None:
        details["trace_id"] = f"{trace_id:#x}"
    if stats := container.options.get(parts.CPUSTAT):
        details["cpustat"] = [stat.split(b"\0")[0].decode("utf-8", "backslashreplace").strip() for stat in stats]
    return details


__all__ = ["open_trace_dat", "sniff"]
