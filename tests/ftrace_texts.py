"""Text recordings as tests write and read them: the kernel's headers, and a whole recording as rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastgup_trace.ingest.ftrace_text import open_ftrace_text
from fastgup_trace.ingest.records import Recording, Wanted, Window

HEAD_6_1 = """\
# tracer: nop
#
# entries-in-buffer/entries-written: {n}/{n}   #P:4
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
HEAD_3_18 = """\
# tracer: nop
#
# entries-in-buffer/entries-written: {n}/{n}   #P:4
#
#                              _-----=> irqs-off
#                             / _----=> need-resched
#                            | / _---=> hardirq/softirq
#                            || / _--=> preempt-depth
#                            ||| /     delay
#           TASK-PID   CPU#  ||||    TIMESTAMP  FUNCTION
#              | |       |   ||||       |         |
"""
REPORT = "cpus=4\n"


@dataclass
class Read:
    """A recording, read to its end."""

    recording: Recording
    windows: list[Window]

    def rows(self, event: str) -> list[dict[str, Any]]:
        return [row for window in self.windows if event in window.events for row in window.events[event].to_pylist()]

    @property
    def counts(self) -> dict[str, int]:
        return _sum([window.counts for window in self.windows])

    @property
    def undecodable(self) -> dict[str, int]:
        return _sum([window.undecodable for window in self.windows])


def _sum(parts: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(part.get(key, 0) for part in parts) for part in parts for key in part}


def read(folder: Path, text: str | bytes, wanted: Wanted | None = None) -> Read:
    path = folder / "trace.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    recording = open_ftrace_text(path, wanted=wanted)
    return Read(recording, list(recording.windows))


def fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("common_")}
