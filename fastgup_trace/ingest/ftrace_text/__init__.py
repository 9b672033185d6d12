"""Text recordings of ftrace: `cat /sys/kernel/tracing/trace` and `trace-cmd report`, plain or compressed.

What text does not tell is missing: the address of a function (only its name, NAME.sym), the pointer behind a string,
times under a microsecond (default). A function graph without funcgraph-abstime has no times at all: there a record's
position stands for its time (`details["times"]`), durations are in `funcgraph_exit.duration_ns`, and records
that come before the first switch notice of a CPU take the thread from that notice (null where it is far).

A record's event is named as in the event's own format (`sys_clone -> 0x1` is sys_exit_clone), except that text gives
trace_printk and trace_marker writes the name of the function that wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.ftrace_text.decode import Decoder
from fastgup_trace.ingest.ftrace_text.graph import Drawing, ReportCalls, is_drawn
from fastgup_trace.ingest.ftrace_text.latency import Latency, is_latency
from fastgup_trace.ingest.ftrace_text.lines import RECORD, Header, Records, parse_lines
from fastgup_trace.ingest.ftrace_text.losses import Losses
from fastgup_trace.ingest.ftrace_text.names import Names
from fastgup_trace.ingest.ftrace_text.source import BLOCK_BYTES, TextBlock, compression, text_blocks, uncompressed_head
from fastgup_trace.ingest.ftrace_text.stacks import whole_stacks
from fastgup_trace.ingest.ftrace_text.values import Dialect
from fastgup_trace.ingest.ftrace_text.window import Gatherer
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window

WINDOW_RECORDS = 500_000
LARGE_BYTES = 24 << 20
"""From here on machine code pays: loading it costs 0.7 s, in which regular expressions read some 20 MB."""
LARGE_BLOCK_BYTES = 8 << 20
_PACKED_RATIO = 8
"""How much longer the text is than its gzip, xz or zstd file, roughly."""

CUT = "the text ends inside a line"
NO_RECORD = "the line is no record"
MISSING = "announced by the header, not in the text"

_SNIFF_LINES = 64
_SNIFF_BYTES = 1 << 16


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file (some KB at least) are ftrace text, maybe compressed."""
    text = uncompressed_head(head)
    if not text:
        return compression(head) == "zstd"  # A zstd block gives nothing until it is complete.
    if b"\0" in text:
        return False
    if text.startswith(b"# tracer: "):
        return True
    lines = text.split(b"\n")[:_SNIFF_LINES]
    if any(re.match(rb"cpus=\d+\r?$|version = \d+\r?$", line) for line in lines[:4]):
        return True
    text = b"\n".join(lines)
    return any(row[5] or row[3] for row in RECORD.findall(text)) or is_drawn(text) or is_latency(text)


def open_ftrace_text(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open a text recording. `wanted` limits what is decoded, never what is counted.

    Raises RecordingError (FILE:LINE), here or while windows are read, for what is not ftrace text, binary data in it,
    and, where `strict`, for text that is cut or whose compression is damaged.
    """
    try:
        size = path.stat().st_size
        large = _text_bytes(path, size) >= LARGE_BYTES
        damage: list[RecordingError] = []
        block_bytes = LARGE_BLOCK_BYTES if large else BLOCK_BYTES
        blocks = whole_stacks(text_blocks(path, block_bytes, None if strict else damage))
        first = next(blocks, None)
    except OSError as error:
        raise unreadable(path, error) from None
    if first is None and damage:
        raise damage[0]
    if first is None:
        raise RecordingError(f"{path}:1", "ftrace text", "an empty file", "record again")
    header, reader = Header(), _reader(first.text, large)
    parsed = reader.parse(b"" if first.cut else first.text, header)
    if not len(parsed[0]):
        known = header.tracer or header.is_report
        raise RecordingError(
            f"{path}:{first.first_line}",
            "records as in /sys/kernel/tracing/trace or trace-cmd report",
            "none" if known else "other text",
            "was the buffer empty, or one of the options raw, hex and nocontext-info set?"
            if known
            else "see `fastgup-trace formats`",
        )
    timed = not isinstance(reader, Drawing) or reader.timed
    losses: list[Loss] = []
    comms: dict[int, str] = {}
    tgids: dict[int, int] = {}
    names = Names(comms, tgids)
    details: dict[str, object] = {}
    if not timed:
        details["times"] = "not recorded: common_ts_ns is the record's position"
    ticks = timed and not parsed[0].fraction_digits
    # The flags have a migrate-disable column since 5.15 (commit 54357f0c9149).
    dialect = Dialect(_long_bits(first.text), "migrate-disable" in header.flag_columns, header.is_report)
    gatherer = Gatherer(wanted, timed, dialect, Decoder(dialect.modern, compiled=large))

    def windows() -> Iterator[Window]:
        tracker = Losses(losses)
        records = 0
        for block in chain([first], blocks):
            if block.cut:
                if not block.text.startswith(b"#"):
                    gatherer.undecodable[CUT] += 1
                    _report_cut(path, block, damage, strict)
                continue
            lines, calls = parsed if block is first else reader.parse(block.text, header)
            records += len(lines)
            tracker.add(lines, gatherer.undecodable, NO_RECORD)
            names.add(lines.tasks)
            gatherer.collect_names = bool(names.unknown)
            gatherer.add(lines, calls)
            if progress:
                progress(block.read_bytes, size)
            if gatherer.rows >= WINDOW_RECORDS:
                yield gatherer.flush()
        if header.entries:
            details["entries_in_buffer"], details["entries_written"] = header.entries
            if records < header.entries[0]:
                gatherer.undecodable[MISSING] += header.entries[0] - records
        names.resolve(gatherer.names_told)
        tracker.finish(header.entries)
        yield gatherer.flush(last=True)

    return Recording(
        path=path,
        format="trace-cmd report text" if header.is_report else "ftrace text",
        size_bytes=size,
        clock=None,
        nr_cpus=header.nr_cpus,
        arch=None,
        kernel_release=header.kernel_release,
        page_size=None,
        tracer=header.tracer,
        comms=comms,
        tgids=tgids,
        losses=losses,
        windows=windows(),
        unit="positions" if not timed else "ticks" if ticks else "ns",
        damage=damage,
        details=details,
    )


def _report_cut(path: Path, block: TextBlock, damage: list[RecordingError], strict: bool) -> None:
    """Say that the recording's last line has no end, unless more is known."""
    error = RecordingError(f"{path}:{block.first_line}", "a whole line", "the end of the text", "it is not decoded")
    if strict:
        raise error
    if not damage:
        damage.append(error)


def _text_bytes(path: Path, size: int) -> int:
    """About how long the text of a file is."""
    with path.open("rb") as file:
        return size * (_PACKED_RATIO if compression(file.read(8)) else 1)


def _reader(text: bytes, large: bool) -> Drawing | Latency | ReportCalls:
    """What reads lines like those of `text`."""
    if is_drawn(text):
        return Drawing()
    if not any(row[7] for row in RECORD.findall(text[:_SNIFF_BYTES])) and is_latency(text):
        return Latency()
    return ReportCalls(_scanner(large))


def _scanner(large: bool) -> Callable[[bytes, Header], Records]:
    """What splits lines."""
    if not large:
        return parse_lines
    from fastgup_trace.ingest.ftrace_text.scan import scan_lines  # Loads numba.

    return scan_lines


def _long_bits(text: bytes) -> int | None:
    """32 or 64: the kernel's word, from the width of the addresses in some text; None where there are none."""
    if re.search(rb"[=(: ](?:0x)?[0-9a-f]{9,16}\b", text):
        return 64
    return 32 if re.search(rb"[=(: ](?:0x)?[89a-f][0-9a-f]{7}\b", text) else None


__all__ = ["open_ftrace_text", "sniff"]
