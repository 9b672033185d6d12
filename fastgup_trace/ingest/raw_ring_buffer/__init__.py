"""A folder of raw ring-buffer pages: copies of what lies under /sys/kernel/tracing, without trace-cmd.

    FOLDER/per_cpu/cpu0/trace_pipe_raw      the pages of each CPU; or FOLDER/cpu0, cpu0.raw, trace_pipe_raw.cpu0,
                                            NAME.cpu0 (as trace-cmd's recorders leave trace.dat.cpu0 behind),
                                            FOLDER/traces/cpu0 (as google/schedviz's recorder lays them out)
    FOLDER/per_cpu/cpu0/stats               where there: what was lost
    FOLDER/events/SYSTEM/EVENT/format       or FOLDER/formats/SYSTEM/EVENT[/format]
    FOLDER/events/header_page, header_event where missing (an instance's folder has none), the layout is found
    FOLDER/buffer_subbuf_size_kb            where sub-buffers are larger than header_page says
    FOLDER/saved_cmdlines, saved_tgids, printk_formats, trace_clock, kallsyms (/proc/kallsyms)
    FOLDER/instances/NAME/...               the same for each instance: its pages, statistics and sub-buffer size

On the recorded machine, with tracing_on 0 (trace_pipe_raw waits for more: `dd iflag=nonblock` does not):

    cd /sys/kernel/tracing && mkdir -p $HOME/raw
    for f in per_cpu/cpu*; do mkdir -p $HOME/raw/$f; cat $f/stats > $HOME/raw/$f/stats
        dd iflag=nonblock bs=4k if=$f/trace_pipe_raw of=$HOME/raw/$f/trace_pipe_raw; done
    for f in events/header_* events/*/*/format saved_cmdlines saved_tgids printk_formats trace_clock
        do mkdir -p $HOME/raw/$(dirname $f); cat $f > $HOME/raw/$f; done; cat /proc/kallsyms > $HOME/raw/kallsyms

The byte order is found in the pages, the size of the kernel's long in header_page or, without it, in the pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.kernel_events.decoder import EventDecoder
from fastgup_trace.ingest.kernel_events.fields import Context
from fastgup_trace.ingest.kernel_events.formats import Formats
from fastgup_trace.ingest.kernel_events.symbols import Symbols, parse_cmdlines, parse_printk_formats, parse_tgids
from fastgup_trace.ingest.raw_ring_buffer.folder import CpuPages, Folder, has_pages, is_page_file, read_folder
from fastgup_trace.ingest.raw_ring_buffer.layout import Layout, find_layout
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window
from fastgup_trace.ingest.ring_buffer.clocks import TICK_CLOCKS
from fastgup_trace.ingest.ring_buffer.losses import parse_cpu_stats
from fastgup_trace.ingest.ring_buffer.pages import PageWalker
from fastgup_trace.ingest.ring_buffer.windows import Block, Merger, Source
from fastgup_trace.ingest.trace_dat.compression import plain_blocks
from fastgup_trace.ingest.trace_dat.sub_buffers import common_size, found_size, laid_out, rescued

NO_FOLDER = "name the folder, with the machine's events/*/*/format in it; or let `trace-cmd restore` make a trace.dat"
NO_METADATA = "put the machine's events/*/*/format beside them, or let `trace-cmd restore` make a trace.dat of them"


def sniff(path: Path, head: bytes) -> bool:
    """Whether `path` is a folder with raw pages of any CPU, or a CPU's pages alone (`open` tells what to do)."""
    return has_pages(path) if path.is_dir() else is_page_file(path, head)


def open_raw_ring_buffer(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open a folder of raw pages; `wanted` None decodes every event.

    Records of events without a format are counted in `Window.undecodable`. Raises RecordingError, here or while the
    windows are read, for pages that are damaged or files that are missing.
    """
    where = str(path)
    if not path.is_dir():
        raise RecordingError(where, "the folder of all CPUs' pages", "the pages of one CPU", NO_FOLDER)
    folder = read_folder(path)
    if not folder.formats:
        raise RecordingError(where, "events/SYSTEM/EVENT/format beside the pages", "none", NO_METADATA)
    pages = [cpu for cpu in folder.cpus if len(cpu.data)]
    if not pages:
        advice = "copy per_cpu/cpuN/trace_pipe_raw out of tracefs first; a buffer that was read is empty"
        raise RecordingError(where, "ring-buffer pages", f"{len(folder.cpus)} empty files", advice)
    layout = find_layout(where, folder.header_page, folder.header_event, pages)
    damage = list[RecordingError]()
    sources, page_bytes = _sources(pages, layout, damage, strict)
    losses: list[Loss] = []
    order = ">" if layout.big_endian else "<"
    context = Context(
        order,
        layout.header.commit_bytes,
        Symbols(folder.kallsyms or kallsyms, where),
        parse_printk_formats(folder.printk_formats),
    )
    decoder = EventDecoder(Formats(folder.formats, where), context, wanted, where, strict=False)
    walker = PageWalker(layout.header, page_bytes, layout.big_endian, where)
    size = sum(len(cpu.data) for cpu in pages)
    merger = Merger(sources, parse_cpu_stats(folder.stats, folder.clock), walker, losses, size, progress)
    return Recording(
        path=path,
        format="raw ring buffer",
        size_bytes=size,
        clock=folder.clock,
        nr_cpus=len({cpu.cpu for cpu in folder.cpus}),
        arch=None,
        kernel_release=None,
        page_size=None,
        tracer=None,
        comms=parse_cmdlines(folder.saved_cmdlines),
        tgids=parse_tgids(folder.saved_tgids),
        losses=losses,
        windows=_windows(merger, decoder),
        unit="ticks" if folder.clock in TICK_CLOCKS else "ns",
        damage=damage,
        details=_details(folder, layout, page_bytes),
    )


def _windows(merger: Merger, decoder: EventDecoder) -> Iterator[Window]:
    for batch in merger.batches(decoder.selected):
        yield decoder.window(batch)


def _sources(
    cpus: list[CpuPages], layout: Layout, damage: list[RecordingError], strict: bool
) -> tuple[list[Source], int]:
    """The pages of each CPU in sub-buffers of one size, and that size."""
    sizes = list[int]()
    for cpu in cpus:
        told = cpu.sub_buffer_bytes or layout.page_bytes
        size = found_size(cpu.data[:told], told, layout.header, layout.big_endian)
        sizes.append(size)
        if len(cpu.data) % size:
            error = RecordingError(
                f"{cpu.path}: offset {len(cpu.data) - len(cpu.data) % size}", f"a sub-buffer of {size} bytes",
                f"{len(cpu.data) % size} to the end", "the copy is cut: what is whole before is kept",
            )  # fmt: skip
            if strict:
                raise error
            damage.append(error)
    common = common_size(str(cpus[0].path.parent), sizes)
    sources = list[Source]()
    for cpu, size in zip(cpus, sizes, strict=True):
        whole = len(cpu.data) - len(cpu.data) % size
        cursor = Cursor(cpu.data, str(cpu.path), layout.big_endian)
        rest = rescued(cpu.data[whole:], size, layout.header, layout.big_endian)
        last = [Block(memoryview(rest), whole, True, len(cpu.data))] if rest else []
        blocks = chain(plain_blocks(cursor, whole, size, f"CPU {cpu.cpu}"), last)
        sources.append(Source(cpu.instance, cpu.cpu, common, laid_out(blocks, size, common, size, cursor, True)))
    return sources, common


def _details(folder: Folder, layout: Layout, page_bytes: int) -> dict[str, object]:
    instances: dict[str, list[int]] = {}
    for cpu in folder.cpus:
        if len(cpu.data):
            instances.setdefault(cpu.instance, []).append(cpu.cpu)
    return {
        "instances": [{"name": name, "cpus": cpus} for name, cpus in instances.items()],
        "files": [cpu.path.name for cpu in folder.cpus],
        "sub_buffer_bytes": page_bytes,
        "kernel_long_bytes": layout.header.commit_bytes,
        "byte_order": "big" if layout.big_endian else "little",
        "header_page": "as recorded" if folder.header_page else "not recorded: found in the pages",
    }


__all__ = ["open_raw_ring_buffer", "sniff"]
