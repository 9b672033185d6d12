"""Numbers and texts as the page shows them."""

from __future__ import annotations

import math

import pytest

from fastgup_reports import theme


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1155, "1,155"), (17.24, "17.2"), (None, "not known"), (math.nan, "not known"), (True, "not known"),
     ("7", "not known")],
)  # fmt: skip
def test_count(value: object, text: str) -> None:
    assert theme.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 ns"), (850, "850 ns"), (12_300_000, "12.3 ms"), (999_960_000, "1.0 s"), (7_200_000_000_000, "7,200.0 s"),
     (1500, "1.5 µs"), (None, "not known")],
)  # fmt: skip
def test_duration(value: object, text: str) -> None:
    assert theme.duration(value) == text


def test_size() -> None:
    assert [theme.size(n) for n in (0, 4096, 1_700_000)] == ["0 B", "4.1 kB", "1.7 MB"]


def test_words() -> None:
    assert [theme.plural(n, "batch", "batches") for n in (0, 1, 1200)] == ["0 batches", "1 batch", "1,200 batches"]
    assert [theme.listed(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_twenty_mechanisms_have_twenty_styles() -> None:
    assert len({theme.style(position) for position in range(20)}) == 20


def test_escapes() -> None:
    assert theme.esc("<a href='x'>&\"\x1b") == "&lt;a href=&#x27;x&#x27;&gt;&amp;&quot;\\x1b"
    assert theme.plot_text("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;"
