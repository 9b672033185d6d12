"""Real text of perf script, and perf itself: what it prints with other columns, and its own JSON, say the same."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from shared_captures import needs_shared, shared

from fastgup_trace.ingest.perf_data import open_perf_data
from fastgup_trace.ingest.perf_script import open_perf_script, sniff
from fastgup_trace.ingest.records import Recording, Window

needs_perf = pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")


def public(name: str) -> Path:
    folder = shared()
    assert folder is not None
    (found,) = (folder / "public").glob(f"**/{name}")
    return found


def read(path: Path) -> tuple[Recording, list[Window]]:
    recording = open_perf_script(path)
    return recording, list(recording.windows)


def columns(windows: list[Window], event: str) -> dict[str, Any]:
    tables = [window.events[event] for window in windows if event in window.events]
    found: dict[str, Any] = pa.concat_tables(tables).to_pydict()
    return found


# Names and counts are the README's of shared/public; call chain lines are `grep -c` of indented lines with text.
PUBLIC = [
    ("perf.test01", {"cpu-clock": 9}, 240, {8192: "java", 0: "swapper"}),
    ("perf-iperf-stacks-pidtid-01.txt", {"cpu-clock": 201}, 3207, {28744: "iperf"}),
    ("perf-java-faults-01.txt", {"page-faults": 23}, 143, {47118: "perf", 47119: "sleep"}),
    ("simple-perf.txt.gz", {"task-clock": 163}, None, {25117: "roidJUnitRunner"}),
]


@needs_shared
@pytest.mark.parametrize(("name", "counts", "chain_lines", "comms"), PUBLIC)
def test_public_text(name: str, counts: dict[str, int], chain_lines: int | None, comms: dict[int, str]) -> None:
    path = public(name)
    assert sniff(path, path.read_bytes()[: 1 << 16])
    recording, windows = read(path)
    assert [window.counts for window in windows] == [counts]
    assert [window.undecodable for window in windows] == [{}]
    text = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    indented = sum(line[:1].isspace() and bool(line.strip()) for line in text.split(b"\n"))
    assert recording.details["call chain lines"] == indented
    assert chain_lines in {None, indented}
    assert comms.items() <= recording.comms.items()
    assert sum(counts.values()) == len(re.findall(rb"^\S.*:\s*$", text.split(b"#\n")[-1], re.MULTILINE))
    times = columns(windows, next(iter(counts)))["common_ts_ns"]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60 * 10**9


@needs_shared
def test_the_periods_of_faults() -> None:
    """The first six of perf-java-faults-01.txt, by eye."""
    _, windows = read(public("perf-java-faults-01.txt"))
    assert columns(windows, "page-faults")["period"][:6] == [1, 1, 1, 4, 1, 33]


@needs_shared
def test_the_monotonic_capture() -> None:
    """Every record of it against a split of its lines by white space, which its comms (without any) allow."""
    folder = shared()
    assert folder is not None
    path = folder / "captures" / "x86" / "mono.perfscript.txt.xz"
    recording, windows = read(path)
    lines = [line.split(None, 5) for line in lzma.decompress(path.read_bytes()).decode().splitlines()]
    assert len(lines) == 29_206
    names = Counter(line[4].split(":")[1] for line in lines)
    assert windows[0].counts == names
    assert recording.comms == {int(line[1]): line[0] for line in lines if line[1] != "-1"}
    for event in names:
        mine = columns(windows, event)
        theirs = [line for line in lines if line[4].split(":")[1] == event]
        assert mine["common_pid"] == [None if line[1] == "-1" else int(line[1]) for line in theirs]
        assert mine["common_cpu"] == [int(line[2][1:-1]) for line in theirs]
        assert mine["common_ts_ns"] == [int(line[3][:-1].replace(".", "")) * 1000 for line in theirs]
    faults = [line[5] for line in lines if line[4] == "exceptions:page_fault_user:"]
    assert columns(windows, "page_fault_user")["address"] == [
        int(re.findall("address=(0x[0-9a-f]+)", b)[0], 16) for b in faults
    ]
    flushes = [line[5] for line in lines if line[4] == "tlb:tlb_flush:"]
    found = [re.findall(r"pages:(-?\d+) reason:.*\((\d+)\)", body)[0] for body in flushes]
    mine = columns(windows, "tlb_flush")
    assert mine["pages"] == [int(pages) % 2**64 for pages, _ in found]
    assert mine["reason"] == [int(reason) for _, reason in found]


# Those that perf 6.1 reads; without symbols of their own, ip and addr stand alone.
PERF_DATA = {
    "perf.data.forkexit-3.8": 10_335,
    "perf.data.armv7.perf_3.14-3.8": 700,
    "perf.data.lost_samples-4.4": 191,
    "perf.data.raw-3.4": 441,
    "perf.data.piped.target-3.8": 5_218,
    "perf.data.piped.header_features_aligned-6.12": 9,
}
VARIANTS = [
    [],
    ["--ns"],
    ["--header"],
    ["-F", "comm,tid,cpu,time,event,ip,sym"],
    ["-F", "comm,pid,tid,cpu,time,event,period,ip"],
    ["-F", "comm,tid,time,event,period"],
    ["-F", "tid,time,period,event,ip,sym,symoff,dso"],
    ["-F", "comm,time,event"],
]


def printed(path: Path, folder: Path, options: list[str]) -> Path:
    """What perf script prints of a recording. A fresh HOME keeps it from looking for symbols."""
    out = folder / "perf.txt"
    with out.open("wb") as file:
        subprocess.run(
            ["perf", "script", "-i", str(path), *options],
            stdout=file,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": str(folder)},
        )
    return out


@needs_shared
@needs_perf
@pytest.mark.parametrize("name", PERF_DATA)
def test_all_columns_say_the_same(name: str, tmp_path: Path) -> None:
    """perf script with other -F: the same records, and the same values of each column that is there."""
    path = public(name)
    reference = None
    for options in VARIANTS:
        if "cpu" in "".join(options) and name in {
            "perf.data.lost_samples-4.4",
            "perf.data.piped.header_features_aligned-6.12",
        }:
            continue  # These samples have no CPU; perf refuses to print one.
        _, windows = read(printed(path, tmp_path, options))
        assert sum(count for window in windows for count in window.counts.values()) == PERF_DATA[name], options
        assert not any(window.undecodable for window in windows), options
        found = {event: columns(windows, event) for window in windows for event in window.counts}
        if reference is None:
            reference = found
        assert found.keys() == reference.keys()
        for event, mine in found.items():
            for column in mine.keys() & reference[event].keys():
                ours, theirs = mine[column], reference[event][column]
                if column == "common_ts_ns":
                    ours, theirs = ([ns // 1000 for ns in times] for times in (ours, theirs))
                if column == "common_cpu" and "cpu" not in "".join(options or ["cpu"]):
                    continue
                if column == "common_pid" and "tid" not in "".join(options or ["tid"]):
                    continue
                if column == "common_seq" and "--ns" in options:
                    continue  # In microseconds some times are equal, and then the CPU decides.
                assert ours == theirs, (options, event, column)


@needs_shared
@needs_perf
@pytest.mark.parametrize("name", ["perf.data.forkexit-3.8", "perf.data.lost_samples-4.4", "perf.data.raw-3.4"])
def test_against_perfs_own_json(name: str, tmp_path: Path) -> None:
    """perf data convert --to-json goes another way to the same samples: time in ns, thread, comm, cpu, ip."""
    path = public(name)
    out = tmp_path / "perf.json"
    subprocess.run(
        ["perf", "data", "convert", "--to-json", str(out), "-i", str(path)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    samples = json.loads(out.read_text())["samples"]
    recording, windows = read(printed(path, tmp_path, ["--ns"]))
    mine = [
        row
        for window in windows
        for event in window.counts
        for row in window.events[event]
        .select(["common_seq", "common_ts_ns", "common_pid", "common_cpu", "ip"])
        .to_pylist()
    ]
    assert len(mine) == len(samples) == PERF_DATA[name]

    def key(ts_ns: int, tid: int, cpu: int, ip: int) -> tuple[int, int, int, int]:
        return ts_ns, tid, cpu, ip

    assert Counter(key(r["common_ts_ns"], r["common_pid"], r["common_cpu"], r["ip"]) for r in mine) == Counter(
        key(s["timestamp"], s["tid"], s.get("cpu", -1), int(s["callchain"][0]["ip"], 16)) for s in samples
    )
    assert recording.comms.items() >= {s["tid"]: s["comm"] for s in samples[-20:]}.items()


@needs_shared
@needs_perf
def test_task_and_map_records(tmp_path: Path) -> None:
    """--show-task-events --show-mmap-events: as many as the statistics of perf report say."""
    path = public("perf.data.forkexit-3.8")
    options = ["--show-task-events", "--show-mmap-events", "--show-lost-events", "--show-switch-events"]
    _, windows = read(printed(path, tmp_path, options))
    done = subprocess.run(
        ["perf", "report", "--stats", "-i", str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    stats = {name: int(count) for name, count in re.findall(r"(\w+) events: +(\d+)", done.stdout)}
    counts = Counter[str]()
    for window in windows:
        counts.update(window.counts)
        assert window.undecodable == {}
    assert counts.pop("cycles") == stats["SAMPLE"] == 10_335
    assert counts == {f"PERF_RECORD_{name}": stats[name] for name in ("MMAP", "COMM", "FORK", "EXIT")}
    forks = columns(windows, "PERF_RECORD_FORK")
    exits = columns(windows, "PERF_RECORD_EXIT")
    assert set(exits["pid"]) & set(forks["pid"])
    assert None not in forks["ppid"]


@needs_shared
@needs_perf
def test_side_band_records_are_those_of_perf_data(tmp_path: Path) -> None:
    """The binary reader and the text of perf script: each field that both have, of each record."""
    path = public("perf.data.forkexit-3.8")
    binary = list(open_perf_data(path).windows)
    _, text = read(printed(path, tmp_path, ["--ns", "--show-task-events", "--show-mmap-events"]))
    compared = 0
    for name, few in {
        "PERF_RECORD_MMAP": ["pid", "tid", "addr", "len", "pgoff", "filename"],
        "PERF_RECORD_COMM": ["pid", "tid", "comm"],
        "PERF_RECORD_FORK": ["pid", "tid", "ppid", "ptid"],
        "PERF_RECORD_EXIT": ["pid", "tid", "ppid", "ptid"],
    }.items():
        mine, theirs = columns(text, name), columns(binary, name)
        for column in ["common_ts_ns", *few]:
            assert sorted(mine[column]) == sorted(theirs[column]), (name, column)
            compared += len(mine[column])
    assert compared == 3877 * 7 + 488 * 4 + 254 * 5 + 510 * 5
