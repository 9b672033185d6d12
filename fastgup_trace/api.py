"""The functions behind the command line, as attributes of the package:

    import fastgup_trace as fg
    page = fg.report(fg.replay(fg.ingest_recording("trace.dat")))

They take and return captures, outcomes and text; only `ingest_recording` and `read_*` read files, `write_*` write them.
What is heavy is imported in the function that needs it, so that a command pays for no other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastgup_replay.outcome import Outcome, read_outcome, write_outcome
    from fastgup_replay.policies import Mechanism
    from fastgup_replay.validate import Row
    from fastgup_trace.ingest.records import Progress
    from fastgup_trace.tables import Capture, read_capture, write_capture

__all__ = [
    "Capture",
    "Outcome",
    "ingest_recording",
    "read_capture",
    "read_outcome",
    "replay",
    "report",
    "validate",
    "write_capture",
    "write_outcome",
]


_ELSEWHERE: Final = {
    "Capture": "fastgup_trace.tables", "read_capture": "fastgup_trace.tables", "write_capture": "fastgup_trace.tables",
    "Outcome": "fastgup_replay.outcome", "read_outcome": "fastgup_replay.outcome",
    "write_outcome": "fastgup_replay.outcome",
}  # fmt: skip
"""Public names that are defined elsewhere, loaded when first used."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_ELSEWHERE[name]), name)
    return value


def ingest_recording(
    *recordings: Path | str,
    folder: Path | str | None = None,
    force: bool = False,
    format: str | None = None,
    meta: Path | None = None,
    kallsyms: Path | None = None,
    clock: str | None = None,
    ticks_per_second: int | None = None,
    strict: bool = False,
    keep_raw: bool = False,
    progress: Progress | None = None,
) -> Capture:
    """The capture of a recording: a path, or `dataset:NAME` of the catalogue; of several of one run, merged by time.

    (`fastgup_trace.ingest` is the package that reads the formats.)

    With `folder` the capture is written there as it is made, whatever its size (`force` replaces one that is there,
    `keep_raw` keeps all fields of all events too, under raw/); without, it is in memory.
    `format` names the format where its content should not decide; `meta` is the folder with meta.json and the
    counters, by default the first recording's own; `kallsyms` a copy of /proc/kallsyms for recordings without symbols;
    `clock` the trace clock of several recordings where they do not tell it; `ticks_per_second` the rate of a counter
    that stamped the records; `strict` refuses a recording that is cut instead of taking what is whole.
    Raises RecordingError for a recording that can't be read, UsageError for a name that does not exist, CaptureError
    for a folder that can't be made.
    """
    from fastgup_trace.ingest import Sink, ingest
    from fastgup_trace.tables import CaptureWriter, Collected, read_capture

    paths = [_path(name) for name in recordings]

    def read(sink: Sink) -> dict[str, Any]:
        return ingest(
            paths, sink, format=format, meta=meta, kallsyms=kallsyms, clock=clock,
            ticks_per_second=ticks_per_second, strict=strict,
            keep_raw=keep_raw, progress=progress,
        )  # fmt: skip

    if folder is None:
        collected = Collected()
        return collected.capture(read(collected))
    with CaptureWriter(Path(folder), force=force) as writer:
        writer.finish_capture(read(writer))
    return read_capture(Path(folder))


def _path(name: Path | str) -> Path:
    if isinstance(name, Path) or not name.startswith("dataset:"):
        return Path(name)
    from fastgup_datasets.catalog import find

    return find(name.removeprefix("dataset:"))


def replay(
    capture: Capture | Path | str,
    mechanisms: Sequence[str] | None = None,
    *,
    pids: Sequence[int] | None = None,
    comms: Sequence[str] | None = None,
    cpus: Sequence[int] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """What each of `mechanisms` (default: `mechanisms.DEFAULT`) would have cost on the capture's workload.

    The limits keep the operations of these processes, on these CPUs, between these times after the recording's start.
    Raises CaptureError for a folder that is no capture, UsageError for a mechanism or process that does not exist.
    """
    from fastgup_replay.mechanisms import DEFAULT
    from fastgup_replay.replay import replay as run
    from fastgup_replay.selection import Selection

    selection = Selection(
        pids=None if pids is None else tuple(pids),
        comms=None if comms is None else tuple(comms),
        cpus=None if cpus is None else tuple(cpus),
        from_ns=from_ns,
        to_ns=to_ns,
    )
    return run(_opened(capture), mechanisms or DEFAULT, selection, progress)


def validate(capture: Capture | Path | str, mechanism: str | None = None) -> tuple[Mechanism, list[Row]]:
    """Predicted against measured for the mechanism that the recorded kernel has, or for the one named.

    Raises ModelError if neither the capture nor the caller names a mechanism.
    """
    from fastgup_replay.validate import validate as run

    return run(_opened(capture), mechanism)


def report(outcome: Outcome | Path | str) -> str:
    """An outcome as one self-contained HTML page."""
    from fastgup_replay.outcome import Outcome, read_outcome
    from fastgup_reports.page import render

    return render(outcome if isinstance(outcome, Outcome) else read_outcome(Path(outcome)))


def _opened(capture: Capture | Path | str) -> Capture:
    from fastgup_trace.tables import Capture, read_capture

    return capture if isinstance(capture, Capture) else read_capture(Path(capture))
