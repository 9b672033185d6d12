"""Columns of words to typed Arrow arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.ftrace_text.numbers import EIGHT, HASH, Numbers
from fastgup_trace.ingest.ftrace_text.words import (
    ERRNO_MAX,
    address,
    any_decimal,
    bare_address,
    bare_symbol,
    cpu_list,
    decimal,
    futex_operation,
    hexadecimal,
    integer,
    mask,
    signed_long,
    symbol,
    task_state,
    unquoted,
    unsigned,
    word_list,
)

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Dialect:
    """What a text tells of its writer."""

    long_bits: int | None = None
    """32 or 64, None where no address shows it."""
    modern: bool = False
    """Surely a kernel of 5.15 or later."""
    is_report: bool = False
    """Written by trace-cmd report."""


_POINTED = re.compile(rb"^\(0x[0-9a-f]{8,16}:(.*)\)$", re.DOTALL)
"""A `const char *` as options/fields prints it."""


def strings(words: pa.Array) -> pa.Array:
    """Bytes to dictionary<int32, string>; what is not UTF-8 is replaced."""
    coded = words.dictionary_encode()
    plain = (_POINTED.sub(rb"\1", word) for word in coded.dictionary.to_pylist())
    texts = pa.array([word.decode("utf-8", "replace") for word in plain], pa.string())
    if len(texts) and pc.count_distinct(texts).as_py() < len(texts):
        return texts.take(coded.indices).dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices, texts)


def by_unique(words: pa.Array, convert: Callable[[bytes], object], kind: pa.DataType) -> pa.Array:
    """`convert` of each word, computed once a distinct word."""
    coded = words.dictionary_encode()
    return pa.array([convert(word) for word in coded.dictionary.to_pylist()], kind).take(coded.indices)


def hexadecimals(words: pa.Array) -> pa.Array:
    """Hexadecimal words, with or without 0x, to uint64; more than 64 bits is null, (nil) is 0."""
    if pa.types.is_dictionary(words.type):
        return by_unique(words, hexadecimal, pa.uint64())
    digits = pc.replace_substring_regex(words.cast(pa.string()), r"^(?:0[xX])?0*([0-9a-fA-F]+)$", r"0x\1")
    try:
        return digits.cast(pa.uint64())
    except pa.ArrowInvalid:
        return by_unique(words, hexadecimal, pa.uint64())


def decimals(words: pa.Array) -> pa.Array:
    """Decimal words to int64; what does not fit is null."""
    if pa.types.is_dictionary(words.type):
        return by_unique(words, decimal, pa.int64())
    try:
        return words.cast(pa.int64())
    except pa.ArrowInvalid:
        return by_unique(words, decimal, pa.int64())


def integers(words: pa.Array) -> pa.Array:
    """As `decimals`; as uint64 if some fit only that and none is negative; of both together the 64 bits."""
    coded = words.dictionary_encode()
    values = [any_decimal(word) for word in coded.dictionary.to_pylist()]
    known = [value for value in values if value is not None]
    if max(known, default=0) < 1 << 63:
        kind = pa.int64()
    elif min(known) >= 0:
        kind = pa.uint64()
    else:
        kind = pa.int64()
        values = [v if v is None or v < 1 << 63 else v - (1 << 64) for v in values]
    return pa.array(values, kind).take(coded.indices)


def pointers(name: str, words: pa.Array, modern: bool) -> Columns:
    """What %p printed: an address as NAME, a hash of one (since 4.15, commit ad67b74d2469) as NAME.hashed.

    A hash has 32 bits and no 0x; only a 32-bit kernel's own addresses look the same, so there `modern` decides.
    """

    def is_hash(word: bytes) -> bool:
        return (word.startswith(b"00000000") and len(word) == 16) or (modern and len(word) == 8)

    hashes = by_unique(words, lambda word: (hexadecimal(word) or None) if is_hash(word) else None, pa.uint64())
    if hashes.null_count == len(hashes):
        return {name: hexadecimals(words)}
    addresses = by_unique(
        words, lambda word: None if is_hash(word) and hexadecimal(word) else hexadecimal(word), pa.uint64()
    )
    columns = {f"{name}.hashed": hashes}
    return columns if addresses.null_count == len(addresses) else {name: addresses, **columns}


def _symbols(
    name: str, words: pa.Array, to_symbol: Callable[[bytes], str | None], to_address: Callable[[bytes], int | None]
) -> Columns:
    """NAME.sym where words are symbols, NAME where they are addresses; a column without values is left out."""
    columns = {}
    names = by_unique(words, to_symbol, pa.string())
    addresses = by_unique(words, to_address, pa.uint64())
    if names.null_count < len(names):
        columns[f"{name}.sym"] = names.dictionary_encode()
    if addresses.null_count < len(addresses) or not columns:
        columns[name] = addresses
    return columns


_BOOL, _INTEGER, _PADDED_HEX, _OFFSET_SYMBOL, _BARE = (
    r"^(?:true|false)$",
    r"^(?:-?[0-9]{1,20}(?: \[ns\]|B)?|0x[0-9a-f]{1,16})$",
    r"^(?:[0-9a-f]{16}|0x[0-9a-f]{1,16}|\((?:nil|null|_+ptrval_+)\))$",
    r"^(?:[A-Za-z_$][\w.$]*\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?(?: \[\w+\])?|0x[0-9a-f]{1,16})$",
    r"^(?:[0-9a-f]{1,16}|\(nil\))$",
)
_AUTO = ("bool", "int", "hex", "pointer", "sym", "text")
"""What an `auto` column can turn out to be, each able to hold what the ones before it hold."""


def together(parts: Sequence[pa.Array]) -> pa.Array:
    """Arrays of words, some maybe dictionaries, as one."""
    if len(parts) == 1:
        return parts[0]
    if any(pa.types.is_dictionary(part.type) for part in parts):
        return pa.chunked_array([part.dictionary_encode() for part in parts]).unify_dictionaries().combine_chunks()
    return pa.chunked_array(parts).combine_chunks()


def detect(words: pa.Array) -> str:
    """The first of `_AUTO` that fits every word; every word of a dictionary is one."""
    texts = words.dictionary if pa.types.is_dictionary(words.type) else words.cast(pa.binary())

    def every(regex: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(texts, regex)).as_py())

    if every(_BOOL):
        return "bool"
    if every(_INTEGER):
        return "hex" if pc.any(pc.starts_with(texts, "0x")).as_py() else "int"
    if every(_PADDED_HEX) or every(_BARE):
        return "pointer"
    return "sym" if every(_OFFSET_SYMBOL) else "text"


def widest(a: str, b: str) -> str:
    """What can hold both of two kinds of `auto` columns."""
    return max(a, b, key=_AUTO.index)


def typed(name: str, kind: str, words: pa.Array, dialect: Dialect) -> Columns:
    """The columns of one field. `kind` is one of `patterns`, `auto` already resolved by `detect`."""
    match kind:
        case "d":
            return {name: decimals(words)}
        case "int":
            return {name: integers(words)}
        case "u":
            return {name: by_unique(words, unsigned, pa.uint64())}
        case "x":
            return {name: hexadecimals(words)}
        case "p" | "pointer":
            return pointers(name, words, dialect.modern)
        case "bool":
            return {name: by_unique(words, lambda word: int(word == b"true"), pa.int64())}
        case "futex":
            return {name: by_unique(words, futex_operation, pa.int64())}
        case "retval":
            return {name: by_unique(words, integer, pa.uint64())}
        case "hex":
            return {name: by_unique(words, integer, pa.uint64()) if _has_decimals(words) else hexadecimals(words)}
        case "s" | "c":
            return {name: strings(words)}
        case "text":
            return {name: strings(by_unique(words, unquoted, pa.binary()))}
        case "sym":
            return _symbols(name, words, symbol, address)
        case "probe":
            return _symbols(name, words, bare_symbol, bare_address)
        case "mask":
            return {name: by_unique(words, mask, pa.list_(pa.uint64()))}
        case "cpus":
            return {name: by_unique(words, cpu_list if dialect.is_report else mask, pa.list_(pa.uint64()))}
        case "words":
            return {name: by_unique(words, word_list, pa.list_(pa.uint64()))}
        case "long":
            return {name: by_unique(words, signed_long(dialect.long_bits), pa.int64())}
        case "state":
            return {name: by_unique(words, task_state, pa.int64())}
    symbols = {name.encode(): value for value, name in enumerate(kind.split("|"))}
    return {name: by_unique(words, lambda word: symbols.get(word, decimal(word)), pa.int64())}


def numbers_and_text(name: str, words: pa.Array) -> Columns:
    """A field that should be a number and is not in some rows: those have NAME.text instead."""
    numbers = by_unique(words, decimal, pa.int64())
    texts = by_unique(words, lambda word: word if decimal(word) is None else None, pa.binary())
    columns = {f"{name}.text": strings(texts)}
    return columns if numbers.null_count == len(numbers) else {name: numbers, **columns}


def _has_decimals(words: pa.Array) -> bool:
    return not pc.all(pc.starts_with(words, "0x")).as_py()


NUMERIC = frozenset({"d", "u", "x", "p", "long", "int", "hex", "pointer"})
"""Kinds that `typed_numbers` knows."""


def typed_numbers(name: str, kind: str, numbers: Numbers, dialect: Dialect) -> Columns:
    """As `typed`, of words that were read as numbers."""
    match kind:
        case "d":
            return {name: numbers.decimals()}
        case "int":
            return {name: numbers.integers()}
        case "long":
            return {name: _signed_longs(numbers, dialect.long_bits)}
        case "p" | "pointer":
            return _pointer_numbers(name, numbers, kind == "pointer", dialect.modern)
    return {name: numbers.unsigned()}


def _signed_longs(numbers: Numbers, long_bits: int | None) -> pa.Array:
    """As `words.signed_long`."""
    values = numbers.values
    low = (values >= 1 << 31) if long_bits == 32 else (values >= (1 << 32) - ERRNO_MAX)
    values = np.where(low & (values < 1 << 32), values - (1 << 32), values)
    return replace(numbers, values=values).signed()


def _pointer_numbers(name: str, numbers: Numbers, hexadecimal: bool, modern: bool) -> Columns:
    """As `pointers`."""
    addresses = numbers.unsigned(hexadecimal)
    hashed = (numbers.info & (HASH | EIGHT if modern else HASH)) != 0
    hashed &= (numbers.hexes if hexadecimal else numbers.values) != 0
    if not hashed.any():
        return {name: addresses}
    none = pa.scalar(None, pa.uint64())
    columns = {f"{name}.hashed": pc.if_else(pa.array(hashed), addresses, none)}
    addresses = pc.if_else(pa.array(hashed), none, addresses)
    return columns if addresses.null_count == len(addresses) else {name: addresses, **columns}
