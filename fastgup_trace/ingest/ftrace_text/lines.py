"""One record a line, as `cat trace` and `trace-cmd report` print it: the common columns, the event's key and its body.

    TASK-PID (TGID) [CPU] FLAGS SECONDS.FRACTION: KEY BODY

TGID and FLAGS depend on options; `trace-cmd report -l` writes the CPU glued to the flags. KEY is the event's
name with what follows it, which tells the kind of line: `name:`, `FUNCTION <-`, `sys_name(`, `sys_name -> `,
`<stack trace>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fastgup_trace.ingest.ftrace_text.spans import Int64s as Int64s
from fastgup_trace.ingest.ftrace_text.spans import Spans, spans_of
from fastgup_trace.ingest.ftrace_text.stacks import FRAME, Frames

KEY = (
    rb"<(?:user )?stack trace ?>|function: *[^\s(<]+(?: <-- | parent_ip=|(?= *$))"
    rb"|[^\s:(]+(?: \[\w+\])?(?:: *| <-|\(| -> |)"
)
RECORD = re.compile(
    rb"^ *+([^\n]{0,40}?)-(\d{1,10}) +(?:\( *(\d{1,10}|-+)\) +)?"  # comm, pid, tgid
    rb"(?:\[(\d{1,6})\] *(?:([^\s\d:][^\s:]{2,7}) +)?| *(\d{1,6})([^\s\d:][^\s:]{3,7}) +)"  # [cpu] flags, or CPUflags
    rb"(\d{1,19})(?:\.(\d{1,9}))?: *"
    rb"(" + KEY + rb")(.*)$"
    rb"|^(.+)$",
    re.MULTILINE,
)

LOST = re.compile(rb"CPU:(\d{1,6}) \[(?:LOST )?(?:(\d{1,18}) )?EVENTS(?: DROPPED)?\]$")
_LEGEND = re.compile(rb"#[ |]*(?:/ )?_-+=> (\S+)")
_ENTRIES = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,19})/(\d{1,19}) +#P:(\d{1,6})")
_REPORT_HEADER = re.compile(rb"version = \d+|CPU \d+ is empty|cpus=(\d{1,6})$")


@dataclass
class Header:
    """What the lines that are no records tell."""

    tracer: str | None = None
    nr_cpus: int | None = None
    kernel_release: str | None = None
    entries: tuple[int, int] | None = None
    """entries-in-buffer, entries-written, of all headers."""
    flag_columns: list[str] = field(default_factory=list)
    """What each character of the flags means, from the legend."""
    is_report: bool = False
    """Written by trace-cmd report."""

    def take(self, line: bytes) -> bool:
        """Read `line` if it is of the header, or a comment."""
        if line.startswith(b"#"):
            if line.startswith(b"# tracer: "):
                self.tracer = line[10:].strip().decode("utf-8", "replace")
            elif found := _ENTRIES.match(line):
                there, written = self.entries or (0, 0)  # More than one header: cat per_cpu/cpu*/trace.
                self.entries = there + int(found[1]), written + int(found[2])
                self.nr_cpus = int(found[3])
            elif (found := _LEGEND.match(line)) and found[1] != b"CPU#":  # There the CPU is glued to the flags.
                self.flag_columns.append(found[1].decode("utf-8", "replace"))
            elif found := re.match(rb"# \S+ latency trace v\S+ on (\S+)", line):
                self.kernel_release = found[1].decode("utf-8", "replace")
            return True
        if line.startswith((b"TRACE:", b"capturing trace")):  # Android's atrace.
            return True
        if found := _REPORT_HEADER.match(line):
            self.is_report = True
            if found[1]:
                self.nr_cpus = int(found[1])
            return True
        return False


# Bits of struct trace_entry.flags (include/linux/trace_events.h) by the letter that trace_print_lat_fmt shows.
_IRQS_OFF, _NOSUPPORT, _NEED_RESCHED, _HARDIRQ, _SOFTIRQ, _PREEMPT_RESCHED, _NMI, _BH_OFF = (1 << n for n in range(8))
_LETTERS: dict[str, dict[str, int]] = {
    "irqs-off": {"d": _IRQS_OFF, "D": _IRQS_OFF | _BH_OFF, "b": _BH_OFF, "X": _NOSUPPORT},
    "need-resched": {
        "N": _NEED_RESCHED | _PREEMPT_RESCHED, "n": _NEED_RESCHED, "p": _PREEMPT_RESCHED,
        "L": _PREEMPT_RESCHED, "b": _NEED_RESCHED, "B": _NEED_RESCHED | _PREEMPT_RESCHED,
    },
    "hardirq": {
        "h": _HARDIRQ, "s": _SOFTIRQ, "H": _HARDIRQ | _SOFTIRQ, "z": _NMI, "Z": _NMI | _HARDIRQ,
    },
}  # fmt: skip
_COLUMNS = ("irqs-off", "need-resched", "hardirq/softirq", "preempt-depth", "migrate-disable")


def flag_bits(text: bytes, header: Header) -> int:
    """The bits of trace_entry.flags that `d.h1.` shows, its columns as in the legend, or the usual ones.

    trace-cmd shows less: its N is the kernel's n, and it has no sign for the rest.
    """
    bits = 0
    for letter, column in zip(text.decode("latin-1"), header.flag_columns or _COLUMNS, strict=False):
        bits |= _LETTERS.get(column.split("/")[0], {}).get(letter, 0)
    return bits & (_IRQS_OFF | _NEED_RESCHED | _HARDIRQ | _SOFTIRQ) if header.is_report else bits


Task = tuple[bytes, bytes, bytes]
"""(comm, pid, tgid) as written; tgid is empty where there is no such column."""


@dataclass
class Records:
    """Records as columns; -1 is null in pid and flags."""

    ts_ns: Int64s
    cpu: Int64s
    pid: Int64s
    flags: Int64s
    codes: npt.NDArray[np.int32]
    """The key of each, as a number of `keys`; one key may have several numbers."""
    keys: list[bytes]
    bodies: Spans
    others: list[tuple[int, bytes]]
    """Records that are no records, each with the number of records before it."""
    tasks: list[Task]
    """Each once, in the order in which they first appear."""
    fraction_digits: int
    frames: Frames | None = None
    """The lines of stacks."""

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass
class Lines:
    """Records with a key and a body each, as `Records` otherwise: what readers of lines with another head give."""

    ts_ns: Int64s
    cpu: Int64s
    pid: Int64s
    flags: Int64s
    keys: Sequence[bytes]
    """`EVENT: ` of an event that is printed as ftrace prints it; empty for records that `Gatherer.add_fields` takes."""
    bodies: Sequence[bytes]
    others: list[tuple[int, bytes]]
    tasks: Iterable[Task]
    fraction_digits: int

    def records(self) -> Records:
        numbers: dict[bytes, int] = {}
        codes = np.fromiter((numbers.setdefault(key, len(numbers)) for key in self.keys), np.int32, len(self.keys))
        return Records(
            self.ts_ns, self.cpu, self.pid, self.flags, codes, list(numbers), spans_of(self.bodies), self.others,
            list(dict.fromkeys(self.tasks)), self.fraction_digits,
        )  # fmt: skip


def sort_others(
    others: Iterable[tuple[int, bytes]], header: Header
) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Give `header` its lines; (lines of stacks without their arrow, all others)."""
    frames, rest = list[tuple[int, bytes]](), list[tuple[int, bytes]]()
    for before, line in others:
        if found := FRAME.match(line):
            frames.append((before, found[1]))
        elif not header.take(line):
            rest.append((before, line))
    return frames, rest


def frames_of(lines: Sequence[tuple[int, bytes]]) -> Frames | None:
    """Lines of stacks, as `sort_others` gives them."""
    if not lines:
        return None
    return Frames(np.array([before for before, _ in lines], np.int64), spans_of([line for _, line in lines]))


_TASK = re.compile(rb"(.*)-(\d{1,10})(?: +\( *(\d{1,10}|-+)\))?$", re.DOTALL)


def task_of(text: bytes) -> Task:
    """`bash-12  (   7)` in its parts."""
    found = _TASK.match(text)
    return (found[1], found[2], found[3] or b"") if found else (b"", b"0", b"")


def flag_column(codes: npt.NDArray[np.int32], spellings: list[bytes], header: Header) -> Int64s:
    """The bits of flags by their number in `spellings`; -1 is none."""
    bits = np.array([*(flag_bits(text, header) for text in spellings), -1], np.int64)
    return bits[codes]


def nanoseconds(seconds: Sequence[bytes], fractions: Sequence[bytes]) -> tuple[Int64s, int]:
    """Times in ns, and the digits of their fractions; times without one (clocks counter, x86-tsc) are as written."""
    try:
        times = np.array(list(map(int, seconds)), np.int64)
    except OverflowError:
        times = np.array([min(int(s), 2**63 - 1) for s in seconds], np.int64)
    digits = {len(fraction) for fraction in fractions}
    if digits <= {0}:
        return times, 0
    times = np.minimum(times, 9_000_000_000)
    if len(digits) == 1:
        width = digits.pop()
        return times * 1_000_000_000 + np.array(list(map(int, fractions)), np.int64) * 10 ** (9 - width), width
    return times * 1_000_000_000 + np.array([int(f.ljust(9, b"0")) for f in fractions], np.int64), max(digits)


def parse_lines(text: bytes, header: Header) -> Records:
    """Split lines into columns. Feeds `header` with its lines, as they come."""
    found = RECORD.findall(text)
    others: list[tuple[int, bytes]] = []
    if any(row[11] for row in found):
        records: list[tuple[bytes, ...]] = []
        for row in found:
            if row[11]:
                others.append((len(records), row[11]))
            else:
                records.append(row)
        found = records
    frames, others = sort_others(others, header)
    if not found:
        none = np.empty(0, np.int64)
        lines = Lines(none, none, none, none, [], [], others, [], 0)
        return replace(lines.records(), frames=frames_of(frames))
    comm, pid, tgid, cpu1, flags1, cpu2, flags2, seconds, fractions, keys, bodies, _ = zip(*found, strict=True)
    ts_ns, digits = nanoseconds(seconds, fractions)
    flag_codes = {text: flag_bits(text, header) if text else -1 for text in {*flags1, *flags2}}
    flags = np.array([flag_codes[a or b] for a, b in zip(flags1, flags2, strict=True)], np.int64)
    cpu = np.array([int(a or b) for a, b in zip(cpu1, cpu2, strict=True)], np.int64)
    pids = np.minimum(np.array(list(map(int, pid)), np.int64), 2**31 - 1)
    lines = Lines(ts_ns, cpu, pids, flags, keys, bodies, others, zip(comm, pid, tgid, strict=True), digits)
    return replace(lines.records(), frames=frames_of(frames))
