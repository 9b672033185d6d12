"""What every format yields: the records of a recording as columns, one table an event, window after window.

A format module decodes bytes to these tables and knows nothing of the mm; `fastgup_trace.probes` turns them into
the tables of a capture and knows nothing of bytes.

Columns of an event's table, first the common ones (the kernel reserves the prefix `common_`, so an event's own
`cpu` or `pid` can't collide):

    common_seq      int64   position in the recording's merged order: by time, ties by CPU, then by position
    common_ts_ns    int64   nanoseconds on the recording's clock
    common_cpu      int32   -1 where the recording does not tell it
    common_pid      int32   the thread (the kernel calls it pid)
    common_flags    uint8   irq and preemption flags as in struct trace_entry; null where the format has none

then the event's own fields under the kernel's names, typed as its format text types them:

    integers            int8..uint64 of the declared size and sign; bool as uint8
    char arrays, __data_loc char[], const char * with a known target
                        dictionary<int32, string>; of a `const char *` the raw pointer is kept as NAME.ptr (uint64)
    a bitmask or cpumask (`__data_loc unsigned long[]`, `cpumask_t`)
                        list<uint64> of 64-bit words, least significant first
    other arrays        list<integer>
    a pointer that the event's print fmt shows as a symbol (%ps %pS %pf %pF)
                        NAME as uint64, and NAME.sym: dictionary string, the function's name without offset

A stack (`kernel_stack`, `user_stack`: trace-cmd record -T, options/stacktrace) is an event of its own:

    caller              list<uint64>, missing where text has names only
    caller.sym          list<string>, of kernel addresses the function's name
    of_seq              int64: common_seq of the record that it belongs to, the one before it on its CPU

A field that a record is too short for is null, and the record is counted in `Window.undecodable`.
Function-tracer records are the event `function:FUNCTION`, with `ip`, `parent_ip` (uint64) and `parent_ip.sym`.
The function-graph tracer's are `funcgraph_entry` (func, func.sym, depth) and `funcgraph_exit` (func, func.sym,
calltime, rettime, depth); text, which shows a leaf in one line, yields both.
Where a format has no value for a field, its column is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from fastgup_trace.errors import RecordingError
from fastgup_trace.patterns import matches

Progress = Callable[[int, int], None]
"""Called with (bytes read so far, bytes in all)."""

Wanted = Mapping[str, frozenset[str]]
"""Event name -> the fields to decode. An event that is not in it is counted but not decoded.
A key that ends in `*` stands for every event that begins so."""


class WantedRecords(dict[str, frozenset[str]]):
    """A `Wanted` that also tells which records of some frequent events are of use."""

    def __init__(self, fields: Wanted, only: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        super().__init__(fields)
        self.only = only
        """Event -> one of its integer fields, and the values that make a record worth decoding; a reader may leave
        out the others, whose number counts like any."""


def wanted_fields(wanted: Wanted | None, event: str) -> tuple[bool, frozenset[str] | None]:
    """Whether `event` is to be decoded, and which of its fields (None: all)."""
    if wanted is None:
        return True, None
    fields = [found for pattern, found in wanted.items() if matches(pattern, event)]
    return bool(fields), frozenset().union(*fields)


@dataclass(frozen=True)
class Window:
    """A stretch of a recording: all records of all CPUs between two times, later than any window before it."""

    events: dict[str, pa.Table]
    """Event name (without its system) -> its records in `common_seq` order; only the wanted ones."""
    counts: dict[str, int]
    """Event name -> records in this window, wanted or not."""
    undecodable: dict[str, int] = field(default_factory=dict)
    """Reason -> records that could not be decoded."""


@dataclass(frozen=True)
class Loss:
    """Events that the tracer dropped on `cpu` before ts_ns and after the record before it; count None: not known."""

    cpu: int
    ts_ns: int
    end_ns: int
    count: int | None


@dataclass(frozen=True)
class Recording:
    """An opened recording: what its headers tell, and its windows, to be read once.

    `losses` fills while `windows` is read and is complete after it.
    """

    path: Path
    format: str
    """Name of the format with its version: `trace.dat v7`, `ftrace text`."""
    size_bytes: int
    clock: str | None
    nr_cpus: int | None
    arch: str | None
    kernel_release: str | None
    page_size: int | None
    """The kernel's PAGE_SIZE in bytes, where the recording tells it (the ring buffer's sub-buffer size does not)."""
    tracer: str | None
    comms: dict[int, str]
    tgids: dict[int, int]
    losses: list[Loss]
    windows: Iterator[Window]
    unit: str = "ns"
    """What common_ts_ns counts: `ns`; `ticks` of a counter whose rate is not known; `positions` without any times."""
    damage: list[RecordingError] = field(default_factory=list)
    """Where the recording ends before its time, or what of it had to be left out; complete after `windows`. With
    `strict` the first of these is raised instead."""
    details: dict[str, object] = field(default_factory=dict)
    """Anything else worth its place in the provenance: trace-cmd's version, uname, options, buffer names."""
