"""Real text against what others say of the same ring buffer: counts.json, the trace.dat beside it, trace-cmd."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ftrace_texts import read_file
from shared_captures import needs_shared, shared

from fastgup_trace.ingest.ftrace_text import sniff
from fastgup_trace.ingest.records import Recording
from fastgup_trace.ingest.trace_dat import open_trace_dat

SHARED = shared()
CAPTURES = SHARED / "captures" if SHARED else Path("absent")
TEXTS = sorted(p for p in CAPTURES.glob("*/*.txt.gz") if p.name in {"ftrace.txt.gz", "report.txt.gz"})
GRAPHS = [p for p in TEXTS if "fg_" in p.parent.name]

needs_trace_cmd = pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")


def by_capture(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read(recording: Recording) -> tuple[Counter[str], Counter[str], dict[str, pa.Table]]:
    """(counts, undecodable, tables) of all windows."""
    counts, undecodable = Counter[str](), Counter[str]()
    tables: dict[str, list[pa.Table]] = {}
    for window in recording.windows:
        counts.update(window.counts)
        undecodable.update(window.undecodable)
        for name, table in window.events.items():
            tables.setdefault(name, []).append(table)
    whole = {name: pa.concat_tables(parts, promote_options="permissive") for name, parts in tables.items()}
    return counts, undecodable, whole


def read_text(path: Path) -> tuple[Counter[str], Counter[str], dict[str, pa.Table]]:
    """As `read`, by both ways to read text."""
    found = read_file(path)
    return Counter(found.counts), Counter(found.undecodable), found.tables


@needs_shared
def test_there_are_texts() -> None:
    assert len(TEXTS) >= 10


@pytest.mark.parametrize("path", [p for p in TEXTS if p not in GRAPHS], ids=by_capture)
def test_counts(path: Path) -> None:
    counts, undecodable, _ = read_text(path)
    assert counts == json.loads((path.parent / "counts.json").read_text())
    assert undecodable == {}


@pytest.mark.parametrize("path", GRAPHS, ids=by_capture)
def test_graph_counts(path: Path) -> None:
    """counts.json counts trace-cmd's lines, in which most leaves are one: each is an entry and an exit here."""
    text = gzip.decompress(path.read_bytes()).decode()
    leaves, opened, closed = (len(re.findall(end, text, re.MULTILINE)) for end in (r"\(\);$", r"\(\) \{$", r"\|  +\}"))
    expected = json.loads((path.parent / "counts.json").read_text())
    assert expected["funcgraph_entry"] == leaves + opened
    counts, undecodable, _ = read_text(path)
    assert counts == expected | {"funcgraph_exit": leaves + closed}
    assert undecodable == {}


def differences(text: dict[str, pa.Table], dat: dict[str, pa.Table], resolution_ns: int, flags_told: int) -> list[str]:
    """Where columns that both readers have differ; null in text is what text does not tell."""
    assert sorted(text) == sorted(dat)
    found = []
    for event, table in dat.items():
        assert len(text[event]) == len(table), event
        for column in set(table.column_names) & set(text[event].column_names):
            told, true = text[event][column].to_pylist(), table[column].to_pylist()
            if column == "common_ts_ns":  # The kernel and trace-cmd round.
                true = [(ns + resolution_ns // 2) // resolution_ns * resolution_ns for ns in true]
            if column == "common_flags":
                true = [flags & flags_told for flags in true]
            pairs = [(a, b) for a, b in zip(told, true, strict=True) if a is not None and a != b]
            if pairs:
                found.append(f"{event}.{column}: {len(pairs)} rows, as {pairs[0]}")
    return sorted(found)


def columns_of(table: pa.Table) -> set[str]:
    return {name for name in table.column_names if not name.startswith("common_")}


@pytest.mark.parametrize("path", [p for p in TEXTS if p not in GRAPHS and p.name == "ftrace.txt.gz"], ids=by_capture)
def test_against_trace_dat(path: Path) -> None:
    """Every column of the kernel's text equals that of the trace.dat of the same buffer."""
    dat = open_trace_dat(path.parent / "trace.dat")
    whole = read_file(path)
    text, text_tables = whole.recording, whole.tables
    _, _, dat_tables = read(dat)
    assert differences(text_tables, dat_tables, 1000, 0xFF) == []
    for event, table in dat_tables.items():
        untold = columns_of(table) - columns_of(text_tables[event])
        # Addresses that text shows as names, hashed pointers, where a string was, the number of a named system call.
        addresses = {name for name in untold if f"{name}.sym" in text_tables[event].column_names}
        hashed = {name for name in untold if f"{name}.hashed" in text_tables[event].column_names}
        strings = {name for name in untold if name.endswith(".ptr") or f"{name}.ptr" in table.column_names}
        assert untold - addresses - hashed - strings - {"__syscall_nr", "ip"} == set(), event
    assert text.tgids.items() <= dat.tgids.items() | text.tgids.items()
    assert set(text.comms) - set(dat.comms) == set()


REPORTED = [
    (capture, name, options)
    for capture, name in (
        ("armhf-smoke", "trace.dat"), ("arm64-futextail", "trace.dat"), ("arm64-612-unmap_mt", "trace.dat"),
        ("2014/k313-rfcv2-unmap-st", "trace.dat"), ("2014/k318-stock-fn-unmap-mt", "trace.dat"),
        ("x86", "stack.v7.dat"),
    )
    for options in ("-t", "-R", "-l")
    if not (options == "-R" and "-fn-" in capture)  # There functions are bare addresses.
]  # fmt: skip
REPORT_FLAGS = 0x01 | 0x04 | 0x08 | 0x10
"""Interrupts off, rescheduling needed, hard and soft interrupts: trace-cmd shows no others."""
UNTOLD_BY_REPORT = re.compile(
    r"sched_switch\.prev_state: \d+ rows, as \(0, 256\)"  # The plugin shows R+ as R.
    r"|kernel_stack\.caller\.sym: 1 rows, "  # Two functions have one address: __do_sys_vfork and __x64_sys_vfork.
)


@needs_shared
@needs_trace_cmd
@pytest.mark.parametrize(("capture", "name", "options"), REPORTED)
def test_against_trace_cmd(capture: str, name: str, options: str, tmp_path: Path) -> None:
    """What trace-cmd prints of a trace.dat gives the columns that its bytes give."""
    dat, text = CAPTURES / capture / name, tmp_path / "report.txt"
    with text.open("wb") as file:
        subprocess.run(["trace-cmd", "report", options, str(dat)], stdout=file, stderr=subprocess.DEVNULL, check=True)
    counts, undecodable, tables = read_text(text)
    expected, _, dat_tables = read(open_trace_dat(dat))
    assert counts == expected
    assert undecodable == {}
    found = differences(tables, dat_tables, 1 if options == "-t" else 1000, REPORT_FLAGS)
    assert [line for line in found if not UNTOLD_BY_REPORT.match(line)] == []


def calls(table: pa.Table) -> Counter[tuple[Any, ...]]:
    rows = table.select(["common_cpu", "common_pid", "func.sym", "depth"]).to_pylist()
    return Counter(tuple(row.values()) for row in rows)


@pytest.mark.parametrize("path", GRAPHS, ids=by_capture)
def test_graph_against_trace_dat(path: Path) -> None:
    """The same calls on the same CPUs by the same threads, of the same duration to the digits that are drawn."""
    _, _, text = read_text(path)
    _, _, dat = read(open_trace_dat(path.parent / "trace.dat"))
    for event in ("funcgraph_entry", "funcgraph_exit"):
        assert calls(text[event]) == calls(dat[event])
    rows = dat["funcgraph_exit"].select(["rettime", "calltime"]).to_pylist()
    durations = sorted(row["rettime"] - row["calltime"] for row in rows)
    drawn = sorted(text["funcgraph_exit"]["duration_ns"].to_pylist())
    for shown, real in zip(drawn, durations, strict=True):
        digits = 1 if real < 10_000_000 else 10 if real < 100_000_000 else 100 if real < 1_000_000_000 else 1000
        assert abs(shown - real) < digits


@needs_shared
def test_cut_recording() -> None:
    """A `trace` of which the first 6 MB are there, cut inside a line."""
    path = CAPTURES / "x86" / "mm.ftrace.head.txt.xz"
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    records = [line for line in lines[:-1] if not line.startswith("#")]
    counts, undecodable, tables = read_text(path)
    assert sum(counts.values()) == len(records)
    assert undecodable == {
        "the text ends inside a line": 1,
        "announced by the header, not in the text": 277_200 - len(records),
    }
    flushes = [line for line in records if " tlb_flush: " in line]
    assert counts["tlb_flush"] == len(flushes)
    assert Counter(tables["tlb_flush"]["reason"].to_pylist()) == Counter(int(line[-2]) for line in flushes)


@needs_shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # The counts are those of public/README.md.
        (
            "ARM-software+lisa/tests/assets/trace_txt/trace.txt",
            {"sched_switch": 1856, "sched_wakeup": 1068, "print": 14, "sched_overutilized": 3},
        ),
        ("ARM-software+trappy/doc/trace.txt", {"cdev_update": 201, "thermal_temperature": 67}),
        (
            "catapult-project+catapult/systrace/systrace/test_data/decompressed_atrace_data.txt",
            {"tracing_mark_write": 1042},
        ),
    ],
)
def test_public(name: str, expected: dict[str, int]) -> None:
    assert SHARED is not None
    path = SHARED / "public" / name
    with path.open("rb") as file:
        assert sniff(Path(), file.read(1 << 16))
    counts, undecodable, _ = read_text(path)
    assert counts | expected == counts
    assert undecodable == {}
