"""What a trace.dat file holds and where: its parts as they lie in the file, and which of them are missing.

The layout is that of trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5); `version_6` and `version_7` read it, `metadata` the
parts that both have. Nothing is decoded here but the container: the texts of the kernel stay texts, the ring-buffer
pages stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat.compression import Unpack

MAGIC = b"\x17\x08\x44tracing"

# Option numbers of trace-cmd.dat.v7(5); 15 is the text of saved_tgids (trace-cmd 2.9).
DONE, DATE, CPUSTAT, BUFFER, TRACECLOCK, UNAME, HOOK, OFFSET, CPUCOUNT, VERSION = range(10)
PROCMAPS, TRACEID, TIME_SHIFT, GUEST, TSC2NSEC, SAVED_TGIDS = range(10, 16)
HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS, KALLSYMS, PRINTK, CMDLINES, BUFFER_TEXT = range(16, 23)

OPTIONS_MAX = 65536
OPTION_ID_MAX = 255
CPUS_MAX = 8192  # the largest NR_CPUS of any architecture
INSTANCES_MAX = 256
PAGE_BYTES_MIN = 512
PAGE_BYTES_MAX = 1 << 24
CUT_ADVICE = "the file ends before its time: what is whole before the cut is kept; copy it again for the rest"
NO_PAGES_ADVICE = (
    "trace-cmd did not live to put the pages in: `trace-cmd restore -i` adds those of the trace.dat.cpuN beside it; "
    "without them record again"
)

_FIXED_SIZE = {DONE: 8, CPUCOUNT: 4, TRACEID: 8, TSC2NSEC: 16} | dict.fromkeys(range(HEADER_INFO, CMDLINES + 1), 8)


@dataclass(frozen=True)
class Stream:
    """The ring-buffer pages of one CPU of one trace instance, and where the file has them."""

    instance: str
    """Empty for the top instance."""
    clock: str | None
    cpu: int
    offset: int
    size: int
    end: int
    """The data ends at or before this offset."""
    page_bytes: int
    packed: bool
    cut: bool = False
    """The file ends inside these pages: packed ones end with the last whole chunk."""
    rest: int = 0
    """Bytes of a cut page behind the whole ones, where they are not packed."""


@dataclass(frozen=True)
class Section:
    """Where a section of version 7 is: its head, its end, and its description's place in the strings sections."""

    offset: int
    end: int
    description: int


@dataclass(frozen=True)
class LatencyText:
    """The text of a latency tracer, which trace-cmd keeps in place of ring-buffer pages."""

    instance: str
    text: bytes


@dataclass
class Container:
    """A trace.dat file, opened. Texts are as the kernel gave them; `options` keeps each option's bytes by number."""

    path: Path
    data: memoryview
    version: int
    big_endian: bool
    long_bytes: int
    """Of the recorded machine's user space."""
    page_bytes: int
    strict: bool = False
    compression: str = "none"
    unpack: Unpack | None = None
    header_page: str = ""
    header_event: str = ""
    formats: list[tuple[str, str]] = field(default_factory=list)
    """System and format text of each event."""
    format_bytes: int = 0
    """The length of all of them."""
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: bytes = b""
    clocks: str = ""
    """The text of trace_clock: `[local] global counter`."""
    options: dict[int, list[bytes]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    latency: list[LatencyText] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    damage: list[RecordingError] = field(default_factory=list)

    def cursor(self, pos: int = 0) -> Cursor:
        cursor = Cursor(self.data, str(self.path), self.big_endian)
        cursor.seek(pos, "data")
        return cursor

    def note(self, expected: str, found: str, advice: str = CUT_ADVICE, pos: int | None = None) -> None:
        """Note that part of the file is missing, at its end where `pos` is not given; with `strict`, raise it."""
        where = f"{self.path}: offset {len(self.data) if pos is None else pos}"
        self.note_error(RecordingError(where, expected, found, advice))

    def note_error(self, error: RecordingError) -> None:
        if self.strict:
            raise error
        self.damage.append(error)

    def option_text(self, number: int) -> str | None:
        """The first option of this number as text, without the zero byte and blanks at its end."""
        values = self.options.get(number)
        return values[0].split(b"\0")[0].decode("utf-8", "backslashreplace").strip() if values else None

    def option_number(self, number: int) -> int | None:
        values = self.options.get(number)
        return self.number(values[0]) if values else None

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, "big" if self.big_endian else "little")

    def selected_clock(self) -> str | None:
        """The clock in brackets in the text of trace_clock."""
        text = self.clocks or self.option_text(TRACECLOCK)
        if not text:
            return None
        return text.partition("[")[2].partition("]")[0] or text


def keep_option(container: Container, cursor: Cursor, number: int, size: int) -> None:
    """Keep the `size` bytes at the cursor as an option. Raises RecordingError for a size or number that can't be."""
    start = cursor.pos - 6
    if number > OPTION_ID_MAX:
        cursor.fail(f"an option's number of at most {OPTION_ID_MAX}", f"{number}", start)
    if number in _FIXED_SIZE and size != _FIXED_SIZE[number]:
        cursor.fail(f"option {number} of {_FIXED_SIZE[number]} bytes", f"{size}", start)
    limit = INSTANCES_MAX if number == BUFFER else OPTIONS_MAX
    if len(container.options.get(number, ())) >= limit:
        cursor.fail(f"at most {limit} options of number {number}", "more", start)
    container.options.setdefault(number, []).append(bytes(cursor.take(size, f"option {number}")))


def keep_stream(container: Container, cursor: Cursor, stream: Stream, place: int) -> None:
    """Keep the pages of a CPU, as far as the file goes; `place` is where they are told."""
    if stream.size == 0:
        return
    size = len(container.data)
    if stream.offset + stream.size > stream.end or stream.offset < len(MAGIC):
        found = f"{stream.size} bytes at {stream.offset}"
        cursor.fail(f"pages of CPU {stream.cpu} inside {stream.end} bytes", found, place)
    whole = min(stream.size, max(size - stream.offset, 0))
    cut = whole < stream.size
    if cut:
        container.note(f"{stream.size} bytes of CPU {stream.cpu} at offset {stream.offset}", f"{whole}")
    if not stream.packed and whole % stream.page_bytes and not cut:
        found = f"{stream.size} bytes"
        cursor.fail(f"whole pages of {stream.page_bytes} bytes for CPU {stream.cpu}", found, place)
    rest = 0 if stream.packed else whole % stream.page_bytes
    whole -= rest
    if whole or rest:
        size = stream.size if stream.packed else whole
        end = min(stream.end, len(container.data))
        container.streams.append(replace(stream, size=size, end=end, cut=stream.cut or cut, rest=rest))


def cpu_count(cursor: Cursor, count: int) -> int:
    """`count`, just read at the cursor. Raises RecordingError for more CPUs than any kernel has."""
    if count > CPUS_MAX:
        cursor.fail(f"at most {CPUS_MAX} CPUs", f"{count}", cursor.pos - 4)
    return count
