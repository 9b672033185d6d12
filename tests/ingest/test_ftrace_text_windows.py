"""Text in time: records out of order, windows one after another, buffers one behind the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from ftrace_texts import HEAD_6_1, read, read_file

from fastgup_trace.ingest import ftrace_text


def test_times_out_of_order(tmp_path: Path) -> None:
    times = ["1.000005", "1.000003", "1.000009", "1.000003"]
    text = "".join(f" x-1 [000] ..... {time}: a: x={n}\n" for n, time in enumerate(times))
    rows = read(tmp_path, text).rows("a")
    assert [(row["x"], row["common_seq"]) for row in rows] == [(1, 0), (3, 1), (0, 2), (2, 3)]


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few lines and windows of a few records."""
    monkeypatch.setattr(ftrace_text, "BLOCK_BYTES", 200)
    monkeypatch.setattr(ftrace_text, "LARGE_BLOCK_BYTES", 200)
    monkeypatch.setattr(ftrace_text, "WINDOW_RECORDS", 5)


def test_windows(tmp_path: Path, small_windows: None) -> None:
    """Windows follow each other in time, and a field keeps the type that it has in the first."""
    values = ["1", "2"] * 10 + ["0xff"] + ["3"] * 20 + ["word"] + ["4"] * 10
    text = "".join(f" x-1 [000] ..... 1.{n:06}: a: x={value}\n" for n, value in enumerate(values))
    result = read(tmp_path, text)
    assert len(result.windows) > 8
    rows = result.rows("a")
    assert [row["common_seq"] for row in rows] == list(range(len(values)))
    assert [row.get("x.text") or row["x"] for row in rows] == [int(v, 0) if v != "word" else v for v in values]
    assert {str(window.events["a"].schema.field("x").type) for window in result.windows if window.events} == {"int64"}


def test_a_window_before_the_one_before(tmp_path: Path, small_windows: None) -> None:
    text = "".join(f" x-1 [000] ..... {time:02}.000000: a: x=1\n" for time in [*range(10, 40), 5, *range(41, 50)])
    result = read(tmp_path, text)
    times = [row["common_ts_ns"] for row in result.rows("a")]
    assert times == sorted(times)
    assert result.undecodable == {"earlier than the window before: its time is set to that window's end": 1}


def test_concatenated(tmp_path: Path) -> None:
    """`cat per_cpu/cpu*/trace`: one buffer behind the other, each with its header."""
    cpu0 = HEAD_6_1.replace("{n}/{n}", "2/3") + " x-1 [000] ..... 1.000001: a: x=1\n x-1 [000] ..... 1.000004: a: x=4\n"
    cpu1 = HEAD_6_1.replace("{n}/{n}", "1/1") + " x-1 [001] ..... 1.000002: a: x=2\n"
    result = read(tmp_path, cpu0 + cpu1)
    assert [(row["x"], row["common_cpu"], row["common_seq"]) for row in result.rows("a")] == [
        (1, 0, 0),
        (2, 1, 1),
        (4, 0, 2),
    ]
    assert [loss.count for loss in result.recording.losses] == [1]
    assert result.undecodable == {}


def test_a_column_is_the_same_in_all_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Integers keep their 64 bits, words in a column of numbers are NAME.text."""
    monkeypatch.setattr(ftrace_text, "WINDOW_RECORDS", 1)
    words = ["1", "18446744073709551615", "0xffffffffffff0000", "name", "2"]
    path = tmp_path / "trace"
    path.write_text("".join(f" x-1 [000] ..... 1.00000{n}: e: a={word}\n" for n, word in enumerate(words)))
    result = read_file(path, block_bytes=30)
    assert len(result.windows) > 3
    found = [(row.get("a"), row.get("a.text")) for row in result.rows("e")]
    assert found == [(1, None), (-1, None), (-65536, None), (None, "name"), (2, None)]


def test_numbers_that_fit_only_without_a_sign(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(
        " x-1 [000] ..... 1.000001: e: a=18446744073709551615 b=18446744073709551615 c=18446744073709551616\n"
        " x-1 [000] ..... 1.000002: e: a=9223372036854775808 b=-9223372036854775808 c=1\n"
    )
    rows = read_file(path).rows("e")
    assert [(row["a"], row["b"], row["c"]) for row in rows] == [(2**64 - 1, -1, None), (2**63, -(2**63), 1)]
