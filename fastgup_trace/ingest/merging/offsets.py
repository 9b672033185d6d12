"""How far apart the clocks of two recordings are, as the same events in both show.

Of a sample of common records the differences to all near records of the same event, CPU and thread are counted; the
true offset is where most agree, whatever the rate of the event. Nothing is shifted by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError

AGREE_NS: Final = 1_000_000
SEARCH_NS: Final = 1_000_000_000
SAMPLE: Final = 10_000
PAIRS_MIN: Final = 20
_NEAR: Final = 64
_BIN_NS: Final = 100_000
_FEW: Final = (100, 0.02)

Ints = NDArray[np.int64]


class Offset:
    """Gathers up to SAMPLE common records of two recordings: `path` against `other`."""

    def __init__(self, path: Path, other: Path) -> None:
        self._path, self._other = path, other
        self._differences = list[Ints]()
        self._sampled = 0

    def add(self, their_keys: Ints, their_ts: Ints, keys: Ints, ts: Ints) -> None:
        """Records of one event: those of `other`, and those of `path`; a key is the same for one CPU and thread.

        Raises RecordingError once the sample is full and the clocks do not agree.
        """
        room = SAMPLE - self._sampled
        if room <= 0:
            return
        keys, ts = keys[:room], ts[:room]
        self._sampled += len(keys)
        present = np.isin(their_keys, keys)
        theirs = _by_key(their_keys[present], their_ts[present])
        for key, stamps in _by_key(keys, ts).items():
            near = theirs.get(key, np.empty(0, np.int64))
            place = np.searchsorted(near, stamps)[:, None] + np.arange(-_NEAR, _NEAR)
            there = (place >= 0) & (place < len(near))
            found = np.full(place.shape, 2 * SEARCH_NS)
            found[there] = (stamps[:, None] - near[np.clip(place, 0, max(len(near) - 1, 0))])[there] if len(near) else 0
            self._differences.append(np.clip(found, -2 * SEARCH_NS, 2 * SEARCH_NS))
        if self._sampled == SAMPLE:
            self.check()

    def found(self) -> dict[str, Any]:
        """The median of `path`'s stamps less `other`'s, where 90 % of them lie, and of how many pairs."""
        offsets = self._pairs()
        if not len(offsets):
            return {"median": None, "low": None, "high": None, "pairs": 0, "sampled": self._sampled}
        low, median, high = (int(value) for value in np.percentile(offsets, [5, 50, 95]))
        return {"median": median, "low": low, "high": high, "pairs": len(offsets), "sampled": self._sampled}

    def check(self) -> None:
        """Raises RecordingError where the common events say that the clocks do not agree."""
        offsets = self._pairs()
        median = float(np.median(offsets)) if len(offsets) else 0.0
        if len(offsets) >= PAIRS_MIN and abs(median) > AGREE_NS:
            found = f"{abs(median) / 1e6:.3f} ms {'later' if median > 0 else 'earlier'} in {len(offsets)} of them"
        elif self._sampled >= _FEW[0] and len(offsets) < self._sampled * _FEW[1]:
            found = f"them for {len(offsets)} of {self._sampled}"
        else:
            return
        raise RecordingError(
            str(self._path), f"the events that {self._other} has too at the same times", found,
            "are both of one run, with one clock? (trace-cmd record -C mono, perf record -k mono)",
        )  # fmt: skip

    def _pairs(self) -> Ints:
        """The offsets of those records that have a partner near the offset on which most agree."""
        if not self._differences:
            return np.empty(0, np.int64)
        differences = np.concatenate(self._differences)
        near: Ints = differences[np.abs(differences) <= SEARCH_NS]
        if not len(near):
            return near
        counts = np.bincount((near + SEARCH_NS) // _BIN_NS, minlength=2 * SEARCH_NS // _BIN_NS + 1)
        counts = np.convolve(counts, [1, 1, 1], "same")  # an offset at the border of two bins
        peaks = np.flatnonzero(counts == counts.max()) * _BIN_NS + _BIN_NS // 2 - SEARCH_NS
        centre = int(peaks[np.abs(peaks).argmin()])
        for _ in range(2):  # around the middle of the bin, then around what was found there
            nearest = differences[np.arange(len(differences)), np.abs(differences - centre).argmin(axis=1)]
            pairs: Ints = nearest[np.abs(nearest - centre) <= AGREE_NS]
            centre = int(np.median(pairs)) if len(pairs) else centre
        return pairs


def _by_key(keys: Ints, ts: Ints) -> dict[int, Ints]:
    """The stamps of each key, in order."""
    if not len(keys):
        return {}
    order = np.lexsort((ts, keys))
    names, starts = np.unique(keys[order], return_index=True)
    return dict(zip(names.tolist(), np.split(ts[order], starts[1:]), strict=True))
