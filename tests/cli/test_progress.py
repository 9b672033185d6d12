"""The progress bar: drawn on a terminal only, not too often, and wiped at the end."""

from __future__ import annotations

import io

import pytest

from fastgup_trace.cli.progress import progress_bar, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_tells_share_rate_and_the_time_left() -> None:
    assert progress_line("a.dat", 25_000_000, 100_000_000, 2.0) == (
        "a.dat [######                  ]  25%  12.5 MB/s  0:06 left"
    )
    assert progress_line("a.dat", 0, 100, 0.0) == "a.dat [                        ]   0%"
    assert progress_line("a.dat", 0, 0, 1.0) == "a.dat [########################] 100%"
    assert progress_line("a.dat", 300, 200, 1.0).endswith("0:00 left")


def test_units_that_are_no_bytes_have_no_rate() -> None:
    line = progress_line("replay", 1, 4, 2.0, in_bytes=False)
    assert line == "replay [######                  ]  25%  0:06 left"


def test_nothing_is_drawn_where_stderr_is_no_terminal() -> None:
    out = io.StringIO()
    with progress_bar("a.dat", out) as progress:
        progress(1, 2)
    assert out.getvalue() == ""


def test_a_terminal_sees_at_most_ten_lines_a_second_and_the_last() -> None:
    out, now_s = Terminal(), iter(i * 0.01 for i in range(1000))
    with progress_bar("a.dat", out, clock=lambda: next(now_s)) as progress:
        for done in range(101):
            progress(done, 100)
    drawn = [line for line in out.getvalue().split("\r") if "%" in line]
    assert len(drawn) == 11
    assert "100%" in drawn[-1]


def test_the_line_is_wiped_also_after_an_error() -> None:
    out = Terminal()
    with pytest.raises(ValueError), progress_bar("a\x1b[2J", out) as progress:
        progress(1, 2)
        raise ValueError
    *_, drawn, blank, end = out.getvalue().split("\r")
    assert drawn.startswith("a\\x1b[2J [")
    assert (blank.strip(), len(blank), end) == ("", len(drawn), "")
