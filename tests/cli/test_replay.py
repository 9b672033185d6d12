"""`replay` on the command line: the table, the cover letter's Markdown, the outcome's files, the limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastgup_trace.cli import main

MECHANISMS = ["rfc-v2", "rfc-v1", "unpatched-3.13", "mainline-3.18", "mainline-6.1", "x86-3.13", "naive"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures") / "one"
    assert main(["ingest", "dataset:k318-unmap-mt-failn3", "-o", str(folder)]) == 0
    return folder


def test_the_seven_of_the_default_and_their_summary(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["replay", str(capture), "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:8]] == MECHANISMS
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["mechanisms"]) == MECHANISMS
    merged = summary["mechanisms"]["mainline-3.18"]
    # The README of the recording: 88 injected failures, 264 interrupts, 2,098 tables in 178 batches.
    assert merged["ipis"]["by_cause"]["table_free"] == {"broadcasts": 88, "interrupts": 264}
    assert merged["tables"] == {"freed": 2215, "at_once": 29, "batched": 2098, "by_ipi": 88}
    assert merged["rcu"]["batches"] == 178
    assert set(merged) >= {"ipis", "rcu", "tables", "walks", "hazards", "evidence"}
    assert "Open loop" in out


def test_markdown_is_the_table_alone(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["replay", str(capture), "-m", "rfc-v2", "-m", "naive", "--markdown", "-o", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)


def test_limits(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def freed(*limits: str) -> int:
        capsys.readouterr()
        assert (
            main(["replay", str(capture), "-m", "rfc-v2", "--json", "--force", "-o", str(tmp_path / "o"), *limits]) == 0
        )
        return int(json.loads(capsys.readouterr().out)["mechanisms"]["rfc-v2"]["tables"]["freed"])

    assert freed() == 2215
    assert 0 < freed("--comm", "unmapstorm") <= 2215
    assert freed("--from", "5") + freed("--to", "5") == 2215
    assert sum(freed("--cpu", str(cpu)) for cpu in range(4)) == 2215
    assert main(["replay", str(capture), "-o", str(tmp_path / "p"), "--from", "nan"]) == 2
    assert main(["replay", str(capture), "-o", str(tmp_path / "p"), "--pid", "99999"]) == 2
    assert not (tmp_path / "p").exists()


def test_an_outcome_that_exists_is_kept(capture: Path, tmp_path: Path) -> None:
    assert main(["replay", str(capture), "-m", "naive", "-o", str(tmp_path / "out")]) == 0
    assert main(["replay", str(capture), "-m", "rfc-v2", "-o", str(tmp_path / "out")]) == 2
    assert list(json.loads((tmp_path / "out" / "summary.json").read_text())["mechanisms"]) == ["naive"]
