"""Patterns as programs for `match`: their literals and kinds of fields in turn.

Where a pattern needs more than that (fields without a literal between them, a literal that may be part of the value
before it) it has no program, and its regular expression is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fastgup_trace.ingest.ftrace_text.patterns import Pattern
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s

FIELDS_MAX = 64
DECIMAL, HEX, LONG, LAZY, COMM, SYMBOL, PROBE, CLASS = range(8)
_KINDS = {
    "d": DECIMAL, "u": DECIMAL, "x": HEX, "p": HEX, "long": LONG, "s": LAZY, "auto": LAZY, "c": COMM,
    "sym": SYMBOL, "probe": PROBE,
}  # fmt: skip
_CLASSES = {
    "mask": b"0123456789abcdef,", "cpus": b"0123456789abcdef,-", "words": b"0123456789abcdef, ",
    "state": bytes(range(65, 91)) + bytes(range(97, 123)) + b"+|",
    "futex": bytes(range(65, 91)) + b"_0123456789abcdefx|",
}  # fmt: skip
_ENDS = {DECIMAL: b"0123456789", HEX: b"0123456789abcdefABCDEFxX", LONG: b"0123456789abcdefABCDEFxX"}


@dataclass(frozen=True)
class Program:
    """A pattern as arrays; literal i stands before field i, the last one after all."""

    literals: Bytes
    bounds: Int64s
    kinds: Int64s
    members: npt.NDArray[np.bool_]
    """fields x 256: the bytes of a value of kind CLASS."""
    choices: dict[int, re.Pattern[bytes]]
    """Fields whose value must be one of some words."""
    atomic: bool


@lru_cache(maxsize=4096)
def program(pattern: Pattern) -> Program | None:
    """The program of a pattern, if it can have one."""
    literals = [re.sub(rb" +", b" ", literal) for literal in pattern.literals]
    kinds, members = list[int](), np.zeros((max(len(pattern.kinds), 1), 256), np.bool_)
    choices: dict[int, re.Pattern[bytes]] = {}
    if len(pattern.kinds) > FIELDS_MAX:
        return None
    for i, kind in enumerate(pattern.kinds):
        code = _KINDS.get(kind, CLASS)
        ends = _ENDS.get(code, b"")
        if code == CLASS:
            if kind in _CLASSES:
                ends = _CLASSES[kind]
            else:
                ends = kind.replace("|", "").encode() + b"0123456789"
                choices[i] = re.compile(rb"(?:%s|\d+)\Z" % b"|".join(re.escape(s.encode()) for s in kind.split("|")))
            members[i, list(ends)] = True
        after = literals[i + 1]
        if not after and i + 1 < len(pattern.kinds):
            return None
        if after and (after[0] in ends or (code == SYMBOL and after.startswith(b" ["))):
            return None
        kinds.append(code)
    bounds = np.cumsum([0, *map(len, literals)]).astype(np.int64)
    text = np.frombuffer(b"".join(literals) or b"\0", np.uint8)
    return Program(text, bounds, np.array(kinds, np.int64), members, choices, pattern.atomic)
