"""Columns of words to typed Arrow arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.schema import TEXT

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


_NULL_POINTER = rb"^\((?:nil|null|_+ptrval_+)\)$"
# Since 4.14 (include/linux/sched.h, commit 06eb61844d84): TASK_REPORT_IDLE is 0x80 and `+`, preempted, 0x100.
# Older kernels and trace-cmd's plugin use some letters for other bits; R, S, D, T and t are the same everywhere.
_STATES = {
    b"R": 0,
    b"S": 1,
    b"D": 2,
    b"T": 4,
    b"t": 8,
    b"X": 16,
    b"Z": 32,
    b"P": 64,
    b"I": 128,
    b"W": 128,
    b"x": 64,
    b"K": 0,
}
_PREEMPTED = 0x100
_ERRNO_MAX = 4095
_CPUS_MAX = 8192
"""The largest CONFIG_NR_CPUS."""


def strings(words: pa.Array) -> pa.Array:
    """Bytes to dictionary<int32, string>; what is not UTF-8 is replaced."""
    coded = words.dictionary_encode()
    texts = pa.array([value.decode("utf-8", "replace") for value in coded.dictionary.to_pylist()], pa.string())
    if len(texts) and pc.count_distinct(texts).as_py() < len(texts):
        return texts.take(coded.indices).dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices, texts)


def by_unique(words: pa.Array, convert: Callable[[bytes], object], kind: pa.DataType) -> pa.Array:
    """`convert` of each word, computed once a distinct word."""
    coded = words.dictionary_encode()
    return pa.array([convert(word) for word in coded.dictionary.to_pylist()], kind).take(coded.indices)


def hexadecimals(words: pa.Array) -> pa.Array:
    """Hexadecimal words, with or without 0x, to uint64; more than 64 bits is null, (nil) is 0."""
    digits = pc.replace_substring_regex(words.cast(pa.string()), r"^(?:0[xX])?0*([0-9a-fA-F]+)$", r"0x\1")
    try:
        return digits.cast(pa.uint64())
    except pa.ArrowInvalid:
        return by_unique(words, _hexadecimal, pa.uint64())


def _hexadecimal(word: bytes) -> int | None:
    if word.startswith(b"("):
        return 0
    try:
        value = int(word, 16)
    except ValueError:
        return None
    return value if value < 1 << 64 else None


def decimals(words: pa.Array) -> pa.Array:
    """Decimal words to int64; what does not fit is null."""
    try:
        return words.cast(pa.int64())
    except pa.ArrowInvalid:
        return by_unique(words, _decimal, pa.int64())


def _unsigned(word: bytes) -> int | None:
    value = _decimal(word)
    return None if value is None else value % (1 << 64)


def pointers(name: str, words: pa.Array, modern: bool) -> Columns:
    """What %p printed: an address as NAME, a hash of one (since 4.15, commit ad67b74d2469) as NAME.hashed.

    A hash has 32 bits and no 0x; only a 32-bit kernel's own addresses look the same, so there `modern` decides.
    """

    def is_hash(word: bytes) -> bool:
        return (word.startswith(b"00000000") and len(word) == 16) or (modern and len(word) == 8)

    hashes = by_unique(words, lambda word: (_hexadecimal(word) or None) if is_hash(word) else None, pa.uint64())
    if hashes.null_count == len(hashes):
        return {name: hexadecimals(words)}
    addresses = by_unique(
        words, lambda word: None if is_hash(word) and _hexadecimal(word) else _hexadecimal(word), pa.uint64()
    )
    columns = {f"{name}.hashed": hashes}
    return columns if addresses.null_count == len(addresses) else {name: addresses, **columns}


def _decimal(word: bytes) -> int | None:
    try:
        value = int(word.removesuffix(b" [ns]").removesuffix(b"B"))
    except ValueError:
        return None
    return value if -(1 << 63) <= value < 1 << 63 else None


def _longs(long_bits: int | None) -> Callable[[bytes], int | None]:
    def signed(word: bytes) -> int | None:
        value = _hexadecimal(word)
        if value is None or value >= 1 << 63:
            return None if value is None else value - (1 << 64)
        if value < 1 << 32 and (value >= (1 << 31) if long_bits == 32 else value >= (1 << 32) - _ERRNO_MAX):
            return value - (1 << 32)
        return value

    return signed


def _words(word: bytes) -> list[int]:
    """`b, 1, 0` to numbers; `ARRAY[0b, 00, ...]`, as trace-cmd -R prints it, are the bytes of 64-bit words."""
    if word.startswith(b"ARRAY["):
        return _array_words(word)
    return [_hexadecimal(part) or 0 for part in word.replace(b",", b" ").split()]


def _mask(word: bytes) -> list[int]:
    """A bitmap, 32-bit groups with the most significant first, as 64-bit words with the least significant first."""
    if word.startswith(b"ARRAY["):
        return _array_words(word)
    groups = [int(group or b"0", 16) & 0xFFFFFFFF for group in reversed(word.split(b","))]
    groups += [0] * (len(groups) % 2)
    return [low | high << 32 for low, high in zip(groups[::2], groups[1::2], strict=True)]


def _cpus(word: bytes) -> list[int] | None:
    """A list of CPUs, `0-1,3`, as 64-bit words; of one that no kernel has (trace-cmd -R shows an offset) null."""
    bits = 0
    for part in word.split(b","):
        first, _, last = part.partition(b"-")
        if not first.isdigit() or (last and not last.isdigit()) or max(int(first), int(last or b"0")) >= _CPUS_MAX:
            return None
        for cpu in range(int(first), int(last or first) + 1):
            bits |= 1 << cpu
    return [bits >> shift & 0xFFFFFFFFFFFFFFFF for shift in range(0, max(bits.bit_length(), 1), 64)]


def _array_words(word: bytes) -> list[int]:
    data = bytes(int(part, 16) & 0xFF for part in word[6:-1].replace(b",", b" ").split())
    data += bytes(-len(data) % 8)
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def _state(word: bytes) -> int:
    return sum(_STATES.get(letter, 0) for letter in re.findall(rb"[A-Za-z]", word)) | (
        _PREEMPTED if b"+" in word else 0
    )


_FUTEX_COMMANDS = (
    b"WAIT", b"WAKE", b"FD", b"REQUEUE", b"CMP_REQUEUE", b"WAKE_OP", b"LOCK_PI", b"UNLOCK_PI", b"TRYLOCK_PI",
    b"WAIT_BITSET", b"WAKE_BITSET", b"WAIT_REQUEUE_PI", b"CMP_REQUEUE_PI", b"LOCK_PI2",
)  # fmt: skip
_FUTEX = {name: n for n, name in enumerate(_FUTEX_COMMANDS)} | {b"PRIVATE_FLAG": 128, b"CLOCK_REALTIME": 256}


def _futex(word: bytes) -> int | None:
    if not word.startswith(b"FUTEX_"):
        return _hexadecimal(word)
    names = [part.removeprefix(b"FUTEX_") for part in word.split(b"|")]
    return None if set(names) - set(_FUTEX) else sum(_FUTEX[name] for name in names)


_SYMBOL = re.compile(rb"(?!0x)([A-Za-z_$][\w.$]*)(?:\+0x[0-9a-f]+)?(?:/0x[0-9a-f]+)?(?: \[\w+\])?$")


def _symbol(word: bytes) -> str | None:
    found = _SYMBOL.match(word)
    return found[1].decode() if found else None


def _bare_symbol(word: bytes) -> str | None:
    return None if _BARE_HEX.match(word) else _symbol(word)


_BARE_HEX = re.compile(rb"(?:0x)?[0-9a-f]{8,16}$")


def _address(word: bytes) -> int | None:
    return (
        _hexadecimal(word) if word.startswith((b"0x", b"(")) or (word[:1].isdigit() and _BARE_HEX.match(word)) else None
    )


def _bare_address(word: bytes) -> int | None:
    return _hexadecimal(word) if _BARE_HEX.match(word) else None


def _symbols(
    name: str, words: pa.Array, symbol: Callable[[bytes], str | None], address: Callable[[bytes], int | None]
) -> Columns:
    """NAME.sym where words are symbols, NAME where they are addresses; a column without values is left out."""
    columns = {}
    names = by_unique(words, symbol, pa.string())
    addresses = by_unique(words, address, pa.uint64())
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


def detect(words: pa.Array) -> str:
    """The first of `_AUTO` that fits every word."""
    texts = words.cast(pa.binary())

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
        case "d" | "int":
            return {name: decimals(words)}
        case "u":
            return {name: by_unique(words, _unsigned, pa.uint64())}
        case "x":
            return {name: hexadecimals(words)}
        case "p" | "pointer":
            return pointers(name, words, dialect.modern)
        case "bool":
            return {name: by_unique(words, lambda word: int(word == b"true"), pa.int64())}
        case "futex":
            return {name: by_unique(words, _futex, pa.int64())}
        case "hex":
            return {name: by_unique(words, _integer, pa.uint64()) if _has_decimals(words) else hexadecimals(words)}
        case "s" | "c":
            return {name: strings(words)}
        case "text":
            return {name: strings(by_unique(words, _unquoted, pa.binary()))}
        case "sym":
            return _symbols(name, words, _symbol, _address)
        case "probe":
            return _symbols(name, words, _bare_symbol, _bare_address)
        case "mask":
            return {name: by_unique(words, _mask, pa.list_(pa.uint64()))}
        case "cpus":
            return {name: by_unique(words, _cpus if dialect.is_report else _mask, pa.list_(pa.uint64()))}
        case "words":
            return {name: by_unique(words, _words, pa.list_(pa.uint64()))}
        case "long":
            return {name: by_unique(words, _longs(dialect.long_bits), pa.int64())}
        case "state":
            return {name: by_unique(words, _state, pa.int64())}
    symbols = {symbol.encode(): value for value, symbol in enumerate(kind.split("|"))}
    return {name: by_unique(words, lambda word: symbols.get(word, _decimal(word)), pa.int64())}


def _has_decimals(words: pa.Array) -> bool:
    return not pc.all(pc.starts_with(words, "0x")).as_py()


def _integer(word: bytes) -> int | None:
    value = _hexadecimal(word) if word.startswith(b"0x") else _decimal(word)
    return None if value is None else value % (1 << 64)


def _unquoted(word: bytes) -> bytes:
    return word[1:-1] if len(word) >= 2 and word[:1] == word[-1:] == b'"' else word


__all__ = ["TEXT", "Columns", "detect", "strings", "typed", "widest"]
