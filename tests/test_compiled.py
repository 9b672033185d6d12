"""Compiled code is kept, found again, and not used once any file of the package has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fastgup_trace.compiled import stamp

USE = """
from fastgup_trace import compiled
from fastgup_trace.ingest.ftrace_text.bytewise import is_digit
assert is_digit(48) and not is_digit(47)
print(compiled._FOLDER)
"""


def run(**settings: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", USE], env=kept | settings, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_stamp_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "a.py"
    file.write_text("x = 1")
    before = stamp(tmp_path)
    assert stamp(tmp_path) == before
    file.write_text("x = 22")
    assert stamp(tmp_path) != before
    other = stamp(tmp_path)
    (tmp_path / "b.py").write_text("")
    assert stamp(tmp_path) != other


def test_code_is_kept_where_the_user_says_and_old_code_is_forgotten(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"fastgup-trace-loops-{number}").mkdir()
    folder = Path(run(NUMBA_CACHE_DIR=str(tmp_path)))
    assert folder.parent == tmp_path
    assert len(list(tmp_path.iterdir())) == 3
    assert any(folder.rglob("*.nbc"))
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == str(folder)


def test_without_any_place_to_keep_it_code_is_compiled_all_the_same(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert run(NUMBA_CACHE_DIR=str(taken / "none")) == "None"
