"""What the function-graph tracer draws: calls, returns and, as comments, events.

    [SECONDS |] [N us |] [CPU)] [TASK-PID |] [FLAGS |] DURATION |  body     `cat trace`
    TASK-PID [CPU] SECONDS: funcgraph_entry: DURATION |  body    `trace-cmd report`

A body is `FUNCTION() {`, `FUNCTION();` (a leaf: entry and exit at once), `}`, `} /* FUNCTION */` or
`/* EVENT: ... */`; two spaces of indentation are one level of depth. What stands before it depends on the options
funcgraph-abstime, -rel (N us since the buffer's start), -cpu, -proc, latency-format and -duration; arguments
(funcgraph-args, 6.15) stand between the parentheses, a returned value (funcgraph-retval, 6.5) in the comment behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from fastgup_trace.ingest.ftrace_text.lines import (
    KEY,
    Header,
    Lines,
    Records,
    Task,
    flag_bits,
    frames_of,
    nanoseconds,
    parse_lines,
)
from fastgup_trace.ingest.ftrace_text.spans import Int64s
from fastgup_trace.ingest.ftrace_text.stacks import FRAME

_DURATION = rb"(?:[$@*#!+] ?)?(?: *(\d{1,18})(?:\.(\d{1,3}))? us)?"
DRAWN = re.compile(
    rb"^(?!#) *+(?:(\d{1,10})\.(\d{1,9}) +\|)?(?: *(\d{1,15}) us +\|)?(?: *(\d{1,6})\))?"
    rb"(?: +([^|\n]{0,40}?)-(\d{1,10}) *\|)?(?: *([^\s\d|+!#*@$][^\s|]{2,8}) *\|)?"
    rb" *" + _DURATION + rb" *\|(.*)$"
    rb"|^(.+)$",
    re.MULTILINE,
)
"""Seconds, fraction, us since the start, cpu, comm, pid, flags, us, us fraction, body; or any other line."""

SWITCH = re.compile(rb" *(\d{1,6})\) +(.*?)-(\d{1,10}) +=> +(.*?)-(\d{1,10}) *$")
_SWITCHED = re.compile(rb"(?:prev|next)_comm=(.{0,64}?) (?:prev|next)_pid=(\d{1,10})")
_IGNORED = re.compile(rb" *-+$| *\*/$|.*[<=]=========[=>] *\|?$")
_DURATION_NS_MAX = 10**15
_BODY = re.compile(
    rb"( *)(?:"
    rb"(\})(?: /\*(?: (?!ret=)([^\s*=][^\s*]*))?.*\*/)?"
    rb"|/\* (" + KEY + rb")(.*?)(?: \*/)?"
    rb"|([^\s(]+(?: \[\w+\])?)\(.*(;|\{)(?: /\*.*\*/)?"
    rb") *$"
)
_RETURNED = re.compile(rb"/\*.*?(?:ret=| = |^= )(-?(?:0x)?[0-9a-f]{1,20}) \*/ *$")
REPORT_BODY = re.compile(rb" *" + _DURATION + rb" *\|(.*)$")


@dataclass
class Calls:
    """Function-graph records: entries and exits, in the order of the lines that show them."""

    row: list[int] = field(default_factory=list)
    """Number of the line's record."""
    exits: list[bool] = field(default_factory=list)
    func: list[bytes] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    duration_ns: list[int] = field(default_factory=list)
    """-1 for entries and where it is not shown."""
    returned: list[bytes] = field(default_factory=list)
    """As written; empty for entries and where it is not shown."""


@dataclass
class Stacks:
    """What a lone `}` returns from.

    The kernel leaves the name out where it is the function that was last entered at that depth on that CPU
    (print_graph_return). trace-cmd always leaves it out: there calls of a thread and depth pair like brackets.
    """

    pairs: bool
    entered: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    """(CPU or thread, depth) -> the last function, or those that have not returned."""

    def add(self, calls: Calls, row: int, owner: int, body: re.Match[bytes], duration_ns: int, drawn: bytes) -> None:
        """Record a `FUNCTION() {`, `FUNCTION();` or `}`."""
        depth = max(len(body[1]) - 2, 0) // 2
        entered = self.entered.setdefault((owner, depth), [])
        leaf = body[7] == b";"
        if body[2]:
            func = entered[-1] if entered else b""
            if self.pairs and entered:
                entered.pop()
            func = body[3] or func
        else:
            func = body[6]
            _append(calls, row, False, func, depth, -1)
            if not self.pairs:
                entered[:] = [func]
            elif not leaf:
                entered.append(func)
        if body[2] or leaf:
            found = _RETURNED.search(drawn) if drawn.rstrip().endswith(b"*/") else None
            _append(calls, row, True, func, depth, duration_ns, found[1] if found else b"")


def _append(
    calls: Calls, row: int, is_exit: bool, func: bytes, depth: int, duration_ns: int, returned: bytes = b""
) -> None:
    calls.row.append(row)
    calls.exits.append(is_exit)
    calls.func.append(func)
    calls.depth.append(depth)
    calls.duration_ns.append(duration_ns)
    calls.returned.append(returned)


def duration(us: bytes | None, fraction: bytes | None) -> int:
    """`94`, `944` (microseconds and their fraction) in ns; -1 where there is none."""
    return -1 if not us else min(int(us) * 1000 + int((fraction or b"").ljust(3, b"0")), _DURATION_NS_MAX)


def parse_body(text: bytes) -> re.Match[bytes] | None:
    """What stands behind the bar: (indent, `}`, its function, event key, event body, function, `;` or `{`)."""
    return _BODY.match(text)


def is_drawn(text: bytes) -> bool:
    """Whether some lines are drawn by the function-graph tracer."""
    return any((row[3] or row[7]) and parse_body(row[9]) for row in DRAWN.findall(text[: 1 << 16]))


@dataclass
class Drawing:
    """State from block to block: who runs on each CPU, and the open functions."""

    stacks: Stacks = field(default_factory=lambda: Stacks(pairs=False))
    pids: dict[int, int] = field(default_factory=dict)
    timed: bool = False
    """Without funcgraph-abstime the position of a line, times two, stands for its time."""
    lines: int = 0

    def parse(self, text: bytes, header: Header) -> tuple[Records, Calls]:
        """Split drawn lines: the events in comments as `Records`, with `calls` among them as empty keys."""
        ts: list[tuple[bytes, bytes]] = []
        cpus, pids, flags, keys, bodies = list[int](), list[int](), list[int](), list[bytes](), list[bytes]()
        others, tasks = list[tuple[int, bytes]](), list[Task]()
        frames = list[tuple[int, bytes]]()
        unknown: dict[int, list[int]] = {}
        calls = Calls()
        for (
            seconds,
            fraction,
            since,
            cpu_text,
            comm,
            pid_text,
            flag_text,
            us,
            us_fraction,
            drawn,
            other,
        ) in DRAWN.findall(text):
            if other:
                if found := SWITCH.match(other):
                    cpu = int(found[1])
                    for row in unknown.pop(cpu, ()):
                        pids[row] = int(found[3])
                    self.pids[cpu] = int(found[5])
                    # The name is cut to seven characters here, a shorter one is whole.
                    tasks += [(name, pid, b"") for name, pid in (found.group(2, 3), found.group(4, 5)) if len(name) < 7]
                elif found := FRAME.match(other):
                    frames.append((len(keys), found[1]))
                elif not header.take(other) and not _IGNORED.match(other):
                    others.append((len(keys), other))
                continue
            body, row, cpu = parse_body(drawn), len(keys), int(cpu_text or -1)
            if body is None:
                if not _IGNORED.match(drawn + b"|"):
                    others.append((row, drawn))
                continue
            if pid_text:
                tasks.append((comm, pid_text, b""))
                self.pids[cpu] = int(pid_text)
            elif cpu not in self.pids:
                unknown.setdefault(cpu, []).append(row)
            ts.append((since[:-6] or b"0", since[-6:].zfill(6)) if since and not seconds else (seconds, fraction))
            cpus.append(cpu)
            pids.append(self.pids.get(cpu, -1))
            flags.append(flag_bits(flag_text, header) if flag_text else -1)
            keys.append(body[4] or b"")
            bodies.append(body[5] or b"")
            if body[4] == b"sched_switch: ":
                tasks += [(name, pid, b"") for name, pid in _SWITCHED.findall(bodies[-1])]
            if not body[4]:
                self.stacks.add(calls, row, cpu, body, duration(us, us_fraction), drawn)
        digits = 0
        times: Int64s = 2 * np.arange(self.lines, self.lines + len(keys), dtype=np.int64)
        self.lines += len(keys)
        if ts and ts[0][0]:
            self.timed = True
            times, digits = nanoseconds([s or b"0" for s, _ in ts], [f or b"0" for _, f in ts])
        cpu_column, pid_column, flag_column = (np.array(values, np.int64) for values in (cpus, pids, flags))
        lines = Lines(times, cpu_column, pid_column, flag_column, keys, bodies, others, tasks, digits)
        return replace(lines.records(), frames=frames_of(frames)), calls


@dataclass
class ReportCalls:
    """One record a line; those of the function-graph tracer, as trace-cmd draws them, become calls."""

    scan: Callable[[bytes, Header], Records] = parse_lines
    """Or its compiled twin, `scan.scan_lines`."""
    stacks: Stacks = field(default_factory=lambda: Stacks(pairs=True))

    def parse(self, text: bytes, header: Header) -> tuple[Records, Calls]:
        """Split lines into columns; rows that are calls get empty keys."""
        lines, calls = self.scan(text, header), Calls()
        graph = [key.startswith((b"funcgraph_entry:", b"funcgraph_exit:")) for key in lines.keys]
        if any(graph):
            rows = np.flatnonzero(np.array(graph)[lines.codes])
            codes, drawn = lines.codes.copy(), len(lines.keys)
            for row, text_of_body in zip(rows.tolist(), lines.bodies.take(rows).tolist(), strict=True):
                if found := REPORT_BODY.match(text_of_body):
                    body = parse_body(found[3])
                    if body and not body[4]:
                        codes[row] = drawn
                        self.stacks.add(calls, row, int(lines.pid[row]), body, duration(found[1], found[2]), found[3])
            lines.codes = codes
            lines.keys.append(b"")
        return lines, calls
