"""Fields of many records of one event at once: from their places in the page buffer to Arrow columns."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_trace.ingest.kernel_events.formats import Field, Format
from fastgup_trace.ingest.kernel_events.symbols import Symbols
from fastgup_trace.ingest.unaligned import Int64s, unaligned, words

Column: TypeAlias = "pa.Array[Any]"

_CHAR = re.compile(r"(?:const )?char")
_CHAR_POINTER = re.compile(r"const char ?\*|char const ?\*")

# Arrays that end where their record ends, whatever length the format declares (kernel/trace/trace_entries.h).
_OPEN_ENDED = {("kernel_stack", "caller"), ("print", "buf"), ("bprint", "buf"), ("raw_data", "buf")}

# Fields that hold a function's address, which the print fmt of old kernels shows as a number.
_FUNCTIONS = {
    "function": frozenset(("parent_ip",)),
    "funcgraph_entry": frozenset(("func",)),
    "funcgraph_exit": frozenset(("func",)),
}

MESSAGE = "text"
"""What is made of a bprint's `fmt` and `buf`."""

_BYTES = {
    "char": 1, "u8": 1, "s8": 1, "bool": 1, "short": 2, "u16": 2, "s16": 2, "int": 4, "unsigned": 4, "u32": 4, "s32": 4,
    "pid_t": 4, "gfp_t": 4, "dev_t": 4, "u64": 8, "s64": 8, "loff_t": 8, "dma_addr_t": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What decoding needs to know of the recording."""

    order: str
    """`<` or `>`."""
    long_bytes: int
    """Of the kernel, not of trace-cmd."""
    symbols: Symbols
    strings: dict[int, str]
    """printk_formats."""


@dataclass(frozen=True)
class Rows:
    """The records of one event: `start` and `length` of each payload in `data`."""

    data: NDArray[np.uint8]
    start: Int64s
    length: Int64s
    numbers: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    """Fields that are numbers and whose columns are at hand: 0 where a record is too short."""

    def __len__(self) -> int:
        return len(self.start)


def asked_for(format_: Format, names: frozenset[str] | None) -> list[Field]:
    """The event's fields that `names` (None: all) ask for, under their own names or for what is made of them."""
    if names is not None and MESSAGE in names:
        names |= {"fmt", "buf"}
    return [
        field
        for field in format_.fields
        if names is None or not names.isdisjoint((field.name, f"{field.name}.sym", f"{field.name}.ptr"))
    ]


def is_number(event: str, field: Field) -> bool:
    """Whether a field is one number, and not text, a mask, a list or the place of one."""
    placed = field.type.startswith(("__data_loc ", "__rel_loc ")) or (event, field.name) in _OPEN_ENDED
    return not placed and field.count is None and "cpumask" not in field.type and field.size in (1, 2, 4, 8)


def with_numbers(rows: Rows, fields: Sequence[Field]) -> Rows:
    """`rows` with the columns of those fields that are numbers, by one pass of compiled code; little-endian only."""
    from fastgup_trace.ingest.kernel_events.gathering import gather

    numbers = [field for field in fields if is_number("", field)]
    table = np.zeros((len(numbers), 4), np.int64)
    place = 0
    for row, field in enumerate(numbers):
        place = -(-place // field.size) * field.size
        table[row, :3] = field.offset, field.size, place // field.size
        place += field.size * len(rows)
    out = np.frombuffer(pa.allocate_buffer(-(-place // 8) * 8), np.uint8)
    two, four, eight = (unaligned(rows.data, dtype) for dtype in ("u2", "u4", "u8"))
    into2, into4, into8 = (out.view(dtype) for dtype in ("u2", "u4", "u8"))
    if not gather(rows.data, two, four, eight, rows.start, rows.length, table, out, into2, into4, into8):
        raise ValueError("records that lie outside their buffer")
    found = {}
    for row, field in enumerate(numbers):
        column = out.view(f"{'i' if field.signed else 'u'}{field.size}")
        found[field.name] = column[table[row, 2] : table[row, 2] + len(rows)]
    return replace(rows, numbers=found)


def decode(
    format_: Format, fields: Sequence[Field], rows: Rows, context: Context, names: frozenset[str] | None = None
) -> tuple[dict[str, Column], Int64s]:
    """Columns of the fields, and the numbers of the rows that a field did not fit into.

    A symbol, NAME.sym, is looked up where `names` has it; None has all.
    """
    columns: dict[str, Column] = {}
    short = np.zeros(len(rows), np.bool_)
    symbols = _FUNCTIONS.get(format_.name, format_.symbols)
    for field in fields:
        symbolic = field.name in symbols and (names is None or f"{field.name}.sym" in names)
        columns.update(_decode_field(format_.name, field, symbolic, rows, context, short))
    return columns, np.flatnonzero(short)


def _decode_field(
    event: str, field: Field, symbolic: bool, rows: Rows, context: Context, short: NDArray[np.bool_]
) -> dict[str, Column]:
    name, kind = field.name, field.type
    if kind.startswith(("__data_loc ", "__rel_loc ")):
        start, length, valid = _located(field, rows, context, short)
        return {name: _dynamic(kind.split(" ", 1)[1], start, length, valid, rows, context)}
    if field.count == "" or (event, name) in _OPEN_ENDED:
        start = rows.start + field.offset
        length = rows.start + rows.length - start
        valid = length >= 0
        short |= ~valid
        start, length = np.where(valid, start, 0), np.where(valid, length, 0)
        return {name: _dynamic(kind, start, length, valid, rows, context, field)}
    valid = rows.length >= field.offset + field.size
    short |= ~valid
    if name in rows.numbers:
        return _number(field, rows.numbers[name], valid, symbolic, context)
    start = np.where(valid, rows.start + field.offset, 0)
    if field.count is not None:
        if _CHAR.fullmatch(kind):
            return {name: _char_array(rows.data, start, field.size, valid)}
        return {name: _dynamic(kind, start, np.where(valid, field.size, 0), valid, rows, context, field)}
    if "cpumask" in kind or field.size not in (1, 2, 4, 8):
        return {name: _dynamic(kind, start, np.where(valid, field.size, 0), valid, rows, context)}
    values = words(rows.data, start, f"{context.order}{'i' if field.signed else 'u'}{field.size}")
    return _number(field, values, valid, symbolic, context)


def _number(
    field: Field, values: NDArray[Any], valid: NDArray[np.bool_], symbolic: bool, context: Context
) -> dict[str, Column]:
    if _CHAR_POINTER.fullmatch(field.type):
        return _pointed(field.name, values.astype(np.uint64), valid, context)
    if symbolic or field.type.endswith("*"):
        values = values.astype(np.uint64, copy=False)
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    columns = {field.name: pa.array(native, mask=None if valid.all() else ~valid)}
    if symbolic:
        columns[f"{field.name}.sym"] = _symbols(native.astype(np.uint64, copy=False), valid, context.symbols)
    return columns


def _located(
    field: Field, rows: Rows, context: Context, short: NDArray[np.bool_]
) -> tuple[Int64s, Int64s, NDArray[np.bool_]]:
    """Where dynamic data lies: the field holds its place (low 16 bits) and its length (high 16 bits).

    `__rel_loc` places count from the field's end (v5.17), `__data_loc` ones from the record's start.
    """
    valid = rows.length >= field.offset + 4
    word = words(rows.data, np.where(valid, rows.start + field.offset, 0), f"{context.order}u4").astype(np.int64)
    place, length = word & 0xFFFF, word >> 16
    if field.type.startswith("__rel_loc"):
        place = place + field.offset + field.size
    valid &= place + length <= rows.length
    short |= ~valid
    return np.where(valid, rows.start + place, 0), np.where(valid, length, 0), valid


def _char_array(data: NDArray[np.uint8], start: Int64s, size: int, valid: NDArray[np.bool_]) -> Column:
    """Strings of `size` bytes at the valid places; what a format claims beyond its records costs nothing."""
    places = start[valid]
    view = np.ndarray((max(len(data) - size + 1, 0), size), np.uint8, data.data, strides=(1, 1))
    raw = view[places].tobytes() if len(places) else b""
    found = pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), len(places), [None, pa.py_buffer(raw)])
    texts = _strings(found, np.ones(len(places), np.bool_))
    if len(places) == len(valid):
        return texts
    indices = np.zeros(len(valid), np.int32)
    indices[valid] = texts.indices.to_numpy()
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=~valid), texts.dictionary)


def _gather(data: NDArray[np.uint8], start: Int64s, length: Int64s) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The bytes at all places one after another, and the offsets between them."""
    offsets = np.zeros(len(start) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    size = int(length[0]) if len(length) else 0
    if 0 < size <= len(data) and bool((length == size).all()):  # rows of one size are copied row by row
        rows = np.ndarray((len(data) - size + 1, size), np.uint8, data.data, strides=(1, 1))
        return rows[start].reshape(-1), offsets.astype(np.int32)
    index = np.arange(offsets[-1], dtype=np.int64) + np.repeat(start - offsets[:-1], length)
    return data[index], offsets.astype(np.int32)


def _strings(raw: Column, valid: NDArray[np.bool_]) -> Column:
    """Binary values as dictionary strings: up to the first zero byte, bytes that are no UTF-8 as \\xNN."""
    encoded = raw.dictionary_encode()
    texts = [
        bytes(value).split(b"\0")[0].decode("utf-8", "backslashreplace") for value in encoded.dictionary.to_pylist()
    ]
    return _dictionary(texts, encoded.indices.to_numpy(zero_copy_only=False), valid)


def _text(value: bytes | None) -> str:
    return (value or b"").split(b"\0")[0].decode("utf-8", "backslashreplace")


def _dictionary(texts: list[str], indices: NDArray[np.int32], valid: NDArray[np.bool_]) -> Column:
    """`texts[indices]`, equal texts once, null where not valid."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(text, len(place)) for text in texts] or [0], np.int32)[indices]
    mask = None if valid.all() else ~valid
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=mask), pa.array(list(place), pa.string()))


def _pointed(name: str, pointers: NDArray[np.uint64], valid: NDArray[np.bool_], context: Context) -> dict[str, Column]:
    known, inverse = _distinct(pointers)
    texts = [context.strings.get(pointer) for pointer in known.tolist()]
    found = np.array([text is not None for text in texts], np.bool_)[inverse] & valid
    strings = _dictionary([text or "" for text in texts], inverse, found)
    return {name: strings, f"{name}.ptr": pa.array(pointers, mask=None if valid.all() else ~valid)}


def _distinct(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """The different values, and which of them each one is."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()


def _symbols(addresses: NDArray[np.uint64], valid: NDArray[np.bool_], symbols: Symbols) -> Column:
    known, inverse = _distinct(addresses)
    # Of a million addresses of users not one lies in a symbol: names are asked for once a symbol.
    places, of_known = np.unique(symbols.places(known), return_inverse=True)
    names = symbols.at(places)
    code = of_known[inverse].astype(np.int32)
    found = np.array([name is not None for name in names], np.bool_)[code] & valid
    return _dictionary([name or "" for name in names], code, found)


def _dynamic(
    kind: str,
    start: Int64s,
    length: Int64s,
    valid: NDArray[np.bool_],
    rows: Rows,
    context: Context,
    field: Field | None = None,
) -> Column:
    """Strings, masks or lists of integers of each row's own length."""
    if _CHAR.fullmatch(kind):
        data, offsets = _gather(rows.data, start, length)
        raw = pa.Array.from_buffers(
            pa.binary(), len(start), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
        )
        return _strings(raw, valid)
    mask = "cpumask" in kind or (kind == "unsigned long" and field is None)
    size = context.long_bytes if mask else _element_bytes(kind, field, context)
    if mask and size == 4:
        return _lists(_words_of_halves(start, length, rows, context), valid)
    count = length // size
    data, offsets = _gather(rows.data, start, count * size)
    signed = field.signed if field is not None else bool(re.match(r"s\d|int|long|short|__s", kind))
    values = data.view(f"{context.order}{'i' if signed else 'u'}{size}")
    return _lists((values.astype(values.dtype.newbyteorder("=")), offsets // size), valid)


def _lists(parts: tuple[NDArray[np.generic], NDArray[np.int32]], valid: NDArray[np.bool_]) -> Column:
    values, offsets = parts
    mask = None if valid.all() else pa.array(~valid)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values), mask=mask)


def _words_of_halves(
    start: Int64s, length: Int64s, rows: Rows, context: Context
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Masks of 32-bit longs as 64-bit words: long 0 is the lower half of word 0."""
    data, offsets = _gather(rows.data, start, length // 4 * 4)
    halves = data.view(f"{context.order}u4").astype(np.uint64)
    first = offsets[:-1].astype(np.int64) // 4
    count = (length // 4 + 1) // 2
    ends = np.zeros(len(start) + 1, np.int64)
    np.cumsum(count, out=ends[1:])
    low = np.repeat(first, count) + 2 * (np.arange(ends[-1]) - np.repeat(ends[:-1], count))
    has_high = low + 1 < np.repeat(first + length // 4, count)
    padded = np.append(halves, np.uint64(0))
    high = np.where(has_high, padded[np.minimum(low + 1, len(halves))], np.uint64(0))
    return padded[low] | high << np.uint64(32), ends.astype(np.int32)


def _element_bytes(kind: str, field: Field | None, context: Context) -> int:
    """Size of an array's element: from its declared count, or from the type's name; 1 for a type not known."""
    if field is not None and field.count and field.count.isdigit() and int(field.count):
        size = field.size // int(field.count)
        if size in (1, 2, 4, 8) and size * int(field.count) == field.size:
            return size
    base = kind.removeprefix("const ").removeprefix("unsigned ").removeprefix("signed ").lstrip("_")
    if base.endswith("*") or base in ("long", "size_t"):
        return context.long_bytes
    return 8 if base == "long long" else _BYTES.get(base, 1)
