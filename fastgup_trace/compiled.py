"""Compiled loops: numba's njit, with the compiled code kept in a folder that can be written.

Importing numba costs 0.3 s and a first compilation seconds, so only modules that a large recording needs import this
one, when it is there. numba does not check bounds: a compiled loop checks every offset itself.

numba takes kept code for current while the file of the function itself is unchanged, whatever became of the functions
that it calls (0.68). So the folder's name has a stamp of all files that hold loops.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import config, njit
from numba.core.cpu import CPUTargetOptions

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE: Final = Path(__file__).parent
_PREFIX: Final = "fastgup-trace-loops-"
_FOLDERS_KEPT: Final = 3


def stamp(package: Path) -> str:
    """What changes when a file of the package does: names, sizes and times."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        about = path.stat()
        found.update(f"{path.relative_to(package)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


def _roots() -> list[Path]:
    """Where compiled code may be kept, the best first: NUMBA_CACHE_DIR, beside the package, the user's cache."""
    told, home = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("HOME")
    user = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    return [Path(told)] if told else [_PACKAGE / "__pycache__", *([Path(user) / "fastgup-trace"] if user else [])]


def _folder() -> Path | None:
    """The folder for code compiled of this package as it is, made if need be; None where none can be written."""
    name = _PREFIX + stamp(_PACKAGE)
    for root in _roots():
        folder = root / name
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True)
                _forget(root)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _forget(root: Path) -> None:
    """Remove code that was compiled of the package as it was, but for the last few."""
    folders = sorted(root.glob(f"{_PREFIX}*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for folder in folders[_FOLDERS_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


_FOLDER: Final = _folder()


def compiled(function: F) -> F:
    """`function` as machine code that lets other threads run; compiled at its first call, kept for later processes."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(_FOLDER or "")  # type: ignore[attr-defined]
    try:  # numba raises here where it is to keep code and finds no place to write to
        return cast("F", njit(cache=_FOLDER is not None, nogil=True, error_model="numpy")(function))
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


def lean(function: F) -> F:
    """As `compiled`, for functions that make no arrays: numba then does not count the references to those that they
    are given. Where functions with arrays call each other, that is most of their time: a body that does not begin with
    the literal in question cost 118 ns, and 15 without (numba 0.68).
    """
    loop = compiled(function)
    options = getattr(loop, "targetoptions", None)  # None where NUMBA_DISABLE_JIT leaves the function as it is
    if options is not None and hasattr(CPUTargetOptions, "_nrt"):
        options["_nrt"] = False
    return loop
