"""Android's systrace pages and atrace -z files: ftrace text within something else, taken out and read as ftrace text.

A page has the text in `<script class="trace-data">` (of several, the first that is ftrace text: others hold JSON of the
tool itself); pages of before 2013 in a JavaScript string, `linuxPerfData = "...`, of which every line ends in \\n\\.
`atrace -z` writes `TRACE:` and a zlib stream. Plain atrace text needs none of this: it is ftrace text.
"""

from __future__ import annotations

import os
import re
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest import ftrace_text
from fastgup_trace.ingest.ftrace_text.source import Readable, failures, opened, uncompressed_head
from fastgup_trace.ingest.records import Progress, Recording, Wanted, Window

_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|script)\b", re.IGNORECASE)
_BEGIN = re.compile(rb'<script[^<>]{0,100}\bclass="trace-data"[^<>]{0,100}>\r?\n?|linuxPerfData = "(?:\\\r?\n)?')
_BEGIN_BYTES_MAX = 256
_PACKED = re.compile(rb"TRACE:\r?\n(?=x[\x01\x5e\x9c\xda])")
_PACKED_WITHIN = 4096
_CHUNK = 1 << 20
_TEXT_MAX = 1 << 40
CUT = "the page ends within its trace data"


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file, maybe compressed, are an HTML page or written by atrace -z."""
    text = uncompressed_head(head)
    return _PAGE.match(text) is not None or _PACKED.search(text[:_PACKED_WITHIN]) is not None


def open_systrace_html(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open the ftrace text in a page. The text is copied to a temporary file, which lives until the windows are read.

    Raises RecordingError (FILE:LINE), here or while windows are read, as for ftrace text, and where there is none.
    """
    copy = _Copy()
    try:
        size = path.stat().st_size
        with path.open("rb") as file, copy.path.open("w+b") as out:
            first_line, is_cut = _take_out(opened(file), out, path)
    except OSError as error:
        raise unreadable(path, error) from None
    where = _Where(path, copy.path, first_line)
    if is_cut and strict:
        raise RecordingError(str(path), "the end of the page", CUT, "copy it again")
    try:
        inner = ftrace_text.open_ftrace_text(
            copy.path, wanted=wanted, progress=progress, strict=strict, kallsyms=kallsyms
        )
    except RecordingError as error:
        raise where.of(error) from None

    def windows() -> Iterator[Window]:
        try:
            yield from inner.windows
        except RecordingError as error:
            raise where.of(error) from None
        finally:
            copy.remove()
        inner.damage[:] = [where.of(error) for error in inner.damage]
        if is_cut and not inner.damage:
            inner.damage.append(RecordingError(str(path), "the end of the page", CUT, "what is there is read"))

    return replace(
        inner, path=path, size_bytes=size, format=f"Android systrace page, {inner.format}", windows=windows()
    )


class _Copy:
    """A temporary file that is gone with its owner."""

    def __init__(self) -> None:
        handle, name = mkstemp(prefix="fastgup-trace-")
        os.close(handle)
        self.path = Path(name)
        self.remove = weakref.finalize(self, self.path.unlink, missing_ok=True)


class _Where:
    """Places in the copy to places in the page."""

    def __init__(self, path: Path, copy: Path, first_line: int) -> None:
        self._path, self._copy, self._before = path, str(copy), first_line - 1

    def of(self, error: RecordingError) -> RecordingError:
        line = error.where.removeprefix(f"{self._copy}:")
        where = f"{self._path}:{int(line) + self._before}" if line.isdigit() else str(self._path)
        return RecordingError(where, error.expected, error.found, error.advice)


def _chunks(stream: Readable) -> Iterator[bytes]:
    """What can be read; where the compressed file is cut or damaged, what stands before."""
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except failures():
        return


def _take_out(stream: Readable, copy: IO[bytes], path: Path) -> tuple[int, bool]:
    """Write the ftrace text of a page to `copy`; returns its first line's number and whether its end is missing."""
    chunks = _chunks(stream)
    rest, line = next(chunks, b""), 1
    if packed := _PACKED.search(rest[:_PACKED_WITHIN]):
        return rest.count(b"\n", 0, packed.end()) + 1, _unpack(rest[packed.end() :], chunks, copy)
    while True:
        begin = _BEGIN.search(rest)
        if begin is None:
            keep = rest[-_BEGIN_BYTES_MAX:]
            line += rest.count(b"\n", 0, len(rest) - len(keep))
            chunk = next(chunks, None)
            if chunk is None:
                break
            rest = keep + chunk
            continue
        line += rest.count(b"\n", 0, begin.end())
        is_string = begin[0].startswith(b"linux")
        copy.seek(0)
        copy.truncate()
        rest, is_cut = _copy_until(b'";' if is_string else b"</script>", rest[begin.end() :], chunks, copy)
        if is_string:
            _unescape(copy)
        if not is_cut:
            _end_line(copy)
        copy.flush()
        copy.seek(0)
        text = copy.read(_CHUNK)
        if ftrace_text.sniff(path, text[: 1 << 16]):
            return line, is_cut
        copy.seek(0)
        while block := copy.read(_CHUNK):
            line += block.count(b"\n")
    advice = "systrace writes it into its page; a Perfetto trace has to be converted (traceconv systrace)"
    raise RecordingError(f"{path}:1", 'ftrace text in <script class="trace-data">', "none in this page", advice)


def _copy_until(end: bytes, rest: bytes, chunks: Iterator[bytes], copy: IO[bytes]) -> tuple[bytes, bool]:
    """Copy up to `end`; returns what follows it, and whether it never came. Spaces before it are left out."""
    while (at := rest.find(end)) < 0:
        keep = rest[-len(end) - 64 :]
        copy.write(rest[: len(rest) - len(keep)])
        chunk = next(chunks, None)
        if chunk is None:
            copy.write(keep)
            return b"", True
        rest = keep + chunk
    copy.write(rest[:at].rstrip(b" \t"))
    return rest[at + len(end) :], False


def _unescape(copy: IO[bytes]) -> None:
    """A JavaScript string's `\\n\\` at each line's end, `\\"` and `\\\\`, in place: no line gets longer."""
    read_at = write_at = 0
    copy.seek(0)
    while line := copy.readline(_CHUNK):
        read_at += len(line)
        line = re.sub(rb"\\n(?:\\\r?\n)?$", b"\n", line)
        line = re.sub(rb'\\(["\\/])', rb"\1", line)
        copy.seek(write_at)
        write_at += copy.write(line)
        copy.seek(read_at)
    copy.truncate(write_at)


def _end_line(copy: IO[bytes]) -> None:
    """A newline behind the last line, whose end the page tells."""
    if size := copy.seek(0, 2):
        copy.seek(size - 1)
        if copy.read(1) != b"\n":
            copy.write(b"\n")


def _unpack(rest: bytes, chunks: Iterator[bytes], copy: IO[bytes]) -> bool:
    """Write what a zlib stream holds; returns whether its end is missing."""
    stream, total = zlib.decompressobj(), 0
    try:
        while rest or (rest := next(chunks, b"")):
            text = stream.decompress(rest, _CHUNK)
            total += copy.write(text)
            rest = stream.unconsumed_tail
            if stream.eof or total > _TEXT_MAX:
                return not stream.eof
    except zlib.error:
        pass
    return True


__all__ = ["open_systrace_html", "sniff"]
