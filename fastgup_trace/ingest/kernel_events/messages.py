"""The messages of trace_printk: bprint keeps a format's address and the arguments, packed; here they become text.

The kernel packs with vbin_printf (lib/vsprintf.c), which bstr_printf is the reverse of: an int in 4 bytes, chars and
shorts in their own size (until v6.13), 8 bytes aligned to 4, strings in place with their zero byte. What a pointer's
letters dereference is a string already (v4.15, commit 841a915d20c7), except %ps %pS %px %pK %pe, which stay addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.kernel_events.symbols import Symbols

Column: TypeAlias = "pa.Array[Any]"

_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d{0,4})(?:\.(?P<precision>\*|-?\d{0,4}))?(?P<length>hh|h|ll|l|L|q|z|Z|t|j)?"
    r"(?:(?P<kind>[diuxXocs%])|p(?P<pointer>[A-Za-z0-9]*))"
)
_ADDRESSES = frozenset("sSxKefF")
_SYMBOLS = frozenset("sSfF")
_TEXT_CHARS_MAX = 8192
"""The kernel's own buffer for one record's text has 8 KB (TRACE_BUF_SIZE is 1 KB)."""


def are_messages(columns: Mapping[str, Column]) -> bool:
    """Whether the fields of an event are those of a bprint: a format's text, and words."""
    return (
        {"fmt", "buf"} <= columns.keys()
        and pa.types.is_dictionary(columns["fmt"].type)
        and columns["buf"].type == pa.list_(pa.uint32())
    )


class _Mismatch(Exception):
    """The arguments are not those of the format."""


@dataclass
class _Arguments:
    data: bytes
    order: Literal["big", "little"]
    pos: int = 0

    def number(self, size: int, signed: bool) -> int:
        align = min(size, 4)
        start = -(-self.pos // align) * align
        if start + size > len(self.data):
            raise _Mismatch
        self.pos = start + size
        return int.from_bytes(self.data[start : self.pos], self.order, signed=signed)

    def text(self) -> str:
        end = self.data.find(b"\0", self.pos)
        if end < 0:
            raise _Mismatch
        found = self.data[self.pos : end]
        self.pos = end + 1
        return found.decode("utf-8", "backslashreplace")

    def is_text(self) -> bool:
        """Whether a printable character follows: a dereferenced pointer's text, no address."""
        return self.pos < len(self.data) and 32 <= self.data[self.pos] < 127


class Messages:
    """Renders messages; what a format says of each is parsed once."""

    def __init__(self, order: str, long_bytes: int, symbols: Symbols) -> None:
        self._order: Literal["big", "little"] = "big" if order == ">" else "little"
        self._words = f"{order}u4"
        sizes = {"hh": 1, "h": 2, "ll": 8, "L": 8, "q": 8, "j": 8}
        self._sizes = sizes | dict.fromkeys(("l", "z", "Z", "t"), long_bytes)
        self._long_bytes, self._symbols = long_bytes, symbols

    def column(self, formats: Column, arguments: Column) -> Column:
        """The messages of records whose `fmt` and `buf` these are; null where the two do not go together."""
        codes = formats.indices.to_numpy(zero_copy_only=False) if not formats.null_count else _codes(formats)
        texts = formats.dictionary.to_pylist()
        offsets = arguments.offsets.to_numpy() * 4
        data = arguments.values.to_numpy(zero_copy_only=False).astype(self._words).tobytes()
        packed = pa.Array.from_buffers(
            pa.binary(), len(arguments), [None, pa.py_buffer(offsets.astype(np.int32).tobytes()), pa.py_buffer(data)]
        ).dictionary_encode()
        key = packed.indices.to_numpy(zero_copy_only=False).astype(np.int64) * (len(texts) + 1) + codes
        known, inverse = np.unique(key, return_inverse=True)
        found = [
            self._message(texts[code], packed.dictionary[number].as_py()) if code < len(texts) else None
            for number, code in (divmod(value, len(texts) + 1) for value in known.tolist())
        ]
        return pa.array(found, pa.string()).dictionary_encode().take(pa.array(inverse))

    def _message(self, text: str | None, data: bytes) -> str | None:
        if text is None:
            return None
        try:
            return self.render(text, data)
        except _Mismatch:
            return None

    def render(self, text: str, data: bytes) -> str:
        """The message of a format and its packed arguments, without the newline at its end."""
        arguments, parts, place = _Arguments(data, self._order), list[str](), 0
        for match in _CONVERSION.finditer(text):
            parts.append(text[place : match.start()])
            parts.append(self._converted(match, arguments))
            place = match.end()
        parts.append(text[place:])
        return "".join(parts).removesuffix("\n")[:_TEXT_CHARS_MAX]

    def _converted(self, match: re.Match[str], arguments: _Arguments) -> str:
        kind, flags = match["kind"], match["flags"]
        if kind == "%":
            return "%"
        width, precision = self._sized(match["width"], arguments), self._sized(match["precision"], arguments)
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        left = "-" in flags
        if kind is None:
            return _padded(self._pointer(match["pointer"], arguments), width, left)
        if kind == "s":
            value = arguments.text()
            return _padded(value if precision is None or precision < 0 else value[:precision], width, left)
        if kind == "c":
            return _padded(chr(arguments.number(1, False)), width, left)
        size = self._sizes.get(match["length"] or "", 4)
        number = arguments.number(size, kind in "di")
        spec = "".join(dict.fromkeys(flags)) if number or kind in "diu" else flags.replace("#", "")
        spec = spec.replace("#", "") if kind == "o" else spec
        limit = f".{precision}" if precision is not None and precision >= 0 else ""
        return f"%{spec}{'' if width is None else width}{limit}{'d' if kind in 'iu' else kind}" % number

    @staticmethod
    def _sized(text: str | None, arguments: _Arguments) -> int | None:
        """A width or precision: given, an argument of its own, or none; of sane size."""
        if text is None:
            return None
        value = arguments.number(4, True) if text == "*" else int(text or -1) if text != "-" else -1
        return None if text == "" else max(-_TEXT_CHARS_MAX, min(value, _TEXT_CHARS_MAX))

    def _pointer(self, letters: str, arguments: _Arguments) -> str:
        if letters and letters[0] not in _ADDRESSES and arguments.is_text():
            return arguments.text()
        value = arguments.number(self._long_bytes, False)
        if letters and letters[0] in _SYMBOLS:
            name = self._symbols.names(np.array([value], np.uint64))[0]
            return name or f"{value:#x}"
        return f"{value:#x}"


def _padded(text: str, width: int | None, left: bool) -> str:
    return text if width is None else text.ljust(width) if left else text.rjust(width)


def _codes(column: Column) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of a dictionary column; the dictionary's length where null."""
    filled = column.indices.fill_null(len(column.dictionary))
    codes: np.ndarray[Any, np.dtype[np.int64]] = filled.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes
