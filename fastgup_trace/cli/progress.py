"""A progress bar on stderr, drawn only where stderr is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from fastgup_trace.display import visible

Progress = Callable[[int, int], None]
"""Called with (bytes done so far, bytes in all); the same type as `fastgup_trace.ingest.records.Progress`."""

_REDRAW_S: Final = 0.1
_BAR_CELLS: Final = 24


@contextmanager
def progress_bar(
    label: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic, *, in_bytes: bool = True
) -> Iterator[Progress]:
    """Yield the function to call with (bytes done, bytes in all), or with other units and `in_bytes` False.

    The line is wiped at the end, also after an error.
    """
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield lambda done, total: None
        return
    name, start_s, drawn_s, width = visible(label), clock(), -1.0, 0

    def draw(done: int, total: int) -> None:
        nonlocal drawn_s, width
        now_s = clock()
        if now_s - drawn_s < _REDRAW_S and done < total:
            return
        line = progress_line(name, done, total, now_s - start_s, in_bytes=in_bytes)
        out.write("\r" + line.ljust(width))
        out.flush()
        drawn_s, width = now_s, len(line)

    try:
        yield draw
    finally:
        if width:
            out.write("\r" + " " * width + "\r")
            out.flush()


def progress_line(label: str, done: int, total: int, elapsed_s: float, *, in_bytes: bool = True) -> str:
    """One line: a bar, percent, MB/s where the units are bytes, and the time that is left at this rate."""
    share = min(done / total, 1.0) if total > 0 else 1.0
    bar = "#" * int(share * _BAR_CELLS)
    line = f"{label} [{bar:<{_BAR_CELLS}}] {share:4.0%}"
    if elapsed_s <= 0 or done <= 0:
        return line
    left_s = int(elapsed_s * (total - done) / done) if done < total else 0
    rate = f"  {done / elapsed_s / 1e6:.1f} MB/s" if in_bytes else ""
    return f"{line}{rate}  {left_s // 60}:{left_s % 60:02d} left"
