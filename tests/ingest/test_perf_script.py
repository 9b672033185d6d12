"""Text of perf script: heads of every shape, what follows them, what is left out, and damage."""

from __future__ import annotations

import gzip
import lzma
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import ftrace_text, perf_script
from fastgup_trace.ingest.ftrace_text.spans import spans_of
from fastgup_trace.ingest.perf_script.bodies import sample_fields
from fastgup_trace.ingest.perf_script.lines import Header, Heads, parse_lines
from fastgup_trace.ingest.perf_script.samples import scan_samples
from fastgup_trace.ingest.perf_script.scan import scan_lines
from fastgup_trace.ingest.records import Recording, Wanted, Window

Rows = list[dict[str, Any]]
BACKWARDS = "earlier than the window before: its time is set to that window's end"


def read(
    folder: Path, text: str | bytes, wanted: Wanted | None = None, strict: bool = False
) -> tuple[Recording, list[Window]]:
    path = folder / "perf.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    recording = perf_script.open_perf_script(path, wanted=wanted, strict=strict)
    return recording, list(recording.windows)


def rows(windows: list[Window], event: str) -> Rows:
    return [row for window in windows if event in window.events for row in window.events[event].to_pylist()]


def fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("common_")}


SWITCH = "prev_comm=a b prev_pid=7 prev_prio=120 prev_state=D ==> next_comm=c next_pid=8 next_prio=0"
SWITCH_FIELDS = {
    "prev_comm": "a b", "prev_pid": 7, "prev_prio": 120, "prev_state": 2,
    "next_comm": "c", "next_pid": 8, "next_prio": 0,
}  # fmt: skip
US, NS = 1_000_000_000 + 2_000, 1_000_000_000 + 2_003
HEADS = [
    # (head, ts_ns, cpu, thread, comm, tgid)
    ("            perf 11051 [003]     1.000002:           sched:sched_switch: ", US, 3, 11051, "perf", None),
    ("     Web Content  1234 [000]     1.000002: sched:sched_switch: ", US, 0, 1234, "Web Content", None),
    ("     kworker/0:1    12 [000]     1.000002: sched:sched_switch: ", US, 0, 12, "kworker/0:1", None),
    ("             a 1    12 [128]     1.000002: sched:sched_switch: ", US, 128, 12, "a 1", None),
    ("            perf 11/12 [003]     1.000002: sched:sched_switch: ", US, 3, 12, "perf", 11),
    ("            perf    11/-1    [003]     1.000002: sched:sched_switch: ", US, 3, -1, "perf", 11),
    ("             :-1    -1 [003]     1.000002: sched:sched_switch: ", US, 3, -1, ":-1", None),
    ("            perf 11051 [003]     1.000002003: sched:sched_switch: ", NS, 3, 11051, "perf", None),
    ("            perf 11051 [003]     1.000002:          1         sched:sched_switch: ", US, 3, 11051, "perf", None),
    ("            perf 11051     1.000002: sched:sched_switch: ", US, -1, 11051, "perf", None),
    ("26275/26275     1.000002: sched:sched_switch: ", US, -1, 26275, None, 26275),
    ("26275 [001]     1.000002: sched:sched_switch: ", US, 1, 26275, None, None),
    ("            perf     1.000002: sched:sched_switch: ", US, -1, None, None, None),
    ("     1.000002: sched:sched_switch: ", US, -1, None, None, None),
    (" migration/1    21 [001] K     2026-11-22 23:55:16.410618     1.000002: sched:sched_switch:     ",
     US, 1, 21, "migration/1", None),
    ("java 8192 [000]  1.000002: sched:sched_switch: ", US, 0, 8192, "java", None),
]  # fmt: skip


@pytest.mark.parametrize(("head", "ts_ns", "cpu", "pid", "comm", "tgid"), HEADS)
def test_heads(
    tmp_path: Path, head: str, ts_ns: int, cpu: int, pid: int | None, comm: str | None, tgid: int | None
) -> None:
    recording, windows = read(tmp_path, head + SWITCH + "\n")
    (row,) = rows(windows, "sched_switch")
    # -1 is the kernel's sign for a thread that has exited.
    thread = None if pid == -1 else pid
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"]) == (ts_ns, cpu, thread)
    assert fields(row) == SWITCH_FIELDS
    assert recording.comms == ({} if comm is None or thread is None else {thread: comm})
    assert recording.tgids == ({} if tgid is None or thread is None else {thread: tgid})


def test_names_of_events(tmp_path: Path) -> None:
    names = ["sched:sched_process_wait", "probe:do_exit", "cycles:ppp", "cycles:u", "cpu/event=0x3c,umask=0x0/u",
             "mem:0x55d0:x", "dummy:HG", "faults:u",
             "page-faults"]  # fmt: skip
    _, windows = read(tmp_path, "".join(f"  a 1 [000] 1.000002: {name}: \n" for name in names))
    assert windows[0].counts == {
        "sched_process_wait": 1, "do_exit": 1, **dict.fromkeys(names[2:6], 1), "dummy": 1, "page-faults": 2,
    }  # fmt: skip


def test_simpleperf_leaves_out_zeros(tmp_path: Path) -> None:
    """The public recording goes from 115539.997294 to 115540.8374: microseconds without leading zeros."""
    lines = [f"Gecko\t25122 [007] {time}:\t\t1000000 task-clock:u:\n" for time in ("115539.997294", "115540.8374")]
    _, windows = read(tmp_path, "".join(lines))
    assert [(row["common_ts_ns"], row["period"]) for row in rows(windows, "task-clock")] == [
        (115_539_997_294_000, 1_000_000),
        (115_540_008_374_000, 1_000_000),
    ]


# As perf 6.1 printed them: -F addr alone is 16 wide, ip has one space more.
FAULT = "sh 5 [000]  1.000002:          1 page-faults: "
FAULTS = [
    ("     7fc522c44270 @plt+0x0 (/usr/lib/libc.so.6)", {"ip": 0x7FC522C44270, "ip.sym": "@plt"}),
    (" ffffffff8225f9c0 elf_load+0x1d4 ([kernel.kallsyms])", {"ip": 0xFFFFFFFF8225F9C0, "ip.sym": "elf_load"}),
    ("     55d061d6043d [unknown] (/usr/bin/perf)", {"ip": 0x55D061D6043D}),
    ("     55d061d6043d", {"ip": 0x55D061D6043D}),
    ("    55d061d6043d", {"addr": 0x55D061D6043D}),
    ("    7fc521e47408     55aa65dba43d", {"addr": 0x7FC521E47408, "ip": 0x55AA65DBA43D}),
    ("    7fc522c44270 @plt+0x0 (/usr/lib/libc.so.6)     7fc522c44270 @plt+0x0 (/usr/lib/libc.so.6)",
     {"addr": 0x7FC522C44270, "addr.sym": "@plt", "ip": 0x7FC522C44270, "ip.sym": "@plt"}),
    ("     7f01b04b6ef3 a::b(int, c<d>) (/x y/libc.so)", {"ip": 0x7F01B04B6EF3, "ip.sym": "a::b(int, c<d>)"}),
    ("    7fc521e47408 ffffffff8225f9c0 elf_load+0x1d4 ([kernel.kallsyms])",
     {"addr": 0x7FC521E47408, "ip": 0xFFFFFFFF8225F9C0, "ip.sym": "elf_load"}),
    ("ffffffff8225f9c0 ffffffff8225f9c1", {"addr": 0xFFFFFFFF8225F9C0, "ip": 0xFFFFFFFF8225F9C1}),
    (" c0173b60 [unknown] ([kernel.kallsyms])", {"ip": 0xC0173B60}),
    ("other words", {"text": "other words"}),
    ("", {}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), FAULTS)
def test_addresses_of_samples(tmp_path: Path, body: str, expected: dict[str, Any]) -> None:
    _, windows = read(tmp_path, FAULT + body + "\n")
    assert windows[0].undecodable == {}
    assert [fields(row) for row in rows(windows, "page-faults")] == [{"period": 1, **expected}]


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "               0",
        " ffffffff82265488",
        "     7fe660b8aca3 mmap64",
        "               0 ffffffff8225f9c0 exc_page_fault+0x10 ([kernel.kallsyms])",
    ],
)
def test_addresses_behind_a_tracepoint_are_not_its_fields(tmp_path: Path, tail: str) -> None:
    """-F ip,sym,symoff,addr: an event may have an `ip` of its own."""
    head = "sh 5 [000]  1.000002: exceptions:page_fault_user: "
    _, windows = read(tmp_path, f"{head}address=0x7f4c ip=0x55d0 error_code=0x7{tail}\n" * 2)
    assert [fields(row) for row in rows(windows, "page_fault_user")] == [
        {"address": 0x7F4C, "ip": 0x55D0, "error_code": 7}
    ] * 2


# As perf 6.1 and (MMAP without protection) 3.13 print them.
RECORDS: list[tuple[str, str, dict[str, Any]]] = [
    ("PERF_RECORD_MMAP -1/0: [0xffffffff81000000(0x1276508) @ 0xffffffff81000000]: x [kernel.kallsyms]_text",
     "PERF_RECORD_MMAP", {"pid": -1, "tid": 0, "addr": 0xFFFFFFFF81000000, "len": 0x1276508,
                          "pgoff": 0xFFFFFFFF81000000, "filename": "[kernel.kallsyms]_text"}),
    ("PERF_RECORD_MMAP 7/8: [0x400000(0x1000) @ 0]: /bin/a b",
     "PERF_RECORD_MMAP", {"pid": 7, "tid": 8, "addr": 0x400000, "len": 0x1000, "pgoff": 0, "filename": "/bin/a b"}),
    ("PERF_RECORD_MMAP2 3881/3882: [0x55cce64d9000(0xc1000) @ 0x2f000 fe:00 260104 0]: r-xp /usr/bin/bash",
     "PERF_RECORD_MMAP2", {"pid": 3881, "tid": 3882, "addr": 0x55CCE64D9000, "len": 0xC1000, "pgoff": 0x2F000,
                           "prot": 5, "flags": 2, "filename": "/usr/bin/bash"}),
    ("PERF_RECORD_COMM: pool work:3/4", "PERF_RECORD_COMM", {"exec": 0, "comm": "pool work", "pid": 3, "tid": 4}),
    ("PERF_RECORD_COMM exec: ls:3/3", "PERF_RECORD_COMM", {"exec": 1, "comm": "ls", "pid": 3, "tid": 3}),
    ("PERF_RECORD_FORK(9:10):(2:3)", "PERF_RECORD_FORK", {"pid": 9, "tid": 10, "ppid": 2, "ptid": 3}),
    ("PERF_RECORD_EXIT(9:10):(2:3)", "PERF_RECORD_EXIT", {"pid": 9, "tid": 10, "ppid": 2, "ptid": 3}),
    ("PERF_RECORD_SWITCH OUT preempt", "PERF_RECORD_SWITCH", {"out": 1, "preempt": 1}),
    ("PERF_RECORD_SWITCH IN          ", "PERF_RECORD_SWITCH", {"out": 0, "preempt": 0}),
    ("PERF_RECORD_SWITCH_CPU_WIDE OUT          next pid/tid:  3995/3997 ", "PERF_RECORD_SWITCH_CPU_WIDE",
     {"out": 1, "preempt": 0, "next_prev_pid": 3995, "next_prev_tid": 3997}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "event", "expected"), RECORDS)
def test_sideband_records(tmp_path: Path, text: str, event: str, expected: dict[str, Any]) -> None:
    _, windows = read(tmp_path, f"  a 1 [000] 1.000002: {text}\n")
    assert windows[0].undecodable == {}
    assert [fields(row) for row in rows(windows, event)] == [{**expected, "synthesized": 0}]


def test_records_without_a_time_get_the_first(tmp_path: Path) -> None:
    """What ran before perf has 0.000000; it must not stretch the recording."""
    text = "  a 0 [000] 0.000000: PERF_RECORD_FORK(9:10):(2:3)\n  a 1 [000] 5.000001: cycles: \n"
    _, windows = read(tmp_path, text)
    assert [(row["common_ts_ns"], row["synthesized"]) for row in rows(windows, "PERF_RECORD_FORK")] == [
        (5_000_001_000, 1)
    ]


def test_losses_lie_before_the_record_that_tells_them(tmp_path: Path) -> None:
    text = """\
  a 1 [000] 1.000000: raw_syscalls:sys_exit: NR 1 = 4096
  a 1 [001] 2.000000: raw_syscalls:sys_exit: NR 1 = 4096
  a 1 [000] 3.000000: PERF_RECORD_LOST lost 171
  a 1 [002] 4.000000: PERF_RECORD_LOST lost 3
"""
    recording, windows = read(tmp_path, text)
    assert [(loss.cpu, loss.ts_ns, loss.end_ns, loss.count) for loss in recording.losses] == [
        (0, 1_000_000_000, 3_000_000_000, 171),
        (2, 1_000_000_000, 4_000_000_000, 3),
    ]
    assert windows[0].counts == {"sys_exit": 2, "PERF_RECORD_LOST": 2}


HEADER = """\
# ========
# captured on    : Sun Nov 22 23:50:37 2026
# os release : 6.18.44
# perf version : 6.1.187
# arch : x86_64
# nrcpus online : 2
# cmdline : /usr/bin/perf record -a
# clockid: monotonic (1)
# ========
#
"""


def test_header_and_call_chains(tmp_path: Path) -> None:
    chains = "".join(
        f"perf 7 [000] 1.00000{n}: cpu-clock: \n\t  59fef5 a_b (/x y/vmlinux)\n\t  0 [unknown] ([unknown])\n\n"
        for n in range(3)
    )
    recording, windows = read(tmp_path, HEADER + chains)
    assert windows[0].counts == {"cpu-clock": 3}
    assert windows[0].undecodable == {}
    assert (recording.clock, recording.nr_cpus, recording.arch, recording.kernel_release) == (
        "mono", 2, "x86_64", "6.18.44",
    )  # fmt: skip
    assert recording.details["call chain lines"] == 6


def test_what_is_no_record_is_counted(tmp_path: Path) -> None:
    _, windows = read(tmp_path, "a 1 [000] 1.000002: cycles: \nhello\na 1 [000] 1.000002: PERF_RECORD_COMM nonsense\n")
    assert windows[0].counts == {"cycles": 1, "PERF_RECORD_COMM": 1}
    assert windows[0].undecodable == {
        "the line is no record": 1,
        "PERF_RECORD_COMM: fields in a shape that is not known": 1,
    }


def test_only_wanted_fields(tmp_path: Path) -> None:
    text = FAULT + "     55d061d6043d f (x)\n" + "a 1 [000] 1.000002: sched:sched_switch: " + SWITCH + "\n"
    wanted = {"page-faults": frozenset({"ip"}), "sched_switch": frozenset({"next_pid"})}
    _, windows = read(tmp_path, text, wanted)
    assert [fields(row) for name in wanted for row in rows(windows, name)] == [
        {"ip": 0x55D061D6043D, "ip.sym": "f"},
        {"next_pid": 8},
    ]
    _, windows = read(tmp_path, text, {})
    assert (windows[0].events, windows[0].counts) == ({}, {"page-faults": 1, "sched_switch": 1})


LINES = "".join(f"  a 1 [000] 1.{n:06}: tlb:tlb_flush: pages:{n} reason:x (3)\n" for n in range(2000))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_compressed(tmp_path: Path, compress: Any) -> None:
    _, windows = read(tmp_path, compress(LINES.encode()))
    assert [row["pages"] for row in rows(windows, "tlb_flush")] == list(range(2000))
    path = tmp_path / "perf.txt"
    assert perf_script.sniff(path, path.read_bytes()[: 1 << 16])


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(perf_script, "BLOCK_BYTES", 300)
    monkeypatch.setattr(perf_script, "WINDOW_RECORDS", 5)
    yield


def test_windows_follow_each_other(tmp_path: Path, small_windows: None) -> None:
    _, windows = read(tmp_path, HEADER * 5 + LINES)
    assert len(windows) > 100
    assert [row["common_seq"] for row in rows(windows, "tlb_flush")] == list(range(2000))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_compressed_text_that_is_cut(tmp_path: Path, compress: Any) -> None:
    """What could be unpacked is there."""
    text = LINES + "".join(f"  a 1 [000] 2.{n:06}: x:y: n={n * n % 65521}\n" for n in range(20_000))
    packed = compress(text.encode())
    recording, windows = read(tmp_path, packed[: len(packed) * 2 // 3])
    assert 2000 < sum(sum(window.counts.values()) for window in windows) < 22_000
    assert len(recording.damage) == 1
    with pytest.raises(RecordingError):
        read(tmp_path, packed[: len(packed) * 2 // 3], strict=True)


def test_a_cut_line_is_told(tmp_path: Path) -> None:
    recording, windows = read(tmp_path, LINES[:-10])
    assert windows[0].counts == {"tlb_flush": 1999}
    assert [str(error) for error in recording.damage] == [
        f"{tmp_path}/perf.txt:2000: expected a whole line, found the text ends inside a line;"
        " what stands before it is read"
    ]
    with pytest.raises(RecordingError, match=r"perf\.txt:2000"):
        read(tmp_path, LINES[:-10], strict=True)


def test_zeros_at_the_end_are_told(tmp_path: Path, small_windows: None) -> None:
    """What a file system leaves of a file that was not written out when the machine died."""
    recording, windows = read(tmp_path, LINES + "\0" * 5000)
    assert 1990 < sum(window.counts.get("tlb_flush", 0) for window in windows) <= 2000
    assert len(recording.damage) == 1
    with pytest.raises(RecordingError, match="zero"):
        read(tmp_path, LINES + "\0" * 5000, strict=True)


UNTIMED = """\
java  3244 cpu-clock:\x20
\tffffffff8103d0ca native_write_msr_safe ([kernel.kallsyms])
\t    7f4b7c8b5f19 bad 12 cycles: x (/lib/x.so)

     Web Content     7/8     [001]        99 cycles:u:      7f4b7c8b5f19 f+0x1 (/x)
java  3245 sched:sched_wakeup: comm=a pid=8 prio=120 target_cpu=003
ffffffff8103d0ca flush_left ([kernel.kallsyms])
"""


def test_without_times(tmp_path: Path) -> None:
    """A record's position stands for its time; lines of call chains are no records, whatever a function is called."""
    path = tmp_path / "perf.txt"
    assert perf_script.sniff(path, UNTIMED.encode())
    assert not ftrace_text.sniff(path, UNTIMED.encode())
    recording, windows = read(tmp_path, UNTIMED)
    assert recording.unit == "positions"
    assert recording.details == {
        "times": "not recorded: common_ts_ns is the record's position", "call chain lines": 3,
    }  # fmt: skip
    assert windows[0].counts == {"cpu-clock": 1, "cycles:u": 1, "sched_wakeup": 1}
    assert windows[0].undecodable == {}
    (cycles,), (wakeup,) = rows(windows, "cycles:u"), rows(windows, "sched_wakeup")
    assert (cycles["common_ts_ns"], cycles["common_cpu"], cycles["common_pid"]) == (1, 1, 8)
    assert fields(cycles) == {"period": 99, "ip": 0x7F4B7C8B5F19, "ip.sym": "f"}
    assert (wakeup["common_ts_ns"], wakeup["common_cpu"], wakeup["pid"]) == (2, -1, 8)
    assert (recording.comms, recording.tgids) == ({3244: "java", 8: "Web Content", 3245: "java"}, {8: 7})


OTHERS = [
    "",
    "hello\n",
    "error at line 12 foo: bar\n",
    "# x\n# y\n",
    "# tracer: nop\n",
    "perf sched:sched_switch: prev_comm=a\n",
    "1.5: x\n",
    "{}\n",
]


@pytest.mark.parametrize("text", OTHERS)
def test_other_text_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "perf.txt"
    path.write_text(text)
    assert not perf_script.sniff(path, text.encode())
    with pytest.raises(RecordingError, match="records of perf script"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "is_perf"),
    [
        ("            bash-1977  [000] ....  17284.993652: sys_close: 0x0\n", False),
        ("          <idle>-0     [001] d..1.  100.000001: sched_switch: prev_comm=a\n", False),
        ("trace-cmd-1977  [000] 17284.993652: sched_switch: prev_comm=a\n", False),
        ("            bash  1977 [000] 17284.993652: sched:sched_switch: prev_comm=a\n", True),
    ],
)
def test_ftrace_text_is_told_from_perf_script(text: str, is_perf: bool) -> None:
    path = Path("trace.txt")
    found = perf_script.sniff(path, text.encode()), ftrace_text.sniff(path, text.encode())
    assert found == (is_perf, not is_perf)


_COMMS = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="/:-_ "), min_size=1, max_size=15
)


@given(
    st.lists(
        st.tuples(_COMMS, st.integers(0, 2**22), st.integers(0, 8191), st.integers(0, 10**13), st.booleans()),
        min_size=1,
        max_size=8,
        unique_by=lambda record: record[1],
    )
)
def test_printed_as_perf_does_and_read_again(records: list[tuple[str, int, int, int, bool]]) -> None:
    """%16s %5u [%03u] %5lu.%09lu: and, with a period, %10lu (builtin-script.c)."""
    records = [record for record in records if record[0].strip() == record[0]]
    text = "".join(
        f"{comm:>16} {pid:5} [{cpu:03}] {ns // 10**9:5}.{ns % 10**9:09}: {'         1 ' * has}     tlb:tlb_flush: x=1\n"
        for comm, pid, cpu, ns, has in records
    )
    heads = parse_lines(text.encode(), Header())
    read_again = zip(heads.tid.tolist(), heads.cpu.tolist(), heads.ts_ns.tolist(), heads.period.tolist(), strict=True)
    assert list(read_again) == [(pid, cpu, ns, 1 if has else -1) for _, pid, cpu, ns, has in records]
    assert heads.comms == {pid: comm.encode() for comm, pid, *_ in records}
    assert heads.others == []


def mutants(text: bytes, count: int) -> Iterator[bytes]:
    chance = random.Random(1)
    for _ in range(count):
        mutant = bytearray(text)
        for _ in range(chance.randrange(1, 12)):
            at = chance.randrange(len(mutant) + 1)
            match chance.randrange(3) if at < len(mutant) else 2:
                case 0:
                    mutant[at] = chance.choice(b"\n\t :09af[](/-@\r\x0b\xff")
                case 1:
                    del mutant[at : at + chance.randrange(1, 40)]
                case _:
                    mutant[at:at] = chance.choice([b"9" * 30, b"\n", b" " * 70, b"PERF_RECORD_", b"0x", b"\r\n"])
        yield bytes(mutant)


SAMPLES = "".join(
    [
        HEADER,
        *(head + SWITCH + "\n" for head, *_ in HEADS),
        *(f"{FAULT}{body}\n" for body, _ in FAULTS),
        *(f" a 1 [000] 1.5: {text}\n" for text, *_ in RECORDS),
        LINES[:900],
        "\n \r a 7 [000] 1.5: x:\n",
        " a -0 [000] 1.5: x:\n  \x0b7 [000] 1.5: x:\n a 7/-0 [0] 1.5: 5 x:y:\tz\r\n\t59fef5 a_b (/x y/vmlinux)\n\n",
    ]
).encode()


def plain(heads: Heads) -> dict[str, Any]:
    return {
        **{name: getattr(heads, name).tolist() for name in ("ts_ns", "cpu", "tid", "period", "untimed", "bodies")},
        "names": [(heads.names[code], heads.traced[code]) for code in heads.codes],
        "others": heads.others,
        "comms": heads.comms,
        "tgids": heads.tgids,
    }


def test_machine_code_reads_the_same() -> None:
    """Every mutant of every head, body and record; and its lines alone, which no other line can send to the regular
    expressions."""
    compared = 0
    for number, text in enumerate([SAMPLES, *mutants(SAMPLES, 200)]):
        for part in [text, *(text.splitlines(True) if number < 60 else [])]:
            headers = Header(), Header()
            assert plain(parse_lines(part, headers[0])) == plain(scan_lines(part, headers[1])), part
            assert headers[0] == headers[1]
            compared += 1
    assert compared > 2000


def test_machine_code_reads_samples_the_same() -> None:
    """Mutants of each body of FAULTS, alone and all together."""
    bodies = [body.encode() for body, _ in FAULTS]
    alike = 0
    for text in [b"\n".join(bodies), *bodies, *(mutant for body in bodies for mutant in mutants(body + b" ", 40))]:
        parts = text.split(b"\n")
        expected, found = sample_fields(parts), scan_samples(spans_of(parts))
        assert {k: v.to_pylist() for k, v in found.items()} == {k: v.to_pylist() for k, v in expected.items()}, text
        assert {k: v.type for k, v in found.items()} == {k: v.type for k, v in expected.items()}
        alike += bool(found)
    assert alike > 150


def test_large_recordings_are_read_by_machine_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SAMPLES + LINES.encode()
    _, small = read(tmp_path, text)
    monkeypatch.setattr(perf_script, "LARGE_BYTES", 0)
    _, large = read(tmp_path, text)
    for name in small[0].events:
        assert large[0].events[name].to_pylist() == small[0].events[name].to_pylist()
    assert (large[0].counts, large[0].undecodable) == (small[0].counts, small[0].undecodable)


def test_no_mutation_gives_a_traceback(tmp_path: Path) -> None:
    """Every mutant is read, or refused in one line."""
    refused = 0
    for mutant in mutants(SAMPLES, 300):
        try:
            _, windows = read(tmp_path, mutant)
        except RecordingError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert sum(windows[0].counts.values()) > 0
    assert refused < 300
