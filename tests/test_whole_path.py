"""The three commands one after the other, as `make demo` runs them, against an independent script's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fastgup_trace.cli as cli
from fastgup_datasets.catalog import entry, find


@pytest.mark.parametrize(
    "name", ["k313-rfcv2-unmap-big-mt", "k313-rfcv2-unmap-st", "k318-unmap-mt-failn3", "k313-unpatched-unmap-mt"]
)
def test_a_recording_becomes_a_report_with_the_kernels_own_numbers(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture, outcome, page = (str(tmp_path / part) for part in ("capture", "outcome", "report.html"))
    mechanism = entry(name).mechanism
    assert cli.main(["ingest", f"dataset:{name}", "-o", capture]) == 0
    assert cli.main(["replay", capture, "-m", mechanism, "-o", outcome]) == 0
    assert mechanism in capsys.readouterr().out
    assert cli.main(["report", outcome, "-o", page]) == 0

    known: dict[str, Any] = json.loads((find(name).parent / "groundtruth.json").read_text())
    paths, batches = known["by_path"], known["batches"]
    told = json.loads((tmp_path / "outcome" / "summary.json").read_text())["mechanisms"][mechanism]
    assert told["tables"]["at_once"] == paths["immediate"] + paths["gather"]
    assert told["tables"]["batched"] == paths["batched"]
    assert told["tables"]["by_ipi"] == paths["one_sync"]
    assert told["ipis"]["interrupts"] == known["ipi"]["IPI1 Function call interrupts"]
    assert told["rcu"]["batches"] == batches["flushed"]
    assert told["rcu"]["tables_per_batch_max"] == (batches["fill_max"] or 0)
    assert "<html" in Path(page).read_text(encoding="utf-8")[:500]
