"""The page in a real browser: every plot has data drawn, the console is silent, hostile text does nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import sample_outcome

from fastgup_reports.page import render
from fastgup_reports.panels import PANELS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt install chromium)")

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--v=0", "--window-size=1240,1600", "--virtual-time-budget=20000", "--dump-dom",
]  # fmt: skip


class Drawn(HTMLParser):
    """What the browser made of the page: title, marks drawn in each plot, buttons over the plots, elements."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.title, self.marks, self.buttons, self.tags = "", dict[str, int](), set[str](), set[str]()
        self._plot, self._in_title, self._in_trace = "", False, 0
        self.feed(dom)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self._in_title = tag == "title"
        if "plot" in given.get("class", "").split() and given.get("id", "").startswith("plot-"):
            self._plot = given["id"]
            self.marks[self._plot] = 0
        if tag == "g":
            self._in_trace = self._in_trace + 1 if self._in_trace or "trace" in given.get("class", "").split() else 0
        if tag == "path" and self._in_trace and re.fullmatch(r"M.*[LHVZzACah].*", given.get("d", "")):
            self.marks[self._plot] += 1
        if "data-title" in given:
            self.buttons.add(given["data-title"])

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        if tag == "g" and self._in_trace:
            self._in_trace -= 1

    def handle_data(self, data: str) -> None:
        if self._in_title and not self.title:
            self.title = data


def opened(page: str, folder: Path) -> tuple[Drawn, list[str]]:
    """`page` in the browser, and what its console said."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    assert CHROMIUM is not None
    run = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return Drawn(run.stdout), [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def test_every_plot_has_data_and_the_console_is_silent(tmp_path: Path) -> None:
    drawn, console = opened(render(sample_outcome.plausible()), tmp_path)
    assert console == []
    assert list(drawn.marks) == [f"plot-{panel.__name__.rsplit('.', 1)[-1].replace('_', '-')}" for panel in PANELS]
    assert all(drawn.marks.values()), drawn.marks
    assert "Download plot as a PNG" in drawn.buttons
    assert not any(re.search("share|cloud|edit", button, re.IGNORECASE) for button in drawn.buttons)


def test_an_empty_outcome_is_silent_too(tmp_path: Path) -> None:
    drawn, console = opened(render(sample_outcome.empty()), tmp_path)
    assert (console, drawn.marks) == ([], {})


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    own = "document.title='owned'"
    bad = f'<img src=x onerror="{own}"><script>{own}</script></script><a href="//x">y</a>'
    outcome = sample_outcome.renamed(sample_outcome.small(), "rfc-v2", bad)
    outcome.summary["capture"].update(kernel_release=bad, sidecars={"meta": {"name": bad}}, comms=[bad])
    drawn, console = opened(render(outcome), tmp_path)
    assert console == []
    assert drawn.title.startswith("fastgup-trace: <img")
    assert "img" not in drawn.tags
    assert all(drawn.marks.values())


def test_the_policy_stops_a_script_that_is_not_the_pages_own(tmp_path: Path) -> None:
    page = render(sample_outcome.empty())
    drawn, console = opened(page.replace("</main>", "<script>document.title='owned'</script></main>"), tmp_path)
    assert drawn.title != "owned"
    assert any("Content Security Policy" in line for line in console)
