"""The windows of several recordings, merged: cut at times that all of them have reached.

The recording that lags is read on, so that little more than one window of each waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.merging.common import TOLERANCE_NS, Common
from fastgup_trace.ingest.merging.numbering import Numbering, Piece
from fastgup_trace.ingest.parts import joined
from fastgup_trace.ingest.records import Recording, Window

FOREVER: Final = int(np.iinfo(np.int64).max)
NEVER: Final = int(np.iinfo(np.int64).min)


class Stream:
    """A recording that is being read: what of it waits, and what it was so far."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.done = False
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.records = 0
        self.undecodable = Counter[str]()
        self._waiting = dict[str, list[pa.Table]]()

    @property
    def reached(self) -> int:
        """The time before which all is read."""
        return FOREVER if self.done else NEVER if self.last_ns is None else self.last_ns

    def read(self) -> Window | None:
        """Take the next window; None if there is none."""
        window = next(self.recording.windows, None)
        if window is None:
            self.done = True
            return None
        self.records += sum(window.counts.values())
        self.undecodable.update(window.undecodable)
        for event, table in window.events.items():
            if len(table):
                self._waiting.setdefault(event, []).append(table)
                first, last = table["common_ts_ns"][0].as_py(), table["common_ts_ns"][-1].as_py()
                self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
                self.last_ns = last if self.last_ns is None else max(self.last_ns, last)
        return window

    def take(self, until_ns: int) -> dict[str, pa.Table]:
        """The waiting records before `until_ns`, which no longer wait."""
        taken, waiting = dict[str, pa.Table](), dict[str, list[pa.Table]]()
        for event, tables in self._waiting.items():
            places = [int(np.searchsorted(table["common_ts_ns"].to_numpy(), until_ns)) for table in tables]
            before = [table.slice(0, place) for table, place in zip(tables, places, strict=True) if place]
            behind = [t.slice(place) for t, place in zip(tables, places, strict=True) if place < len(t)]
            if before:
                taken[event] = joined(str(self.recording.path), event, before)
            if behind:
                waiting[event] = behind
        self._waiting = waiting
        return taken


def merge(streams: Sequence[Stream], common: Common) -> Iterator[Window]:
    """All windows in time order. The last one has the counts of records that were not decoded.

    Raises RecordingError for what the recordings' own windows raise, and for clocks that do not agree.
    """
    numbering = Numbering(len(streams))
    while not all(stream.done for stream in streams):
        number = min(range(len(streams)), key=lambda n: streams[n].reached)
        common.learn(number, streams[number].read())
        least = min(stream.reached for stream in streams)
        # What lies in the last moment may have its double in a recording that is not yet read so far.
        until = least if least in (FOREVER, NEVER) else least - TOLERANCE_NS
        if until > NEVER and (window := _window(streams, until, common, numbering)):
            yield window
    undecodable = sum((stream.undecodable for stream in streams), Counter[str]())
    yield Window({}, dict(common.not_decoded()), dict(undecodable))


def _window(streams: Sequence[Stream], until: int, common: Common, numbering: Numbering) -> Window | None:
    """The records before `until` of all."""
    taken = [stream.take(until) for stream in streams]
    pieces = [
        Piece(number, event, table)
        for number, events in enumerate(common.without_doubles(taken, until))
        for event, table in events.items()
        if len(table)
    ]
    tables = dict[str, list[pa.Table]]()
    for piece in numbering.renumbered(pieces):
        tables.setdefault(piece.event, []).append(piece.table)
    where = ", ".join(str(stream.recording.path) for stream in streams)
    events = {event: _in_order(where, event, found) for event, found in tables.items()}
    return Window(events, {event: len(table) for event, table in events.items()}) if events else None


def _in_order(where: str, event: str, tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    table = joined(where, event, tables)
    return table.take(pa.array(np.argsort(table["common_seq"].to_numpy())))
