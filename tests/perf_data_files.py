"""Small perf.data files written byte for byte: files and pipes, both byte orders, any sample_type, packed records."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import trace_dat_files
import zstandard
from trace_dat_files import COMMON, EVENT_HEADER, WAKE

from fastgup_trace.ingest.perf_data import abi

IP, TID, TIME, ADDR, READ, CHAIN, ID, CPU, PERIOD, STREAM, RAW = (1 << bit for bit in range(11))
BRANCH, IDENTIFIER = 1 << 11, 1 << 16
SAMPLE_ID_ALL, USE_CLOCKID = 1 << 18, 1 << 25
ALL = IP | TID | TIME | ADDR | READ | CHAIN | ID | CPU | PERIOD | STREAM | RAW | IDENTIFIER
USUAL = IP | TID | TIME | CPU | PERIOD | IDENTIFIER
TEXTS = (WAKE, f'name: tick\nID: 9\nformat:\n{COMMON}\tfield:u64 at;\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: ""\n')


@dataclass(frozen=True)
class Event:
    """One event; what its samples hold is `sample_type`."""

    type: int = abi.SOFTWARE
    config: int = 2
    sample_type: int = USUAL
    read_format: int = 0
    flags: int = SAMPLE_ID_ALL
    clockid: int = 0
    ids: tuple[int, ...] = (1,)
    name: str = "page-faults"


@dataclass(frozen=True)
class Machine:
    """The byte order; records as this machine's kernel and perf write them."""

    big_endian: bool = False

    def pack(self, kinds: str, *values: int | bytes) -> bytes:
        return struct.pack((">" if self.big_endian else "<") + kinds, *values)

    def record(self, kind: int, body: bytes, misc: int = 0) -> bytes:
        return self.pack("IHH", kind, misc, 8 + len(body)) + body

    def attr(self, event: Event, size: int = 128) -> bytes:
        flags = event.flags
        if self.big_endian:
            flags = int(f"{flags:064b}"[::-1], 2)
        head = self.pack("IIQQQQQ", event.type, size, event.config, 1, event.sample_type, event.read_format, flags)
        return (head + bytes(44) + self.pack("I", event.clockid)).ljust(size, b"\0")[:size]

    def trailer(
        self, event: Event, ts: int, pid: int = 0, tid: int = 0, cpu: int = 0, number: int | None = None
    ) -> bytes:
        """struct sample_id of a record that is no sample."""
        if not event.flags & SAMPLE_ID_ALL:
            return b""
        number = event.ids[0] if number is None and event.ids else number or 0
        parts = {
            TID: self.pack("ii", pid, tid), TIME: self.pack("Q", ts), ID: self.pack("Q", number),
            STREAM: self.pack("Q", number), CPU: self.pack("II", cpu, 0), IDENTIFIER: self.pack("Q", number),
        }  # fmt: skip
        return b"".join(part for bit, part in parts.items() if event.sample_type & bit)

    def sample(
        self, event: Event, ts: int, *, pid: int = 5, tid: int = 5, cpu: int = 0, number: int | None = None,
        ip: int = 0xC010_0004, addr: int = 0x1000, period: int = 1, chain: Sequence[int] = (), raw: bytes = b"",
        values: int = 1, misc: int = 1,
    ) -> bytes:  # fmt: skip
        """A sample with what the event's sample_type asks for, in the order of perf_event_open(2)."""
        number = event.ids[0] if number is None and event.ids else number or 0
        head = {
            IDENTIFIER: self.pack("Q", number), IP: self.pack("Q", ip), TID: self.pack("ii", pid, tid),
            TIME: self.pack("Q", ts), ADDR: self.pack("Q", addr), ID: self.pack("Q", number),
            STREAM: self.pack("Q", number), CPU: self.pack("II", cpu, 0), PERIOD: self.pack("Q", period),
            READ: self._read(event.read_format, values, number),
            CHAIN: self.pack("Q", len(chain)) + self.pack(f"{len(chain)}Q", *chain), RAW: self._raw(raw),
BRANCH: self.pack("Q3Q", 1, 2, 3, 4),
        }  # fmt: skip
        return self.record(abi.SAMPLE, b"".join(part for bit, part in head.items() if event.sample_type & bit), misc)

    def _read(self, form: int, values: int, number: int) -> bytes:
        times = self.pack("Q", 1000) * bool(form & 1) + self.pack("Q", 900) * bool(form & 2)
        value = self.pack("Q", 7), self.pack("Q", number) * bool(form & 4) + self.pack("Q", 0) * bool(form & 16)
        return self.pack("Q", values) + times + b"".join(value) * values if form & 8 else value[0] + times + value[1]

    def _raw(self, raw: bytes) -> bytes:
        padded = raw + bytes(-(len(raw) + 4) % 8)
        return self.pack("I", len(padded)) + padded

    def wake(self, cpu: int, comm: bytes = b"a", pid: int = 5) -> bytes:
        """Raw data of the event `wake`, id 7."""
        return self.pack("HBBii8s", 7, 1, 0, pid, cpu, comm)

    def tick(self, at: int, pid: int = 5) -> bytes:
        return self.pack("HBBiQ", 9, 0, 0, pid, at)

    def comm(
        self, event: Event, ts: int, comm: bytes, pid: int, tid: int, *, exec_: bool = False, cpu: int = 0
    ) -> bytes:
        text = comm + bytes(8 - len(comm) % 8)
        body = self.pack("ii", pid, tid) + text + self.trailer(event, ts, pid, tid, cpu)
        return self.record(abi.COMM, body, abi.MISC_COMM_EXEC * exec_)

    def task(self, kind: int, event: Event, ts: int, pid: int, ppid: int, tid: int, ptid: int) -> bytes:
        """FORK or EXIT."""
        body = self.pack("iiiiQ", pid, ppid, tid, ptid, ts) + self.trailer(event, ts, ppid, ptid)
        return self.record(kind, body)

    def mmap(self, event: Event, ts: int, pid: int, addr: int, length: int, name: bytes) -> bytes:
        text = name + bytes(8 - len(name) % 8)
        body = self.pack("iiQQQ", pid, pid, addr, length, 0) + text + self.trailer(event, ts, pid, pid)
        return self.record(abi.MMAP, body)

    def lost(self, event: Event, ts: int, count: int, cpu: int = 0) -> bytes:
        return self.record(abi.LOST, self.pack("QQ", event.ids[0], count) + self.trailer(event, ts, cpu=cpu))

    def lost_samples(self, event: Event, ts: int, count: int, misc: int = 0, cpu: int = 0) -> bytes:
        return self.record(abi.LOST_SAMPLES, self.pack("Q", count) + self.trailer(event, ts, cpu=cpu), misc)

    def switch(self, event: Event, ts: int, *, out: bool, preempt: bool = False, cpu: int = 0) -> bytes:
        misc = abi.MISC_SWITCH_OUT * out | abi.MISC_SWITCH_OUT_PREEMPT * preempt
        body = self.pack("ii", 77, 78) + self.trailer(event, ts, 5, 5, cpu)
        return self.record(abi.SWITCH_CPU_WIDE, body, misc)

    def round(self) -> bytes:
        return self.record(abi.FINISHED_ROUND, b"")

    def tracing_data(self, texts: Iterable[str] = TEXTS, version: bytes = b"0.6", kallsyms: bytes = b"") -> bytes:
        """What perf record copies from tracefs."""
        formats = [text.encode() for text in texts]
        page, event = trace_dat_files.Machine(self.big_endian).header_page(), EVENT_HEADER.encode()
        data = b"\x17\x08\x44tracing" + version + b"\0" + bytes([self.big_endian, 8]) + self.pack("I", 4096)
        data += b"header_page\0" + self.pack("Q", len(page)) + page
        data += b"header_event\0" + self.pack("Q", len(event)) + event + self.pack("I", 0)
        data += self.pack("I", 1) + b"sys\0" + self.pack("I", len(formats))
        data += b"".join(self.pack("Q", len(text)) + text for text in formats)
        data += self.pack("I", len(kallsyms)) + kallsyms + self.pack("I", 0)
        return data + (self.pack("Q", 0) if version != b"0.5" else b"")

    def string(self, text: str) -> bytes:
        raw = text.encode() + b"\0"
        raw += bytes(-len(raw) % 64)
        return self.pack("I", len(raw)) + raw


@dataclass
class Packer:
    """zstd as perf record -z writes it: one frame that goes on from record to record."""

    machine: Machine
    kind: int = abi.COMPRESSED
    _stream: zstandard.ZstdCompressionObj = field(default_factory=lambda: zstandard.ZstdCompressor(1).compressobj())

    def record(self, data: bytes) -> bytes:
        packed = self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if self.kind == abi.COMPRESSED2:
            packed = self.machine.pack("Q", len(packed)) + packed + bytes(-len(packed) % 8)
        return self.machine.record(self.kind, packed)


@dataclass
class File:
    """A perf.data to be written."""

    machine: Machine = field(default_factory=Machine)
    events: tuple[Event, ...] = (Event(),)
    data: bytes = b""
    tracing: bytes = b""
    attr_bytes: int = 128
    names: bool = True
    packed: bool = False

    def features(self) -> dict[int, bytes]:
        m = self.machine
        found = {
            abi.FEATURE_HOSTNAME: m.string("host"), abi.FEATURE_OSRELEASE: m.string("3.18.0"),
            abi.FEATURE_VERSION: m.string("6.1"), abi.FEATURE_ARCH: m.string("aarch64"),
            abi.FEATURE_NRCPUS: m.pack("II", 8, 4),
            abi.FEATURE_CMDLINE: m.pack("I", 2) + m.string("perf") + m.string("-a"),
        }  # fmt: skip
        if self.names:
            described = b"".join(
                m.attr(event, 128)
                + m.pack("I", len(event.ids))
                + m.string(event.name)
                + m.pack(f"{len(event.ids)}Q", *event.ids)
                for event in self.events
            )
            found[abi.FEATURE_EVENT_DESC] = m.pack("II", len(self.events), 128) + described
        if self.packed:
            found[27] = m.pack("5I", 1, 1, 1, 2, 1 << 20)  # COMPRESSED: version, zstd, level, ratio, mmap's bytes
        if self.tracing:
            found[abi.FEATURE_TRACING_DATA] = self.tracing
        return dict(sorted(found.items()))

    def file(self) -> bytes:
        """As perf record -o FILE writes it."""
        m, place = self.machine, 104
        ids = b""
        attrs_at = place + sum(8 * len(event.ids) for event in self.events)
        attrs = b""
        for event in self.events:
            attrs += m.attr(event, self.attr_bytes) + m.pack("QQ", place + len(ids), 8 * len(event.ids))
            ids += m.pack(f"{len(event.ids)}Q", *event.ids)
        start = attrs_at + len(attrs)
        features = self.features()
        bits = m.pack("Q", sum(1 << number for number in features)) + bytes(24)
        magic = b"2ELIFREP" if m.big_endian else b"PERFILE2"
        head = magic + m.pack("8Q", 104, self.attr_bytes + 16, attrs_at, len(attrs), start, len(self.data), 0, 0) + bits
        table_at = start + len(self.data)
        at, table = table_at + 16 * len(features), b""
        for value in features.values():
            table += m.pack("QQ", at, len(value))
            at += len(value)
        return head + ids + attrs + self.data + table + b"".join(features.values())

    def pipe(self) -> bytes:
        """As perf record -o - writes it: the header as records."""
        m = self.machine
        out = (b"2ELIFREP" if m.big_endian else b"PERFILE2") + m.pack("Q", 16)
        for event in self.events:
            out += m.record(abi.HEADER_ATTR, m.attr(event, self.attr_bytes) + m.pack(f"{len(event.ids)}Q", *event.ids))
            if self.names:
                text = event.name.encode() + bytes(8 - len(event.name) % 8)
                out += m.record(abi.EVENT_UPDATE, m.pack("QQ", 2, event.ids[0]) + text)
        for number, value in self.features().items():
            if number not in (abi.FEATURE_TRACING_DATA, abi.FEATURE_EVENT_DESC):
                out += m.record(abi.HEADER_FEATURE, m.pack("Q", number) + value)
        if self.tracing:
            padded = self.tracing + bytes(-len(self.tracing) % 8)
            out += m.record(abi.TRACING_DATA, m.pack("I", len(padded))) + padded
        return out + self.data


FAULTS = Event(sample_type=ALL & ~ID, read_format=0b11111, ids=(11, 12), name="faults")
WAKES = Event(abi.TRACEPOINT, 7, IP | TID | TIME | CPU | RAW | IDENTIFIER | BRANCH, ids=(21,), name="sys:wake")
CYCLES = Event(abi.HARDWARE, 0, IP | TID | TIME | IDENTIFIER, ids=(31,), name="cycles")


def mixed(machine: Machine, form: str) -> bytes:
    """Three events of different sample types, some out of time order, with side-band records between.

    `form`: file, pipe; packed and packed2 as a file, with records that span packed ones.
    """
    m = machine
    head = m.comm(FAULTS, 0, b"init", 1, 1) + m.sample(FAULTS, 100, chain=(1, 2), values=2, number=12)
    head += m.sample(WAKES, 90, cpu=1, raw=m.wake(3)) + m.sample(CYCLES, 95)
    head += m.task(abi.FORK, FAULTS, 110, 6, 5, 6, 5) + m.comm(FAULTS, 120, b"child", 6, 6, exec_=True)
    head += m.lost(FAULTS, 130, 4) + m.lost_samples(FAULTS, 135, 2) + m.switch(FAULTS, 140, out=True, preempt=True)
    head += m.mmap(FAULTS, 150, 6, 0x1000, 0x2000, b"/lib/x.so") + m.round()
    tail = m.sample(WAKES, 160, raw=m.wake(9, b"zz", 6), pid=6, tid=6) + m.task(abi.EXIT, FAULTS, 170, 6, 5, 6, 5)
    file = File(m, (FAULTS, WAKES, CYCLES), head + tail, m.tracing_data())
    if form == "pipe":
        return file.pipe()
    if form != "file":
        packer = Packer(m, abi.COMPRESSED2 if form == "packed2" else abi.COMPRESSED)
        parts = [packer.record(part) for part in (head[:200], head[200:203], head[203:] + tail)]
        file.packed, file.data = True, parts[0] + m.round() + parts[1] + parts[2]
    return file.file()
