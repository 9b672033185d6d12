"""perf.data, the file of perf record: a file or what went through a pipe, packed or not, of either byte order.

Samples of tracepoints and probes are the kernel's own records and become the event that their format text describes.
Other samples are events as perf names them (software ones without aliases and modifiers: `page-faults`), with `ip`,
`addr` and `period` where they were recorded, `ip.sym` where kernel symbols are known. The kernel's other records are
the events `PERF_RECORD_MMAP2`, `PERF_RECORD_COMM` and so on, with the fields of include/uapi/linux/perf_event.h.

`common_pid` is the thread; of tracepoints as struct trace_entry has it, which tells it even in other pid namespaces
than perf's. `common_cpu` is -1 where the recording does not tell it (perf record of a task, without --sample-cpu).
A record without a time of its own has that of the newest before it; the kernel's other records have `synthesized` 1
then, as perf makes up such ones for what ran already (and old kernels give none of them a time).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.ahead import ahead, cores
from fastgup_trace.ingest.kernel_events.decoder import EventDecoder
from fastgup_trace.ingest.kernel_events.fields import Context
from fastgup_trace.ingest.kernel_events.formats import Formats
from fastgup_trace.ingest.kernel_events.symbols import Symbols, parse_cmdlines, parse_printk_formats
from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.attrs import event_name
from fastgup_trace.ingest.perf_data.header import BIG, LITTLE, OLD, Header, read_header
from fastgup_trace.ingest.perf_data.lost import LostRecords
from fastgup_trace.ingest.perf_data.order import Sorted, Sorter
from fastgup_trace.ingest.perf_data.stream import COMPILED_BYTES, Stream, Walker, find_walker
from fastgup_trace.ingest.perf_data.walk import walk
from fastgup_trace.ingest.perf_data.windows import Decoder
from fastgup_trace.ingest.records import Progress, Recording, Wanted, Window

if TYPE_CHECKING:
    from fastgup_trace.ingest.perf_data.spread import Spreader

_ARCH = {"aarch64": "arm64", "aarch64_be": "arm64"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether a file that begins so is a perf.data."""
    return head.startswith((LITTLE, BIG, OLD))


def open_perf_data(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
    walker: Walker | None = None,
) -> Recording:
    """Open the perf.data file `path`; `wanted` None decodes every event, `walker` None chooses by size.

    Raises RecordingError, here or while the windows are read, for a file that is damaged or of another version; where
    it is only cut short, what is whole is read and `damage` tells, unless `strict`.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
    except OSError as error:
        raise unreadable(path, error) from None
    data = memoryview(mapped) if mapped is not None else memoryview(b"")
    where, damage = str(path), list[RecordingError]()
    header = read_header(path, data, damage)
    if strict and damage:
        raise damage[0]
    tracing, features = header.features.tracing, header.features
    machine = features.texts.get(abi.FEATURE_ARCH)
    symbols = Symbols(tracing.kallsyms or kallsyms, where)
    context = Context(
        ">" if header.big_endian else "<",
        tracing.long_bytes or (4 if machine and "64" not in machine and machine != "s390x" else 8),
        symbols,
        parse_printk_formats(tracing.printk),
    )
    recording = Recording(
        path=path,
        format="perf.data" + (" of a pipe" if header.pipe else ""),
        size_bytes=size,
        clock=header.attrs[0].clock if header.attrs else None,
        nr_cpus=features.nr_cpus,
        arch=(_ARCH.get(machine) or ("arm" if machine.startswith("arm") else machine)) if machine else None,
        kernel_release=features.texts.get(abi.FEATURE_OSRELEASE),
        page_size=tracing.page_bytes,
        tracer=" ".join(["perf", features.texts.get(abi.FEATURE_VERSION, "")]).rstrip(),
        comms=parse_cmdlines(tracing.cmdlines) | header.comms,
        tgids={},
        losses=[],
        windows=iter(()),
        damage=damage,
        details=_details(header),
    )
    walker = walker or find_walker(size)
    untimed = bool(header.attrs) and not any(attr.sample_type & abi.TIME for attr in header.attrs)
    events = EventDecoder(Formats(tracing.formats, where), context, wanted, where, strict=False)
    decoder = Decoder(
        attrs=header.attrs,
        order=context.order,
        events=events,
        symbols=symbols if tracing.kallsyms or kallsyms else None,
        wanted=wanted,
        comms=recording.comms,
        lost=LostRecords(recording.losses),
        untimed=untimed,
        spreader=None if walker is walk or header.big_endian else _spreader(),
    )
    stream = Stream(np.frombuffer(data, np.uint8), header, where, damage, walker)
    windows = _windows(recording, stream, decoder, mapped, progress, strict)
    return Recording(**(recording.__dict__ | {"windows": windows, "unit": "positions" if untimed else "ns"}))


def _windows(
    recording: Recording, stream: Stream, decoder: Decoder, mapped: mmap.mmap | None, progress: Progress | None,
    strict: bool,
) -> Iterator[Window]:  # fmt: skip
    sorter, released = Sorter(stream.data), 0
    threaded = recording.size_bytes >= COMPILED_BYTES and cores() > 1
    for found in ahead(sorter.sorted(stream.stretches()), threaded):
        if strict and recording.damage:
            raise recording.damage[0]
        window = decoder.window(found)
        if window.counts or window.undecodable:
            yield window
        if progress is not None:
            progress(min(found.end, recording.size_bytes), recording.size_bytes)
        released = _release(mapped, released, found)
    decoder.lost.end()
    recording.tgids.update(decoder.tgids())
    recording.details["records_without_time"] = sorter.timeless
    recording.details["records_out_of_order"] = sorter.late


def _release(mapped: mmap.mmap | None, released: int, found: Sorted) -> int:
    """Let go of the pages of the file that are read: they would count as this process's memory."""
    upto = found.needed_from // mmap.PAGESIZE * mmap.PAGESIZE
    if mapped is None or upto <= released:
        return released
    mapped.madvise(mmap.MADV_DONTNEED, released, upto - released)
    return upto


def _spreader() -> Spreader:
    from fastgup_trace.ingest.perf_data.spread import Spreader

    return Spreader()


def _details(header: Header) -> dict[str, object]:
    features = header.features
    details: dict[str, object] = {"events": [event_name(attr) for attr in header.attrs]}
    if command := features.texts.get(abi.FEATURE_CMDLINE):
        details["cmdline"] = command
    if features.clock_data:
        details["clock_data"] = features.clock_data
    return details


__all__ = ["open_perf_data", "sniff"]
