"""Text recordings as tests write and read them: the kernel's headers, and a whole recording as rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import ftrace_text
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

    @property
    def tables(self) -> dict[str, pa.Table]:
        names = {name: None for window in self.windows for name in window.events}
        parts = {name: [window.events[name] for window in self.windows if name in window.events] for name in names}
        return {name: pa.concat_tables(tables, promote_options="permissive") for name, tables in parts.items()}


def _sum(parts: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(part.get(key, 0) for part in parts) for part in parts for key in part}


def _read(path: Path, large: bool, block_bytes: int | None, wanted: Wanted | None, strict: bool) -> Read:
    changes: dict[str, Any] = {"LARGE_BYTES": 0 if large else 1 << 60}
    if block_bytes:
        changes |= {"BLOCK_BYTES": block_bytes, "LARGE_BLOCK_BYTES": block_bytes}
    with patch.multiple(ftrace_text, **changes):
        recording = ftrace_text.open_ftrace_text(path, wanted=wanted, strict=strict)
        return Read(recording, list(recording.windows))


def read_file(
    path: Path, wanted: Wanted | None = None, *, strict: bool = False, block_bytes: int | None = None
) -> Read:
    """Read by regular expressions and by machine code: the same tables, counts, losses, names, damage or error."""
    try:
        read = _read(path, False, block_bytes, wanted, strict)
    except RecordingError as error:
        with pytest.raises(RecordingError) as raised:
            _read(path, True, block_bytes, wanted, strict)
        assert str(raised.value) == str(error)
        raise
    other = _read(path, True, block_bytes, wanted, strict)
    assert other.counts == read.counts
    assert other.undecodable == read.undecodable
    assert other.recording.losses == read.recording.losses
    assert other.recording.comms == read.recording.comms
    assert other.recording.tgids == read.recording.tgids
    assert other.recording.details == read.recording.details
    assert list(map(str, other.recording.damage)) == list(map(str, read.recording.damage))
    assert len(other.windows) == len(read.windows)
    for window, expected in zip(other.windows, read.windows, strict=True):
        assert sorted(window.events) == sorted(expected.events)
        for name, table in expected.events.items():
            assert _types(window.events[name]) == _types(table), name
            for column in table.column_names:
                assert window.events[name][column].to_pylist() == table[column].to_pylist(), (name, column)
    return read


def _types(table: pa.Table) -> dict[str, str]:
    return dict(sorted(zip(table.column_names, map(str, table.schema.types), strict=True)))


def read(folder: Path, text: str | bytes, wanted: Wanted | None = None, *, strict: bool = False) -> Read:
    """Write a text and read it."""
    path = folder / "trace.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_file(path, wanted, strict=strict)


def fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("common_")}
