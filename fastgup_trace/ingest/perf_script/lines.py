"""The lines of `perf script`: a head of common columns, the event's name, what the event printed.

    COMM PID/TID [CPU] MISC TOD SECONDS.FRACTION: PERIOD SYSTEM:EVENT: BODY

`-F` chooses the columns; only the time and the event must be there (`untimed`: only the event). One number instead of
PID/TID is the thread, as perf prints it unless asked for `-F pid`. PERF_RECORD_* (side-band records, --show-*-events)
follow the time without a colon. A call chain is the indented lines below a head, closed by an empty line.
Order and widths: process_event and perf_sample__fprintf_start in tools/perf/builtin-script.c, 3.13 to 6.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fastgup_trace.ingest.ftrace_text.lines import nanoseconds
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans, spans_of

_HEAD = (
    rb"^[ \t]*+(?:(\S[^\n]{0,40}?)[ \t]+)??(-?\d{1,10})(?:/(-?\d{1,10}))?[ \t]+"  # comm, pid or tid, tid
    rb"(?:\[(\d{1,6})\][ \t]+)?(?:[A-Za-z]{1,8} +)?"  # cpu, misc
)
_NO_TASK = (
    rb"^[ \t]*+(?:((?!\[)\S(?:(?!-\d+ )[^\n\[]){0,40}?)[ \t]+)??"  # comm; `NAME-12 [` is a line of ftrace
    rb"()()(?:\[(\d{1,6})\][ \t]+)?"
)
_REST = (
    rb"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +)?(\d{1,19})\.(\d{1,6}|\d{9}):[ \t]+"  # time of day, seconds, fraction
    rb"(?:(\d{1,20})[ \t]+)?(?:(PERF_RECORD_\w+)|(\S+?):(?=[ \t\r\n]|\Z) ?)"  # period, record or event
    rb"(.*?)\r?$"
)
HEAD = re.compile(_HEAD + _REST, re.MULTILINE)
BARE_HEAD = re.compile(_NO_TASK + _REST, re.MULTILINE)
"""As HEAD, of a text without -F pid or tid."""
_LINE = re.compile(HEAD.pattern + rb"|^(.+)$", re.MULTILINE)
_BARE_LINE = re.compile(BARE_HEAD.pattern + rb"|^(.+)$", re.MULTILINE)
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
COMM_MAX = 41
_RECORD = b"PERF_RECORD_"
_MODIFIERS = frozenset("ukhIGHpPSDWeRb")
"""What may follow an event's name behind a colon (parse-events.l): `cycles:ppp` has no system, `sched:x` has."""
_SOFTWARE = {
    **{name: name for name in (
        b"cpu-clock", b"task-clock", b"page-faults", b"context-switches", b"cpu-migrations", b"minor-faults",
        b"major-faults", b"alignment-faults", b"emulation-faults", b"dummy", b"bpf-output", b"cgroup-switches",
    )},
    b"faults": b"page-faults", b"cs": b"context-switches", b"migrations": b"cpu-migrations",
}  # fmt: skip
"""The software events and perf's other names for them (parse-events.c): they are the same with any modifiers."""


@dataclass
class Header:
    """What the comments of `perf script --header` tell, and what was skipped."""

    kernel_release: str | None = None
    arch: str | None = None
    nr_cpus: int | None = None
    clock: str | None = None
    details: dict[str, object] = field(default_factory=dict)
    chain_lines: int = 0
    """Lines of call chains."""
    untimed_records: int = 0
    """Records without times so far."""

    def take(self, line: bytes) -> bool:
        """Read `line` if it is a comment, or belongs to the call chain of the record above it."""
        if line.startswith(b"#"):
            key, _, value = line[1:].decode("utf-8", "replace").partition(":")
            self._set(key.strip(), value.strip())
            return True
        if line[:1].isspace() or _FLUSH_FRAME.match(line):
            self.chain_lines += 1 if line.strip() else 0
            return True
        return False

    def _set(self, key: str, value: str) -> None:
        match key:
            case "os release":
                self.kernel_release = value
            case "arch":
                self.arch = value
            case "nrcpus online" if value.isdigit() and len(value) < 7:
                self.nr_cpus = int(value)
            case "perf version" | "cmdline" | "captured on":
                self.details[f"perf {key}"] = value
            case "clockid":
                self.clock = _CLOCKS.get(value.split(" ")[0], value.split(" ")[0])


_CLOCKS = {"monotonic": "mono", "monotonic_raw": "mono_raw", "boottime": "boot", "tai": "tai"}
"""perf's names (tools/perf/util/clockid.c) to those of ftrace's trace_clock."""


@dataclass
class Heads:
    """The records of some lines, as columns; -1 where the text has none, and for a thread that has exited."""

    ts_ns: Int64s
    cpu: Int64s
    tid: Int64s
    period: Int64s
    untimed: npt.NDArray[np.bool_]
    """Whether the time is 0: records that perf made up, at its start, of what was there before."""
    codes: npt.NDArray[np.int32]
    """The event of each, as a number of `names`."""
    names: list[bytes]
    """Event, without its system, or PERF_RECORD_*; one may be there more than once."""
    traced: list[bool]
    """Whether the event of `names` had a system: a tracepoint or probe, which prints fields of its own."""
    bodies: Spans
    others: list[tuple[int, bytes]]
    """Lines that are no records, each with the number of records before it."""
    comms: dict[int, bytes]
    tgids: dict[int, int]

    def __len__(self) -> int:
        return len(self.ts_ns)


_FLUSH_FRAME = re.compile(rb"[0-9a-f]{4,16} [^\n]+ \([^\n]*\)\s*$")
"""A line of a call chain whose spaces some editor took."""

Task = tuple[bytes, bytes, bytes]
"""(comm, pid or tid, tid) as written; the last is empty where there is one number."""
_TASK = re.compile(rb"(?:(\S.*?)[ \t]+)??(-?\d{1,10})(?:/(-?\d{1,10}))?$", re.DOTALL)


def task_of(text: bytes) -> Task:
    """`perf 11/12` in its parts."""
    found = _TASK.match(text)
    return (found[1] or b"", found[2], found[3] or b"") if found else (b"", b"", b"")


def who_is_who(tasks: Iterable[Task]) -> tuple[dict[int, bytes], dict[int, int]]:
    """The comm and the process of each thread, of several the last that is new."""
    comms: dict[int, bytes] = {}
    tgids: dict[int, int] = {}
    for comm, pid, tid in dict.fromkeys(tasks):
        thread = _integer(tid or pid, INT32_MAX)
        if thread >= 0 and comm:
            comms[thread] = comm
        if tid and thread >= 0 and _integer(pid, INT32_MAX) >= 0:
            tgids[thread] = _integer(pid, INT32_MAX)
    return comms, tgids


def split_names(names: Sequence[bytes]) -> tuple[list[bytes], list[bool]]:
    """`split_name` of each."""
    split = [split_name(name) for name in names]
    return [name for name, _ in split], [traced for _, traced in split]


def split_name(name: bytes) -> tuple[bytes, bool]:
    """`sched:sched_switch` is (sched_switch, True); `faults:u` is (page-faults, False); others stay, False."""
    system, colon, event = name.partition(b":")
    if system in _SOFTWARE:
        return _SOFTWARE[system], False
    if (
        not colon
        or not event
        or b"/" in name
        or system == b"mem"
        or name.startswith(_RECORD)
        or set(event.decode("latin-1")) <= _MODIFIERS
    ):
        return name, False
    return event, True


def parse_lines(text: bytes, header: Header, bare: bool = False) -> Heads:
    """Split lines into columns. Feeds `header` with its lines; `bare` is a text that names no threads."""
    found = (_BARE_LINE if bare else _LINE).findall(text)
    others: list[tuple[int, bytes]] = []
    records = []
    for row in found:
        if not row[10]:
            records.append(row)
        elif not header.take(row[10]):
            others.append((len(records), row[10]))
    comms, pids, tids, cpus, seconds, fractions, periods, sideband, events, bodies, _ = (
        zip(*records, strict=True) if records else [()] * 11
    )
    # simpleperf (Android) prints microseconds without their leading zeros.
    ts_ns, _ = nanoseconds(seconds, [word.zfill(6) for word in fractions])
    words = [record or event for record, event in zip(sideband, events, strict=True)]
    return columns_of(ts_ns, ts_ns == 0, words, (comms, pids, tids, cpus, periods, bodies), others)


def columns_of(
    ts_ns: Int64s,
    untimed: npt.NDArray[np.bool_],
    words: Sequence[bytes],
    columns: tuple[Sequence[bytes], ...],
    others: list[tuple[int, bytes]],
) -> Heads:
    """Heads of records named `words`; `columns` are the texts of comms, pids, tids, cpus, periods and bodies."""
    comms, pids, tids, cpus, periods, bodies = columns
    numbers: dict[bytes, int] = {}
    codes = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.int32, len(words))
    names, traced = split_names(list(numbers))
    who, processes = who_is_who(zip(comms, pids, tids, strict=True))
    return Heads(
        ts_ns=ts_ns,
        cpu=integers(cpus, INT32_MAX),
        tid=integers([tid or pid for pid, tid in zip(pids, tids, strict=True)], INT32_MAX),
        period=integers(periods, INT64_MAX),
        untimed=untimed,
        codes=codes,
        names=names,
        traced=traced,
        bodies=spans_of(bodies),
        others=others,
        comms=who,
        tgids=processes,
    )


def _integer(word: bytes, most: int) -> int:
    return max(min(int(word), most), -1) if word else -1


def integers(words: Sequence[bytes], most: int) -> Int64s:
    values = {word: _integer(word, most) for word in set(words)}
    return np.array([values[word] for word in words], np.int64)
