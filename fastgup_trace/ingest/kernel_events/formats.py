"""The kernel's format texts, events/*/format: what fields an event has and where a record holds them.

An event's text is parsed when its first record is met: a file has some 2,000, of which 50 occur.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE

_FIELD = re.compile(
    r"\s*field:(?P<declaration>[^;]+);\s*offset:(?P<offset>\d{1,7});\s*size:(?P<size>\d{1,7});(?:\s*signed:(?P<signed>[01]);)?\s*"
)
_NAME = re.compile(r"(?P<type>.*?)\s*\b(?P<name>[A-Za-z_$]\w*)\s*(?:\[(?P<count>[^\]]*)\])?", re.DOTALL)
_HEAD = re.compile(r"name: (?P<name>[^\s/]+)\nID: (?P<id>\d{1,5})\n")
_FORMAT = re.compile(
    r"name: (?P<name>[^\s/]+)\nID: (?P<id>\d{1,5})\nformat:\n"
    r"(?P<fields>(?:\tfield:[^;\n]+;\toffset:\d+;\tsize:\d+;(?:\tsigned:[01];)?\n|\n)+)\nprint fmt: (?P<print>.+)",
    re.DOTALL,
)
_CONVERSION = re.compile(r"%[-+ #0']*(\*|\d+)?(?:\.(\*|\d+))?(?:hh|h|ll|l|L|z|q|j|t)?(?:(%)|(p[A-Za-z]*)|([a-zA-Z]))")
_LITERAL = re.compile(r'\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SYMBOL = frozenset(("ps", "pS", "pf", "pF", "pB"))


@dataclass(frozen=True)
class Field:
    """One field of an event. `count` is what stands in brackets: None without, "" for an open end."""

    name: str
    type: str
    count: str | None
    offset: int
    size: int
    signed: bool


@dataclass(frozen=True)
class Format:
    """An event's format; `symbols` are the fields that its print fmt shows as a function's name."""

    name: str
    system: str
    id: int
    common: tuple[Field, ...]
    fields: tuple[Field, ...]
    symbols: frozenset[str]


def parse_fields(text: str, where: str) -> Iterator[Field]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        match = _FIELD.fullmatch(line)
        declaration = _NAME.fullmatch(match["declaration"].strip()) if match else None
        if match is None or declaration is None or not declaration["type"]:
            raise RecordingError(where, "a field with offset and size", repr(line.strip()[:80]), ADVICE)
        kind, count = declaration["type"].strip(), declaration["count"]
        if kind.startswith(("__data_loc", "__rel_loc")):  # `__data_loc char[] name`
            kind, count = kind.removesuffix("[]"), ""
        yield Field(
            declaration["name"], kind.strip(), count, int(match["offset"]), int(match["size"]), match["signed"] == "1"
        )


class Formats:
    """The formats of a file by event id, each parsed when it is first asked for.

    A text that is no format makes the records of its event undecodable, and no others.
    """

    def __init__(self, texts: Iterable[tuple[str, str]], where: str) -> None:
        self._where, self._parsed = where, dict[int, Format]()
        self._texts = dict[int, tuple[str, re.Match[str]]]()
        self._broken = dict[int, str]()
        for system, text in texts:
            head, match = _HEAD.match(text), _FORMAT.fullmatch(text)
            number = int(head["id"]) if head else -1
            if match is None:
                self._broken[number] = head["name"] if head else ""
                continue
            _, before = self._texts.setdefault(number, (system, match))
            if before["name"] != match["name"]:
                self._broken[number] = f"{before['name']} or {match['name']}"

    def __getitem__(self, number: int) -> Format:
        """Raises KeyError for an id that no text has, RecordingError for a text that is no format."""
        if number in self._broken:
            where = f"{self._where}: format of event {number}"
            raise RecordingError(
                where, "one text with name, ID, fields and print fmt", repr(self._broken[number]), ADVICE
            )
        if number not in self._parsed:
            system, match = self._texts[number]
            self._parsed[number] = _parse(system, match, f"{self._where}: format of {system}:{match['name']}")
        return self._parsed[number]

    def names(self) -> dict[int, str]:
        """The name of every event by its id, also of those whose format is none."""
        return {number: match["name"] for number, (_, match) in self._texts.items()} | self._broken


def _distinct(fields: Iterable[Field]) -> Iterator[Field]:
    """The second of two fields of one name (regmap:regcache_sync of 3.18) is called NAME_2."""
    seen = Counter[str]()
    for field in fields:
        seen[field.name] += 1
        yield field if seen[field.name] == 1 else replace(field, name=f"{field.name}_{seen[field.name]}")


def _parse(system: str, match: re.Match[str], where: str) -> Format:
    fields = tuple(parse_fields(match["fields"], where))
    if fields[4:] and match["name"].startswith("sys_enter_") and fields[4].name in {field.name for field in fields[5:]}:
        # Until v4.5 the system call's number was called `nr` even beside an argument `nr` (commit 026842d148b9).
        fields = (*fields[:4], replace(fields[4], name="__syscall_nr"), *fields[5:])
    fields = tuple(_distinct(fields))
    common = tuple(field for field in fields if field.name.startswith("common_"))
    own = tuple(field for field in fields if not field.name.startswith("common_"))
    return Format(match["name"], system, int(match["id"]), common, own, symbol_fields(match["print"]))


def symbol_fields(fmt: str) -> frozenset[str]:
    """The fields that a print fmt shows with %ps, %pS, %pf, %pF or %pB."""
    if not any(f"%{conversion}" in fmt for conversion in _SYMBOL):
        return frozenset()
    literal, pos = "", 0
    while match := _LITERAL.match(fmt, pos):
        literal, pos = literal + match[1], match.end()
    arguments, found, argument = _arguments(fmt[pos:]), set[str](), 0
    for match in _CONVERSION.finditer(literal):
        if match[3]:
            continue
        argument += (match[1] == "*") + (match[2] == "*")
        if match[4] in _SYMBOL and argument < len(arguments):
            found.update(re.findall(r"REC->(\w+)", arguments[argument]))
        argument += 1
    return frozenset(found)


def _arguments(text: str) -> list[str]:
    """The arguments behind the literal of a print fmt, split at commas outside brackets and strings."""
    parts, depth = [""], 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[^"]', text, re.DOTALL):
        depth += (token in "([{") - (token in ")]}")
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts[1:]
