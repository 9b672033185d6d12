"""What several recordings have in common: an event that more than one saw is counted once, of the one named first.

Two records are of one event where its name, CPU and thread are the same and their times within TOLERANCE_NS, one of
the one recording with one of the other. What a recording named before does not have is taken from the next: before it
began and after its end, what it lost, what it did not record. A record without CPU, or without thread, is compared by
what it has. A stack goes with its record.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.merging.offsets import Offset
from fastgup_trace.ingest.merging.pairs import TOLERANCE_NS, Ints, Pool, keys_of
from fastgup_trace.ingest.records import Window

_NONE: Final = np.empty(0, np.int64)


@dataclass
class _One:
    """What is known of one recording so far."""

    path: Path
    span: tuple[int, int] | None = None
    """The times of its first and last record."""
    pools: dict[str, Pool] = field(default_factory=dict)
    not_decoded: list[tuple[tuple[int, int] | None, Counter[str]]] = field(default_factory=list)
    """Of each window: where it lies, and how many records of it are in no table."""
    dropped: deque[Ints] = field(default_factory=lambda: deque(maxlen=2))
    """`common_seq` of what was left out of the last two stretches: a stack may lie in the one behind its record's."""

    def shared_with(self, other: _One) -> tuple[int, int] | None:
        """The time in which the other may have the same records; None if one ends before the other begins.

        Two halves of one recording have nothing in common, however near they are.
        """
        if self.span is None or other.span is None or other.span[1] < self.span[0] or self.span[1] < other.span[0]:
            return None
        return self.span[0] - TOLERANCE_NS, self.span[1] + TOLERANCE_NS

    def lacks(self, event: str, span: tuple[int, int] | None) -> bool:
        """Whether a window of that time has records of the event in no table; one without times may be of any."""
        return any(
            event in counts and (span is None or there is None or (span[0] <= there[1] and there[0] <= span[1]))
            for there, counts in self.not_decoded
        )


class Common:
    """Finds records that are in several recordings."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._all = [_One(path) for path in paths]
        self._offsets = dict[tuple[int, int], Offset]()
        self._dropped = dict[str, Counter[int]]()
        self._from = dict[str, int]()

    def learn(self, number: int, window: Window | None) -> None:
        """Look at a recording's next window before anything of it is taken; None: there is no more."""
        if window is None:
            return
        one = self._all[number]
        # A window without decoded records follows the one before it.
        span = None if one.span is None else (one.span[1], one.span[1])
        counts = Counter(window.counts)
        for event, table in window.events.items():
            counts[event] -= len(table)
            if len(table):
                ts = table["common_ts_ns"].to_numpy()
                span = _wider(span, int(ts[0]), int(ts[-1]))
                if number + 1 < len(self._all) and not _is_stack(table):
                    one.pools.setdefault(event, Pool()).add(keys_of(table), ts)
        if span is not None:
            one.span = _wider(one.span, *span)
        one.not_decoded.append((span, +counts))

    def without_doubles(self, taken: Sequence[dict[str, pa.Table]], until_ns: int) -> list[dict[str, pa.Table]]:
        """Of each recording the records of a stretch that ends at `until_ns`, without those that one before it has.

        Raises RecordingError once enough common events say that the clocks do not agree.
        """
        kept = [self._alone(number, events) for number, events in enumerate(taken)]
        for one in self._all:
            for pool in one.pools.values():
                pool.forget(until_ns)
        return kept

    def _alone(self, number: int, events: dict[str, pa.Table]) -> dict[str, pa.Table]:
        dropped, mine = [_NONE], dict[str, pa.Table]()
        for event, table in events.items():
            if not _is_stack(table):
                doubles = self._doubles(number, event, table)
                if doubles.any():
                    dropped.append(table["common_seq"].to_numpy()[doubles])
                    table = table.filter(pa.array(~doubles))
            mine[event] = table
        recent = self._all[number].dropped
        recent.append(np.concatenate(dropped))
        gone = pa.array(np.concatenate(recent))
        for event, table in mine.items():
            if _is_stack(table) and len(gone):
                mine[event] = table.filter(pc.invert(pc.is_in(table["of_seq"], gone)))
        return mine

    def _doubles(self, number: int, event: str, table: pa.Table) -> Any:
        """Which of these records are in a recording named before."""
        doubles = np.zeros(len(table), bool)
        keys, ts = keys_of(table), table["common_ts_ns"].to_numpy()
        for other, one in enumerate(self._all[:number]):
            pool, span = one.pools.get(event), one.shared_with(self._all[number])
            if pool is None or span is None:
                continue
            there = ~doubles & (ts >= span[0]) & (ts <= span[1])
            at = np.flatnonzero(there)
            at = at[pool.has(keys[at])]
            if not len(at):
                continue
            paths = self._all[number].path, one.path
            self._offsets.setdefault((number, other), Offset(*paths)).add(*pool.comparable(keys[at]), ts[at])
            found = at[pool.paired(number, keys[at], ts[at])]
            self._note(event, number, other, len(found))
            doubles[found] = True
        return doubles

    def _note(self, event: str, number: int, other: int, count: int) -> None:
        if count:
            self._dropped.setdefault(event, Counter())[number] += count
            self._from[event] = min(self._from.get(event, other), other)

    def not_decoded(self) -> Counter[str]:
        """How many records no table has, of each event.

        Nothing but their number is known: those of windows at one time are taken to be the same.
        """
        result = Counter[str]()
        for number, one in enumerate(self._all):
            for span, counts in one.not_decoded:
                for event, count in counts.items():
                    other = next((n for n in range(number) if self._all[n].lacks(event, span)), None)
                    if other is None:
                        result[event] += count
                    else:
                        self._note(event, number, other, count)
        return result

    def complete(self) -> None:
        """All windows were read. Raises RecordingError for clocks that do not agree."""
        for offset in self._offsets.values():
            offset.check()

    def taken_once(self, labels: Sequence[str]) -> dict[str, Any]:
        """Event -> the recording that it is from, and how many records of the others were left out."""
        return {
            event: {
                "from": labels[self._from[event]],
                "dropped": {labels[number]: count for number, count in sorted(dropped.items())},
            }
            for event, dropped in sorted(self._dropped.items())
        }

    def offsets(self, labels: Sequence[str]) -> dict[str, Any]:
        """Recording -> how much later its stamps are than those of the first one that has some of its events."""
        return {
            labels[number]: {"to": labels[other], **offset.found()}
            for (number, other), offset in sorted(self._offsets.items(), reverse=True)
        }


def _wider(span: tuple[int, int] | None, first_ns: int, last_ns: int) -> tuple[int, int]:
    return (first_ns, last_ns) if span is None else (min(span[0], first_ns), max(span[1], last_ns))


def _is_stack(table: pa.Table) -> bool:
    return "of_seq" in table.schema.names


__all__ = ["TOLERANCE_NS", "Common"]
