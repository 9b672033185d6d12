"""What several recordings have in common: an event of theirs is counted once, taken from the one named first.

A recording is taken to have an event of a thread on a CPU from the first such record that is in it until its end.
Before and behind, and for what it does not have (other threads, where only one process was recorded), the record is
taken from the next. A record that has no CPU, or no thread, is compared by what it has. A stack goes with its record.
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
from numpy.typing import NDArray

from fastgup_trace.ingest.merging.offsets import Offset
from fastgup_trace.ingest.records import Window

TOLERANCE_NS: Final = 1_000_000
"""Two recordings' stamps of one event lie closer together: tracers are called one after the other."""

Ints = NDArray[np.int64]
_PID: Final = 0xFFFFFFFF
_NONE: Final = np.empty(0, np.int64)


@dataclass
class _Seen:
    """Since when a recording has an event, by CPU and thread."""

    keys: Ints = field(default_factory=lambda: _NONE)
    first_ns: Ints = field(default_factory=lambda: _NONE)
    mask: int = -1
    """The bits of a key that are known."""

    def add(self, keys: Ints, ts: Ints) -> None:
        self.mask &= _mask(keys)
        self.keys, at = np.unique(np.concatenate([self.keys, keys]), return_index=True)
        self.first_ns = np.concatenate([self.first_ns, ts])[at]

    def since(self, keys: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Whether these were seen, and since when."""
        mask = self.mask & _mask(keys)
        order = np.argsort(self.first_ns, kind="stable")
        known, at = np.unique(self.keys[order] & mask, return_index=True)
        place = np.minimum(np.searchsorted(known, keys & mask), len(known) - 1)
        return known[place] == keys & mask, self.first_ns[order][at][place]


@dataclass
class _One:
    """What is known of one recording so far."""

    path: Path
    first_ns: int | None = None
    last_ns: int | None = None
    done: bool = False
    seen: dict[str, _Seen] = field(default_factory=dict)
    not_decoded: list[tuple[int | None, int | None, Counter[str]]] = field(default_factory=list)
    """Of each window: where it begins and ends, and how many records of it are in no table."""
    dropped: deque[Ints] = field(default_factory=lambda: deque(maxlen=2))
    """`common_seq` of what was left out of the last two stretches: a stack may lie in the one behind its record's."""

    def counted(self, event: str, begin: int | None, end: int | None) -> bool:
        """Whether a window of that time has the event, decoded or not; a window without times may be of any."""
        return any(
            event in counts
            and (begin is None or until is None or end is None or since is None or (begin <= until and since <= end))
            for since, until, counts in self.not_decoded
        )


class Common:
    """Finds records that are in several recordings."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._all = [_One(path) for path in paths]
        self._offsets = dict[tuple[int, int], Offset]()
        self._dropped = dict[str, Counter[int]]()
        self._owner = dict[str, int]()

    def learn(self, number: int, window: Window | None) -> None:
        """Look at a recording's next window before anything of it is taken; None: there is no more."""
        one = self._all[number]
        if window is None:
            one.done = True
            return
        begin, end = one.last_ns, one.last_ns
        counts = Counter(window.counts)
        for event, table in window.events.items():
            counts[event] -= len(table)
            if len(table):
                keys, ts = _keys(table), table["common_ts_ns"].to_numpy()
                if "of_seq" not in table.schema.names:
                    one.seen.setdefault(event, _Seen()).add(keys, ts)
                begin = int(ts[0]) if begin is None else min(begin, int(ts[0]))
                end = int(ts[-1]) if end is None else max(end, int(ts[-1]))
        one.first_ns = begin if one.first_ns is None else one.first_ns
        one.last_ns = end
        one.not_decoded.append((begin, end, +counts))

    def without_doubles(self, taken: Sequence[dict[str, pa.Table]]) -> list[dict[str, pa.Table]]:
        """Of each recording the records of a stretch that no recording before it has."""
        kept = [taken[0]]
        for number, events in enumerate(taken[1:], 1):
            one, mine, dropped = self._all[number], dict[str, pa.Table](), [_NONE]
            for event, table in events.items():
                if "of_seq" not in table.schema.names:
                    owner = self._owners(number, event, table)
                    if (owner >= 0).any():
                        self._note(number, event, table, owner, taken)
                        dropped.append(table["common_seq"].to_numpy()[owner >= 0])
                        table = table.filter(pa.array(owner < 0))
                mine[event] = table
            one.dropped.append(np.concatenate(dropped))
            gone = pa.array(np.concatenate(one.dropped))
            for event, table in mine.items():
                if "of_seq" in table.schema.names and len(gone):
                    mine[event] = table.filter(pc.invert(pc.is_in(table["of_seq"], gone)))
            kept.append(mine)
        return kept

    def _owners(self, number: int, event: str, table: pa.Table) -> Ints:
        """Which recording named before has each of these records; -1: none."""
        owner = np.full(len(table), -1)
        keys, ts = _keys(table), table["common_ts_ns"].to_numpy()
        for other in reversed(range(number)):
            one = self._all[other]
            if event in one.seen and one.first_ns is not None and one.last_ns is not None:
                seen, since = one.seen[event].since(keys)
                seen &= ts >= np.maximum(since - TOLERANCE_NS, one.first_ns)
                owner[seen & (ts <= one.last_ns) if one.done else seen] = other
        return owner

    def _note(
        self, number: int, event: str, table: pa.Table, owner: Ints, taken: Sequence[dict[str, pa.Table]]
    ) -> None:
        self._dropped.setdefault(event, Counter())[number] += int((owner >= 0).sum())
        keys, ts = _keys(table), table["common_ts_ns"].to_numpy()
        for other in np.unique(owner[owner >= 0]).tolist():
            self._owner[event] = min(self._owner.get(event, other), other)
            if event in taken[other]:
                theirs, mine = taken[other][event], owner == other
                offset = self._offsets.setdefault(
                    (number, other), Offset(*(self._all[n].path for n in (number, other)))
                )
                offset.add(_keys(theirs), theirs["common_ts_ns"].to_numpy(), keys[mine], ts[mine])

    def not_decoded(self) -> Counter[str]:
        """How many records no table has, of each event; those of windows at one time only from the first recording."""
        result = Counter[str]()
        for number, one in enumerate(self._all):
            for begin, end, counts in one.not_decoded:
                for event, count in counts.items():
                    owner = next((n for n in range(number) if self._all[n].counted(event, begin, end)), None)
                    if owner is None:
                        result[event] += count
                    else:
                        self._dropped.setdefault(event, Counter())[number] += count
                        self._owner[event] = min(self._owner.get(event, owner), owner)
        return result

    def complete(self) -> None:
        """All windows were read. Raises RecordingError for clocks that do not agree."""
        for offset in self._offsets.values():
            offset.check()

    def taken_once(self, labels: Sequence[str]) -> dict[str, Any]:
        """Event -> the recording that it is from, and how many records of the others were left out."""
        return {
            event: {
                "from": labels[self._owner[event]],
                "dropped": {labels[number]: count for number, count in sorted(dropped.items())},
            }
            for event, dropped in sorted(self._dropped.items())
        }

    def offsets(self, labels: Sequence[str]) -> dict[str, Any]:
        """Recording -> how much later than another's its stamps of the same events are."""
        return {
            labels[number]: {"to": labels[other], **offset.found()}
            for (number, other), offset in sorted(self._offsets.items(), reverse=True)
        }


def _keys(table: pa.Table) -> Ints:
    """CPU and thread of each record in one number; -1 stands for one that is not known."""
    cpu, pid = (table[name].cast(pa.int64()).fill_null(-1).to_numpy() for name in ("common_cpu", "common_pid"))
    keys: Ints = (cpu << 32) | (pid & _PID)
    return keys


def _mask(keys: Ints) -> int:
    """The bits that are known in all keys."""
    cpu, pid = keys >> 32, keys & _PID
    return (~_PID if (cpu >= 0).all() else 0) | (_PID if (pid != _PID).all() else 0)
