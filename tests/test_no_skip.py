"""FASTGUP_NO_SKIP, which .ci/run relies on: a pytest of its own over planted tests, with the project's conftest.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared_captures import ROOT

PASSES = "def test_passes(): pass\n"
SKIPS = "import pytest\n@pytest.mark.skipif(True, reason='no trace-cmd')\ndef test_skipped(): pass\n"
SKIPS_MODULE = "import pytest\npytest.importorskip('no_such_module')\n"
FAILS_AS_EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_known(): assert False\n"


def run(folder: Path, tests: str, no_skip: str) -> tuple[int, str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_pass.py").write_text(PASSES)
    (folder / "test_planted.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), str(folder)],
        env={**os.environ, "FASTGUP_NO_SKIP": no_skip},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("tests", "reason"), [(SKIPS, "test_skipped: Skipped: no trace-cmd"), (SKIPS_MODULE, "no_such_module")]
)
def test_a_skip_fails_the_run_and_is_named(tests: str, reason: str, tmp_path: Path) -> None:
    code, out = run(tmp_path, tests, "1")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "FASTGUP_NO_SKIP: 1 skipped, which fails the run" in out
    assert reason in out


@pytest.mark.parametrize(("tests", "no_skip"), [(SKIPS, ""), (PASSES, "1"), (FAILS_AS_EXPECTED, "1")])
def test_a_run_passes_without_the_variable_and_without_skips(tests: str, no_skip: str, tmp_path: Path) -> None:
    code, out = run(tmp_path, tests, no_skip)
    assert code == pytest.ExitCode.OK, out
    assert "FASTGUP_NO_SKIP" not in out
