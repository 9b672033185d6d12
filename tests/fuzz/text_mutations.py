"""Damage to text: lines that go or come twice, numbers that are too large, words that are missing, endless lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from fuzz.edits import Edit

_NUMBERS: Final = (b"0", b"-1", b"4294967296", b"9223372036854775808", b"18446744073709551616", b"9" * 30, b"9" * 5000,
                   b"0x" + b"f" * 17, b"1e400", b"NaN", b"", b"00000000000000000001",
                   b"-9223372036854775809")  # fmt: skip
_WORDS: Final = (b" ", b"  ", b":", b"=", b"[", b"]", b"{", b"}", b'"', b"\\", b"==>", b"|", b"-", b"\xff\xfe", b"\0",
                 b"\xe2\x80\xa8", b"\r\n", b"\r", b"\t", b"<...>", b"#", b"[LOST 99999999999999999999 EVENTS]",
                 b"CPU:3 [LOST 7 EVENTS]\n", b"\n", b"\x1b[2J", b"%s%n", b"\x85", b"(" * 300, b"[" * 3000)  # fmt: skip


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _starts(lines: Sequence[bytes], first: int, count: int) -> tuple[int, int]:
    start = sum(map(len, lines[:first]))
    return start, start + sum(map(len, lines[first : first + count]))


def drop_lines(data: bytes, random: Random) -> Edit:
    lines = _lines(data)
    first, count = random.randrange(len(lines)), random.choice((1, 1, 2, 10))
    return Edit(b"".join(lines[:first] + lines[first + count :]), (_starts(lines, first, count),))


def double_lines(data: bytes, random: Random) -> Edit:
    lines = _lines(data)
    first, count = random.randrange(len(lines)), random.choice((1, 1, 2, 10))
    doubled = lines[: first + count] + lines[first : first + count] + lines[first + count :]
    return Edit(b"".join(doubled), (_starts(lines, first, count),))


def swap_lines(data: bytes, random: Random) -> Edit:
    """Lines that come in another order: times that decrease."""
    lines = _lines(data)
    one, other = sorted(random.randrange(len(lines)) for _ in range(2))
    places = (_starts(lines, one, 1), _starts(lines, other, 1))
    lines[one], lines[other] = lines[other], lines[one]
    return Edit(b"".join(lines), places)


def set_number(data: bytes, random: Random) -> Edit:
    return _in_a_line(data, rb"\d+", random.choice(_NUMBERS), random)


def set_word(data: bytes, random: Random) -> Edit:
    return _in_a_line(data, rb"\w+|[^\w\s]", random.choice(_WORDS), random)


def _in_a_line(data: bytes, pattern: bytes, new: bytes, random: Random) -> Edit:
    """Put `new` where one match of `pattern` is, in some line."""
    lines = _lines(data)
    number = random.randrange(len(lines))
    matches = list(re.finditer(pattern, lines[number]))
    start, end = _starts(lines, number, 1)
    if not matches:
        return Edit(data[:start] + new + data[start:], ((start, end),))
    match = random.choice(matches)
    return Edit(data[: start + match.start()] + new + data[start + match.end() :], ((start, end),))


def insert_word(data: bytes, random: Random) -> Edit:
    lines = _lines(data)
    number = random.randrange(len(lines))
    start, end = _starts(lines, number, 1)
    at = random.randrange(start, end)
    return Edit(data[:at] + random.choice(_WORDS) + data[at:], ((start, end),))


def long_line(data: bytes, random: Random) -> Edit:
    """A line that does not end for long: one character, or a word again and again."""
    lines = _lines(data)
    number = random.randrange(len(lines))
    start, end = _starts(lines, number, 1)
    at, filler = random.randrange(start, end), random.choice((b"x", b" ", b"9", b"a=1 ", b"(", b"-1 ", b"[", b": "))
    size = random.choice((1 << 10, 1 << 16, 1 << 18))
    return Edit(data[:at] + filler * (size // len(filler)) + data[at:], ((start, end),))


def join_lines(data: bytes, random: Random) -> Edit:
    lines = _lines(data)
    first = random.randrange(len(lines))
    places = _starts(lines, first, 2)
    return Edit(b"".join([*lines[:first], lines[first].rstrip(b"\r\n"), *lines[first + 1 :]]), (places,))


MUTATIONS: Final[tuple[Callable[[bytes, Random], Edit], ...]] = (
    drop_lines, double_lines, swap_lines, set_number, set_number, set_word, insert_word, long_line, join_lines
)  # fmt: skip
