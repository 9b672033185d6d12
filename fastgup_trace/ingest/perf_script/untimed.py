"""Text of `perf script` without times (-F without time): `COMM TID [CPU] PERIOD EVENT: ...`, a call chain below it.

Without a time to hold on to, a head is one of an event that perf knows by name, or of a tracepoint; and its comm is
flush left (where call chains follow) or right-aligned to 16, where lines of call chains have an address.
"""

from __future__ import annotations

import re

import numpy as np

from fastgup_trace.ingest.perf_script.lines import Header, Heads, columns_of

_EVENT = (
    rb"(?:cpu-clock|task-clock|page-faults|faults|(?:minor|major|alignment|emulation)-faults|context-switches|cs"
    rb"|cpu-migrations|migrations|dummy|bpf-output|cgroup-switches|cycles|cpu-cycles|instructions|ref-cycles|bus-cycles"
    rb"|cache-references|cache-misses|branches|branch-instructions|branch-misses|stalled-cycles-(?:front|back)end"
    rb"|(?:L1-[di]cache|LLC|[di]TLB|branch|node)-[a-z-]+|r[0-9a-f]{1,16}|\w+/[^/\s]*/|mem:[^\s:]+|[a-z]\w*:[\w.-]+)"
    rb"(?::[A-Za-z]+)?"
)
"""parse-events.c: software, hardware and cache events, raw ones, tracepoints; each with its modifiers."""
_HEAD = (
    rb"( *+)([^\s#][^\n]{0,40}?)[ \t]+(-?\d{1,10})(?:/(-?\d{1,10}))?[ \t]+(?:\[(\d{1,6})\][ \t]+)?"
    rb"(?:(\d{1,20})[ \t]+)?(" + _EVENT + rb"):(?=[ \t\r\n]|\Z) ?(.*?)\r?$"
)
"""Spaces, comm, pid or tid, tid, cpu, period, event, body."""
_LINE = re.compile(rb"^(?:" + _HEAD + rb"|.+$)", re.MULTILINE)
_COMM_WIDTH = 16
_FIRST_LINES = 200


def is_untimed(text: bytes) -> bool:
    """Whether the first line that is no comment is such a head."""
    for line in text.split(b"\n")[:_FIRST_LINES]:
        if line.strip() and not line.startswith(b"#"):
            return _head(_LINE.match(line)) is not None
    return False


def _head(found: re.Match[bytes] | None) -> re.Match[bytes] | None:
    """`found` if it is the head of a record."""
    if found is None or found[2] is None or (found[1] and len(found[1] + found[2]) != _COMM_WIDTH):
        return None
    return found


def parse_untimed(text: bytes, header: Header) -> Heads:
    """Split lines into columns; a record's time is its position. Feeds `header` with its lines."""
    others, records = list[tuple[int, bytes]](), list[tuple[bytes, ...]]()
    for found in _LINE.finditer(text):
        if _head(found):
            records.append(found.groups(b""))
        elif not header.take(found[0]):
            others.append((len(records), found[0]))
    _, comms, pids, tids, cpus, periods, events, bodies = zip(*records, strict=True) if records else [()] * 8
    positions = np.arange(header.untimed_records, header.untimed_records + len(records), dtype=np.int64)
    header.untimed_records += len(records)
    untimed = np.zeros(len(records), np.bool_)
    return columns_of(positions, untimed, events, (comms, pids, tids, cpus, periods, bodies), others)
