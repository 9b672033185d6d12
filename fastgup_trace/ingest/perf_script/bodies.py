"""What follows an event's name that is no tracepoint: addresses of a sample, or a PERF_RECORD_*'s own words.

After a tracepoint's fields, -F addr and -F ip put the sample's own addresses (always 0, and the tracepoint itself).
They are cut off: they are no field of the event, which may have an `ip` of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pyarrow as pa

Fields = dict[str, pa.Array]

_HEX16 = rb"(?:" + b"|".join(b" {%d}[0-9a-f]{%d}" % (16 - n, n) for n in range(16, 0, -1)) + rb")"
"""%16lx: print_sample_addr and print_ip of tools/perf/builtin-script.c; an ip has one more space before it."""
_ADDRESSES = re.compile(
    rb"(?:(" + _HEX16 + rb")(?: (?![0-9a-f]{16}(?: |$))(\S.*?))?)?(?: (" + _HEX16 + rb")(?: (\S.*))?)? *$"
)
_ONE_ADDRESS = re.compile(rb"()() *([0-9a-f]{1,16})(?:\s+(\S.*))?$")
_SYMBOL = re.compile(rb"(?!\[unknown\])(\S.*?)(?:\+0x[0-9a-f]+)?(?: \([^()]*\)| \(\[[^\[]*\]\))?$")
_TAILS = tuple(
    re.compile(rb"(.*)" + tail + rb"$")
    for tail in (_HEX16 + rb" " + _HEX16 + rb"(?: [^ ].*)?", rb" " + _HEX16 + rb"(?: [^ ].*)?", _HEX16)
)
TAIL_LINES = 1000


def find_tail(bodies: Sequence[bytes]) -> re.Pattern[bytes] | None:
    """What every one of some tracepoints' bodies ends in: addr and ip, ip, addr, or (None) nothing."""
    few = bodies[:TAIL_LINES]
    for tail in _TAILS:
        if few and all(tail.match(body) for body in few):
            return tail
    return None


def without_tail(bodies: list[bytes], tail: re.Pattern[bytes] | None) -> list[bytes]:
    """The bodies with what `find_tail` found cut off; one that has none stays."""
    if tail is None:
        return bodies
    matches = [tail.match(body) for body in bodies]
    return [found[1] if found else body for found, body in zip(matches, bodies, strict=True)]


def sample_fields(bodies: list[bytes]) -> Fields:
    """addr, ip (uint64) and their symbols, where some body has them, and the `text` of bodies that hold other words."""
    matches = [_ADDRESSES.match(body) or _ONE_ADDRESS.match(body) for body in bodies]
    groups: list[Sequence[bytes | None]] = [found.groups() if found else (None,) * 4 for found in matches]
    fields: Fields = {}
    for name, at in ("addr", 0), ("ip", 2):
        values = pa.array([int(word, 16) if (word := row[at]) else None for row in groups], pa.uint64())
        if values.null_count < len(values):
            fields[name] = values
        symbols = _by_word([row[at + 1] for row in groups], function)
        if symbols.null_count < len(symbols):
            fields[f"{name}.sym"] = symbols
    if not all(matches):
        texts = [None if found else body for found, body in zip(matches, bodies, strict=True)]
        fields["text"] = _by_word(texts, lambda word: word.decode("utf-8", "replace") if word is not None else None)
    return fields


def function(word: bytes | None) -> str | None:
    """The name in `a::b(int)+0x10 (/lib/x.so)`; None for [unknown]."""
    found = _SYMBOL.match(word) if word else None
    return found[1].decode("utf-8", "replace") if found else None


def _by_word(words: list[bytes | None], convert: Callable[[bytes | None], str | None]) -> pa.Array:
    converted = {word: convert(word) for word in set(words)}
    return pa.array([converted[word] for word in words], pa.string()).dictionary_encode()


_RANGE = rb"(-?\d{1,10})/(-?\d{1,10}): \[(0x[0-9a-f]+|0)\((0x[0-9a-f]+|0)\) @ (0x[0-9a-f]+|0)"
_RECORDS: dict[bytes, tuple[re.Pattern[bytes], str]] = {
    # tools/perf/util/event.c, perf_event__fprintf_*; since 3.16 (commit 7ef807034ee33) with the protection.
    b"PERF_RECORD_MMAP": (re.compile(rb" " + _RANGE + rb"\]:(?: ([xr]))? (.*)$"), "pid tid addr len pgoff - filename"),
    b"PERF_RECORD_MMAP2": (
        re.compile(rb" " + _RANGE + rb"[^\]]*\]:(?: (([r-][w-][x-])([sp])))? (.*)$"),
        "pid tid addr len pgoff - prot flags filename",
    ),
    b"PERF_RECORD_COMM": (re.compile(rb"( exec)?: (.*):(-?\d{1,10})/(-?\d{1,10})$"), "exec comm pid tid"),
    b"PERF_RECORD_FORK": (re.compile(rb"\((-?\d+):(-?\d+)\):\((-?\d+):(-?\d+)\)$"), "pid tid ppid ptid"),
    b"PERF_RECORD_EXIT": (re.compile(rb"\((-?\d+):(-?\d+)\):\((-?\d+):(-?\d+)\)$"), "pid tid ppid ptid"),
    b"PERF_RECORD_SWITCH": (re.compile(rb" (OUT|IN)( preempt)? *$"), "out preempt"),
    b"PERF_RECORD_SWITCH_CPU_WIDE": (
        re.compile(rb" (OUT|IN)( preempt)? +(?:next|prev) pid/tid: *(-?\d+)/(-?\d+) *$"),
        "out preempt next_prev_pid next_prev_tid",
    ),
    b"PERF_RECORD_LOST": (re.compile(rb" lost (\d{1,19})$"), "lost"),
    b"PERF_RECORD_LOST_SAMPLES": (re.compile(rb" lost (\d{1,19})"), "lost"),
}
LOST = (b"PERF_RECORD_LOST", b"PERF_RECORD_LOST_SAMPLES")


def _protection(word: bytes) -> int:
    return sum(bit for bit, letter in ((1, b"r"), (2, b"w"), (4, b"x")) if letter in word)  # PROT_READ, _WRITE, _EXEC


_KINDS: dict[str, tuple[pa.DataType, Callable[[bytes], object]]] = {
    **dict.fromkeys(
        ("pid", "tid", "ppid", "ptid", "next_prev_pid", "next_prev_tid"),
        (pa.int32(), lambda word: max(min(int(word), 2**31 - 1), -(2**31))),
    ),
    **dict.fromkeys(("addr", "len", "pgoff"), (pa.uint64(), lambda word: int(word, 16) % (1 << 64))),
    "lost": (pa.uint64(), lambda word: min(int(word), (1 << 63) - 1)),
    "prot": (pa.uint32(), _protection),
    "flags": (pa.uint32(), lambda word: 1 if word == b"s" else 2),  # MAP_SHARED, MAP_PRIVATE
    **dict.fromkeys(("comm", "filename"), (pa.string(), lambda word: word.decode("utf-8", "replace"))),
    "out": (pa.uint8(), lambda word: int(word == b"OUT")),
    **dict.fromkeys(("exec", "preempt"), (pa.uint8(), lambda word: int(bool(word)))),
}


def record_fields(name: bytes, bodies: list[bytes]) -> tuple[Fields, int]:
    """The fields of a PERF_RECORD_*, named as in include/uapi/linux/perf_event.h; and the bodies of another shape."""
    if name not in _RECORDS:
        return {}, 0
    regex, names = _RECORDS[name]
    matches = [regex.match(body) for body in bodies]
    fields: Fields = {}
    for group, field in enumerate(names.split(), 1):
        if field == "-":
            continue
        kind, convert = _KINDS[field]
        words = [
            (found[group] or (b"" if field in {"exec", "preempt"} else None)) if found else None for found in matches
        ]
        values = pa.array([None if word is None else convert(word) for word in words], kind)
        if values.null_count < len(values):
            fields[field] = values.dictionary_encode() if pa.types.is_string(kind) else values
    return fields, sum(found is None for found in matches)
