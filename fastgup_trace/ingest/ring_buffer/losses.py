"""Events that the ring buffer dropped, beside those that its pages mark: from the statistics in the CPUSTAT options.

A page tells that events before it were overwritten, and mostly how many (the count needs room behind the last
record). `overrun` of the statistics counts all of them. `dropped events` (a full buffer in non-overwriting mode) and
`commit overrun` leave no mark in any page; they are placed behind the CPU's last record, where a buffer that nobody
reads is full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastgup_trace.ingest.records import Loss
from fastgup_trace.ingest.ring_buffer.clocks import NS_CLOCKS


@dataclass(frozen=True)
class CpuStat:
    """What the tracer counted for one CPU of one instance."""

    instance: str
    cpu: int
    overrun: int
    dropped: int
    """dropped events and commit overrun."""
    now_ns: int | None


def parse_cpu_stats(options: Iterable[bytes], clock: str | None) -> list[CpuStat]:
    """The CPUSTAT options in their order; `Buffer: NAME` begins those of an instance."""
    found, instance = list[CpuStat](), ""
    for option in options:
        text = option.split(b"\0")[0].decode("utf-8", "backslashreplace")
        if match := re.search(r"^Buffer: (.*)$", text, re.MULTILINE):
            instance = match[1].strip()
        values = dict(re.findall(r"^([A-Za-z ]+):\s*(\d{1,19}(?:\.\d{1,9})?)$", text, re.MULTILINE))
        if "CPU" not in values:
            continue
        seconds, _, fraction = values.get("now ts", "").partition(".")
        now_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0")) if fraction and clock in NS_CLOCKS else None
        dropped = _count(values, "dropped events") + _count(values, "commit overrun")
        found.append(CpuStat(instance, _count(values, "CPU"), _count(values, "overrun"), dropped, now_ns))
    return found


def _count(values: dict[str, str], name: str) -> int:
    return int(values.get(name, "0").partition(".")[0])


def complete(stat: CpuStat, marked: list[Loss], first_ns: int, last_ns: int) -> list[Loss]:
    """All losses of a CPU; `marked` are those that its pages mark, in time order. Sums of counts equal the tracer's.

    Overwritten events that no page counts lie in the gap without a count; where there are several, one more loss
    spans them all; where there is none, they are older than the CPU's first record.
    """
    found = list(marked)
    if (missing := stat.overrun - sum(loss.count or 0 for loss in marked)) > 0:
        gaps = [loss for loss in marked if loss.count is None]
        since, end = (gaps[0].ts_ns, gaps[-1].end_ns) if gaps else (first_ns, first_ns)
        if len(gaps) == 1:
            found.remove(gaps[0])
        found.append(Loss(stat.cpu, since, end, missing))
    if stat.dropped:
        found.append(
            Loss(stat.cpu, last_ns, last_ns if stat.now_ns is None else max(last_ns, stat.now_ns), stat.dropped)
        )
    return found
