"""JSON values to typed Arrow columns. A field is of the kind of its first value; docs/FORMATS.md has the rules."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

NESTED = "a value is an object"
NO_LIST = "a list of something else than integers of 64 bits"
NO_NUMBER = "an integer that does not fit 64 bits, or a fraction among integers"
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}$")
_INT64, _UINT64 = 1 << 63, 1 << 64


def _kind(value: object) -> str | None:
    match value:
        case bool() | int():
            return "number"
        case float():
            return "fraction"
        case str():
            return "hex" if _HEX.match(value) else "text"
        case list():
            return "list"
    return None


@dataclass
class Kinds:
    """What each field of each event holds; stays the same from window to window."""

    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    unsigned: set[tuple[str, str]] = field(default_factory=set)
    """Fields of numbers that need uint64."""
    undecodable: Counter[str] = field(default_factory=Counter)

    def columns(self, event: str, name: str, values: list[Any]) -> dict[str, pa.Array]:
        """The column of some values of one field; two, NAME and NAME.text, where text turns up among numbers."""
        key = event, name
        kind = self.kinds.get(key)
        if kind is None:
            kind = next((kind for value in values if (kind := _kind(value))), None)
            if kind is None:
                self._count_objects(event, name, values)
                return {}
            if kind == "hex":
                kind = "number"
                self.unsigned.add(key)
            self.kinds[key] = kind
        match kind:
            case "number":
                return self._numbers(event, name, values)
            case "text":
                return {name: self._texts(event, name, values)}
            case "fraction":
                numbers = [_fraction(value) for value in values]
                self._count_nulls(f"{event}.{name}: {NO_NUMBER}", values, numbers)
                return {name: pa.array(numbers, pa.float64())}
        lists = [_integers(value) for value in values]
        self._count_nulls(f"{event}.{name}: {NO_LIST}", values, lists)
        return {name: pa.array(lists, pa.list_(pa.uint64()))}

    def _numbers(self, event: str, name: str, values: list[Any]) -> dict[str, pa.Array]:
        key = event, name
        if key not in self.unsigned:
            try:
                return {name: pa.array(values, pa.int64())}
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                pass
        numbers = [_number(value) for value in values]
        columns = {}
        if any(isinstance(value, str) for value in values):
            texts = [
                value if isinstance(value, str) and n is None else None
                for value, n in zip(values, numbers, strict=True)
            ]
            if any(text is not None for text in texts):
                columns[f"{name}.text"] = strings(texts)
        others = [None if isinstance(value, str) else value for value in values]
        self._count_nulls(f"{event}.{name}: {NO_NUMBER}", others, numbers)
        if any(number is not None and number >= _INT64 for number in numbers):
            self.unsigned.add(key)
        if key in self.unsigned:
            return {name: pa.array([None if n is None else n % _UINT64 for n in numbers], pa.uint64()), **columns}
        return {name: pa.array(numbers, pa.int64()), **columns}

    def _texts(self, event: str, name: str, values: list[Any]) -> pa.Array:
        if all(value is None or type(value) is str for value in values):
            return strings(values)
        self._count_objects(event, name, values)
        return strings(
            [str(v) if isinstance(v, (str, int, float)) and not isinstance(v, bool) else None for v in values]
        )

    def _count_objects(self, event: str, name: str, values: list[Any]) -> None:
        if found := sum(isinstance(value, (dict, list)) for value in values):
            self.undecodable[f"{event}.{name}: {NESTED}"] += found

    def _count_nulls(self, reason: str, values: list[Any], converted: list[Any]) -> None:
        lost = [v for v, c in zip(values, converted, strict=True) if c is None and v is not None]
        if lost:
            objects = sum(isinstance(value, dict) for value in lost)
            for text, count in (reason, len(lost) - objects), (reason.split(": ")[0] + f": {NESTED}", objects):
                if count:
                    self.undecodable[text] += count


def strings(values: list[str | None]) -> pa.Array:
    """Texts to dictionary<int32, string>; a lone surrogate (JSON can write one, UTF-8 can't) becomes `?`."""
    try:
        return pa.array(values, pa.string()).dictionary_encode()
    except UnicodeEncodeError:
        return strings([None if v is None else v.encode("utf-8", "replace").decode() for v in values])


def _number(value: object) -> int | None:
    if isinstance(value, str):
        return int(value, 16) if _HEX.match(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _INT64 else None
    return int(value) if isinstance(value, int) and -_INT64 <= value < _UINT64 else None


def _fraction(value: object) -> float | None:
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _integers(value: object) -> list[int] | None:
    if not isinstance(value, list):
        return None
    numbers = [_number(item) for item in value]
    if any(n is None or n < 0 for n in numbers):
        return None
    return [n for n in numbers if n is not None]
