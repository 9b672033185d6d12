"""The command line: `main(argv)` picks the command, imports only its module, and turns errors into one line.

A command is a module here that offers NAME, HELP, add_arguments(parser) and run(args) -> exit code, and one line in
COMMANDS. It imports what is heavy inside `run`, so that every `--help` answers at once. Only this package prints.

Exit codes: 0 done, 1 an answer of "no" or a defect of the program, 2 bad input or usage, 130 interrupted,
141 the reader of a pipe went away, 143 terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Final, NoReturn

from fastgup_trace import __version__
from fastgup_trace.cli.text import table
from fastgup_trace.display import visible
from fastgup_trace.errors import FastgupError

COMMANDS: Final[dict[str, str]] = {
    "ingest": "turn a recording, or several of one run, into a capture",
    "info": "say what a capture holds and which questions it can answer",
    "formats": "list the formats of recordings and the events that the tables are made of",
    "replay": "run a capture against models of page-table freeing",
    "report": "draw an outcome as one HTML page",
    "mechanisms": "list the mechanisms, or show one with its policies and sources",
    "validate": "hold the replay's numbers against what the recorded kernel did",
}
"""Command -> its line of help, as in its module; a copy, so that the top-level help imports none of them."""

_DESCRIPTION = "What a page-table-freeing or TLB-shootdown design costs, from real kernel recordings."


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and which takes no abbreviated options."""

    def error(self, message: str) -> NoReturn:
        raise _CommandLineError(f"{message}; see `{self.prog} --help`")


class _CommandLineError(Exception):
    """A wrong command line; the text is the whole line for the user."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which is to leave as little behind as an interrupt does."""


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser with all commands by name, and the arguments of `command` alone."""
    listing = table(("commands:", ""), [(f"  {name}", line) for name, line in COMMANDS.items()])
    parser = _Parser(
        prog="fastgup-trace",
        description=_DESCRIPTION,
        epilog=f"{listing}\n\n`fastgup-trace COMMAND --help` shows a command's arguments.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastgup-trace {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="one of the commands below")
    for name, line in COMMANDS.items():
        sub = commands.add_parser(name, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False)
        if name == command:
            sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            import_module(f"{__name__}.{name}").add_arguments(sub)
    return parser


def _asked_for(argv: Sequence[str]) -> str | None:
    """The command in `argv`: its first word that is no option. Raises _CommandLineError for one that does not exist."""
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is None or command in COMMANDS:
        return command
    from difflib import get_close_matches

    near = get_close_matches(command, COMMANDS, n=1, cutoff=0.5)
    advice = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(COMMANDS)}"
    raise _CommandLineError(f"there is no command {command!r}; {advice}")


def _run(argv: Sequence[str]) -> int:
    command = _asked_for(argv)
    parser = _parser(command)
    args = parser.parse_args(argv)
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    code: int = import_module(f"{__name__}.{command}").run(args)
    return code


def _run_to_the_last_letter(argv: Sequence[str]) -> int:
    """Run, and write out what is buffered here, where a full disk or a closed pipe can still be told."""
    try:
        code = _run(argv)
    except SystemExit as done:  # argparse after --help and --version
        code = done.code if isinstance(done.code, int) else 0
    if sys.stdout is not None:  # as it is after `>&-`
        sys.stdout.flush()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. Every error of the user's or the input's is one line on stderr."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run_to_the_last_letter(argv)
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except _Terminated:
        return _say("terminated", 143)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except (FastgupError, _CommandLineError, OSError, MemoryError) as error:
        if "--debug" in argv:
            raise
        if isinstance(error, OSError):
            _discard_stdout()
        return _say(_sentence(error), 2)
    except Exception as error:
        if "--debug" in argv:
            raise
        where = f"{type(error).__name__}: {error}"
        return _say(f"a defect of the program ({where}); --debug shows where, please report it", 1)


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; replay or ingest less at a time, or on a machine with more"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error)


def _say(sentence: str, code: int) -> int:
    print(f"fastgup-trace: {visible(sentence)}", file=sys.stderr)
    return code


def _discard_stdout() -> None:
    """Drop what stdout can't take: it would raise again when the interpreter flushes it at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # stdout is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry() -> NoReturn:
    """The console script. What the terminal's encoding has no letter for is printed as its escape."""
    signal.signal(signal.SIGTERM, _terminate)
    # numpy's BLAS, which nothing here uses, would start a thread a core: 0.1 s of CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
