"""Stretches of a text: where in it each of some words or bodies begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Spans:
    """text[begin[i]:end[i]]; offsets are inside the text and no end is before its begin."""

    text: bytes
    begin: Int64s
    end: Int64s

    def __len__(self) -> int:
        return len(self.begin)

    def take(self, rows: npt.NDArray[np.int64]) -> Spans:
        """Those of some rows."""
        return Spans(self.text, self.begin[rows], self.end[rows])

    def tolist(self) -> list[bytes]:
        text = self.text
        return [text[a:b] for a, b in zip(self.begin.tolist(), self.end.tolist(), strict=True)]


def spans_of(parts: Sequence[bytes]) -> Spans:
    """Spans of a text of their own."""
    bounds = np.fromiter(accumulate(map(len, parts), initial=0), np.int64, len(parts) + 1)
    return Spans(b"".join(parts), bounds[:-1], bounds[1:])
