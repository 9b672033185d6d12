"""The page: one file that requests nothing, escapes everything, and says what it does not know."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import sample_outcome
from plotly.offline import get_plotlyjs

from fastgup_reports.page import render, script_json
from fastgup_reports.panels import PANELS

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><!--<script>alert(2)</script>\x1b[2J\u202e"


class Page(HTMLParser):
    """The elements of a page: (tag, attributes), the text outside scripts and styles, the scripts, text by cell."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._in: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in.append(tag)
            if tag == "script":
                self.scripts.append((dict(attrs), ""))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif not self._in:
            self.text.append(data)
            if self.rows and self.rows[-1]:
                self.rows[-1][-1] += data

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def ids(self) -> set[str]:
        return {attrs["id"] or "" for _, attrs in self.elements if "id" in attrs}


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample_outcome.plausible()))


def test_every_panel_has_its_section_its_figure_and_its_place_in_the_contents(page: Page) -> None:
    figures = [attrs["data-plot"] for attrs, _ in page.scripts if attrs.get("class") == "figure"]
    keys = [panel.__name__.rsplit(".", 1)[-1].replace("_", "-") for panel in PANELS]
    assert figures == [f"plot-{key}" for key in keys]
    assert {*keys, *figures, "answer", "mechanisms", "provenance"} <= page.ids()
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert {f"#{key}" for key in keys} <= links


def test_plotly_is_there_once_and_nothing_is_requested(page: Page) -> None:
    assert sum(text == get_plotlyjs() for _, text in page.scripts) == 1
    assert sum("plotly.js v" in text for _, text in page.scripts) == 1
    for tag, attrs in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"), tag
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "src", (tag, value)
            assert name != "href" or (value or "").startswith("#"), value
    styles = render(sample_outcome.empty()).split("<style>")[1].split("</style>")[0]
    assert "url(" not in styles and "@import" not in styles


def test_the_policy_names_exactly_the_scripts_that_run(page: Page) -> None:
    (policy,) = [
        attrs["content"] or "" for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    running = [text for attrs, text in page.scripts if attrs.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy and "script-src 'unsafe" not in policy


def test_no_button_uploads_the_chart(page: Page) -> None:
    (script,) = [text for attrs, text in page.scripts if not attrs and "newPlot" in text and len(text) < 10_000]
    assert "modeBarButtons: [[" in script and "showSendToCloud: false" in script


def test_numbers_of_the_table(page: Page) -> None:
    (row, *_) = [row for row in page.rows if row and row[0] == "rfc-v2"]
    assert row[1:4] == ["385", "1,155", "119"]
    (row, *_) = [row for row in page.rows if row and row[0] == "unpatched-3.13"]
    assert row[1:7] == ["0", "0", "0", "0.0", "0", "0 B"]
    assert row[7] == "–1" and row[9:13] == ["0", "457", "0", "1"]


def test_the_answer_and_the_caveat_are_on_the_page(page: Page) -> None:
    assert "rfc-v2 and mainline-3.18 each send 1,155 interrupts in 385 broadcasts, all for THP splits." in page.words
    assert "unpatched-3.13 serves none of 458 fast-GUP calls fast; 1 never ends." in page.words
    assert "open loop" in page.words


def test_a_selection_and_the_replays_own_caveats_are_told() -> None:
    outcome = sample_outcome.small()
    outcome.summary.update(selection={"comm": "thpsplit", "pid": None}, caveats=["Open loop: x", "HZ is a guess."])
    words = Page(render(outcome)).words
    assert "4 CPUs), limited to comm thpsplit" in words
    assert "HZ is a guess." in words and "Open loop: x" not in words


def test_provenance_is_at_the_foot(page: Page) -> None:
    for fact in (
        "5d" * 32,
        "3.13.10-rfcv2",
        "trace.dat v6",
        "arm64",
        "6.1 MB (6,123,456 bytes)",
        "250 (assumed)",
        "qemu virt",
        "k313-rfcv2-thp-split",
        "trace-cmd 3.1.6",
    ):
        assert fact in page.words


def test_null_is_not_known_and_says_why() -> None:
    nulls = {key: dict.fromkeys(group) for key, group in sample_outcome.numbers().items()}
    text = render(sample_outcome.outcome(sample_outcome.summary({"a": nulls, "b": sample_outcome.numbers()})))
    page = Page(text)
    (row, *_) = [row for row in page.rows if row and row[0] == "a"]
    assert len(row) == 16
    assert all(cell.startswith("not known") for cell in row[1:])
    assert "no probe on fast GUP" in page.words
    assert "No mechanism replayed here sends an IPI on this workload. Not known, or not wholly, for a" in page.words


def test_where_no_mechanism_is_known_the_panel_does_not_claim_zero() -> None:
    nulls = {key: dict.fromkeys(group) for key, group in sample_outcome.numbers().items()}
    words = Page(render(sample_outcome.outcome(sample_outcome.summary({"a": nulls})))).words
    assert "No mechanism replayed here" not in words
    assert "Not known, or not wholly, for a" in words


def test_an_outcome_without_rows_gives_a_reason_instead_of_each_plot() -> None:
    page = Page(render(sample_outcome.empty()))
    assert not [attrs for attrs, _ in page.scripts if attrs.get("class") == "figure"]
    for panel in PANELS:
        assert panel.NOTHING in page.words


@pytest.mark.parametrize("summary", [{}, {"mechanisms": {}}, {"mechanisms": [], "capture": 3, "platform": None}])
def test_an_outcome_without_a_summary_renders(summary: dict[str, Any]) -> None:
    assert "No mechanism was replayed." in Page(render(sample_outcome.outcome(summary))).words


def hostile() -> str:
    outcome = sample_outcome.renamed(sample_outcome.small(), "naive", HOSTILE)
    capture = {key: HOSTILE for key in outcome.summary["capture"] if not key.endswith("_ns")}
    outcome.summary["capture"] = {**capture, HOSTILE: {HOSTILE: [HOSTILE]}, "deep": [{HOSTILE: HOSTILE}]}
    outcome.summary["capture"]["recordings"] = [
        {"file": HOSTILE, "sha256": HOSTILE, "bytes": HOSTILE, "format": HOSTILE}
    ]
    outcome.summary["capture"]["evidence"] = {"hz": HOSTILE}
    outcome.summary.update(selection={HOSTILE: HOSTILE}, caveats=[HOSTILE])
    outcome.summary["platform"] = {HOSTILE: HOSTILE}
    outcome.summary["mechanisms"][HOSTILE]["evidence"] = {HOSTILE: HOSTILE, "gaps": [HOSTILE]}
    return render(outcome)


def test_hostile_names_make_no_element_and_end_no_script() -> None:
    page, plain = Page(hostile()), Page(render(sample_outcome.small()))
    assert "img" not in {tag for tag, _ in page.elements}
    assert len(page.scripts) == len(plain.scripts)
    for attrs, text in page.scripts:
        if attrs.get("class") == "figure":
            assert not re.search("[<>&]", text)
            json.loads(text)
    assert "<img src=x onerror=alert(1)>" in page.words
    assert "\x1b" not in page.words and "\u202e" not in page.words


def test_json_in_a_script_comes_back_as_it_was() -> None:
    assert json.loads(script_json(json.dumps({"a": HOSTILE}))) == {"a": HOSTILE}
    assert not re.search("[<>&]", script_json(json.dumps(HOSTILE)))
