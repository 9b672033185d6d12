"""The frame of the command line: which module is imported, what an error looks like, which exit code it has."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest

import fastgup_trace.cli as cli
from fastgup_trace import __version__
from fastgup_trace.errors import CaptureError, UsageError

Run = Callable[[argparse.Namespace], int]
Plant = Callable[[Run], None]

HEAVY = ("numpy", "pyarrow", "pandas", "plotly", "numba", "zstandard")


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Put a command `probe WORD [--loud]` into the frame, with the body that the test gives."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("word")
        parser.add_argument("--loud", action="store_true")

    def planted(run: Run) -> None:
        module = ModuleType("fastgup_trace.cli.probe")
        vars(module).update(NAME="probe", HELP="a test's own", add_arguments=add_arguments, run=run)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "probe": "a test's own"})

    return planted


def raiser(error: BaseException) -> Run:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_table_of_commands_agrees_with_the_modules(name: str) -> None:
    module = import_module(f"fastgup_trace.cli.{name}")
    assert name == module.NAME
    assert cli.COMMANDS[name] == module.HELP


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: fastgup-trace {name} ")
    assert len(out.splitlines()) > 4


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *[[name, "--help"] for name in cli.COMMANDS]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    done = python(
        f"import sys; from fastgup_trace.cli import main; code = main({argv!r})\n"
        f"print('imported', sorted(set({HEAVY!r}) & set(sys.modules)), code)"
    )
    assert done.stdout.splitlines()[-1:] == ["imported [] 0"], done.stderr


def test_help_answers_at_once() -> None:
    """0.2 s more than an interpreter that does nothing, the fastest of five of each, as the machine may be loaded."""

    def fastest_s(code: str) -> float:
        times_s = []
        for _ in range(5):
            start_s = time.perf_counter()
            assert python(code).returncode == 0
            times_s.append(time.perf_counter() - start_s)
        return min(times_s)

    assert fastest_s("from fastgup_trace.cli import main; main(['--help'])") - fastest_s("pass") < 0.2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastgup-trace {__version__}\n"


def test_no_command_shows_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(name in captured.err for name in cli.COMMANDS)


def test_a_command_runs_with_its_arguments_and_its_exit_code(plant: Plant) -> None:
    seen: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        seen.append(args)
        return 7

    plant(run)
    assert cli.main(["probe", "x", "--loud"]) == 7
    assert (seen[0].word, seen[0].loud) == ("x", True)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["ingst", "x"], "there is no command 'ingst'; did you mean `ingest`?"),
        (["zzz"], f"there is no command 'zzz'; there are {', '.join(cli.COMMANDS)}"),
        (["--verbose"], "unrecognized arguments: --verbose; see `fastgup-trace --help`"),
        (
            ["probe"],
            "the following arguments are required: word; see `fastgup-trace probe --help`",
        ),
        (["probe", "x", "--lo"], "unrecognized arguments: --lo; see `fastgup-trace --help`"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    argv: list[str], line: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    if "probe" in argv:
        plant(lambda args: 0)
    assert cli.main(argv) == 2
    assert capsys.readouterr().err == f"fastgup-trace: {line}\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CaptureError("a/b", "a capture", "none", "make one"), 2, "a/b: expected a capture, found none; make one"),
        (UsageError("--pid", "a number", "x\x1b[2J\ny"), 2, r"--pid: expected a number, found x\x1b[2J\ny"),
        (FileNotFoundError(2, "No such file or directory", "no.dat"), 2, "no.dat: No such file or directory"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (MemoryError(), 2, "out of memory; replay or ingest less at a time, or on a machine with more"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            KeyError("x"),
            1,
            "a defect of the program (KeyError: 'x'); --debug shows where, please report it",
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(raiser(error))
    assert cli.main(["probe", "x"]) == code
    assert capsys.readouterr().err == f"fastgup-trace: {line}\n"


@pytest.mark.parametrize("argv", [["--debug", "probe", "x"], ["probe", "x", "--debug"]])
def test_debug_shows_the_traceback(argv: list[str], plant: Plant) -> None:
    plant(raiser(CaptureError("a", "b", "c")))
    with pytest.raises(CaptureError):
        cli.main(argv)


def test_a_reader_that_goes_away_is_quiet() -> None:
    """As `fastgup-trace info CAPTURE | head -1`: with the pipe's reader gone, nothing on stderr, also not at exit."""
    code = (
        "import sys, types; import fastgup_trace.cli as cli\n"
        "module = types.ModuleType('fastgup_trace.cli.probe')\n"
        "module.add_arguments = lambda parser: None\n"
        "module.run = lambda args: [print('line' * 20) for _ in range(100000)] and 0\n"
        "sys.modules[module.__name__] = module; cli.COMMANDS['probe'] = 'x'; sys.exit(cli.main(['probe']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    with child, child.stdout, child.stderr:
        assert child.stdout.readline() == b"line" * 20 + b"\n"
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


@pytest.mark.parametrize("words", ["mechanisms", "--version"])
@pytest.mark.parametrize(
    ("redirect", "code", "line"),
    [(">/dev/null", 0, ""), (">/dev/full", 2, "fastgup-trace: No space left on device\n")],
)
def test_a_stdout_that_takes_nothing(words: str, redirect: str, code: int, line: str) -> None:
    command = f'unset PYTHONUNBUFFERED; "{sys.executable}" -m fastgup_trace {words} {redirect}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, line)


def test_a_closed_stdout() -> None:
    command = f'"{sys.executable}" -m fastgup_trace mechanisms >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_letters_that_the_terminal_lacks_are_escaped() -> None:
    code = (
        "import sys; import fastgup_trace.cli as cli\ncli.main = lambda: print('na\\u00efve \\udcff') or 0\ncli.entry()"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "na\\xefve \\udcff\n"


def test_the_module_and_the_script_are_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastgup_trace", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"fastgup-trace {__version__}\n"
