"""The compiled twin of `bodies.sample_fields`: addresses and symbols of samples to columns, for large recordings.

Bodies that are not laid out as perf does it are left to the regular expressions, with all others of their block.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import is_space
from fastgup_trace.ingest.ftrace_text.convert import hex_digit, hex_of
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans
from fastgup_trace.ingest.ftrace_text.split import dictionary
from fastgup_trace.ingest.perf_script.bodies import Fields, function, sample_fields

_WIDTH = 16


@lean
def address_at(text: Bytes, at: int, end: int) -> int:
    """Where the digits begin of a hexadecimal number that is 16 wide and ends at a space or the end, or -1."""
    stop = at + _WIDTH
    if stop > end or (stop < end and text[stop] != 32):
        return -1
    p = at
    while p < stop and text[p] == 32:
        p += 1
    digits = p
    while p < stop and hex_digit(text[p], False) >= 0:
        p += 1
    return digits if p == stop and digits < stop else -1


@lean
def split_all(text: Bytes, begin: Int64s, end: Int64s, values: Int64s, found: Int64s) -> bool:
    """Fill values (2 x bodies: addr, ip) and found (6 x bodies: of each 1 if it is there, its symbol's begin and end).

    False where a body is laid out in another way.
    """
    rows = len(begin)
    if len(end) < rows or values.shape[1] < rows or found.shape[1] < rows:
        return False
    for row in range(rows):
        p, stop = begin[row], end[row]
        if p < 0 or stop > len(text):
            return False
        found[:, row] = 0
        if p >= stop:
            continue
        if is_space(text[stop - 1]):
            return False
        digits = address_at(text, p, stop)
        if digits >= 0:
            values[0, row], _ = hex_of(text, digits, p + _WIDTH)
            found[0, row] = 1
            p += _WIDTH
            if p < stop and address_at(text, p + 1, stop) < 0:
                symbol = p + 1
                if symbol >= stop or is_space(text[symbol]):
                    return False
                p = symbol + 1
                while p < stop and not (text[p] == 32 and address_at(text, p + 1, stop) >= 0):
                    p += 1
                found[1, row] = symbol
                found[2, row] = p
            if p == stop:
                continue
        digits = address_at(text, p + 1, stop)
        if text[p] != 32 or digits < 0:
            return False
        p += 1 + _WIDTH
        values[1, row], _ = hex_of(text, digits, p)
        found[3, row] = 1
        if p < stop:
            if p + 1 >= stop or is_space(text[p + 1]):
                return False
            found[4, row] = p + 1
            found[5, row] = stop
    return True


def scan_samples(bodies: Spans) -> Fields:
    """As `bodies.sample_fields`."""
    rows = len(bodies)
    values, found = np.zeros((2, rows), np.int64), np.zeros((6, rows), np.int64)
    if not split_all(np.frombuffer(bodies.text, np.uint8), bodies.begin, bodies.end, values, found):
        return sample_fields(bodies.tolist())
    fields: Fields = {}
    for n, name in enumerate(("addr", "ip")):
        there = found[3 * n] == 1
        if there.any():
            fields[name] = pa.array(values[n].view(np.uint64), mask=~there)
        words = dictionary(Spans(bodies.text, found[3 * n + 1], found[3 * n + 2]))
        symbols = pa.array([function(word) for word in words.dictionary.to_pylist()], pa.string()).take(words.indices)
        if symbols.null_count < rows:
            fields[f"{name}.sym"] = symbols.dictionary_encode()
    return fields
