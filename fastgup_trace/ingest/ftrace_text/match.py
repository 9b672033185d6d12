"""The compiled twin of a pattern's regular expression: bodies to the stretches of their fields, and to numbers.

Where a body needs too many steps it is undecided: there the regular expression decides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import as_int, is_digit, is_space, is_word, starts_with
from fastgup_trace.ingest.ftrace_text.convert import classes_of, decimal_of, hex_digit, hex_of, nil_end
from fastgup_trace.ingest.ftrace_text.numbers import BARE, EIGHT, HASH, NUMBER, PADDED
from fastgup_trace.ingest.ftrace_text.numbers import DECIMAL as IS_DECIMAL
from fastgup_trace.ingest.ftrace_text.program import CLASS, COMM, DECIMAL, HEX, LAZY, LONG, PROBE, SYMBOL
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s

FITS, UNDECIDED = 1, 2
_STEPS_MAX = 4096
"""Ends of values that are tried in one body, beyond its length."""
SKIP, AS_DECIMAL, AS_HEX, AS_AUTO, AS_WORD = range(5)
"""What to make of a field's words."""


@lean
def after_literal(text: Bytes, at: int, end: int, literals: Bytes, begin: int, stop: int) -> int:
    """Where a literal ends that stands at `at`, or -1; a space stands for any number of them."""
    for i in range(begin, stop):
        if at >= end or text[at] != literals[i]:
            return -1
        at += 1
        if literals[i] == 32:
            while at < end and text[at] == 32:
                at += 1
    return at


@lean
def value_end(
    text: Bytes, at: int, end: int, kind: int, members: npt.NDArray[np.bool_], field: int, array: Bytes
) -> int:
    """The end of a value that is as long as it can be, or -1."""
    p = at
    if kind == DECIMAL:
        if p < end and text[p] == 45:
            p += 1
        begin = p
        while p < end and is_digit(text[p]):
            p += 1
        return p if p > begin else -1
    if kind in (HEX, LONG):
        if p < end and text[p] == 40:
            return nil_end(text, p, end) if kind == HEX else -1
        if p + 1 < end and text[p] == 48 and text[p + 1] == 120:
            p += 2
        begin = p
        while p < end and hex_digit(text[p], True) >= 0:
            p += 1
        return p if p > begin else -1
    if members[field, 44] and not members[field, 45] and starts_with(text, p, end, array):
        p += len(array)
        while p < end and (text[p] == 32 or text[p] == 44 or hex_digit(text[p], False) >= 0):
            p += 1
        return p + 1 if p < end and text[p] == 93 else -1
    while p < end and members[field, text[p]]:
        p += 1
    return p if p > at or (members[field, 44] and members[field, 32]) else -1


@lean
def ends_probe(byte: int) -> bool:
    """Whether a byte can't be in a value of kind `probe`."""
    return byte == 40 or byte == 41 or byte == 60


@lean
def match_one(
    text: Bytes, begin: int, end: int, literals: Bytes, bounds: Int64s, kinds: Int64s,
    members: npt.NDArray[np.bool_], atomic: bool, array: Bytes, starts: Int64s, ends: Int64s, tried: Int64s,
) -> int:  # fmt: skip
    """Find the fields of text[begin:end]: 1 if the body fits, 0 if not, 2 if that took too long to tell."""
    fields = len(kinds)
    trimmed = end
    while trimmed > begin and text[trimmed - 1] == 32:
        trimmed -= 1
    at = after_literal(text, begin, end, literals, bounds[0], bounds[1])
    if at < 0:
        return 0
    if fields == 0:
        return 1 if at >= trimmed else 0
    steps = _STEPS_MAX + 4 * (end - begin)
    field = 0
    starts[0], tried[0] = at, -1
    while True:
        kind = kinds[field]
        start = starts[field]
        low, high = bounds[field + 1], bounds[field + 2]
        last = field == fields - 1
        following = -1
        if kind in (DECIMAL, HEX, LONG, CLASS):
            if tried[field] < 0:
                stop = value_end(text, start, end, kind, members, field, array)
                tried[field] = start
                if stop >= 0:
                    following = after_literal(text, stop, end, literals, low, high)
                    if last and following < trimmed:
                        following = -1
                    ends[field] = stop
        else:
            stop = start if tried[field] < 0 else tried[field] + 1
            limit = min(end, start + 64) if kind == COMM else end
            if last and high == low and kind in (LAZY, COMM):
                if tried[field] < 0 and max(start, trimmed) <= limit:
                    stop = max(start, trimmed)
                    following = end
                else:
                    stop = limit + 1
            while following < 0 and stop <= limit:
                # To where the literal may begin; what may not be in the value ends it.
                if stop > start and (
                    (kind == SYMBOL and is_space(text[stop - 1])) or (kind == PROBE and ends_probe(text[stop - 1]))
                ):
                    break
                while (
                    high > low
                    and stop < limit
                    and text[stop] != literals[low]
                    and not (kind == SYMBOL and is_space(text[stop]))
                    and not (kind == PROBE and ends_probe(text[stop]))
                ):
                    stop += 1
                steps -= 1
                if steps < 0:
                    return 2
                if kind == SYMBOL and stop > start and stop + 3 < end and text[stop] == 32 and text[stop + 1] == 91:
                    module = stop + 2
                    while module < end and is_word(text[module]):
                        module += 1
                    if module > stop + 2 and module < end and text[module] == 93:
                        following = after_literal(text, module + 1, end, literals, low, high)
                        if last and following < trimmed:
                            following = -1
                        if following >= 0:
                            tried[field] = stop
                            stop = module + 1
                            break
                if stop == start and kind in (SYMBOL, PROBE):
                    stop += 1
                    continue
                # Of a run of spaces the first is as good as any.
                if high == low or (
                    stop < end
                    and text[stop] == literals[low]
                    and (literals[low] != 32 or stop == start or text[stop - 1] != 32)
                ):
                    following = after_literal(text, stop, end, literals, low, high)
                    if last and following < trimmed:
                        following = -1
                    if following >= 0:
                        tried[field] = stop
                        break
                stop += 1
            if following >= 0:
                if tried[field] < 0:
                    tried[field] = stop
                ends[field] = stop
        if following >= 0:
            if last:
                return 1
            field += 1
            starts[field], tried[field] = following, -1
            continue
        if atomic:
            return 0
        field -= 1
        while field >= 0 and (kinds[field] < LAZY or kinds[field] == CLASS):
            field -= 1
        if field < 0:
            return 0


@lean
def match_all(
    text: Bytes, begins: Int64s, stops: Int64s, literals: Bytes, bounds: Int64s, kinds: Int64s,
    members: npt.NDArray[np.bool_], atomic: bool, array: Bytes, readings: Int64s, status: Bytes, spans: Int64s,
    values: Int64s, hexes: Int64s, info: Bytes, work: Int64s,
) -> int:  # fmt: skip
    """Match every body; its fields' offsets, and their values as `readings` says, in rows 2i and 2i + 1, i, i, i.

    spans (2 fields x bodies), values, hexes, info (fields x bodies); work (3 x more than fields) is room of its own.
    Returns the number of bodies that do not fit.
    """
    rows, fields, size = len(begins), len(kinds), len(text)
    if len(stops) < rows or len(status) < rows or spans.shape[0] < 2 * fields or spans.shape[1] < rows:
        return -1
    if values.shape[0] < fields or values.shape[1] < rows or hexes.shape != values.shape or info.shape != values.shape:
        return -1
    if len(bounds) != fields + 2 or bounds[fields + 1] > len(literals) or len(readings) < fields:
        return -1
    if members.shape[0] < fields or members.shape[1] != 256 or work.shape[0] < 3 or work.shape[1] <= fields:
        return -1
    starts, ends, tried = work[0], work[1], work[2]
    misfits = 0
    for row in range(rows):
        begin, end = begins[row], stops[row]
        if begin < 0 or end < begin or end > size:
            return -1
        status[row] = match_one(text, begin, end, literals, bounds, kinds, members, atomic, array, starts, ends, tried)
        if status[row] != FITS:
            misfits += 1
            continue
        for field in range(fields):
            reading = readings[field]
            if reading == SKIP:
                continue
            a, b = starts[field], ends[field]
            spans[2 * field, row] = a
            spans[2 * field + 1, row] = b
            bits = 0
            value, fits = 0, False
            if reading == AS_DECIMAL:
                value, fits = decimal_of(text, a, b)
            elif reading == AS_HEX:
                value, fits = hex_of(text, a, b)
            elif reading == AS_AUTO:
                bits = classes_of(text, a, b)
                if bits & IS_DECIMAL:
                    value, fits = decimal_of(text, a, b)
                elif bits & (NUMBER | PADDED | BARE):
                    value, fits = hex_of(text, a, b)
                hexes[field, row] = value
                if bits & IS_DECIMAL and bits & BARE:
                    hexes[field, row] = hex_of(text, a, b)[0]
            if reading in (AS_HEX, AS_AUTO):
                zeros = a
                while zeros < b and text[zeros] == 48:
                    zeros += 1
                if b - a == 16 and zeros - a >= 8:
                    bits |= HASH
                if b - a == 8:
                    bits |= EIGHT
            values[field, row] = value
            info[field, row] = bits | as_int(fits)
    return misfits
