"""`validate` on the command line: its table, its reasons, its exit code, its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastgup_trace.cli import main


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures")
    for name in ("k313-rfcv2-futex-one", "arm64-unmap_mt"):
        assert main(["ingest", f"dataset:{name}", "-o", str(folder / name)]) == 0
    return folder


def test_an_exact_recording(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["validate", str(captures / "k313-rfcv2-futex-one")]) == 0
    out = capsys.readouterr().out
    assert "replay of rfc-v2" in out
    assert "20 of 20 counts exact, 0 accounted for, 0 not." in out


def test_a_difference_is_told_with_the_events_that_make_it(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["validate", str(captures / "arm64-unmap_mt")]) == 0
    out = capsys.readouterr().out
    # kprobe_profile counts one missed hit of tlb_remove_table_rcu; call_rcu has 237 records, the callbacks 234.
    assert "-9 in 1: batch queued before the recording began" in out
    assert "in 1: batch whose callback ran unseen" in out
    assert "in 3: batch in flight when the recording ended" in out
    assert out.count(" s  +") + out.count(" s  -") == 2 * 5  # five events, in two rows


def test_the_wrong_mechanism_is_a_no(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(captures / "arm64-unmap_mt"), "-m", "unpatched-3.13"]) == 1
    assert "the difference is not accounted for" in capsys.readouterr().out


def test_json_has_every_row_with_its_events(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["validate", str(captures / "arm64-unmap_mt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mechanism"] == "mainline-6.1"
    rows = {row["quantity"]: row for row in found["rows"]}
    assert {"quantity", "predicted", "measured", "error", "kind", "evidence", "explained"} <= set(rows["rcu.batches"])
    assert (rows["rcu.batches"]["predicted"], rows["rcu.batches"]["measured"]) == (237, 237)
    batched = rows["tables.batched"]
    assert sum(event["amount"] for event in batched["accounted"]) == batched["error"] == 2850 - 2809
    assert {row["kind"] for row in found["rows"]} == {"count", "latency"}
