"""The formats of recordings: one line each, and the one that a file is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fastgup_trace.errors import RecordingError, UsageError, unreadable
from fastgup_trace.ingest import (
    ftrace_text,
    json_lines,
    perf_data,
    perf_script,
    raw_ring_buffer,
    systrace_html,
    trace_dat,
)
from fastgup_trace.ingest.ftrace_text.source import compression, uncompressed_head
from fastgup_trace.ingest.records import Progress, Recording, Wanted

HEAD_BYTES: Final = 1 << 16


class Open(Protocol):
    """A format's reader.

    `wanted` None decodes every event; `strict` refuses a recording that is cut instead of saving what is whole;
    `kallsyms` is the text of /proc/kallsyms for recordings that have none.
    """

    def __call__(
        self,
        path: Path,
        *,
        wanted: Wanted | None = None,
        progress: Progress | None = None,
        strict: bool = False,
        kallsyms: bytes = b"",
    ) -> Recording: ...


@dataclass(frozen=True)
class Format:
    """One recording format; `sniff` judges a path by the file's first bytes (none for a folder), `open` reads it."""

    name: str
    recognised_by: str
    sniff: Callable[[Path, bytes], bool]
    open: Open


FORMATS: Final = (
    Format("perf.data", "PERFILE2, 2ELIFREP or PERFFILE at its start", perf_data.sniff, perf_data.open_perf_data),
    Format("trace.dat", "the bytes 17 08 44 'tracing' at its start", trace_dat.sniff, trace_dat.open_trace_dat),
    Format(
        "raw-ring-buffer", "a folder with per_cpu/cpuN/trace_pipe_raw (or files cpuN) and events/*/*/format",
        raw_ring_buffer.sniff, raw_ring_buffer.open_raw_ring_buffer,
    ),
    Format(
        "systrace-html", "an HTML page, in which ftrace text is looked for, or `TRACE:` and zlib data (atrace -z)",
        systrace_html.sniff, systrace_html.open_systrace_html,
    ),
    Format(
        "ftrace-text", "`# tracer:` or `cpus=N` at its start, or lines as the kernel prints records; maybe compressed",
        ftrace_text.sniff, ftrace_text.open_ftrace_text,
    ),
    Format(
        "perf-script", "lines as perf script prints records, or `# captured on` at its start; maybe compressed",
        perf_script.sniff, perf_script.open_perf_script,
    ),
    Format(
        "json-lines", 'an object with "ts" and "event" in its first line, or bpftrace\'s -f json; maybe compressed',
        json_lines.sniff, json_lines.open_json_lines,
    ),
)  # fmt: skip


def sniff(path: Path) -> Format:
    """The format of a file, by its content. Raises RecordingError if it is none that is known, or can't be read."""
    names = ", ".join(known.name for known in FORMATS)
    try:
        head = b"" if path.is_dir() else _head(path)
    except OSError as error:
        raise unreadable(path, error) from None
    for known in FORMATS:
        if known.sniff(path, head):
            return known
    if path.is_dir():
        raise RecordingError(str(path), f"a recording ({names})", "a folder", "name the file in it")
    found, advice = _unknown(path, head)
    raise RecordingError(str(path), f"a recording ({names})", found, advice)


def _unknown(path: Path, head: bytes) -> tuple[str, str]:
    """What a file is that no format knows, and what to do with it."""
    if not head:
        return "an empty file", "was the recorder killed before it wrote?"
    if packing := compression(head):
        inner = uncompressed_head(head)
        name = next((known.name for known in FORMATS if known.sniff(path, inner)), None)
        if inner[257:262] == b"ustar":
            return f"{packing} of a tar archive", "unpack it and name what is in it"
        return (
            f"{packing} of {name or f'a file that begins with {inner[:8]!r}'}",
            "unpack it first; only text is read packed",
        )
    if head[257:262] == b"ustar" or head.startswith(b"PK\x03\x04"):
        return "an archive", "unpack it and name what is in it"
    return f"a file that begins with {head[:8]!r}", "record with trace-cmd or perf, or name it with --format"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def find_format(name: str) -> Format:
    """The format `name`. Raises UsageError if there is none."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise UsageError("--format", f"one of {', '.join(f.name for f in FORMATS)}", repr(name))
