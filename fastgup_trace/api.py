"""The functions behind the command line: `import fastgup_trace as fg; fg.replay(fg.ingest(["trace.dat"]))`.

Everything here takes and returns captures, outcomes and text; only `write_*` and `ingest` touch files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fastgup_replay.mechanisms import DEFAULT, Mechanism
from fastgup_replay.outcome import Outcome, read_outcome, write_outcome
from fastgup_replay.replay import replay as _replay
from fastgup_replay.selection import Selection
from fastgup_replay.validate import Row
from fastgup_replay.validate import validate as _validate
from fastgup_trace.tables import Capture, read_capture, write_capture

__all__ = ["Capture", "Outcome", "read_capture", "read_outcome", "replay", "validate", "write_capture", "write_outcome"]

Progress = Callable[[int, int], None]


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
    opened = capture if isinstance(capture, Capture) else read_capture(Path(capture))

    selection = Selection(
        pids=None if pids is None else tuple(pids),
        comms=None if comms is None else tuple(comms),
        cpus=None if cpus is None else tuple(cpus),
        from_ns=from_ns,
        to_ns=to_ns,
    )
    return _replay(opened, mechanisms or DEFAULT, selection, progress)


def validate(capture: Capture | Path | str, mechanism: str | None = None) -> tuple[Mechanism, list[Row]]:
    """Predicted against measured for the mechanism that the recorded kernel has, or for the one named."""
    return _validate(capture if isinstance(capture, Capture) else read_capture(Path(capture)), mechanism)
