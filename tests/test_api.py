"""The library as its docstring shows it: one import, four calls, and nothing heavy before the first of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fastgup_trace as fg
from fastgup_trace.errors import UsageError


def test_from_a_dataset_to_a_page(tmp_path: Path) -> None:
    capture = fg.ingest_recording("dataset:k313-rfcv2-futex-one")  # type: ignore[operator]
    outcome = fg.replay(capture, ["rfc-v2", "unpatched-3.13"])  # type: ignore[operator]
    # Three of the seven futex cases hang on the unpatched kernel (the stdout.txt of that recording's twin).
    assert outcome.summary["mechanisms"]["unpatched-3.13"]["walks"]["livelocked"] == 3
    assert outcome.summary["mechanisms"]["rfc-v2"]["walks"]["livelocked"] == 0
    assert "rfc-v2" in fg.report(outcome)  # type: ignore[operator]
    fg.write_outcome(tmp_path / "outcome", outcome)  # type: ignore[operator]
    assert fg.read_outcome(tmp_path / "outcome").summary == outcome.summary  # type: ignore[operator]


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="replai"):
        fg.replai  # noqa: B018
    with pytest.raises(UsageError, match="k313-rfcv2-futex-one"):
        fg.ingest_recording("dataset:k313-rfcv2-futex-two")  # type: ignore[operator]


def test_the_import_alone_loads_nothing() -> None:
    code = (
        "import sys, fastgup_trace; from fastgup_trace import cli;"
        "print(sorted({'numpy', 'pyarrow', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
