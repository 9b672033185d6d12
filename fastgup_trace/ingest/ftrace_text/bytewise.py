"""Compiled steps over bytes: what a byte is, names and their numbers, the ends of lines.

A byte is read only below the end that the caller gives, every loop goes forward, and tables of names give up after
`PROBES_MAX` steps, so that no text takes long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import uint64

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s

Int32s = npt.NDArray[np.int32]

PROBES_MAX = 64


@compiled
def as_int(number: Any) -> Any:
    """A number of any type as int64; bytes are unsigned, and unsigned numbers do not mix with offsets."""
    return np.int64(number)


@compiled
def is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


@compiled
def is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@compiled
def is_word(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95


@compiled
def same(text: Bytes, a: int, b: int, size: int) -> bool:
    """Whether text[a:a+size] and text[b:b+size] are equal; the caller knows both to be inside."""
    i = 0
    while i < size and text[a + i] == text[b + i]:
        i += 1
    return i == size


@compiled
def starts_with(text: Bytes, at: int, end: int, literal: Bytes) -> bool:
    """Whether `literal` stands at `at` and ends before `end`."""
    if end - at < len(literal):
        return False
    i = 0
    while i < len(literal) and text[at + i] == literal[i]:
        i += 1
    return i == len(literal)


@compiled
def hash_of(text: Bytes, begin: int, end: int) -> Any:
    """Of the length, the first and the last eight bytes."""
    size = end - begin
    first, last = uint64(0), uint64(size)
    for i in range(begin, begin + min(size, 8)):
        first = (first << uint64(8)) | uint64(text[i])
    for i in range(max(begin, end - 8), end):
        last = (last << uint64(8)) ^ uint64(text[i])
    value = (first ^ (last * uint64(11400714819323198485))) * uint64(14029467366897019727)
    return value ^ (value >> uint64(32))


@compiled
def intern(
    text: Bytes, begin: int, end: int, hashed: Any, slots: Int32s, begins: Int64s, ends: Int64s, count: int
) -> Any:
    """The number of text[begin:end] among names; `count` if it is new, which the caller then adds.

    `slots` (a power of two) hold numbers, -1 for none. A name that finds no slot near its own gets a number each time.
    """
    mask = uint64(len(slots) - 1)
    size = end - begin
    for step in range(PROBES_MAX):
        slot = as_int((hashed + uint64(step)) & mask)
        code = slots[slot]
        if code < 0:
            slots[slot] = count
            break
        if ends[code] - begins[code] == size and same(text, begins[code], begin, size):
            return as_int(code)
    begins[count] = begin
    ends[count] = end
    return count


@compiled
def line_end(text: Bytes, words: Any, at: int, end: int) -> int:
    """Where the line that holds `at` ends; eight bytes a step. `words` are those of `text` before its last few."""
    low, high, newlines = uint64(0x0101010101010101), uint64(0x8080808080808080), uint64(0x0A0A0A0A0A0A0A0A)
    while at < end and at & 7:
        if text[at] == 10:
            return at
        at += 1
    word = at >> 3
    while word < len(words):
        found = words[word] ^ newlines
        if (found - low) & ~found & high:
            break
        word += 1
    at = max(at, min(word << 3, end))
    while at < end and text[at] != 10:
        at += 1
    return at
