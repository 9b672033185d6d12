"""Damage to the bytes of any recording: bits, bytes, words, blocks, ends, and two recordings in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Literal

from fuzz.edits import Edit, interesting

Mutation = Callable[[bytes, Sequence[int], Random], Edit]
"""(the seed's bytes, places where its structure is, random) -> damage."""

_NEAR_BYTES: Final = 32
_BLOCK_BYTES: Final = (1, 2, 4, 8, 16, 64, 512, 4096)


def _place(data: bytes, hot: Sequence[int], random: Random) -> int:
    """Somewhere; more often than not near the structure, as most bytes of a recording are its records."""
    if hot and random.random() < 0.7:
        return min(len(data) - 1, random.choice(hot) + random.randrange(_NEAR_BYTES))
    return random.randrange(len(data))


def flip_bits(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    changed, touched = bytearray(data), []
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = _place(data, hot, random)
        changed[at] ^= 1 << random.randrange(8)
        touched.append((at, at + 1))
    return Edit(bytes(changed), tuple(touched))


def set_bytes(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    at, size = _place(data, hot, random), random.choice((1, 1, 2, 4, 8, 64))
    value = random.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b" ", bytes([random.randrange(256)])))
    end = min(at + size, len(data))
    return Edit(data[:at] + value * (end - at) + data[end:], ((at, end),))


def set_word(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """A u16, u32 or u64 of either byte order becomes one that is likely to break something."""
    at, size = _place(data, hot, random), random.choice((2, 4, 4, 8, 8))
    at = min(at if random.random() < 0.3 else at & ~3, max(0, len(data) - size))
    end = min(at + size, len(data))
    order: Literal["little", "big"] = "little" if random.random() < 0.8 else "big"
    near = random.choice((int.from_bytes(data[at:end], order), len(data), len(data) - at))
    value = interesting(random, near) & ((1 << 8 * (end - at)) - 1)
    return Edit(data[:at] + value.to_bytes(end - at, order) + data[end:], ((at, end),))


def move_block(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """A block overwrites another one."""
    size = min(random.choice(_BLOCK_BYTES), len(data))
    source, at = (min(_place(data, hot, random), len(data) - size) for _ in range(2))
    return Edit(data[:at] + data[source : source + size] + data[at + size :], ((at, at + size),))


def delete_block(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    at = _place(data, hot, random)
    end = min(at + random.choice(_BLOCK_BYTES), len(data))
    return Edit(data[:at] + data[end:], ((at, len(data)),))


def insert_block(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """A block that is zero, random, or there already."""
    at, size = _place(data, hot, random), random.choice(_BLOCK_BYTES)
    source = _place(data, hot, random)
    block = random.choice((bytes(size), random.randbytes(size), data[source : source + size]))
    return Edit(data[:at] + block + data[at:], ((at, len(data)),))


def cut(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """The machine died, or the copy did."""
    at = _place(data, hot, random)
    return Edit(data[:at], ((at, len(data)),), cut=True)


def zero_to_end(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """What a file system gives after a crash: the size is there, the bytes are not."""
    at = _place(data, hot, random)
    return Edit(data[:at] + bytes(len(data) - at), ((at, len(data)),))


IN_PLACE: Final[tuple[Mutation, ...]] = (flip_bits, set_bytes, set_word, move_block)
"""These keep every byte where it is."""

MUTATIONS: Final[tuple[Mutation, ...]] = (
    *IN_PLACE, set_word, set_word, delete_block, insert_block, cut, cut, zero_to_end
)  # fmt: skip


def spliced(data: bytes, other: bytes, random: Random) -> Edit:
    """The head of one recording and the tail of another."""
    at, place = random.randrange(len(data)), random.randrange(len(other))
    return Edit(data[:at] + other[place:], None)


def combined(data: bytes, hot: Sequence[int], random: Random) -> Edit:
    """One to four mutations; only the last may move bytes, so that all tell places of the seed."""
    edit = Edit(data, ())
    touched = list[tuple[int, int]]()
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        edit = random.choice(IN_PLACE)(edit.data, hot, random)
        touched += edit.touched or ()
    last = random.choice(MUTATIONS)(edit.data, hot, random)
    return Edit(last.data, (*touched, *(last.touched or ())), cut=last.cut and not touched)
