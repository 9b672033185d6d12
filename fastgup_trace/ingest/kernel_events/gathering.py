"""Compiled loops over records: into groups of one event each, and their numbers into columns.

As in merging.py nothing is read that was not checked: a record lies in the buffer, a field in its record. A uint64 and
a plain 0 would make a float64 of both in numba: the zeros have types.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.unaligned import Int64s

_BLOCK = 256
"""Records that are taken together: so many are in the fastest cache while one field after another is read."""


@compiled
def group(
    start: Int64s, length: Int64s, ts: Int64s, cpu: Int64s, ids: Int64s, seq: Int64s, previous: Int64s, behind: Int64s,
    out: Int64s,
) -> bool:  # fmt: skip
    """Put the records into `out` (rows: start, length, ts, cpu, seq, previous), those of one event together.

    `behind` has for each id where its first record belongs and, afterwards, the place behind its last. False where
    a number is out of its range: the counts that `behind` was made of are not those of the records.
    """
    count = len(start)
    if len(length) != count or len(ts) != count or len(cpu) != count or len(ids) != count or len(seq) != count:
        return False
    if len(previous) != count or out.shape[0] != 6 or out.shape[1] < count:
        return False
    for row in range(count):
        number = ids[row]
        if number < 0 or number >= len(behind):
            return False
        place = behind[number]
        if place < 0 or place >= count:
            return False
        behind[number] = place + 1
        out[0, place] = start[row]
        out[1, place] = length[row]
        out[2, place] = ts[row]
        out[3, place] = cpu[row]
        out[4, place] = seq[row]
        out[5, place] = previous[row]
    return True


@compiled
def gather(
    data1: NDArray[np.uint8], data2: NDArray[np.uint16], data4: NDArray[np.uint32], data8: NDArray[np.uint64],
    start: Int64s, length: Int64s, fields: Int64s, out1: NDArray[np.uint8], out2: NDArray[np.uint16],
    out4: NDArray[np.uint32], out8: NDArray[np.uint64],
) -> bool:  # fmt: skip
    """Write the numbers of all fields to columns in one buffer, of which `out1` to `out8` are views.

    A row of `fields` has a field's offset and size, where its column begins (in units of its size), and gets the
    number of records that it does not fit into; their column has 0 there. False where a place is
    out of its range.
    """
    count = len(start)
    if len(length) != count or fields.shape[1] != 4:
        return False
    for f in range(len(fields)):
        offset, size, first = fields[f, 0], fields[f, 1], fields[f, 2]
        room = len(out1) if size == 1 else len(out2) if size == 2 else len(out4) if size == 4 else len(out8)
        if offset < 0 or first < 0 or first + count > room or (size != 1 and size != 2 and size != 4 and size != 8):
            return False
    for block in range(0, count, _BLOCK):
        end = min(block + _BLOCK, count)
        shortest = length[block]
        for row in range(block, end):
            if start[row] < 0 or length[row] < 0 or start[row] + length[row] > len(data1):
                return False
            shortest = min(shortest, length[row])
        for f in range(len(fields)):
            offset, size, first = fields[f, 0], fields[f, 1], fields[f, 2]
            if offset + size > shortest:
                for row in range(block, end):
                    fits = offset + size <= length[row]
                    fields[f, 3] += not fits
                    place = start[row] + offset if fits else 0
                    if size == 8:
                        out8[first + row] = data8[place] if fits else np.uint64(0)
                    elif size == 4:
                        out4[first + row] = data4[place] if fits else np.uint32(0)
                    elif size == 2:
                        out2[first + row] = data2[place] if fits else np.uint16(0)
                    else:
                        out1[first + row] = data1[place] if fits else np.uint8(0)
            elif size == 8:
                for row in range(block, end):
                    out8[first + row] = data8[start[row] + offset]
            elif size == 4:
                for row in range(block, end):
                    out4[first + row] = data4[start[row] + offset]
            elif size == 2:
                for row in range(block, end):
                    out2[first + row] = data2[start[row] + offset]
            else:
                for row in range(block, end):
                    out1[first + row] = data1[start[row] + offset]
    return True
