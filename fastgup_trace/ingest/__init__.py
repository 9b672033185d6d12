"""From a recording to a capture: find its format, decode what the probes want, build the tables, note the source."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.errors import RecordingError, UsageError
from fastgup_trace.ingest import ftrace_text, trace_dat
from fastgup_trace.ingest.provenance import describe, find_machine
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted
from fastgup_trace.ingest.sidecars import read_sidecars
from fastgup_trace.probes import to_tables, wanted
from fastgup_trace.probes.catalog import is_wanted, trimmed
from fastgup_trace.probes.known import enabled_in, known_from
from fastgup_trace.schema import conform
from fastgup_trace.tables import Capture

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
    Format("trace.dat", "the bytes 17 08 44 'tracing' at its start", trace_dat.sniff, trace_dat.open_trace_dat),
    Format(
        "ftrace-text", "`# tracer:` or `cpus=N` at its start, or lines as the kernel prints records; maybe compressed",
        ftrace_text.sniff, ftrace_text.open_ftrace_text,
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


def ingest(
    paths: Sequence[Path],
    *,
    format: str | None = None,
    meta: Path | None = None,
    progress: Progress | None = None,
    raw: dict[str, pa.Table] | None = None,
) -> Capture:
    """The capture of a recording, with what lies beside it or in the folder `meta`.

    `raw`, where given, is filled with all records of all events under names that are safe for files.
    Raises RecordingError for a damaged or unknown recording, UsageError for more than one.
    """
    if len(paths) != 1:
        raise UsageError("ingest", "one recording", f"{len(paths)}", "ingest each into a capture of its own")
    path = paths[0]
    chosen = sniff(path) if format is None else find_format(format)
    sidecars = read_sidecars(path.parent if meta is None else meta)
    recording = chosen.open(path, wanted=wanted() if raw is None else None, progress=progress)
    read = _read(recording, keep_all=raw is not None)
    machine = find_machine(recording, sidecars)
    tables = to_tables(read.events, machine.context)
    tables["lost"] = _lost(recording.losses)
    if raw is not None:
        raw.update(raw_names(read.raw))
    leaves = leaf_calls(read.events)
    found = {
        "recordings": [
            {"file": path.name, "sha256": _sha256(path), "bytes": recording.size_bytes, "format": recording.format}
        ],
        **describe(recording, sidecars, machine),
        "start_ns": read.span_ns[0] if read.span_ns else None,
        "end_ns": read.span_ns[1] if read.span_ns else None,
        "events": dict((read.counts - Counter(funcgraph_exit=leaves)).most_common()),
        "leaf_calls": leaves,
        "unwanted": {name: count for name, count in read.counts.most_common() if not is_wanted(name)},
        "undecodable": dict(read.undecodable),
        "tables": {name: len(table) for name, table in tables.items()},
        "probes": sorted(name for name in read.counts if is_wanted(name)),
        "known": known_from([*read.counts, *enabled_in(sidecars.meta)]),
    }
    return Capture(found, tables)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _Read:
    """All windows of a recording: the records that probes want, and what there was."""

    events: dict[str, pa.Table] = field(default_factory=dict)
    raw: dict[str, pa.Table] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    span_ns: tuple[int, int] | None = None


def _read(recording: Recording, *, keep_all: bool) -> _Read:
    read, parts = _Read(), dict[str, list[pa.Table]]()
    for window in recording.windows:
        read.counts.update(window.counts)
        read.undecodable.update(window.undecodable)
        for name, table in window.events.items():
            if not len(table):
                continue
            first, last = table["common_ts_ns"][0].as_py(), table["common_ts_ns"][-1].as_py()
            low, high = read.span_ns or (first, last)
            read.span_ns = (min(low, first), max(high, last))
            parts.setdefault(name, []).append(table if keep_all else trimmed(name, table))
    tables = {name: _joined(str(recording.path), name, windows) for name, windows in parts.items()}
    read.events.update({name: table for name, table in tables.items() if is_wanted(name)})
    if keep_all:
        read.raw.update(tables)
    return read


def leaf_calls(events: Mapping[str, pa.Table]) -> int:
    """Calls of the function graph whose return is the very next record of the recording.

    trace-cmd and the kernel show such a call in one line, as an entry: so are events counted here, and the returns that
    have no line of their own apart.
    """
    if not {"funcgraph_entry", "funcgraph_exit"} <= events.keys():
        return 0
    keys = ["common_seq", "common_pid", "func.sym"]
    entries, exits = (events[name] for name in ("funcgraph_entry", "funcgraph_exit"))
    if not all(key in table.schema.names for key in keys for table in (entries, exits)):
        return 0
    following = exits.select(keys).set_column(0, "common_seq", pc.subtract(exits["common_seq"], 1))
    pairs = [
        table.select(keys).set_column(2, "func.sym", table["func.sym"].cast(pa.string()))
        for table in (entries, following)
    ]
    return len(pairs[0].join(pairs[1], keys, join_type="inner"))


def _joined(where: str, event: str, windows: list[pa.Table]) -> pa.Table:
    """The windows of one event as one table; a column that a window does not have is null there."""
    if len(windows) == 1:
        return windows[0]
    try:
        # Each window has dictionaries of its own; an Arrow file holds one a column.
        return pa.concat_tables(windows, promote_options="permissive").unify_dictionaries()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        found = str(error).splitlines()[0]
        raise RecordingError(where, f"one type for each field of {event}", found, "record again") from None


def raw_names(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Event names as file names: anything but letters, digits, `.` `_` `-` becomes `_`, and equal ones get a number."""
    result: dict[str, pa.Table] = {}
    for name, table in sorted(tables.items()):
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:120] or "_"
        number, free = 2, safe
        while free in result:
            number, free = number + 1, f"{safe}_{number}"
        result[free] = table.replace_schema_metadata({"event": name})
    return result


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
