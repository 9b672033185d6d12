"""The bodies of one event to columns of words, by machine code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import hash_of, intern
from fastgup_trace.ingest.ftrace_text.match import AS_AUTO, AS_DECIMAL, AS_HEX, AS_WORD, FITS, UNDECIDED, match_all
from fastgup_trace.ingest.ftrace_text.numbers import BARE, NUMBER, PADDED, Numbers
from fastgup_trace.ingest.ftrace_text.program import Program
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans

_ARRAY = np.frombuffer(b"ARRAY[", np.uint8)


@lean
def intern_all(
    text: Bytes, starts: Int64s, stops: Int64s, slots: npt.NDArray[np.int32], begins: Int64s, ends: Int64s,
    codes: npt.NDArray[np.int32],
) -> int:  # fmt: skip
    """Number the words of `text`; how many different ones there are."""
    rows, count = len(starts), 0
    if len(stops) < rows or len(codes) < rows or len(begins) < rows or len(ends) < rows or len(slots) == 0:
        return -1
    for row in range(rows):
        a, b = starts[row], stops[row]
        if a < 0 or b < a or b > len(text):
            return -1
        code = intern(text, a, b, hash_of(text, a, b), slots, begins, ends, count)
        count += code == count
        codes[row] = code
    return count


def dictionary(spans: Spans) -> pa.DictionaryArray:
    """The words as a dictionary of bytes."""
    rows = len(spans)
    codes, slots = np.empty(rows, np.int32), np.full(1 << max(2 * rows, 2).bit_length(), -1, np.int32)
    begins, ends = np.empty(rows, np.int64), np.empty(rows, np.int64)
    count = intern_all(np.frombuffer(spans.text, np.uint8), spans.begin, spans.end, slots, begins, ends, codes)
    words = Spans(spans.text, begins[:count], ends[:count]).tolist()
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words, pa.binary()))


_READINGS = {"d": AS_DECIMAL, "u": AS_DECIMAL, "x": AS_HEX, "p": AS_HEX, "long": AS_HEX, "auto": AS_AUTO}


@dataclass(frozen=True)
class Matched:
    """What some bodies gave: the status of each (0, FITS, UNDECIDED), and the words of the wanted fields of those that
    fit.
    """

    status: Bytes
    fields: dict[int, pa.Array | Numbers]


def match_bodies(code: Program, kinds: tuple[str, ...], bodies: Spans, wanted: list[int]) -> Matched:
    """Split bodies; `wanted` are the numbers of the fields to read."""
    rows, fields = len(bodies), len(kinds)
    readings = np.zeros(max(fields, 1), np.int64)
    for field in {*wanted, *code.choices}:
        readings[field] = _READINGS.get(kinds[field], AS_WORD)
    status = np.empty(rows, np.uint8)
    spans = np.empty((2 * max(fields, 1), rows), np.int64)
    values, hexes = np.empty((max(fields, 1), rows), np.int64), np.empty((max(fields, 1), rows), np.int64)
    info = np.empty((max(fields, 1), rows), np.uint8)
    text = np.frombuffer(bodies.text, np.uint8)
    misfits = match_all(
        text, bodies.begin, bodies.end, code.literals, code.bounds, code.kinds, code.members, code.atomic, _ARRAY,
        readings, status, spans, values, hexes, info, np.empty((3, fields + 1), np.int64),
    )  # fmt: skip
    keep = np.flatnonzero(status == FITS) if misfits else slice(None)
    words = {
        field: Spans(bodies.text, spans[2 * field][keep], spans[2 * field + 1][keep])
        for field in {*wanted, *code.choices}
    }
    for field, choice in code.choices.items():
        coded = dictionary(words[field])
        if not all(choice.match(word) for word in coded.dictionary.to_pylist()):
            status = np.where(status == FITS, UNDECIDED, status).astype(np.uint8)
            return Matched(status, {})
    found: dict[int, pa.Array | Numbers] = {}
    for field in wanted:
        numbers = Numbers((words[field],), values[field][keep], hexes[field][keep], info[field][keep])
        kind = _READINGS.get(kinds[field])
        if kind is None or (kind == AS_AUTO and not numbers.all_of(NUMBER | PADDED | BARE)):
            found[field] = dictionary(words[field])
        else:
            found[field] = numbers
    return Matched(status, found)
