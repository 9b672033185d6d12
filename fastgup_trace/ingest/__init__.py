"""From a recording to a capture: find its format, decode what the probes want, build the tables, note the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from fastgup_trace.errors import UsageError
from fastgup_trace.ingest.checksum import Checksum
from fastgup_trace.ingest.formats import FORMATS, Format, find_format, sniff
from fastgup_trace.ingest.merging import SharedProgress, merged, spans
from fastgup_trace.ingest.parts import Parts
from fastgup_trace.ingest.provenance import describe, find_machine
from fastgup_trace.ingest.reading import RawTables, Sink, leaf_calls, lost_table, read_windows
from fastgup_trace.ingest.records import Progress, WantedRecords
from fastgup_trace.ingest.sidecars import has_sidecars, read_kallsyms, read_sidecars
from fastgup_trace.ingest.ticks import in_nanoseconds
from fastgup_trace.probes import to_tables, wanted
from fastgup_trace.probes.catalog import is_wanted, worth_decoding
from fastgup_trace.probes.known import enabled_in, known_from
from fastgup_trace.schema import TABLES

_READING_SHARE: Final = 0.6
"""Of the time of an ingest, about; the rest goes into the tables."""

__all__ = ["FORMATS", "Format", "Sink", "find_format", "ingest", "sniff"]


def ingest(
    paths: Sequence[Path],
    sink: Sink,
    *,
    format: str | None = None,
    meta: Path | None = None,
    kallsyms: Path | None = None,
    clock: str | None = None,
    ticks_per_second: int | None = None,
    strict: bool = False,
    keep_raw: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Put the tables of a recording into `sink`; returns the provenance, with what lay beside it or in `meta`.

    Several recordings become one (see `merging`); `clock` is that of those that don't tell theirs, or a wrong one.
    `ticks_per_second` is the rate of a counter that stamped the records, where the recording does not tell it.
    `keep_raw` adds the table `raw/EVENT` of all fields for each event. Memory is bounded by the size of a part (see
    `parts`), not by that of the recording.
    Raises RecordingError for a damaged or unknown recording, and for several that do not go together; UsageError for
    none, and for one that is named twice.
    """
    if not paths or len(set(paths)) < len(paths):
        raise UsageError("ingest", "one recording or several", "none" if not paths else "one that is named twice")
    path = paths[0]
    formats = [sniff(each) if format is None else find_format(format) for each in paths]
    sidecars = read_sidecars(meta or (path if path.is_dir() and has_sidecars(path) else path.parent))
    symbols, fields = read_kallsyms(kallsyms), None if keep_raw else WantedRecords(wanted(), worth_decoding())
    with ExitStack() as stack:
        checksums = [stack.enter_context(Checksum(each)) for each in paths]
        phases = Phases(progress) if progress else None
        shared = SharedProgress(phases.reading, paths) if phases else None
        opened = [
            chosen.open(
                each, wanted=fields, progress=shared.of(each) if shared else None, strict=strict, kallsyms=symbols
            )
            for each, chosen in zip(paths, formats, strict=True)
        ]
        if ticks_per_second is not None:
            opened = [in_nanoseconds(one, ticks_per_second) for one in opened]
        recording = merged(opened, clock)
        rows = Counter[str]()
        with Parts(str(path), timed=recording.unit == "ns", scratch=sink.scratch) as parts:
            read = read_windows(recording, parts, RawTables(str(path), sink) if keep_raw else None)
            machine = find_machine(recording, sidecars)
            for done, tables in enumerate(to_tables(parts, machine.context, parts.names)):
                for name, table in tables.items():
                    sink.append(name, table)
                    rows[name] += len(table)
                if phases:
                    phases.building(done, len(parts))
            # Going through the parts once more reads what was put aside again.
            leaves = sum(leaf_calls(part) for part in parts) if read.counts["funcgraph_exit"] else 0
        lost = lost_table(recording, read)
        sink.append("lost", lost)
        sources = [
            {"file": one.path.name, "sha256": checksum.hex(), "bytes": one.size_bytes, "format": one.format, **told}
            for one, checksum, told in zip(opened, checksums, spans(recording), strict=True)
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


class Phases:
    """One progress, in bytes of the recording, of the two things that an ingest does: reading, and building tables."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._size_bytes = progress, 0

    def reading(self, read_bytes: int, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._progress(int(read_bytes * _READING_SHARE), size_bytes)

    def building(self, done: int, parts: int) -> None:
        share = _READING_SHARE + (1 - _READING_SHARE) * done / max(parts, 1)
        self._progress(int(self._size_bytes * share), self._size_bytes)
