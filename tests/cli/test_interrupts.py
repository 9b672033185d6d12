"""Whatever ends a command before its time, nothing half-written is taken for whole: signals, a full disk.

A command is ended at each moment at which it does something to the folder of its output: an audit hook (PEP 578) sees
those, and the process signals itself. And it is ended at moments spread over its run, from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
from shared_captures import ROOT

from fastgup_trace.api import read_capture, read_outcome
from fastgup_trace.cli import main
from fastgup_trace.schema import TABLES

CAPTURES: Final = ROOT / "datasets" / "captures"
RECORDING: Final = CAPTURES / "k313-rfcv2-futex-one" / "trace.dat"
LARGE: Final = CAPTURES / "k313-rfcv2-thp-split" / "trace.dat"
MOMENTS: Final = 6

AT_EACH_STEP: Final = """
import json, os, sys
import pyarrow.feather, fastgup_trace.cli.ingest, fastgup_trace.cli.replay, fastgup_trace.cli.report
import fastgup_trace.ingest, fastgup_replay.replay, fastgup_reports.page  # once, not in every child
from fastgup_trace.cli import entry

def at_a_step(folder, number, step):
    seen = 0
    def hook(event, args):
        nonlocal seen
        # What is removed from an open folder (by rmtree) has a name, but no path: any removal counts.
        ours = any(isinstance(arg, (str, os.PathLike)) and os.fspath(arg).startswith(folder) for arg in args)
        if event.startswith(("os.", "open", "shutil.", "tempfile.")) and (ours or event in ("os.rmdir", "os.remove")):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), number)
    return hook

top, number, *command = sys.argv[1:]
for step in range(1, 200):
    folder = os.path.join(top, str(step))
    os.mkdir(folder)
    errors = os.path.join(top, f"{step}.err")
    child = os.fork()
    if not child:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv[1:] = [*command, "-o", os.path.join(folder, "out")]
        sys.addaudithook(at_a_step(folder, int(number), step))
        entry()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([folder, code, open(errors).read()]))
    if code == 0:
        break
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "capture"
    assert main(["ingest", str(RECORDING), "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def outcome(capture: Path) -> Path:
    folder = capture.with_name("outcome")
    assert main(["replay", str(capture), "-o", str(folder)]) == 0
    return folder


STARTED: Final = """
from fastgup_trace.cli import entry
print("started", flush=True)
entry()
"""
"""Before this, an interrupt is the interpreter's own: it ends the process without a word or with a traceback."""

COMMANDS: Final = ("ingest", "ingest --keep-raw", "replay", "report")


def words(command: str, capture: Path, outcome: Path) -> list[str]:
    """A command line, without its program and without its output."""
    name, *options = command.split()
    return [name, str({"ingest": RECORDING, "replay": capture, "report": outcome}[name]), *options]


def is_whole(out: Path, like: str) -> bool:
    """Whether all that belongs to an output is there: every table is read, a page has its end."""
    if like == "report":
        return out.read_text().rstrip().endswith("</html>")
    if like == "replay":
        found = read_outcome(out)
        return bool(found.summary) and all(len(table) >= 0 for table in found.tables.values())
    read = read_capture(out)
    return all(len(read[name]) == read.provenance["tables"][name] for name in TABLES)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "out")


def check(code: int, errors: str, number: signal.Signals, out: Path, name: str) -> None:
    """What must hold after a command was ended by a signal, or was done before that came."""
    told = {signal.SIGINT: (130, "fastgup-trace: interrupted\n"), signal.SIGTERM: (143, "fastgup-trace: terminated\n")}
    if number in told:
        assert left_over(out.parent) == []
    if out.exists():
        assert is_whole(out, name)
    else:
        assert (code, errors) == told.get(number, (-number, ""))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("command", COMMANDS)
def test_ended_at_any_step_in_the_folder_of_its_output(
    command: str, number: signal.Signals, capture: Path, outcome: Path, tmp_path: Path
) -> None:
    line = words(command, capture, outcome)
    done = subprocess.run(
        [sys.executable, "-c", AT_EACH_STEP, str(tmp_path), str(int(number)), *line],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    ends = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(ends) > 2
    for folder, code, errors in ends:
        check(code, errors, number, Path(folder, "out"), line[0])
    assert code == 0, "at last it was done before its step came"
    beside = next(folder for folder, *_ in ends if number == signal.SIGINT or left_over(Path(folder)))
    assert main([*line, "-o", str(Path(beside, "out")), "--force"]) == 0, "what is left over is in nobody's way"
    assert is_whole(Path(beside, "out"), line[0])


@pytest.mark.parametrize(
    ("command", "number"),
    [("ingest", signal.SIGINT), ("ingest", signal.SIGTERM), ("ingest", signal.SIGKILL), ("report", signal.SIGINT)],
)
def test_ended_at_any_time(command: str, number: signal.Signals, capture: Path, outcome: Path, tmp_path: Path) -> None:
    line, random = words(command, capture, outcome), Random(int(number))
    line = [word.replace(str(RECORDING), str(LARGE)) for word in line]

    def run(folder: Path, moment_s: float | None) -> float:
        """One run; returns how long it took."""
        folder.mkdir()
        child = subprocess.Popen(
            [sys.executable, "-c", STARTED, *line, "-o", str(folder / "out")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        began_s = time.monotonic()
        if moment_s is not None:
            time.sleep(moment_s)
            child.send_signal(number)
        errors = child.communicate(timeout=60)[1]
        check(child.returncode, errors, number, folder / "out", line[0])
        codes.append(child.returncode)
        return time.monotonic() - began_s

    codes = list[int]()
    whole_s = run(tmp_path / "whole", None)
    assert codes == [0]
    for turn in range(MOMENTS):
        run(tmp_path / str(turn), random.uniform(0.05, 0.95) * whole_s)
    assert any(codes), "it was ended once at least"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 16 KB, where one may be mounted; else a folder like any other."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    mounted = shutil.which("mount") and not subprocess.run(line, capture_output=True, check=False).returncode
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("limit_bytes", [0, 1000, 4000, None])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(
    command: str, limit_bytes: int | None, capture: Path, outcome: Path, tmp_path: Path, small_disk: Path
) -> None:
    """A file may have `limit_bytes` (writing more fails with EFBIG, as with ENOSPC), or the disk is small."""
    out = (small_disk if limit_bytes is None else tmp_path) / "out"
    if limit_bytes is None and not os.path.ismount(small_disk):
        limit_bytes = 512
    limits = (
        "" if limit_bytes is None else f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}));"
    )
    code = f"import resource, sys; {limits} from fastgup_trace.cli import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words(command, capture, outcome), "-o", str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("fastgup-trace: ")
    assert done.stderr.count("\n") == 1
    assert not out.exists()
    assert [name for name in left_over(out.parent) if name != "disk"] == []
