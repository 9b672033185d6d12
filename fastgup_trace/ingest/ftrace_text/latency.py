"""Text of latency tracers (irqsoff, preemptoff, wakeup) and of options/latency-format, plain and verbose.

    TASK-PID CPUFLAGS Nus[!+]: KEY BODY
    TASK PID CPU FLAGS PREEMPT INDEX [US] MSms (+MSms): KEY BODY

Times are microseconds: plain since the buffer's start, verbose since the clock's (kernel/trace/trace_output.c,
lat_print_timestamp). Such a text is one snapshot, at most some MB, so regular expressions do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import KEY, Header, Lines, Records, flag_bits, frames_of, sort_others

_RECORD = re.compile(
    rb"^ *+(?:([^\n]{0,40}?)-(\d{1,10}) +(\d{1,6})([^\s\d:][^\s:]{2,7}) +(\d{1,15})(us)?[ !+*#$@]?: *"
    rb"|([^\n]{0,40}?) +(\d{1,10}) +(\d{1,6}) +(\d{1,3}) +[0-9a-f]{8} +[0-9a-f]{8,16} "
    rb"\[([0-9a-f]{8,16})\] (?:-?\d+\.\d{3}(ms)|-?\d+) \(\+?-?[\d.]+(?:ms)?\): *)"
    rb"(" + KEY + rb")(.*)$"
    rb"|^(.+)$",
    re.MULTILINE,
)
"""Plain: comm, pid, cpu, flags, time, us; verbose: comm, pid, cpu, flags, time, ms; key, body; or any other line."""
_IGNORED = re.compile(rb" *-+$| *=> (?:started|ended) at: .*$| *=>(?:started|ended) at: .*$")


def is_latency(text: bytes) -> bool:
    """Whether some lines are those of latency-format."""
    return any(row[3] or row[9] for row in _RECORD.findall(text[: 1 << 16]))


@dataclass
class Latency:
    """Reads blocks of such text."""

    in_ticks: bool = False
    """Times are the clock's own counts."""

    def parse(self, text: bytes, header: Header) -> tuple[Records, Calls]:
        """Split lines into columns."""
        rows, others = list[tuple[bytes, ...]](), list[tuple[int, bytes]]()
        for row in _RECORD.findall(text):
            if not row[14]:
                rows.append(row)
            elif not _IGNORED.match(row[14]):
                others.append((len(rows), row[14]))
        frames, others = sort_others(others, header)
        self.in_ticks = self.in_ticks or any(not (row[5] or row[11]) for row in rows)
        scale = 1 if self.in_ticks else 1000
        spelt = {spelling: flag_bits(spelling, header) for spelling in {row[3] for row in rows}}
        lines = Lines(
            np.array([min(int(r[4] or b"0") or int(r[10] or b"0", 16), _TIME_MAX) * scale for r in rows], np.int64),
            np.array([int(r[2] or r[8]) for r in rows], np.int64),
            np.array([min(int(r[1] or r[7]), (1 << 31) - 1) for r in rows], np.int64),
            np.array([spelt[r[3]] if r[3] else int(r[9]) & 0xFF for r in rows], np.int64),
            [r[12] for r in rows],
            [r[13] for r in rows],
            others,
            [(r[0] or r[6], r[1] or r[7], b"") for r in rows],
            0 if self.in_ticks else 6,
        )
        return replace(lines.records(), frames=frames_of(frames)), Calls()


_TIME_MAX = 9 * 10**15
