"""Small trace.dat files written byte for byte: versions 6 and 7, both byte orders, 32- and 64-bit longs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import zstandard

PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
MISSED, MISSED_STORED = 1 << 31, 1 << 30

COMMON = """\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
EVENT_HEADER = """# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
"""
# id 7: a number and a name; id 8: what old and rare formats have.
WAKE = f"name: wake\nID: 7\nformat:\n{COMMON}\tfield:s32 cpu;\toffset:8;\tsize:4;\tsigned:1;\n" + (
    '\tfield:char comm[8];\toffset:12;\tsize:8;\tsigned:0;\n\nprint fmt: "%d %s", REC->cpu, REC->comm\n'
)


def mask_format(long_bytes: int) -> str:
    return (
        f"name: mask\nID: 8\nformat:\n{COMMON}\tfield:__data_loc unsigned long[] cpus;\toffset:8;\tsize:4;\tsigned:0;\n"
        "\tfield:__rel_loc char[] text;\toffset:12;\tsize:4;\tsigned:0;\n"
        f"\tfield:const char * why;\toffset:16;\tsize:{long_bytes};\tsigned:0;\n"
        f"\tfield:void * func;\toffset:{16 + long_bytes};\tsize:{long_bytes};\tsigned:0;\n\n"
        'print fmt: "%s,%d: %pS %s", "a,b", (1), (void *)REC->func, REC->why\n'
    )


SQUEEZE: dict[str, Callable[[bytes], bytes]] = {"zstd": zstandard.compress, "zlib": zlib.compress, "none": bytes}


@dataclass(frozen=True)
class Machine:
    big_endian: bool = False
    long_bytes: int = 8
    page_bytes: int = 4096

    def pack(self, kinds: str, *values: int | bytes) -> bytes:
        return struct.pack((">" if self.big_endian else "<") + kinds, *values)

    def word(self, kind: int, delta: int) -> bytes:
        return self.pack("I", kind << 27 | delta if self.big_endian else delta << 5 | kind)

    def event(self, delta: int, payload: bytes) -> bytes:
        """A record of up to 112 bytes has its length in the first word, a longer one in a word of its own."""
        payload += bytes(-len(payload) % 4)
        if len(payload) <= 112:
            return self.word(len(payload) // 4, delta) + payload
        return self.word(0, delta) + self.pack("I", len(payload) + 4) + payload

    def extend(self, delta: int) -> bytes:
        return self.word(TIME_EXTEND, delta & 0x7FF_FFFF) + self.pack("I", delta >> 27)

    def stamp(self, ts: int) -> bytes:
        return self.word(TIME_STAMP, ts & 0x7FF_FFFF) + self.pack("I", ts >> 27 & 0xFFFF_FFFF)

    def padding(self, size: int) -> bytes:
        return self.word(PADDING, 1) + self.pack("I", size - 4) + bytes(size - 8)

    def wake(self, delta: int, cpu: int, comm: bytes = b"a", pid: int = 5) -> bytes:
        return self.event(delta, self.pack("HBBii8s", 7, 1, 0, pid, cpu, comm))

    def page(self, ts: int, data: bytes, flags: int = 0, lost: int = 0) -> bytes:
        long = "Q" if self.long_bytes == 8 else "I"
        head = self.pack("Q" + long, ts, len(data) | flags)
        tail = self.pack(long, lost) if flags & MISSED_STORED else b""
        return (head + data + tail).ljust(self.page_bytes, b"\0")

    def header_page(self) -> bytes:
        start = 8 + self.long_bytes
        return (
            f"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
            f"\tfield: local_t commit;\toffset:8;\tsize:{self.long_bytes};\tsigned:1;\n"
            f"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
            f"\tfield: char data;\toffset:{start};\tsize:{self.page_bytes - start};\tsigned:0;\n"
        ).encode()


@dataclass
class File:
    """A trace.dat to be written: pages by instance and CPU."""

    machine: Machine = field(default_factory=Machine)
    instances: dict[str, dict[int, list[bytes]]] = field(default_factory=dict)
    stats: tuple[str, ...] = ()
    clock: bytes = b"local"
    formats: tuple[str, ...] = ()
    ftrace: tuple[str, ...] = ()
    """Formats of ftrace's own events."""
    printk: bytes = b'0xc0900000 : "why not"\n'
    latency: bytes = b""
    """The text of a latency tracer, in place of all pages."""
    uncounted: int = 4
    """Bytes of a CPU's packed data that its size leaves out: trace-cmd before 3.2 forgot the number of chunks."""

    def _texts(self) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
        pack, page, event = self.machine.pack, self.machine.header_page(), EVENT_HEADER.encode()
        texts = [text.encode() for text in self.formats or (WAKE, mask_format(self.machine.long_bytes))]
        header = b"header_page\0" + pack("Q", len(page)) + page + b"header_event\0" + pack("Q", len(event)) + event
        events = pack("I", 1) + b"sys\0" + pack("I", len(texts)) + b"".join(pack("Q", len(t)) + t for t in texts)
        kallsyms = b"c0100000 T first\nc0100100 t $a\nc0200000 t second\t[module]\n"
        cmdlines = b"5 five\n6 six\n"
        ftrace = [text.encode() for text in self.ftrace]
        own = pack("I", len(ftrace)) + b"".join(pack("Q", len(text)) + text for text in ftrace)
        return header, own, events, kallsyms, self.printk, cmdlines

    def _options(self) -> list[tuple[int, bytes]]:
        found = [(2, text.encode() + b"\0") for text in self.stats]
        return [*found, (5, b"Linux host 3.18.0 armv7l\0"), (9, b"3.1.6 test\0"), (8, self.machine.pack("I", 4))]

    def _head(self, version: bytes) -> bytes:
        m = self.machine
        return (
            b"\x17\x08\x44tracing" + version + b"\0" + bytes([m.big_endian, m.long_bytes]) + m.pack("I", m.page_bytes)
        )

    def v6(self) -> bytes:
        pack, page = self.machine.pack, self.machine.page_bytes
        header, ftrace, events, kallsyms, printk, cmdlines = self._texts()
        data = self._head(b"6") + header + ftrace + events + pack("I", len(kallsyms)) + kallsyms
        data += pack("I", len(printk)) + printk + pack("Q", len(cmdlines)) + cmdlines
        cpus = 4  # As the option CPUCOUNT says: trace-cmd goes by that one.
        data += pack("I", cpus) + b"options  \0"
        options = [*self._options(), (4, b"[" + self.clock + b"] global\0")]
        if self.latency:
            data += b"".join(pack("HI", number, len(value)) + value for number, value in options)
            return data + pack("H", 0) + b"latency  \0" + self.latency
        data += b"".join(pack("HI", number, len(value)) + value for number, value in options)
        others = [name for name in self.instances if name]
        size = sum(6 + 8 + len(name) + 1 for name in others) + 2 + 10 + 16 * cpus
        tables = len(data) + size
        place = -(-(tables + len(others) * (10 + 16 * cpus)) // page) * page
        table, behind = b"", b""
        for number, name in enumerate(["", *others]):
            if name:
                at = tables + (number - 1) * (10 + 16 * cpus)
                data += pack("HI", 3, 8 + len(name) + 1) + pack("Q", at) + name.encode() + b"\0"
            entries = b"flyrecord\0"
            for cpu in range(cpus):
                pages = b"".join(self.instances.get(name, {}).get(cpu, []))
                entries += pack("QQ", place, len(pages))
                behind += pages
                place += len(pages)
            table += entries
        data += pack("H", 0) + table
        return data + bytes(-len(data) % page) + behind

    def v7(self, compression: str = "zstd", chunk_pages: int = 2) -> bytes:
        pack, page = self.machine.pack, self.machine.page_bytes
        squeeze = SQUEEZE[compression]

        def section(number: int, body: bytes) -> bytes:
            if compression == "none" or number in (0, 3):
                return pack("HHIQ", number, int(number == 3 and compression != "none"), 0, len(body)) + body
            packed = squeeze(body)
            return pack("HHIQ", number, 1, 0, len(packed) + 8) + pack("II", len(packed), len(body)) + packed

        header, ftrace, events, kallsyms, printk, cmdlines = self._texts()
        data = self._head(b"7") + compression.encode() + b"\0" + b"1\0" + pack("Q", 0)
        patch, options = len(data) - 8, self._options()
        bodies = {
            16: header, 17: ftrace, 18: events, 19: pack("I", len(kallsyms)) + kallsyms,
            20: pack("I", len(printk)) + printk, 21: pack("Q", len(cmdlines)) + cmdlines,
        }  # fmt: skip
        for number, body in bodies.items():
            options.append((number, pack("Q", len(data))))
            data += section(number, body)
        for name, cpus in self.instances.items():
            at, body, entries = len(data), b"", b""
            for cpu, pages in cpus.items():
                body += bytes(-(at + 16 + len(body)) % page)
                raw = b"".join(pages)
                if compression != "none":
                    chunks = [raw[i : i + chunk_pages * page] for i in range(0, len(raw), chunk_pages * page)]
                    packed = [squeeze(chunk) for chunk in chunks]
                    raw = b"".join(pack("II", len(p), len(c)) + p for p, c in zip(packed, chunks, strict=True))
                    raw = pack("I", len(chunks)) + raw
                entries += pack("IQQ", cpu, at + 16 + len(body), len(raw) - (compression != "none") * self.uncounted)
                body += raw
            data += section(3, body)
            value = pack("Q", at) + name.encode() + b"\0" + self.clock + b"\0" + pack("II", page, len(cpus)) + entries
            options.append((3, value))
        if self.latency:
            options.append((22, pack("Q", len(data)) + b"\0" + self.clock + b"\0"))
            text = self.latency
            if compression != "none":
                chunk = squeeze(text)
                text = pack("III", 1, len(chunk), len(text)) + chunk
            data += pack("HHIQ", 22, compression != "none", 0, len(text)) + text
        options.append((0, pack("Q", 0)))
        place = len(data)
        body = b"".join(pack("HI", number, len(value)) + value for number, value in options)
        return data[:patch] + pack("Q", place) + data[patch + 8 :] + section(0, body)


def with_options(data: bytes, *options: tuple[int, bytes]) -> bytes:
    """A little-endian version 7 file of trace-cmd, with further options in the last of its options sections."""
    behind = data.index(b"\0", data.index(b"\0", 18) + 1) + 1
    (place,) = struct.unpack_from("<Q", data, behind)
    while True:
        number, flags, _, size = struct.unpack_from("<HHIQ", data, place)
        assert (number, flags) == (0, 0)
        (following,) = struct.unpack_from("<Q", data, place + 16 + size - 8)
        if not following:
            break
        place = following
    added = b"".join(struct.pack("<HI", number, len(value)) + value for number, value in options)
    head = data[:place] + data[place : place + 8] + struct.pack("<Q", size + len(added))
    return head + added + data[place + 16 :]


def time_shift(peer: int, flags: int, cpus: list[list[tuple[int, int, int, int]]], *, fractions: bool = True) -> bytes:
    """A TIME_SHIFT option: for each CPU its samples of time, offset, scaling and fraction."""
    data = struct.pack("<QII", peer, flags, len(cpus))
    for samples in cpus:
        data += struct.pack("<I", len(samples))
        for column in range(3):
            data += b"".join(struct.pack("<q", sample[column]) for sample in samples)
    if fractions:
        data += b"".join(struct.pack("<q", sample[3]) for samples in cpus for sample in samples)
    return data
