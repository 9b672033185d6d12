"""Folders of raw ring-buffer pages: one of this kind of kernel against the kernel's own text, and handmade ones.

tests/data/raw_ring_buffer was copied out of the tracefs of a kernel 6.18 (x86-64, 2 CPUs): two instances, one with
sub-buffers of 16 KB and with the stacks of kernel and process behind each record; `trace.txt` beside the pages is what
`cat trace` showed of the same buffer before. kallsyms and saved_cmdlines have only what occurs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from shared_captures import ROOT
from trace_dat_files import EVENT_HEADER, MISSED, MISSED_STORED, WAKE, Machine

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.raw_ring_buffer import open_raw_ring_buffer, sniff
from fastgup_trace.ingest.records import Loss

REAL = ROOT / "tests" / "data" / "raw_ring_buffer"
LINE = re.compile(
    r" *(.*)-(\d+) +(?:\( *[\d-]+\) )?\[(\d+)\] \S+ +(\d+)\.(\d{6}): (?:(\w+): (.*)|<(user )?stack trace>)"
)


class Line(NamedTuple):
    pid: int
    cpu: int
    us: int
    event: str
    text: str
    callers: list[str]


def kernel_text(instance: str) -> Iterator[Line]:
    """The lines of the kernel's own text, a stack's functions with it."""
    last: Line | None = None
    for line in (REAL / "instances" / instance / "trace.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if match := LINE.fullmatch(line):
            if last is not None:
                yield last
            _, pid, cpu, seconds, fraction, event, text, user = match.groups()
            name = {"tracing_mark_write": "print", None: "user_stack" if user else "kernel_stack"}.get(event, event)
            last = Line(int(pid), int(cpu), int(seconds) * 10**6 + int(fraction), name, text or "", [])
        else:
            assert last is not None
            last.callers.append(line.removeprefix(" => ").strip(" <>"))
    assert last is not None
    yield last


def records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Event and values of all records of all windows, in merged order."""
    found = list[tuple[int, str, dict[str, Any]]]()
    for window in open_raw_ring_buffer(path).windows:
        assert not window.undecodable
        for name, table in window.events.items():
            found.extend((row["common_seq"], name, row) for row in table.to_pylist())
    return [(name, row) for _, name, row in sorted(found, key=lambda item: item[0])]


def check(instance: str, found: list[tuple[str, dict[str, Any]]]) -> None:
    expected = list(kernel_text(instance))
    assert len(found) == len(expected)
    for line, (name, row) in zip(expected, found, strict=True):
        assert (line.event, line.pid, line.cpu) == (name, row["common_pid"], row["common_cpu"])
        assert line.us == (row["common_ts_ns"] + 500) // 1000
        match name:
            case "page_fault_user":
                shown = f"address={row['address']:#x} ip={row['ip']:#x} error_code={row['error_code']:#x}"
                assert line.text == shown
            case "print":
                assert line.text == row["buf"].rstrip("\n")
            case "sched_process_exec":
                assert line.text == f"filename={row['filename']} pid={row['pid']} old_pid={row['old_pid']}"
            case "sched_switch":
                assert f"prev_comm={row['prev_comm']} prev_pid={row['prev_pid']} " in line.text
                assert f"next_comm={row['next_comm']} next_pid={row['next_pid']} " in line.text
            case "kernel_stack":
                assert line.callers == row["caller.sym"]
            case "user_stack":
                assert [int(address, 16) for address in line.callers] == [word for word in row["caller"] if word]


def test_a_folder_of_the_kernels_equals_its_text() -> None:
    """The pages of two instances, of one clock, in one order."""
    found = records(REAL)
    tasks = {"sched_switch", "sched_process_exec"}
    one = [item for item in found if item[0] in tasks]
    markers = [item for item in found if item[0] == "print"]
    assert len(markers) == 4
    check("one", [markers[0], *one, markers[2]])
    check("two", [item for item in found if item not in one and item not in (markers[0], markers[2])])
    recording = open_raw_ring_buffer(REAL)
    assert (recording.clock, recording.unit, recording.nr_cpus) == ("local", "ns", 2)
    assert recording.details["instances"] == [{"name": "one", "cpus": [1]}, {"name": "two", "cpus": [0, 1]}]
    assert recording.details["sub_buffer_bytes"] == 16384
    assert recording.comms[10851] == "true"
    assert recording.tgids[10851] == 10851


def test_a_stack_belongs_to_the_record_before_it_in_its_instance() -> None:
    found = records(REAL)
    by_seq = {row["common_seq"]: (name, row) for name, row in found}
    stacks = [(name, row) for name, row in found if name.endswith("_stack")]
    owners = [by_seq[row["of_seq"]] for _, row in stacks]
    assert {name for name, _ in owners} == {"page_fault_user", "sched_process_exit"}
    for (_, stack), (_, owner) in zip(stacks, owners, strict=True):
        assert stack["common_pid"] == owner["common_pid"]
        assert 0 <= stack["common_ts_ns"] - owner["common_ts_ns"] < 10_000_000
    for kind in ("kernel_stack", "user_stack"):
        assert len({row["of_seq"] for name, row in stacks if name == kind}) == 149


@pytest.mark.parametrize(
    "names",
    ["cpu{}", "cpu{}.raw", "trace_pipe_raw.cpu{}", "trace.dat.cpu{}", "per_cpu/cpu{}", "traces/cpu{}"],
)
def test_names_of_the_pages(tmp_path: Path, names: str) -> None:
    shutil.copytree(REAL / "events", tmp_path / "formats")
    shutil.copy(REAL / "kallsyms", tmp_path / "kallsyms")
    (tmp_path / names).parent.mkdir(exist_ok=True)
    for cpu in range(2):
        source = REAL / "instances" / "two" / "per_cpu" / f"cpu{cpu}" / "trace_pipe_raw"
        shutil.copy(source, tmp_path / names.format(cpu))
    assert sniff(tmp_path, b"")
    check("two", records(tmp_path))


def test_a_format_may_be_a_file_of_its_events_name(tmp_path: Path) -> None:
    """A system's own files `enable` and `filter` lie beside its events and are none."""
    shutil.copytree(REAL / "events", tmp_path / "events")
    for path in list((tmp_path / "events").glob("*/*/format")):
        text = path.read_bytes()
        shutil.rmtree(path.parent)
        path.parent.write_bytes(text)
        (path.parent.parent / "enable").write_bytes(b"1\n")
    shutil.copy(REAL / "kallsyms", tmp_path / "kallsyms")
    shutil.copytree(REAL / "instances" / "two" / "per_cpu", tmp_path / "per_cpu")
    check("two", records(tmp_path))


def written(folder: Path, machine: Machine, pages: dict[int, list[bytes]], *, header: bool = True) -> Path:
    """A folder of pages by CPU, and the format of `wake`."""
    for cpu, parts in pages.items():
        (folder / "per_cpu" / f"cpu{cpu}").mkdir(parents=True)
        (folder / "per_cpu" / f"cpu{cpu}" / "trace_pipe_raw").write_bytes(b"".join(parts))
    (folder / "events" / "sys" / "wake").mkdir(parents=True)
    (folder / "events" / "sys" / "wake" / "format").write_text(WAKE)
    if header:
        (folder / "events" / "header_page").write_bytes(machine.header_page())
        (folder / "events" / "header_event").write_text(EVENT_HEADER)
    return folder


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("machine", [Machine(), Machine(long_bytes=4), Machine(True), Machine(True, 4)])
def test_byte_order_and_long_are_found(tmp_path: Path, machine: Machine, header: bool) -> None:
    m = machine
    pages = {0: [m.page(1000, m.wake(0, 1) + m.wake(5, 2))], 3: [m.page(1003, m.wake(0, 3, b"name"))]}
    found = records(written(tmp_path, m, pages, header=header))
    assert [(row["common_ts_ns"], row["common_cpu"], row["cpu"], row["comm"]) for _, row in found] == [
        (1000, 0, 1, "a"), (1003, 3, 3, "name"), (1005, 0, 2, "a")
    ]  # fmt: skip


def test_losses_of_pages_and_statistics(tmp_path: Path) -> None:
    m = Machine()
    pages = [m.page(100, m.wake(0, 0)), m.page(200, m.wake(0, 0), MISSED | MISSED_STORED, 7)]
    written(tmp_path, m, {2: pages})
    (tmp_path / "per_cpu" / "cpu2" / "stats").write_text(
        "entries: 2\noverrun: 7\nnow ts:  0.000009\ndropped events: 4\n"
    )
    (tmp_path / "trace_clock").write_text("local [mono] global\n")
    recording = open_raw_ring_buffer(tmp_path)
    assert [window.counts for window in recording.windows] == [{"wake": 2}]
    assert recording.losses == [Loss(2, 100, 200, 7), Loss(2, 200, 9000, 4)]
    assert recording.clock == "mono"


def test_a_copy_that_is_cut_gives_whole_records(tmp_path: Path) -> None:
    m = Machine()
    written(tmp_path, m, {0: [m.page(100, m.wake(0, 1)), m.page(200, m.wake(0, 2) + m.wake(3, 3))[:50]]})
    recording = open_raw_ring_buffer(tmp_path)
    assert [window.counts for window in recording.windows] == [{"wake": 2}]
    assert "offset 4096: expected a sub-buffer of 4096 bytes, found 50 to the end" in str(recording.damage[0])
    with pytest.raises(RecordingError, match="offset 4096"):
        open_raw_ring_buffer(tmp_path, strict=True)


def test_records_without_a_format_are_counted(tmp_path: Path) -> None:
    m = Machine()
    written(tmp_path, m, {0: [m.page(100, m.wake(0, 1) + m.event(0, bytes([99]) + bytes(11)))]})
    (window,) = open_raw_ring_buffer(tmp_path).windows
    assert (window.counts, sum(window.undecodable.values())) == ({"wake": 1}, 1)


def test_what_is_no_folder_of_pages(tmp_path: Path) -> None:
    assert not sniff(tmp_path, b"")
    m = Machine()
    written(tmp_path, m, {0: [b"not a page" * 500]})
    with pytest.raises(RecordingError, match="expected a ring-buffer page"):
        open_raw_ring_buffer(tmp_path)
    (tmp_path / "per_cpu" / "cpu0" / "trace_pipe_raw").write_bytes(b"")
    with pytest.raises(RecordingError, match="found 1 empty files; copy per_cpu"):
        open_raw_ring_buffer(tmp_path)
    shutil.rmtree(tmp_path / "events")
    with pytest.raises(RecordingError, match="trace-cmd restore"):
        open_raw_ring_buffer(tmp_path)


@pytest.mark.parametrize("name", ["trace.dat.cpu0", "cpu0", "trace_pipe_raw"])
def test_the_pages_of_one_cpu_alone_are_told_where_to_go(tmp_path: Path, name: str) -> None:
    m, path = Machine(), tmp_path / name
    path.write_bytes(m.page(100, m.wake(0, 1)))
    assert sniff(path, path.read_bytes()[:64])
    with pytest.raises(RecordingError, match=r"found the pages of one CPU; name the folder, .*trace-cmd restore"):
        open_raw_ring_buffer(path)
    assert not sniff(path, b"# tracer: nop\n#\n")


def test_instances_of_two_clocks_and_two_files_of_one_cpu_are_refused(tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "raw")
    (tmp_path / "raw" / "instances" / "two" / "trace_clock").write_text("local [mono]\n")
    with pytest.raises(RecordingError, match="instances of one clock, found local, mono"):
        open_raw_ring_buffer(tmp_path / "raw")
    m = Machine()
    folder = written(tmp_path, m, {0: [m.page(100, m.wake(0, 1))]})
    shutil.copy(folder / "per_cpu" / "cpu0" / "trace_pipe_raw", folder / "per_cpu" / "cpu0.raw")
    with pytest.raises(RecordingError, match="one file for CPU 0, found a second one"):
        open_raw_ring_buffer(folder)


@pytest.mark.parametrize("step", [1, 3])
def test_flipped_bytes_raise_nothing_but_a_recording_error(tmp_path: Path, step: int) -> None:
    m = Machine()
    pages = m.page(100, m.wake(0, 1) + m.extend(1 << 30) + m.wake(3, 2)) + m.page(5 << 30, m.wake(0, 3))
    written(tmp_path, m, {0: [pages]})
    path, outcomes = tmp_path / "per_cpu" / "cpu0" / "trace_pipe_raw", 0
    for place in (*range(90), *range(4096, 4150)):
        damaged = bytearray(pages)
        damaged[place] ^= 0x41 * step & 0xFF
        path.write_bytes(damaged)
        try:
            list(open_raw_ring_buffer(tmp_path).windows)
        except RecordingError as error:
            assert "\n" not in str(error)
            outcomes += 1
    assert outcomes > 10
