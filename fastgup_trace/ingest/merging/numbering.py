"""`common_seq` of merged records: by time, those of one time by recording, then as they were.

It counts also what was not decoded, or is left out, before the next record of its recording: two records that were
neighbours still are, unless one of another recording lies between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Seqs = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Records of one event of one recording."""

    recording: int
    event: str
    table: pa.Table


class Numbering:
    """Numbers stretch after stretch."""

    def __init__(self, recordings: int) -> None:
        self._last = -1
        self._last_old = [-1] * recordings
        # A stack may lie in the stretch behind its record's.
        self._recent = [deque[tuple[Seqs, Seqs]](maxlen=2) for _ in range(recordings)]

    def renumbered(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The records of the next stretch, `common_seq` and `of_seq` given anew."""
        if not pieces:
            return []
        lengths = [len(piece.table) for piece in pieces]
        ts, old = (
            np.concatenate([piece.table[name].to_numpy() for piece in pieces])
            for name in ("common_ts_ns", "common_seq")
        )
        recording = np.repeat([piece.recording for piece in pieces], lengths)
        new = self._numbers(ts, recording, old)
        for number, recent in enumerate(self._recent):
            mine = np.flatnonzero(recording == number)
            mine = mine[np.argsort(old[mine], kind="stable")]
            recent.append((old[mine], new[mine]))
        numbers = np.split(new, np.cumsum(lengths)[:-1])
        return [self._with(piece, seq) for piece, seq in zip(pieces, numbers, strict=True)]

    def _numbers(self, ts: Seqs, recording: NDArray[np.int64], old: Seqs) -> Seqs:
        order = np.lexsort((old, recording, ts))
        gaps = np.ones(len(order), np.int64)
        for number, last_old in enumerate(self._last_old):
            at = np.flatnonzero(recording[order] == number)
            if len(at):
                seqs = old[order[at]]
                gaps[at] = np.maximum(np.diff(seqs, prepend=last_old), 1)
                self._last_old[number] = int(seqs[-1])
        new = np.empty(len(order), np.int64)
        new[order] = self._last + np.cumsum(gaps)
        self._last = int(new[order[-1]])
        return new

    def _with(self, piece: Piece, seq: Seqs) -> Piece:
        table, names = piece.table, piece.table.schema.names
        table = table.set_column(names.index("common_seq"), "common_seq", pa.array(seq))
        if "of_seq" in names:
            of_seq = self._found(piece.recording, table["of_seq"].fill_null(-1).to_numpy())
            table = table.set_column(names.index("of_seq"), "of_seq", of_seq)
        return replace(piece, table=table)

    def _found(self, recording: int, old: Seqs) -> pa.Array:
        """The new numbers of these, null where that is not known: of records that lie further back."""
        olds, news = (np.concatenate(arrays) for arrays in zip(*self._recent[recording], strict=True))
        place = np.searchsorted(olds, old)
        known = (place < len(olds)) & (old >= (olds[0] if len(olds) else 0))
        place = np.minimum(place, max(len(olds) - 1, 0))
        # A record that was not decoded is counted right before the next one.
        found = news[place] - (olds[place] - old) if len(olds) else old
        return pa.array(found, pa.int64(), mask=~known)
