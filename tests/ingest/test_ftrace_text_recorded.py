"""The text that Linux 6.18 (x86-64) printed with each of its options, against the pages that it printed: every record
and column that both have.

tests/data/text_dialects holds, of an instance of tracefs each: `trace`, trace_pipe_raw of both CPUs, read after it.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest
from ftrace_texts import Read, read_file
from shared_captures import ROOT

from fastgup_trace.ingest import sniff
from fastgup_trace.ingest.raw_ring_buffer import open_raw_ring_buffer

DATA = ROOT / "tests" / "data" / "text_dialects"
DIALECTS = sorted(path.parent.name for path in DATA.glob("*/trace.txt.gz"))
MARKS = {"tracing_mark_write": "print", "UNKNOWN": "print"}
"""What text calls a write to trace_marker: the function; options/fields (6.18) does not know it at all."""
UNTOLD = {
    ("timer_start", "expires"),  # Printed with `[timeout=n]` behind it.
    ("timer_start", "flags"),  # As letters.
    ("user_stack", "caller"),  # Without the zeros behind the last address.
}


@pytest.fixture
def pages(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    """The recording's pages, read."""
    folder = DATA / request.node.callspec.params["dialect"]
    shutil.copytree(DATA / "events", tmp_path / "events")
    shutil.copy(DATA / "printk_formats", tmp_path)
    shutil.copy(folder / "trace_clock", tmp_path)
    (tmp_path / "kallsyms").write_bytes(gzip.decompress((DATA / "kallsyms.gz").read_bytes()))
    for cpu in ("cpu0", "cpu1"):
        (tmp_path / cpu).write_bytes(gzip.decompress((folder / f"{cpu}.gz").read_bytes()))
    recording = open_raw_ring_buffer(tmp_path)
    return Read(recording, list(recording.windows))


def columns(read: Read, event: str) -> dict[str, list[Any]]:
    return {name: read.tables[event][name].to_pylist() for name in read.tables[event].column_names}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_against_pages(dialect: str, pages: Read) -> None:
    path = DATA / dialect / "trace.txt.gz"
    assert sniff(path).name == "ftrace-text"
    text = read_file(path)
    assert text.undecodable == {}
    names = {event: MARKS.get(event, event) for event in text.counts}
    assert {names[event]: count for event, count in text.counts.items()} == pages.counts
    found = []
    for event, name in names.items():
        told, true = columns(text, event), columns(pages, name)
        for column in told.keys() & true.keys() - {"common_ts_ns"}:
            pairs = [(a, b) for a, b in zip(told[column], true[column], strict=True) if a is not None and a != b]
            if pairs and (event, column) not in UNTOLD:
                found.append((event, column, len(pairs), pairs[0]))
    assert found == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_times(dialect: str, pages: Read) -> None:
    """Microseconds, rounded; since the buffer's start in latency-format without verbose; a counter's own counts."""
    text = read_file(DATA / dialect / "trace.txt.gz")
    told, true = (
        [
            ns
            for event in sorted(read.counts, key=lambda e: MARKS.get(e, e))
            for ns in columns(read, event)["common_ts_ns"]
        ]
        for read in (text, pages)
    )
    assert len(told) == len(true) > 300
    is_counted = dialect.startswith("clock-")
    assert text.recording.unit == ("ticks" if is_counted else "ns")
    if not is_counted:
        true = [(ns + 500) // 1000 * 1000 for ns in true]
    apart = {b - a for a, b in zip(told, true, strict=True)}
    if dialect.endswith("latency-format"):
        assert max(apart) - min(apart) <= (0 if is_counted else 1000)
    else:
        assert apart == {0}
