"""Compiled loops: numba's njit, with the compiled code kept in a folder that can be written.

Importing numba costs 0.4 s and a first compilation seconds, so only modules that a large recording needs import this
one, when it is there. numba does not check bounds: a compiled loop checks every offset itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_SETTING: Final = "NUMBA_CACHE_DIR"


def _keep_code() -> bool:
    """Whether compiled code can be kept; points numba to the user's cache where the package can't be written.

    numba raises at a function's definition where it finds no place to write to (numba 0.68).
    """
    if os.environ.get(_SETTING) or os.access(Path(__file__).parent, os.W_OK):
        return True
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    if not home:
        return False
    folder = Path(home) / ("fastgup-trace" if "XDG_CACHE_HOME" in os.environ else ".cache/fastgup-trace")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    os.environ[_SETTING] = str(folder)
    return os.access(folder, os.W_OK)


_CACHE: Final = _keep_code()  # numba reads its settings when it is imported

from numba import njit  # noqa: E402


def compiled(function: F) -> F:
    """`function` as machine code that lets other threads run; compiled at its first call, kept for later processes."""
    return cast("F", njit(cache=_CACHE, nogil=True, error_model="numpy")(function))
