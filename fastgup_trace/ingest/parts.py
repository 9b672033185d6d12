"""The wanted records of a recording, gathered into parts: one for most, for a long one as many as memory asks for.

One with no more than WHOLE_RECORDS is one part. Else a part has about PART_RECORDS of its own, and margins of the
parts beside it: what lies within MARGIN_NS of it, at most MARGIN_SHARE of a neighbour; of the callbacks that free
batches of tables the whole next part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import numpy as np
import pyarrow as pa

from fastgup_trace.errors import RecordingError
from fastgup_trace.probes.catalog import LATE
from fastgup_trace.probes.part import FOREVER, Part
from fastgup_trace.probes.records import Names
from fastgup_trace.table_files import Aside

WHOLE_RECORDS: Final = 800_000
PART_RECORDS: Final = 300_000
MARGIN_NS: Final = 2_000_000_000
MARGIN_SHARE: Final = 0.125


@dataclass(frozen=True)
class _Span:
    """Where the records of a part lie."""

    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int


class Parts:
    """Gathers the windows of a recording; then it is its parts, which can be gone through more than once.

    What one part has no room for is put aside, in a folder of its own inside `scratch` (the system's place for such
    files if None), which leaves with the context. `timed`: stamps are nanoseconds, else the margins are shares only.
    """

    def __init__(
        self, where: str, *, timed: bool = True, scratch: Path | None = None, part_records: int | None = None
    ) -> None:
        self._where, self._timed, self._scratch = where, timed, scratch
        self._whole_records = part_records or WHOLE_RECORDS
        self._part_records = part_records or PART_RECORDS
        self._folder: TemporaryDirectory[str] | None = None
        self._aside: Aside | None = None
        self._windows = list[Mapping[str, pa.Table]]()
        self._waiting = list[int]()
        self._last = dict[str, pa.Table]()
        self._spans = list[_Span]()
        self.names = Names()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, window: Mapping[str, pa.Table]) -> None:
        """Take the records of the next window."""
        tables = {name: table for name, table in window.items() if len(table)}
        self.names.add(tables)
        records = sum(map(len, tables.values()))
        room = self._whole_records if self._aside is None else self._part_records
        if self._waiting and sum(self._waiting) + records > room:
            self._put_aside()
        self._windows.append(tables)
        self._waiting.append(records)

    def _put_aside(self) -> None:
        """All windows that wait, as parts of the usual size."""
        if self._aside is None:
            self._folder = TemporaryDirectory(prefix=".fastgup-trace.", dir=self._scratch)
            self._aside = Aside(Path(self._folder.name))
        while self._windows:
            total = np.cumsum(self._waiting)
            windows = max(int(np.searchsorted(total, self._part_records, side="right")), 1)
            self._aside.put(self._gathered(windows))

    def complete(self) -> None:
        """All windows were added."""
        self._last = self._gathered(len(self._windows))

    def _gathered(self, windows: int) -> dict[str, pa.Table]:
        """The first of the windows that wait, as one set of tables."""
        events = dict[str, list[pa.Table]]()
        for window in self._windows[:windows]:
            for name, table in window.items():
                events.setdefault(name, []).append(table)
        del self._windows[:windows], self._waiting[:windows]
        tables = {name: joined(self._where, name, found) for name, found in events.items()}
        self._spans.append(_span(tables))
        return tables

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Part]:
        """The parts in order. Only after `complete`."""
        if len(self) == 1:
            yield Part(self._last)
            return
        for number, span in enumerate(self._spans):
            pieces = [self._records(number)]
            if number:
                pieces.insert(0, self._end_of(number - 1, span.first_ns))
            if number + 1 < len(self):
                pieces.append(self._start_of(number + 1, span.last_ns))
            names = dict.fromkeys(name for piece in pieces for name in piece)
            events = {name: joined(self._where, name, [p[name] for p in pieces if name in p]) for name in names}
            end = self._spans[number + 1].first_seq if number + 1 < len(self) else FOREVER
            yield Part(events, span.first_seq if number else 0, end)

    def _records(self, number: int) -> dict[str, pa.Table]:
        return self._last if self._aside is None or number == len(self._aside) else self._aside.get(number)

    def _end_of(self, number: int, until_ns: int) -> dict[str, pa.Table]:
        """The records of a part that lie in the margin of the next."""
        span = self._spans[number]
        seq = span.last_seq - int((span.last_seq - span.first_seq) * MARGIN_SHARE)
        since_ns = until_ns - MARGIN_NS if self._timed else span.first_ns
        return {
            name: table.slice(max(_place(table, "common_seq", seq), _place(table, "common_ts_ns", since_ns)))
            for name, table in self._records(number).items()
        }

    def _start_of(self, number: int, since_ns: int) -> dict[str, pa.Table]:
        """The records of a part that lie in the margin of the one before."""
        span = self._spans[number]
        seq = span.first_seq + int((span.last_seq - span.first_seq) * MARGIN_SHARE)
        until_ns = since_ns + MARGIN_NS if self._timed else span.last_ns + 1
        return {
            name: table
            if name in LATE
            else table.slice(0, min(_place(table, "common_seq", seq), _place(table, "common_ts_ns", until_ns)))
            for name, table in self._records(number).items()
        }


def _span(tables: Mapping[str, pa.Table]) -> _Span:
    """Where the records of these tables, of which each is in order, begin and end."""
    first, last = (
        [(t["common_seq"][i].as_py(), t["common_ts_ns"][i].as_py()) for t in tables.values()] for i in (0, -1)
    )
    (first_seq, first_ns), (last_seq, last_ns) = min(first, default=(0, 0)), max(last, default=(0, 0))
    return _Span(first_seq, last_seq, first_ns, last_ns)


def _place(table: pa.Table, column: str, value: int) -> int:
    """The first row at or behind `value`."""
    return int(np.searchsorted(table[column].to_numpy(), value))


def joined(where: str, event: str, windows: list[pa.Table]) -> pa.Table:
    """The windows of one event as one table; a column that a window does not have is null there."""
    if len(windows) == 1:
        return windows[0]
    try:
        # Each window has dictionaries of its own; an Arrow file holds one a column.
        return pa.concat_tables(windows, promote_options="permissive").unify_dictionaries()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise other_types(where, event, error) from None


def other_types(where: str, event: str, error: pa.ArrowException) -> RecordingError:
    """That the windows of an event do not go together, in words."""
    return RecordingError(where, f"one type for each field of {event}", str(error).splitlines()[0], "record again")
