"""Compiled steps over bytes: what a byte is, names and their numbers, the ends of lines.

A byte is read only below the end that the caller gives, every loop goes forward, and tables of names give up after
`PROBES_MAX` steps, so that no text takes long.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import uint64

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s

Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

PROBES_MAX = 64


@lean
def as_int(number: Any) -> Any:
    """A number of any type as int64; bytes are unsigned, and unsigned numbers do not mix with offsets."""
    return np.int64(number)


@lean
def is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


@lean
def is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@lean
def is_word(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95


@lean
def same(text: Bytes, a: int, b: int, size: int) -> bool:
    """Whether text[a:a+size] and text[b:b+size] are equal; the caller knows both to be inside."""
    i = 0
    while i < size and text[a + i] == text[b + i]:
        i += 1
    return i == size


@lean
def starts_with(text: Bytes, at: int, end: int, literal: Bytes) -> bool:
    """Whether `literal` stands at `at` and ends before `end`."""
    if end - at < len(literal):
        return False
    i = 0
    while i < len(literal) and text[at + i] == literal[i]:
        i += 1
    return i == len(literal)


@lean
def mixed(a: Any, b: Any) -> Any:
    """Two words as one number of 48 bits; no step overflows, which plain Python would tell."""
    value = a ^ (b << uint64(17)) ^ (b >> uint64(47))
    value = (value ^ (value >> uint64(32))) & uint64(0xFFFFFFFF)
    return (value * uint64(0x9E3779B1)) >> uint64(16)


@lean
def hash_of(text: Bytes, begin: int, end: int) -> Any:
    """Of the length, the first and the last eight bytes."""
    size = end - begin
    first, last = uint64(0), uint64(size)
    for i in range(begin, begin + min(size, 8)):
        first = (first << uint64(8)) | uint64(text[i])
    for i in range(max(begin, end - 8), end):
        last = (last << uint64(8)) ^ uint64(text[i])
    return mixed(first, last)


@lean
def word_at(words: Words, at: int) -> Any:
    """Eight bytes of the text, the first of them lowest; the caller knows that 16 are inside `words`."""
    index, shift = uint64(at) >> uint64(3), (uint64(at) & uint64(7)) << uint64(3)
    return (words[index] >> shift) | ((words[index + uint64(1)] << uint64(1)) << (uint64(63) - shift))


@lean
def tail_of(word: Any, size: int) -> Any:
    """The first 1 to 8 bytes of a word."""
    return word << uint64(64 - 8 * size)


@lean
def hash_words(words: Words, at: int, size: int) -> Any:
    """Of `size` bytes; the caller knows that 16 more are inside `words`."""
    found = uint64(size)
    while size > 0:
        found = (found << uint64(13)) ^ (found >> uint64(51)) ^ tail_of(word_at(words, at), min(size, 8))
        at += 8
        size -= 8
    return mixed(found, uint64(0))


@lean
def same_words(words: Words, a: int, b: int, size: int) -> bool:
    """As `same`; the caller knows that 16 more bytes are inside `words`."""
    while size > 0:
        different = word_at(words, a) ^ word_at(words, b)
        if tail_of(different, min(size, 8)) != uint64(0):
            return False
        a += 8
        b += 8
        size -= 8
    return True


@lean
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


@lean
def line_end(text: Bytes, words: Words, at: int, end: int) -> int:
    """Where the line that holds `at` ends; eight bytes a step. `words` are those of `text` before its last few."""
    low, high, newlines = uint64(0x7F7F7F7F7F7F7F7F), uint64(0x8080808080808080), uint64(0x0A0A0A0A0A0A0A0A)
    while at < end and at & 7:
        if text[at] == 10:
            return at
        at += 1
    word = at >> 3
    while word < len(words):
        found = words[word] ^ newlines
        if ~(((found & low) + low) | found) & high:
            break
        word += 1
    at = max(at, min(word << 3, end))
    while at < end and text[at] != 10:
        at += 1
    return at


def words_of(text: bytes) -> Words:
    """The text as words of eight bytes, without its last few; none where a word's first byte is not its lowest."""
    return np.frombuffer(text, np.uint64, len(text) // 8 if sys.byteorder == "little" else 0)
