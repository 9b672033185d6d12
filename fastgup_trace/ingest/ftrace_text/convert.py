"""Compiled: words to numbers, and what a word looks like. The twin of `words` and of `values.detect`."""

from __future__ import annotations

from typing import Any

from numba import uint64

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import as_int, is_digit
from fastgup_trace.ingest.ftrace_text.numbers import BARE, DECIMAL, NUMBER, PADDED, PREFIXED
from fastgup_trace.ingest.ftrace_text.spans import Bytes


@lean
def hex_digit(byte: int, capitals: bool) -> int:
    """The value of a digit, or -1."""
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    if capitals and 65 <= byte <= 70:
        return byte - 55
    return -1


@lean
def nil_end(text: Bytes, at: int, end: int) -> int:
    """The end of (nil), (null) or (____ptrval____), or -1."""
    size = end - at
    if size >= 5 and text[at + 1] == 110:
        if text[at + 2] == 105 and text[at + 3] == 108 and text[at + 4] == 41:
            return at + 5
        if size >= 6 and text[at + 2] == 117 and text[at + 3] == 108 and text[at + 4] == 108 and text[at + 5] == 41:
            return at + 6
        return -1
    p = at + 1
    while p < end and text[p] == 95:
        p += 1
    if p == at + 1 or end - p < 7 or text[p] != 112 or text[p + 1] != 116 or text[p + 2] != 114:
        return -1
    if text[p + 3] != 118 or text[p + 4] != 97 or text[p + 5] != 108:
        return -1
    p += 6
    begin = p
    while p < end and text[p] == 95:
        p += 1
    return p + 1 if p > begin and p < end and text[p] == 41 else -1


@lean
def decimal_of(text: Bytes, begin: int, end: int) -> tuple[int, Any]:
    """A decimal number as its 64 bits, and whether it fits them; what is behind its digits is passed over."""
    negative = text[begin] == 45
    value, p = uint64(0), begin + as_int(negative)
    most = uint64(1 << 63) if negative else uint64(0xFFFFFFFFFFFFFFFF)
    while p < end and is_digit(text[p]):
        digit = uint64(text[p]) - uint64(48)
        if value > (most - digit) // uint64(10):
            return 0, False
        value = value * uint64(10) + digit
        p += 1
    return as_int(~value + uint64(1)) if negative and value else as_int(value), True


@lean
def hex_of(text: Bytes, begin: int, end: int) -> tuple[int, bool]:
    """A hexadecimal number, maybe with 0x, as its 64 bits, and whether it fits; (nil) and the like are 0."""
    if text[begin] == 40:
        return 0, True
    p = begin + 2 if end - begin > 2 and text[begin + 1] == 120 else begin
    value = uint64(0)
    while p < end:
        if value >> uint64(60):
            return 0, False
        value = (value << uint64(4)) | uint64(hex_digit(text[p], True))
        p += 1
    return as_int(value), True


@lean
def classes_of(text: Bytes, begin: int, end: int) -> int:
    """What a word without a known kind looks like (numbers.NUMBER ...), but for whether it fits."""
    size = end - begin
    if size == 0:
        return 0
    if text[begin] == 40:
        stop = nil_end(text, begin, end)
        return (PADDED | (BARE if size == 5 else 0)) if stop == end else 0
    if text[begin] == 48 and size > 2 and text[begin + 1] == 120:
        for p in range(begin + 2, end):
            if hex_digit(text[p], False) < 0:
                return PREFIXED
        return PREFIXED | ((NUMBER | PADDED) if size <= 18 else 0)
    p = begin + as_int(text[begin] == 45)
    digits = p
    while p < end and is_digit(text[p]):
        p += 1
    found = 0
    if 1 <= p - digits <= 20:
        left = end - p
        if left == 0 or (left == 1 and text[p] == 66):
            found = NUMBER | DECIMAL
        elif left == 5 and text[p] == 32 and text[p + 1] == 91 and text[p + 2] == 110 and text[p + 4] == 93:
            found = (NUMBER | DECIMAL) if text[p + 3] == 115 else 0
    if size <= 16:
        p = begin
        while p < end and hex_digit(text[p], False) >= 0:
            p += 1
        if p == end:
            found |= BARE | (PADDED if size == 16 else 0)
    return found
