"""trace.dat, the file of trace-cmd: version 6 and 7, as docs trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5) have it.

Damage to the structure (header, sections, chunks, pages, times that decrease) raises RecordingError. A record of an
event without a format raises it in plain data, where nothing else shows damage; in packed data, whose chunks already
had to unpack to their size, it is counted in `Window.undecodable`, as is a record too short for one of its fields.
A file that ends before its time yields what is whole before the cut, and says so in `Recording.damage`.

Times are those of `trace-cmd report`: a guest's TIME_SHIFT, TSC2NSEC, OFFSET and DATE are applied (`times`).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.kernel_events.decoder import EventDecoder
from fastgup_trace.ingest.kernel_events.fields import Context
from fastgup_trace.ingest.kernel_events.formats import Formats
from fastgup_trace.ingest.kernel_events.symbols import Symbols, parse_cmdlines, parse_printk_formats, parse_tgids
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window
from fastgup_trace.ingest.ring_buffer.header import PageHeader, check_event_header, parse_page_header
from fastgup_trace.ingest.ring_buffer.losses import CpuStat, parse_cpu_stats
from fastgup_trace.ingest.ring_buffer.pages import PageWalker
from fastgup_trace.ingest.ring_buffer.windows import Block, Merger, Source
from fastgup_trace.ingest.trace_dat import container as parts
from fastgup_trace.ingest.trace_dat.compression import packed_blocks, plain_blocks
from fastgup_trace.ingest.trace_dat.container import MAGIC, Container, Stream
from fastgup_trace.ingest.trace_dat.details import details
from fastgup_trace.ingest.trace_dat.latency import open_latency_text
from fastgup_trace.ingest.trace_dat.opening import read_container
from fastgup_trace.ingest.trace_dat.sub_buffers import common_size, found_size, laid_out, peeked, rescued
from fastgup_trace.ingest.trace_dat.times import Times, read_times

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
    ticks_per_second: int | None = None,
) -> Recording:
    """Open the trace.dat file `path`; `wanted` None decodes every event.

    Ticks of a clock that is no time (x86-tsc, counter) stay as they are, and `unit` says so, unless the file has their
    rate (TSC2NSEC) or `ticks_per_second` gives it (`trace-cmd report --ts2secs`).
    Raises RecordingError, here or while the windows are read, for a file that is damaged or of another version.
    """
    container = read_container(path, _mapped(path), strict=strict)
    clock = _clock(container)
    times = read_times(container, clock, ticks_per_second)
    if container.latency:
        recording = open_latency_text(container, wanted, progress, strict, kallsyms)
        told = recording.details | details(container, times, container.long_bytes, container.page_bytes)
        return _with_machine(container, replace(recording, details=told, damage=container.damage))
    where = str(path)
    header = parse_page_header(container.header_page, where)
    check_event_header(container.header_event, where)
    sources, page_bytes = _sources(container, header, times)
    losses: list[Loss] = []
    context = Context(
        ">" if container.big_endian else "<",
        header.commit_bytes,
        Symbols(container.kallsyms or kallsyms, where),
        parse_printk_formats(container.printk),
    )
    decoder = EventDecoder(Formats(container.formats, where), context, wanted, where, strict=container.unpack is None)
    walker = PageWalker(header, page_bytes, container.big_endian, where)
    stats = [_timed(stat, times) for stat in parse_cpu_stats(container.options.get(parts.CPUSTAT, ()), clock)]
    merger = Merger(sources, stats, walker, losses, len(container.data), progress)
    recording = Recording(
        path=path,
        format="",
        size_bytes=0,
        clock=clock,
        nr_cpus=None,
        arch=None,
        kernel_release=None,
        page_size=container.page_bytes,
        tracer=None,
        comms=parse_cmdlines(container.cmdlines),
        tgids=parse_tgids(b"\n".join(container.options.get(parts.SAVED_TGIDS, []))),
        losses=losses,
        windows=_windows(merger, decoder),
        unit=times.unit,
        damage=container.damage,
        details=details(container, times, header.commit_bytes, page_bytes),
    )
    return _with_machine(container, recording)


def _mapped(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except OSError as error:
        raise unreadable(path, error) from None


def _with_machine(container: Container, recording: Recording) -> Recording:
    """The recording with what trace.dat tells of the machine and of trace-cmd."""
    uname = (container.option_text(parts.UNAME) or "").split()
    version = (container.option_text(parts.VERSION) or "").split()
    arch = (_ARCH.get(uname[-1]) or ("arm" if uname[-1].startswith("arm") else uname[-1])) if len(uname) >= 4 else None
    cpus = container.option_number(parts.CPUCOUNT) or len({stream.cpu for stream in container.streams})
    return replace(
        recording,
        format=f"trace.dat v{container.version}" + (" (text of a latency tracer)" if container.latency else ""),
        size_bytes=len(container.data),
        nr_cpus=cpus or recording.nr_cpus,
        arch=arch or recording.arch,
        kernel_release=uname[-2] if len(uname) >= 4 else recording.kernel_release,
        tracer=f"trace-cmd {version[0]}" if version else recording.tracer,
    )


def _windows(merger: Merger, decoder: EventDecoder) -> Iterator[Window]:
    for batch in merger.batches(decoder.selected):
        yield decoder.window(batch)


def _timed(stat: CpuStat, times: Times) -> CpuStat:
    return stat if stat.now_ns is None else replace(stat, now_ns=times.of_one(stat.now_ns, stat.cpu))


def _sources(container: Container, header: PageHeader, times: Times) -> tuple[list[Source], int]:
    """The pages of each CPU, all in sub-buffers of one size, and that size in bytes."""
    found = list[tuple[Stream, Iterator[Block], int]]()
    for stream in container.streams:
        first, blocks = peeked(_blocks(container, header, stream))
        size = found_size(first, stream.page_bytes, header, container.big_endian)
        if not stream.packed and not stream.cut and stream.size % size:
            size = stream.page_bytes
        found.append((stream, blocks, size))
    common = common_size(str(container.path), [size for _, _, size in found] or [container.page_bytes])
    if common <= header.data_offset:
        where = f"{container.path}: header_page"
        raise RecordingError(where, f"data below {common} bytes", f"data at {header.data_offset}", "record it again")
    sources = [
        Source(
            stream.instance, stream.cpu, common, laid_out(
                blocks, page_bytes, common, stream.page_bytes, container.cursor(stream.offset), stream.cut
            ),
            None if times.is_identity else partial(times.of, cpu=stream.cpu),
        )
        for stream, blocks, page_bytes in found
    ]  # fmt: skip
    return sources, common


def _rest(container: Container, header: PageHeader, stream: Stream) -> Iterator[Block]:
    """What is whole of the page that the file ends in."""
    start = stream.offset + stream.size
    page = rescued(container.data[start : start + stream.rest], stream.page_bytes, header, container.big_endian)
    if page:
        yield Block(memoryview(page), start, True, start + stream.rest)


def _blocks(container: Container, header: PageHeader, stream: Stream) -> Iterator[Block]:
    cursor = container.cursor(stream.offset)
    cursor.data = cursor.data[: stream.end]
    what = f"CPU {stream.cpu}"
    if not stream.packed or container.unpack is None:
        return chain(plain_blocks(cursor, stream.size, stream.page_bytes, what), _rest(container, header, stream))
    return packed_blocks(cursor, stream.size, container.unpack, stream.page_bytes, what, stream.cut)


def _clock(container: Container) -> str | None:
    """The one clock of all instances. Raises RecordingError if they have several: their times can't be merged."""
    clocks = sorted({stream.clock for stream in container.streams if stream.clock})
    if len(clocks) > 1:
        advice = "take one instance out with `trace-cmd split`"
        raise RecordingError(str(container.path), "instances of one clock", ", ".join(clocks), advice)
    return clocks[0] if clocks else container.selected_clock()


__all__ = ["open_trace_dat", "sniff"]
