"""From a recording to a capture: find its format, decode what the probes want, build the tables, note the source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.errors import RecordingError, UsageError
from fastgup_trace.ingest import (
    ftrace_text,
    json_lines,
    perf_data,
    perf_script,
    raw_ring_buffer,
    systrace_html,
    trace_dat,
)
from fastgup_trace.ingest.checksum import Checksum
from fastgup_trace.ingest.merging import SharedProgress, merged
from fastgup_trace.ingest.parts import Parts, other_types
from fastgup_trace.ingest.provenance import describe, find_machine
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted
from fastgup_trace.ingest.sidecars import read_kallsyms, read_sidecars
from fastgup_trace.probes import Part, to_tables, wanted
from fastgup_trace.probes.catalog import is_wanted, trimmed
from fastgup_trace.probes.known import enabled_in, known_from
from fastgup_trace.schema import TABLES, conform

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
    Format(
        "systrace-html", "an HTML page, in which ftrace text is looked for, or `TRACE:` and zlib data (atrace -z)",
        systrace_html.sniff, systrace_html.open_systrace_html,
    ),
)  # fmt: skip


def sniff(path: Path) -> Format:
    """The format of a file, by its content. Raises RecordingError if it is none that is known, or can't be read."""
    names = ", ".join(known.name for known in FORMATS)
    try:
        head = b"" if path.is_dir() else _head(path)
    except OSError as error:
        found = error.strerror or str(error)
        raise RecordingError(str(path), "a file to read", found, "check its name and mode") from None
    for known in FORMATS:
        if known.sniff(path, head):
            return known
    if path.is_dir():
        raise RecordingError(str(path), f"a recording ({names})", "a folder", "name the file in it")
    found = f"a file that begins with {head[:8]!r}" if head else "an empty file"
    raise RecordingError(str(path), f"a recording ({names})", found, "record with trace-cmd, or name it with --format")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def find_format(name: str) -> Format:
    """The format `name`. Raises UsageError if there is none."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise UsageError("--format", f"one of {', '.join(f.name for f in FORMATS)}", repr(name))


class Sink(Protocol):
    """Where a capture's rows go as they come: `tables.CaptureWriter`, `tables.Collected`."""

    @property
    def scratch(self) -> Path | None:
        """A folder for what memory has no room for; None for the system's."""

    def append(self, name: str, table: pa.Table) -> None: ...


def ingest(
    paths: Sequence[Path],
    sink: Sink,
    *,
    format: str | None = None,
    meta: Path | None = None,
    kallsyms: Path | None = None,
    clock: str | None = None,
    strict: bool = False,
    keep_raw: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Put the tables of a recording into `sink`; returns the provenance, with what lay beside it or in `meta`.

    Several recordings become one (see `merging`); `clock` is that of those that don't tell theirs, or a wrong one.
    `keep_raw` adds the table `raw/EVENT` of all fields for each event. Memory is bounded by the size of a part (see
    `parts`), not by that of the recording.
    Raises RecordingError for a damaged or unknown recording, and for several that do not go together; UsageError for
    none, and for one that is named twice.
    """
    if not paths or len(set(paths)) < len(paths):
        raise UsageError("ingest", "one recording or several", "none" if not paths else "one that is named twice")
    path = paths[0]
    formats = [sniff(each) if format is None else find_format(format) for each in paths]
    sidecars = read_sidecars(path.parent if meta is None else meta)
    symbols, fields = read_kallsyms(kallsyms), None if keep_raw else wanted()
    with ExitStack() as stack:
        checksums = [stack.enter_context(Checksum(each)) for each in paths]
        shared = SharedProgress(progress, paths) if progress else None
        opened = [
            chosen.open(
                each, wanted=fields, progress=shared.of(each) if shared else None, strict=strict, kallsyms=symbols
            )
            for each, chosen in zip(paths, formats, strict=True)
        ]
        recording = merged(opened, clock)
        rows, leaves = Counter[str](), 0
        with Parts(str(path), timed=recording.unit == "ns", scratch=sink.scratch) as parts:
            read = _read(recording, parts, RawTables(str(path), sink) if keep_raw else None)
            machine = find_machine(recording, sidecars)
            for tables in to_tables(parts, machine.context):
                for name, table in tables.items():
                    sink.append(name, table)
                    rows[name] += len(table)
            leaves = sum(leaf_calls(part) for part in parts)
        lost = _lost(recording.losses)
        sink.append("lost", lost)
        sources = [
            {"file": one.path.name, "sha256": checksum.hex(), "bytes": one.size_bytes, "format": one.format}
            for one, checksum in zip(opened, checksums, strict=True)
        ]
    return {
        "recordings": sources,
        **describe(recording, sidecars, machine),
        "start_ns": read.span_ns[0] if read.span_ns else None,
        "end_ns": read.span_ns[1] if read.span_ns else None,
        "events": dict((read.counts - Counter(funcgraph_exit=leaves)).most_common()),
        "leaf_calls": leaves,
        "unwanted": {name: count for name, count in read.counts.most_common() if not is_wanted(name)},
        "undecodable": dict(read.undecodable),
        "damage": [
            {"where": error.where, "expected": error.expected, "found": error.found} for error in recording.damage
        ],
        "tables": {name: rows[name] for name in TABLES} | {"lost": len(lost)},
        "parts": len(parts),
        "probes": sorted(name for name in read.counts if is_wanted(name)),
        "known": known_from([*read.counts, *enabled_in(sidecars.meta)]),
    }


@dataclass
class _Read:
    """What there was in all windows of a recording."""

    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    span_ns: tuple[int, int] | None = None


def _read(recording: Recording, parts: Parts, raw: RawTables | None) -> _Read:
    """Read all windows: what probes want goes to `parts`, all of it to `raw`."""
    read = _Read()
    for window in recording.windows:
        read.counts.update(window.counts)
        read.undecodable.update(window.undecodable)
        for table in window.events.values():
            if len(table):
                first, last = table["common_ts_ns"][0].as_py(), table["common_ts_ns"][-1].as_py()
                low, high = read.span_ns or (first, last)
                read.span_ns = (min(low, first), max(high, last))
        parts.add({name: trimmed(name, table) for name, table in window.events.items() if is_wanted(name)})
        if raw is not None:
            for name, table in window.events.items():
                raw.append(name, table)
    parts.complete()
    return read


def leaf_calls(part: Part) -> int:
    """Calls of the function graph whose return is the very next record of the recording.

    trace-cmd and the kernel show such a call in one line, as an entry: so are events counted here, and the returns that
    have no line of their own apart.
    """
    if not {"funcgraph_entry", "funcgraph_exit"} <= part.events.keys():
        return 0
    keys = ["common_seq", "common_pid", "func.sym"]
    entries, exits = (part.events[name] for name in ("funcgraph_entry", "funcgraph_exit"))
    if not all(key in table.schema.names for key in keys for table in (entries, exits)):
        return 0
    seq = entries["common_seq"]
    entries = entries.filter(pc.and_(pc.greater_equal(seq, part.start_seq), pc.less(seq, part.end_seq)))
    following = exits.select(keys).set_column(0, "common_seq", pc.subtract(exits["common_seq"], 1))
    pairs = [
        table.select(keys).set_column(2, "func.sym", table["func.sym"].cast(pa.string()))
        for table in (entries, following)
    ]
    return len(pairs[0].join(pairs[1], keys, join_type="inner"))


class RawTables:
    """The records of all events, under names that are safe for files.

    Anything but letters, digits, `.` `_` `-` becomes `_`, and equal names get a number. The table's metadata has the
    event's own name.
    """

    def __init__(self, where: str, sink: Sink) -> None:
        self._where, self._sink, self._names = where, sink, dict[str, str]()

    def append(self, event: str, table: pa.Table) -> None:
        if event not in self._names:
            safe = re.sub(r"[^A-Za-z0-9._-]", "_", event).lstrip(".")[:120] or "_"
            number, free, taken = 2, safe, set(self._names.values())
            while free in taken:
                number, free = number + 1, f"{safe}_{number}"
            self._names[event] = free
        try:
            self._sink.append(f"raw/{self._names[event]}", table.replace_schema_metadata({"event": event}))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise other_types(self._where, event, error) from None


def _lost(losses: Sequence[Loss]) -> pa.Table:
    ordered = sorted(losses, key=lambda loss: (loss.ts_ns, loss.cpu))
    columns: dict[str, object] = {
        "ts_ns": pa.array([loss.ts_ns for loss in ordered], pa.int64()),
        "end_ns": pa.array([loss.end_ns for loss in ordered], pa.int64()),
        "cpu": pa.array([loss.cpu for loss in ordered], pa.int32()),
        "count": pa.array([loss.count for loss in ordered], pa.int64()),
        "evidence": "observed",
    }
    return conform("lost", columns, len(ordered))
