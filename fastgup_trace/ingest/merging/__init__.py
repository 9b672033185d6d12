"""Several recordings of one run as one: their records in time order, each event counted once.

    trace-cmd record -C mono ...        perf record -k mono ...

The recordings must be of one machine and have one clock; nothing is shifted. What they have in common is taken from
the one that is named first (`common`), and shows how far apart their clocks are: `details["offset_ns"]` states it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastgup_trace.errors import RecordingError, UsageError
from fastgup_trace.ingest.merging.common import Common
from fastgup_trace.ingest.merging.pairs import RECORDINGS_MAX
from fastgup_trace.ingest.merging.streams import Stream, merge
from fastgup_trace.ingest.records import Progress, Recording, Window

_APART_NS: Final = 86_400 * 10**9
_SAME_CLOCK: Final = {"arm": {"local": "perf"}, "arm64": {"local": "perf"}}
"""ftrace's `local` is sched_clock(), perf's is local_clock(), which is sched_clock() too on machines without
CONFIG_HAVE_UNSTABLE_SCHED_CLOCK, as the ARMs are (include/linux/sched/clock.h, kernel/trace/trace_clock.c)."""


def merged(recordings: Sequence[Recording], clock: str | None = None) -> Recording:
    """One recording of all (of one, itself); its `windows` read theirs, holding little more than one window of each.

    `clock` is that of all, where some do not tell it (text), or tell a wrong one: of an instance `trace-cmd extract -B`
    (3.1.6) notes the clock of the top buffer. `path` is the first one's.
    Raises UsageError for more than RECORDINGS_MAX, RecordingError for recordings whose times or machines do not go
    together; while windows are read, also where the same events have other times in them.
    """
    recordings = [replace(one, clock=clock) if clock else one for one in recordings]
    if len(recordings) == 1:
        return recordings[0]
    if len(recordings) > RECORDINGS_MAX:
        raise UsageError("ingest", f"at most {RECORDINGS_MAX} recordings", f"{len(recordings)}")
    _check_times(recordings)
    first = recordings[0]
    labels = _labels([one.path for one in recordings])
    result = replace(
        first,
        format=" + ".join(one.format for one in recordings),
        size_bytes=sum(one.size_bytes for one in recordings),
        nr_cpus=max((one.nr_cpus for one in recordings if one.nr_cpus), default=None),
        arch=_one(recordings, "arch"),
        kernel_release=_one(recordings, "kernel_release"),
        page_size=_one(recordings, "page_size"),
        tracer=" + ".join(dict.fromkeys(one.tracer for one in recordings if one.tracer)) or None,
        comms={},
        tgids={},
        losses=[],
        damage=[],
        windows=iter(()),
        details={},
    )
    # The lists and dicts are shared with the copy: they fill while its windows are read.
    return replace(result, windows=_windows(result, recordings, labels))


def _windows(result: Recording, recordings: Sequence[Recording], labels: Sequence[str]) -> Iterator[Window]:
    streams = [Stream(recording) for recording in recordings]
    common = Common([one.path for one in recordings])
    yield from merge(streams, common)
    common.complete()
    for recording in reversed(recordings):  # the first wins
        result.comms.update(recording.comms)
        result.tgids.update(recording.tgids)
    for recording in recordings:
        result.losses.extend(recording.losses)
        result.damage.extend(recording.damage)
    result.losses.sort(key=lambda loss: (loss.end_ns, loss.cpu))
    result.details["recordings"] = [
        {"file": label, **_told(stream)} for label, stream in zip(labels, streams, strict=True)
    ]
    result.details["taken_once"] = common.taken_once(labels)
    result.details["offset_ns"] = common.offsets(labels)
    if note := _apart(streams, labels):
        result.details["apart"] = note


def _told(stream: Stream) -> dict[str, Any]:
    """What the provenance says of one of the recordings."""
    one = stream.recording
    return {
        "format": one.format,
        "clock": one.clock,
        "tracer": one.tracer,
        "start_ns": stream.first_ns,
        "end_ns": stream.last_ns,
        "events": stream.records,
        "lost": sum(loss.count or 0 for loss in one.losses),
        "details": one.details,
    }


def spans(recording: Recording) -> list[dict[str, Any]]:
    """Of each recording that was merged, once it is read: its clock, when it began and ended, its records.

    A recording that is not merged is one, of which nothing more is to be said than of the whole.
    """
    told = recording.details.get("recordings")
    if not isinstance(told, list):
        return [{}]
    return [{key: one[key] for key in ("clock", "start_ns", "end_ns", "events")} for one in told]


def _labels(paths: Sequence[Path]) -> list[str]:
    """A name for each: the file's, or the whole path where two files have one name."""
    names = [path.name for path in paths]
    return [str(path) if names.count(path.name) > 1 else path.name for path in paths]


def _check_times(recordings: Sequence[Recording]) -> None:
    """That all count nanoseconds of one clock."""
    for one in recordings:
        if one.unit != "ns":
            found = f"{one.unit} of the clock {one.clock}" if one.unit == "ticks" else "records without times"
            raise RecordingError(
                str(one.path), "times in nanoseconds, to merge it with another recording", found,
                "record with trace-cmd record -C mono, or ingest it alone",
            )  # fmt: skip
    for one in recordings:
        if one.clock is None:
            others = sorted({other.clock for other in recordings if other.clock})
            raise RecordingError(
                str(one.path), "a recording that tells its clock, to merge it with another",
                f"{one.format}, which does not", f"name it: --clock {others[0] if others else 'mono'}",
            )  # fmt: skip
    arch = next((one.arch for one in recordings if one.arch), "")
    same = _SAME_CLOCK.get(arch, {})
    if len({same.get(one.clock or "", one.clock) for one in recordings}) > 1:
        found = ", ".join(f"{one.clock} in {one.path}" for one in recordings)
        raise RecordingError(
            str(recordings[0].path), "recordings of one clock", found,
            "record with trace-cmd record -C mono and perf record -k mono; --clock NAME if one tells it wrongly",
        )  # fmt: skip


def _one(recordings: Sequence[Recording], fact: str) -> Any:
    """What those that know say of the machine. Raises RecordingError where they differ: it was not one machine."""
    known = [(getattr(one, fact), one) for one in recordings if getattr(one, fact) is not None]
    for value, one in known[1:]:
        if value != known[0][0]:
            raise RecordingError(
                str(one.path), f"a recording of the same machine as {known[0][1].path} ({fact} {known[0][0]})",
                f"{fact} {value}", "ingest each into a capture of its own",
            )  # fmt: skip
    return known[0][0] if known else None


def _apart(streams: Sequence[Stream], labels: Sequence[str]) -> str | None:
    """That a recording begins more than a day behind all before it; clocks begin anew with each boot."""
    spans = sorted(
        (stream.first_ns, stream.last_ns, label)
        for stream, label in zip(streams, labels, strict=True)
        if stream.first_ns is not None and stream.last_ns is not None
    )
    reached, before = math.inf, ""
    for start, end, label in spans:
        if start - reached > _APART_NS:
            days = (start - reached) / _APART_NS
            return f"{label} begins {days:.1f} days behind the end of {before}: of one boot, if the clock is to agree"
        if before == "" or end > reached:
            reached, before = end, label
    return None


class SharedProgress:
    """One progress of several recordings: the bytes of all."""

    def __init__(self, progress: Progress, paths: Sequence[Path]) -> None:
        self._progress, self._read = progress, dict.fromkeys(paths, 0)
        self._sizes = {path: _size(path) for path in paths}

    def of(self, path: Path) -> Progress:
        """What the reader of this recording calls."""

        def report(read_bytes: int, size_bytes: int) -> None:
            self._read[path], self._sizes[path] = read_bytes, size_bytes
            self._progress(sum(self._read.values()), sum(self._sizes.values()))

        return report


def _size(path: Path) -> int:
    """Bytes of a file, 0 of a folder, whose reader knows which files it reads."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


__all__ = ["SharedProgress", "merged", "spans"]
