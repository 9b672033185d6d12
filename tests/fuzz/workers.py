"""The inputs of a job, in processes of their own: one that dies or hangs is noticed, and the next takes its place."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, NoReturn
from unittest import mock

from fastgup_trace import api
from fastgup_trace.errors import RecordingError
from fuzz import drawn
from fuzz.judge import RSS_BYTES_MAX, Counts, Verdict, forget_peak, judge, peak_bytes, read
from fuzz.plan import Input, Modes, make
from fuzz.seeds import Seed, all_seeds

HANG_SECONDS: Final = 10
ADDRESS_BYTES_MAX: Final = 6 << 30
"""Maps of the file and of libraries are in it, so that it is more than the limit of memory in use."""


def put(item: Mapping[str, bytes], folder: Path) -> Path:
    """Write an input into `folder`, always under the same name; returns its path."""
    path = folder / "recording"
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    for name, data in item.items():
        place = path / name if name else path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return path


def sound_counts(seeds: Sequence[Seed], folder: Path) -> dict[str, Counts]:
    """What each seed gives undamaged. Raises AssertionError for one that tells of damage."""
    found = dict[str, Counts]()
    for seed in seeds:
        with suppress(*(() if seed.checked else (RecordingError,))):
            found[seed.name] = read(put(seed.files, folder), Modes(False, False, False, False, seed.format))
            assert not found[seed.name].damage or not seed.checked, seed.name
    return found


def work(job: int, first: int, behind: int, step: int, with_shared: bool, plant: str | None = None) -> None:
    """Read the inputs first, first + step, ... and write a line of JSON for each, before and after.

    `plant` names the failure of PLANTS that input PLANTED has, for tests of the job itself.
    """
    seeds = all_seeds(with_shared=with_shared)
    with _limits() as folder:
        sound = dict[str, Counts]()
        warm(seeds, folder)
        for number in range(first, behind, step):
            item = make(seeds, job, number)
            if item.seed.name not in sound:
                sound |= sound_counts([item.seed], folder)
            with (
                mock.patch.object(api, "ingest_recording", PLANTS[plant])
                if plant and number == PLANTED
                else nullcontext()
            ):
                _read_one(item, number, folder, sound.get(item.seed.name))


def work_drawn(job: int, drawn_from: int, first: int, behind: int) -> None:
    """Read what hypothesis draws from the input `first` on, and write lines as `work` does.

    All from `drawn_from` on is one draw: it is drawn, whatever is read of it.
    """
    with _limits() as folder:
        for_each_drawn(
            job, drawn_from, behind, lambda item, n: _read_one(item, n, folder, None) if n >= first else None
        )


def for_each_drawn(job: int, drawn_from: int, behind: int, read: Callable[[Input, int], None]) -> None:
    numbers = count(drawn_from)
    drawn.run(1000 * job + drawn_from, behind - drawn_from, lambda item: read(item, next(numbers)))


@contextmanager
def _limits() -> Iterator[Path]:
    """No core files, no more memory than there should be, a trace of the stack when the process dies; a folder."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        yield Path(name)


def _read_one(item: Input, number: int, folder: Path, sound: Counts | None) -> None:
    _say(number=number, begins=True, seed=item.seed.name, format=item.seed.format, damage=item.damage)
    path = put(item.files, folder)
    forget_peak()
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    verdict = judge(item, path, sound)
    faulthandler.cancel_dump_traceback_later()
    kind, message, peak = verdict.kind, verdict.message.replace(str(path), "FILE"), peak_bytes()
    if peak > RSS_BYTES_MAX:
        kind, message = "memory", f"{peak >> 20} MB; {message}"
    _say(number=number, kind=kind, message=message, peak_bytes=peak)


def _crash(*_: object, **__: object) -> NoReturn:
    ctypes.string_at(8)
    raise AssertionError("still here")


def _hang(*_: object, **__: object) -> NoReturn:
    while True:
        pass


def _fail(*_: object, **__: object) -> NoReturn:
    raise KeyError("planted")


def _fill(*_: object, **__: object) -> NoReturn:
    block = b"x" * (RSS_BYTES_MAX + 1)
    raise RecordingError("FILE", "less", f"{len(block)}")


PLANTED: Final = 7
PLANTS: Final = {"crash": _crash, "hang": _hang, "traceback": _fail, "memory": _fill}


def warm(seeds: Sequence[Seed], folder: Path) -> None:
    """Compile what is to be compiled, so that no input waits for it."""
    for seed in {seed.format: seed for seed in seeds}.values():
        for keep_raw in (False, True):
            read(put(seed.files, folder), Modes(keep_raw, False, True, True, seed.format))


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def results(command: Sequence[str], first: int, behind: int, step: int, log: Path) -> Iterator[dict[str, Any]]:
    """What a process says of its inputs; where it dies, a `crash` or `hang` of the input, and the next one goes on."""
    while first < behind:
        begun: dict[str, Any] | None = None
        words = [sys.executable, "-m", "fuzz", *command, "--from", str(first), "--to", str(behind), "--step", str(step)]
        with (
            log.open("wb") as errors,
            subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            ) as child,
        ):
            assert child.stdout is not None
            for line in child.stdout:
                said = json.loads(line)
                if said.get("begins"):
                    begun = said
                else:
                    assert begun is not None
                    yield {**begun, **said}
                    first, begun = said["number"] + step, None
        if begun is not None:
            told = log.read_text(errors="replace")
            kind = "hang" if "Timeout (" in told else "crash"
            yield {**begun, "kind": kind, "message": f"exit {child.returncode}: {told[-3000:]}"}
            first = begun["number"] + step
        elif child.returncode:
            raise RuntimeError(
                f"a process of the job failed before its first input:\n{log.read_text(errors='replace')}"
            )


def again(job: int, item: Input, folder: Path) -> Verdict:
    """Read one input in this process; its files stay in `folder`."""
    sound = {} if item.damage == "drawn" else sound_counts([item.seed], folder)
    sys.stdout.write(f"{item.seed.name}: {item.damage}\n{item.modes}\nsound: {sound.get(item.seed.name)}\n")
    return judge(item, put(item.files, folder), sound.get(item.seed.name))
