"""The lines of a text up to where it ends before its time: in a line, in its compression, in zeros after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text.source import TextBlock

CUT = "the text ends inside a line"


@dataclass
class WholeLines:
    """Passes blocks of whole lines on; what ends them goes to `damage`, or with `strict` is raised."""

    path: Path
    strict: bool
    damage: list[RecordingError]
    count: Callable[[str], None]
    """Called with the reason for a cut line, which is not read."""
    is_whole: Callable[[bytes], bool] = lambda _: False
    """Whether a last line without a newline is a record all the same; called with it."""

    def of(self, blocks: Iterator[TextBlock]) -> Iterator[TextBlock]:
        """The blocks, without a last one that is cut. Raises RecordingError where `strict`."""
        while True:
            try:
                block = next(blocks, None)
            except RecordingError as error:
                self._end(error)
                return
            if block is None:
                return
            if not block.cut or self.is_whole(block.text):
                yield block
                continue
            where = f"{self.path}:{block.first_line}"
            self._end(RecordingError(where, "a whole line", CUT, "what stands before it is read"))
            self.count(CUT)

    def _end(self, error: RecordingError) -> None:
        if self.strict:
            raise error
        self.damage.append(error)
