"""What damage to a recording is: its bytes, and which of the seed's bytes they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

INTERESTING: Final = (0, 1, 2, 3, 4, 7, 8, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x3FFFFFFF,
                      0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 48, (1 << 63) - 1, 1 << 63,
                      (1 << 64) - 8, (1 << 64) - 1)  # fmt: skip
"""Numbers at which sizes, signs and sums go wrong."""


@dataclass(frozen=True)
class Edit:
    """A recording after some damage.

    `touched` are the places of the seed, (start, end) in bytes, that were changed or went; None where the result has
    no such relation to the seed that its number of records could be told from it.
    """

    data: bytes
    touched: tuple[tuple[int, int], ...] | None
    cut: bool = False
    """The end of the seed is missing, and nothing else was done."""


def interesting(random: Random, near: int) -> int:
    """A number of INTERESTING or one beside `near`."""
    return random.choice(INTERESTING) if random.random() < 0.6 else max(0, near + random.choice((-8, -4, -1, 1, 4, 8)))
