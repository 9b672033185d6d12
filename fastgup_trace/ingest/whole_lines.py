"""The lines of a text without the last one where it is cut: the machine died, or the copy ended early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text.source import TextBlock

CUT = "the text ends inside a line"


def whole_lines(
    blocks: Iterator[TextBlock],
    path: Path,
    damage: list[RecordingError],
    *,
    strict: bool,
    count: Callable[[str], None],
    is_whole: Callable[[bytes], bool] = lambda _: False,
) -> Iterator[TextBlock]:
    """The blocks, but a last line without a newline only where it `is_whole`.

    One that is not is passed to `count` as CUT, and told in `damage` where that does not tell of an end before.
    Raises RecordingError for it where `strict`.
    """
    for block in blocks:
        if not block.cut or is_whole(block.text):
            yield block
            continue
        error = RecordingError(f"{path}:{block.first_line}", "a whole line", CUT, "what stands before it is read")
        if strict:
            raise error
        if not damage:
            damage.append(error)
        count(CUT)
