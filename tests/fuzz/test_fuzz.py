"""The fuzz job finds what it is there for: a planted failure of each kind is told, with the number to have it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from shared_captures import ROOT
from trace_dat_files import Machine

from fastgup_trace import api
from fastgup_trace.errors import RecordingError
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


def told(data: bytes, tmp_path: Path) -> str:
    """What ingest says of a recording in words: its damage, or the line that refuses it."""
    path = workers.put({"": data}, tmp_path)
    try:
        damage = api.ingest_recording(path).provenance["damage"]
    except RecordingError as error:
        return str(error)
    return " ".join(f"{found['where']}: expected {found['expected']}, found {found['found']}" for found in damage)


def test_what_the_job_found_stays_told(tmp_path: Path) -> None:
    """Damage that was a capture of fewer records without a word."""
    v6 = bytearray(hand_made(Machine()).v6())
    size_at = v6.index(b"flyrecord\0") + 18
    v6[size_at : size_at + 8] = bytes(8)
    assert "the pages of CPU 1 at offset" in told(bytes(v6), tmp_path)
    v7 = bytearray(hand_made(Machine()).v7("none"))
    count_at = v7.index(b"local\0") + 10
    assert v7[count_at : count_at + 4] == b"\2\0\0\0"
    assert "expected the places of 0 CPUs' data" in told(bytes(v7[:count_at] + bytes(4) + v7[count_at + 4 :]), tmp_path)
    option_at = v7.index(b"local\0") - 15
    assert v7[option_at : option_at + 2] == b"\3\0"
    v7[option_at] = 0x7F
    assert "expected an option that tells of these ring-buffer pages" in told(bytes(v7), tmp_path)


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
