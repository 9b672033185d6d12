"""Numbers, tables and recordings' strings as plain text."""

from __future__ import annotations

import pytest

from fastgup_trace.cli.text import count, duration, percent, size, table
from fastgup_trace.display import visible


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("kworker/0:1", "kworker/0:1"),
        ("naïve 日本", "naïve 日本"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_one_line_leaves_nothing_for_the_terminal_to_act_on(text: str, safe: str) -> None:
    assert visible(text) == safe


def test_numbers() -> None:
    assert [count(n) for n in (0, 1155, 1234567, 12.1, None)] == ["0", "1,155", "1,234,567", "12.10", "-"]
    assert [size(n) for n in (0, 999, 1000, 999_949, 999_950, 1_699_452, None)] == [
        "0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.7 MB", "-",
    ]  # fmt: skip
    assert [duration(n) for n in (0, 850, 12_300_000, 2_500_000_000, 7_200_000_000_000)] == [
        "0 ns", "850 ns", "12.3 ms", "2.5 s", "7,200.0 s",
    ]  # fmt: skip
    assert (percent(1, 8), percent(0, 8), percent(1, 0)) == ("12.5 %", "0.0 %", "-")


def test_a_table_aligns_numbers_to_the_right_and_text_to_the_left() -> None:
    assert table(("mechanism", "IPIs"), [("rfc-v2", 1155), ("unpatched-3.13", None)]) == (
        "mechanism        IPIs\n"
        "rfc-v2          1,155\n"
        "unpatched-3.13      -"
    )  # fmt: skip


def test_alignment_can_be_given() -> None:
    assert table(("a", "b"), [("x", "10 B"), ("yy", "9 B")], "rr") == " a     b\n x  10 B\nyy   9 B"


def test_a_markdown_table_keeps_its_cells_apart() -> None:
    assert table(("a|b", "n"), [("x|y\n", 1)], markdown=True) == (
        "| a\\|b   |   n |\n"
        "| ------ | --: |\n"
        "| x\\|y\\n |   1 |"
    )  # fmt: skip


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(("a", "b"), []) == "a  b"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells under 2 headers"):
        table(("a", "b"), [("x",)])
