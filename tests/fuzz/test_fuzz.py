"""The fuzz job finds what it is there for: a planted failure of each kind is told, with the number to have it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shared_captures import ROOT

from fuzz import plan, workers
from fuzz.judge import judge, read
from fuzz.plan import Input, Modes
from fuzz.seeds import Seed, all_seeds, hand_made


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return all_seeds()


def test_seeds_are_sound_in_every_mode(seeds: list[Seed], tmp_path: Path) -> None:
    """As many records whatever the loops and the windows are, and as many as an independent count of pages finds."""
    for seed in seeds:
        if seed.share < 1:
            continue
        path = workers.put(seed.files, tmp_path)
        one, other = (read(path, Modes(flag, flag, flag, flag, seed.format)) for flag in (False, True))
        assert one == other, seed.name
        if seed.format in ("trace.dat", "raw-ring-buffer"):
            assert one.records == sum(b.records for layout in seed.layouts.values() for b in layout.blocks), seed.name


def test_an_input_follows_from_its_number(seeds: list[Seed]) -> None:
    for number in range(0, 3000, 100):
        assert plan.make(seeds, 1, number) == plan.make(seeds, 1, number)
    assert plan.make(seeds, 1, 5).files != plan.make(seeds, 2, 5).files


def test_pages_that_are_missing_without_a_word_are_a_failure(seeds: list[Seed], tmp_path: Path) -> None:
    """A sound file with a page less, as damage that touched no page: a reader that drops pages gives the same."""
    seed = next(seed for seed in seeds if seed.name == "by-hand/le64-v6")
    file = hand_made(seed.file.machine if seed.file else pytest.fail())
    del file.instances[""][0][-1]
    item = Input(0, seed, {"": file.v6()}, "planted", Modes(False, False, False, False, None), (0, 0))
    sound = workers.sound_counts([seed], tmp_path)[seed.name]
    verdict = judge(item, workers.put(item.files, tmp_path), sound)
    assert (verdict.kind, verdict.message) == ("silent", "67 records where the seed has 87; -0 to +0 could be")


@pytest.mark.parametrize("kind", workers.PLANTS)
def test_a_planted_failure_is_told_and_kept_and_the_rest_goes_on(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--inputs", "30", "--keep", str(tmp_path), "--plant", kind],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert f"FAILED {kind}: input {workers.PLANTED} (" in done.stdout
    assert f"again: python -m fuzz --seed 1 --inputs 30 --only {workers.PLANTED}" in done.stdout
    assert (tmp_path / f"1-{workers.PLANTED}" / "recording").exists()
    assert "30 inputs, 1 failures" in done.stdout


def guarded(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz.guarded", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_compiled_loops_stay_inside_their_arrays() -> None:
    """Each array ends at a page that nobody may touch."""
    done = guarded("--inputs", "400")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "400 inputs, 0 failures"


def test_a_compiled_loop_that_reads_too_far_would_crash() -> None:
    assert guarded("--break").returncode == -signal.SIGSEGV
