"""What no recording at hand has, written by the tests' own writer and read by trace-cmd too, record by record.

Big endian, 32-bit longs, sub-buffers of 64 KB, several instances, trace_printk with every kind of argument, the text of
a latency tracer. (Debian's trace-cmd has no zlib; of the clocks see test_trace_dat_times.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from trace_cmd_reports import check, needs_trace_cmd, report
from trace_dat_files import COMMON, MISSED, MISSED_STORED, File, Machine

from fastgup_trace.ingest.trace_dat import open_trace_dat

MACHINES = [Machine(), Machine(long_bytes=4), Machine(True), Machine(True, 4), Machine(page_bytes=65536)]
WRITERS: dict[str, Callable[[File], bytes]] = {
    "v6": File.v6,
    "v7": File.v7,
    "v7 none": lambda file: file.v7("none"),
    "v7 of 3.2": lambda file: replace(file, uncounted=0).v7(),
}


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    return path


@needs_trace_cmd
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("machine", MACHINES)
def test_records_equal_trace_cmd(tmp_path: Path, machine: Machine, writer: str) -> None:
    m = machine
    first = m.page(1000, m.wake(0, 1) + m.wake(5, -2) + m.extend(1 << 30) + m.wake(1, 3, b"1234567") + m.padding(16))
    second = m.page(2 << 40, m.stamp((2 << 40) + 9) + m.wake(2, 4) + m.wake(0, 5), MISSED | MISSED_STORED, 7)
    other = m.page(1003, m.wake(0, 9, b"a b")) + m.page(1 << 41, m.wake(0, 10), MISSED)
    check(put(tmp_path, WRITERS[writer](File(m, {"": {0: [first, second], 1: [other]}}))))


@needs_trace_cmd
@pytest.mark.parametrize("writer", WRITERS)
def test_instances_equal_trace_cmd(tmp_path: Path, writer: str) -> None:
    m = Machine()
    instances = {
        "": {0: [m.page(10, m.wake(0, 0) + m.wake(5, 1))], 1: [m.page(12, m.wake(0, 2))]},
        "one": {0: [m.page(11, m.wake(0, 3))], 1: [m.page(14, m.wake(0, 4))]},
        "two": {0: [m.page(13, m.wake(0, 5) + m.wake(7, 6))]},
    }
    path = put(tmp_path, WRITERS[writer](File(m, instances)))
    check(path)
    told = open_trace_dat(path).details["instances"]
    assert told == [{"name": name, "cpus": list(cpus)} for name, cpus in instances.items()]


def bprint_format(long_bytes: int) -> str:
    return (
        f"name: bprint\nID: 6\nformat:\n{COMMON}\tfield:unsigned long ip;\toffset:8;\tsize:{long_bytes};\tsigned:0;\n"
        f"\tfield:const char * fmt;\toffset:{8 + long_bytes};\tsize:{long_bytes};\tsigned:0;\n"
        f"\tfield:u32 buf;\toffset:{8 + 2 * long_bytes};\tsize:0;\tsigned:0;\n\n"
        'print fmt: "%pf: %s", (void *)REC->ip, REC->fmt\n'
    )


L = "long"
"""Stands for the code of a long."""
MESSAGES: list[tuple[str, str, tuple[int | bytes, ...], str]] = [
    ("plain\\n", "", (), "plain"),
    ("cpu: %d freq: %u load: %x 100%%\\n", "iII", (-3, 4_000_000_000, 0xAB), "cpu: -3 freq: 4000000000 load: ab 100%"),
    ("%#x %X %o", "III", (255, 255, 8), "0xff FF 10"),
    ("%s and %s: %d", "4s6s2xi", (b"one", b"three", 9), "one and three: 9"),
    ("%lu %ld", L + L, (7, 8), "7 8"),
    ("%d %llu %d", "iQi", (1, 1 << 40, 2), "1 1099511627776 2"),
    ("%zu;%5s;", L + "3s", (5, b"ab"), "5;   ab;"),
    ("%*d", "ii", (6, 42), "    42"),
    ("%ps called", L, (0xC0100000,), "first called"),
]
NOT_OF_TRACE_CMD: list[tuple[str, str, tuple[int | bytes, ...], str]] = [
    ("[%5d|%-5d|%05d|%+d]", "iiii", (1, 2, 3, 4), "[    1|2    |00003|+4]"),
    ("%-5s;%.2s;%hhd;%hd;%c", "3s4sbhB", (b"cd", b"abc", -1, -2, 65), "cd   ;ab;-1;-2;A"),
    ("%pI4 %px", "9sxxx" + L, (b"10.0.0.1", 0xC0200004), "10.0.0.1 0xc0200004"),
]
"""Formats that libtraceevent 1.7.1 does not understand: it shows `|d|>`, and then none of the records that follow."""


def bprint_file(machine: Machine, messages: list[tuple[str, str, tuple[int | bytes, ...], str]]) -> File:
    """One record a message. The packing is vbin_printf's: 8 bytes lie at multiples of 4."""
    m, long = machine, "Q" if machine.long_bytes == 8 else "I"
    data, printk = b"", b""
    for number, (text, kinds, values, _) in enumerate(messages):
        pointer = 0xC0A00000 + 256 * number
        packed = m.pack(kinds.replace(L, long), *values)
        data += m.event(1, m.pack("HBBi" + long + long, 6, 0, 0, 5, 0xC0100000, pointer) + packed)
        printk += f'0x{pointer:x} : "{text}"\n'.encode()
    return File(m, {"": {0: [m.page(1, data)]}}, ftrace=(bprint_format(m.long_bytes),), printk=printk)


@pytest.mark.parametrize("machine", MACHINES[:4])
def test_messages_of_trace_printk(tmp_path: Path, machine: Machine) -> None:
    messages = MESSAGES + NOT_OF_TRACE_CMD
    (window,) = open_trace_dat(put(tmp_path, bprint_file(machine, messages).v7())).windows
    assert window.events["bprint"]["text"].to_pylist() == [expected for *_, expected in messages]


@needs_trace_cmd
@pytest.mark.parametrize("machine", MACHINES[:4])
def test_messages_equal_trace_cmd(tmp_path: Path, machine: Machine) -> None:
    path = put(tmp_path, bprint_file(machine, MESSAGES).v7())
    (window,) = open_trace_dat(path).windows
    shown = [line.fields.removeprefix("first: ").removeprefix("0xc0100000: ") for line in report(path)]
    assert [text.rstrip() for text in window.events["bprint"]["text"].to_pylist()] == shown


def test_a_message_whose_arguments_are_missing_or_whose_format_is_not_known_is_null(tmp_path: Path) -> None:
    m = Machine()
    head = [m.pack("HBBiQQ", 6, 0, 0, 5, 0, pointer) for pointer in (0xC0A00000, 0xC0B00000)]
    data = m.event(1, head[0] + m.pack("i", 1)) + m.event(1, head[0]) + m.event(1, head[1] + m.pack("i", 1))
    file = File(m, {"": {0: [m.page(1, data)]}}, ftrace=(bprint_format(8),), printk=b'0xc0a00000 : "%d"\n')
    (window,) = open_trace_dat(put(tmp_path, file.v7())).windows
    assert window.events["bprint"]["text"].to_pylist() == ["1", None, None]
    assert window.events["bprint"]["buf"].to_pylist() == [[1], [], [1]]


@pytest.mark.parametrize("kind", ["u64 fmt", "u32 buf"])
def test_a_bprint_of_other_fields_has_no_message(tmp_path: Path, kind: str) -> None:
    """Only fields of the types that the kernel gives them are packed arguments."""
    m = Machine()
    text = bprint_format(8)
    text = text.replace("const char * fmt", kind) if kind != "u32 buf" else text.replace("u32 buf", "u16 buf")
    data = m.event(1, m.pack("HBBiQQ", 6, 0, 0, 5, 0, 0xC0A00000) + m.pack("i", 1))
    (window,) = open_trace_dat(put(tmp_path, File(m, {"": {0: [m.page(1, data)]}}, ftrace=(text,)).v7())).windows
    assert "text" not in window.events["bprint"].column_names


TEXT = b"""# tracer: nop
#
            five-5       [001] d..2.     1.000100: sched_waking: comm=six pid=6 prio=120 target_cpu=000
            five-5       [001] d..2.     1.000200: sched_waking: comm=six pid=6 prio=120 target_cpu=000
"""


@pytest.mark.parametrize("writer", WRITERS)
def test_the_text_of_a_tracer_is_read_as_text(tmp_path: Path, writer: str) -> None:
    path = put(tmp_path, WRITERS[writer](File(latency=TEXT)))
    recording = open_trace_dat(path)
    (window,) = recording.windows
    assert window.counts == {"sched_waking": 2}
    assert window.events["sched_waking"]["common_ts_ns"].to_pylist() == [1_000_100_000, 1_000_200_000]
    assert (recording.path, recording.format) == (path, f"trace.dat {writer[:2]} (text of a latency tracer)")
    assert (recording.kernel_release, recording.arch) == ("3.18.0", "arm")


@needs_trace_cmd
@pytest.mark.parametrize("writer", ["v6", "v7", "v7 none"])
def test_trace_cmd_shows_the_same_text(tmp_path: Path, writer: str) -> None:
    path = put(tmp_path, WRITERS[writer](replace(File(), latency=TEXT)))
    run = subprocess.run(["trace-cmd", "report", "-i", str(path)], capture_output=True, check=True)
    assert TEXT.splitlines()[2] in run.stdout.splitlines()
