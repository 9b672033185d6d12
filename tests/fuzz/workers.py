"""The inputs of a job, in processes of their own: one that dies or hangs is noticed, and the next takes its place."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from fastgup_trace.errors import RecordingError
from fuzz import drawn
from fuzz.judge import Counts, Verdict, judge, read
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


def work(job: int, first: int, behind: int, step: int, with_shared: bool) -> None:
    """Read the inputs first, first + step, ... and write a line of JSON for each, before and after."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    seeds = all_seeds(with_shared=with_shared)
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        folder = Path(name)
        sound = sound_counts(seeds, folder)
        _warm(seeds, folder)
        for number in range(first, behind, step):
            item = make(seeds, job, number)
            _say(number=number, begins=True, seed=item.seed.name, format=item.seed.format, damage=item.damage)
            path = put(item.files, folder)
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            verdict = judge(item, path, sound.get(item.seed.name))
            faulthandler.cancel_dump_traceback_later()
            _say(number=number, kind=verdict.kind, message=verdict.message.replace(str(path), "FILE"))
            if verdict.kind == "memory":
                return  # the most that was ever in use does not go down


def _warm(seeds: Sequence[Seed], folder: Path) -> None:
    """Compile what is to be compiled, so that no input waits for it."""
    for seed in {seed.format: seed for seed in seeds}.values():
        for keep_raw in (False, True):
            read(put(seed.files, folder), Modes(keep_raw, False, True, True, seed.format))


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def run_drawn(job: int, first: int, behind: int) -> None:
    """Read what hypothesis draws, and write lines as `work` does."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        number = first - 1

        def one(item: Input) -> None:
            nonlocal number
            number += 1
            _say(number=number, begins=True, seed=item.seed.name, format=item.seed.format, damage=item.damage)
            path = put(item.files, Path(name))
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            verdict = judge(item, path, None)
            faulthandler.cancel_dump_traceback_later()
            _say(number=number, kind=verdict.kind, message=verdict.message.replace(str(path), "FILE"))

        drawn.run(job, behind - first, one)


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


def again(job: int, number: int, with_shared: bool, folder: Path) -> Verdict:
    """Read one input in this process; its files stay in `folder`."""
    seeds = all_seeds(with_shared=with_shared)
    item = make(seeds, job, number)
    sound = sound_counts([item.seed], folder)
    sys.stdout.write(f"{item.seed.name}: {item.damage}\n{item.modes}\nsound: {sound.get(item.seed.name)}\n")
    path = put(item.files, folder)
    return judge(item, path, sound.get(item.seed.name))
