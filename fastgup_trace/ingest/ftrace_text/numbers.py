"""Words that are numbers, read once: their values beside the stretches of text that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans

FITS, NUMBER, PADDED, BARE, PREFIXED, DECIMAL, HASH, EIGHT = (1 << n for n in range(8))
"""Of a word: its value fits 64 bits; it looks like an integer, like an address with all its digits, like hexadecimal
without 0x; has 0x; is decimal; has 16 digits of which 8 are zeros; has 8 characters."""


_MINUS = 45


@dataclass(frozen=True)
class Numbers:
    """Words of one field that are all numbers."""

    spans: tuple[Spans, ...]
    """The words themselves, one part after another."""
    values: Int64s
    """As the word is written (0x or decimal); the bits of an unsigned one."""
    hexes: Int64s
    """With the digits taken for hexadecimal."""
    info: Bytes

    def __len__(self) -> int:
        return len(self.values)

    def all_of(self, classes: int) -> bool:
        """Whether one of `classes` is in every word."""
        return bool(np.bitwise_and.reduce(self.info, initial=0xFF) & classes)

    def any_of(self, classes: int) -> bool:
        return bool(np.bitwise_or.reduce(self.info, initial=0) & classes)

    def kind(self) -> str | None:
        """What a field of these words is, as `values.detect` would say; None if it takes their text to tell."""
        if self.all_of(NUMBER):
            return "hex" if self.any_of(PREFIXED) else "int"
        return "pointer" if self.all_of(PADDED) or self.all_of(BARE) else None

    def words(self) -> pa.Array:
        return pa.array([word for spans in self.spans for word in spans.tolist()], pa.binary())

    def decimals(self) -> pa.Array:
        """Null where it does not fit int64."""
        large = self.large()
        if not large.any():
            return self.signed()
        return pa.array(self.values, mask=large | ((self.info & FITS) == 0))

    def signed(self) -> pa.Array:
        """The 64 bits, with a sign."""
        return pa.array(self.values, mask=self._misfits())

    def integers(self) -> pa.Array:
        """As int64, or uint64 if some do not fit that and none is negative; of both together the 64 bits."""
        large = self.large()
        unsigned = bool(large.any()) and bool((self.values[~large] >= 0).all())
        return pa.array(self.values.view(np.uint64) if unsigned else self.values, mask=self._misfits())

    def large(self) -> npt.NDArray[np.bool_]:
        """Which are of 2**63 and more: their bits look negative, and they have no sign."""
        found = self.values < 0
        if found.any():
            first = [np.frombuffer(spans.text, np.uint8)[spans.begin] for spans in self.spans]
            found &= np.concatenate(first) != _MINUS
        return found

    def unsigned(self, hexadecimal: bool = False) -> pa.Array:
        return pa.array((self.hexes if hexadecimal else self.values).view(np.uint64), mask=self._misfits())

    def _misfits(self) -> npt.NDArray[np.bool_] | None:
        return None if self.all_of(FITS) else (self.info & FITS) == 0


def joined(parts: Sequence[Numbers]) -> Numbers:
    """Parts of one field, one after another."""
    if len(parts) == 1:
        return parts[0]
    values, hexes, info = (np.concatenate(c) for c in zip(*((p.values, p.hexes, p.info) for p in parts), strict=True))
    return Numbers(tuple(spans for part in parts for spans in part.spans), values, hexes, info)
