"""`fastgup-trace report`: the page is written whole, nothing is replaced unasked, and errors are one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_outcome

from fastgup_replay.outcome import write_outcome
from fastgup_trace.cli import main


@pytest.fixture
def outcome(tmp_path: Path) -> Path:
    folder = tmp_path / "outcome"
    write_outcome(folder, sample_outcome.small())
    return folder


def test_writes_the_page_and_says_where(outcome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "new" / "report.html"
    assert main(["report", str(outcome), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.endswith("</html>\n")
    assert "rfc-v2 sends 6 interrupts in 2 broadcasts, all for THP splits." in text
    assert str(page) in capsys.readouterr().out


def test_replaces_a_page_only_with_force(outcome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    page.write_text("mine")
    assert main(["report", str(outcome), "-o", str(page)]) == 2
    assert page.read_text() == "mine"
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--force" in error
    assert main(["report", str(outcome), "-o", str(page), "--force"]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("wrong", ["nothing-there", "."])
def test_a_folder_that_is_no_outcome_is_one_line(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / wrong), "-o", str(tmp_path / "r.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_a_folder_is_no_name_for_the_page(outcome: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(outcome), "-o", str(outcome.parent), "--force"]) == 2
    assert "a folder" in capsys.readouterr().err


def test_a_damaged_table_is_one_line(outcome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outcome / "ipi.arrow").write_bytes(b"no arrow here")
    assert main(["report", str(outcome), "-o", str(tmp_path / "r.html")]) == 2
    assert "ipi.arrow" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [0, 1, 8, 100, 400, -1])
def test_a_table_cut_short_is_one_line(
    outcome: Path, cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (outcome / "batch.arrow").read_bytes()
    (outcome / "batch.arrow").write_bytes(whole[:cut])
    assert main(["report", str(outcome), "-o", str(tmp_path / "r.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
