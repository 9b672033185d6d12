"""The bytes of a text recording, whole lines at a time: plain, gzip, xz or zstd, told by content."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from fastgup_trace.errors import RecordingError

BLOCK_BYTES = 2 << 20
NEWLINE = b"\n"
_LINE_BYTES_MAX = 1 << 16
"""The kernel prints a record through a buffer of 4 or 8 KB (struct trace_seq)."""
_INPUT_BYTES = 1024
"""Of zstd a byte may stand for 32 KB."""
_STEP_BYTES = 2 << 10
_XZ_MEMORY = 256 << 20
_MAGICS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class TextBlock:
    """Some whole lines."""

    text: bytes
    """Every line ends in a newline, except where `cut`."""
    first_line: int
    read_bytes: int
    """How much of the file was read when the block was complete."""
    cut: bool = False
    """The recording's last line, which has no newline: whether it is whole can't be known."""


class Readable(Protocol):
    """What bytes can be read from: b"" at the end, EOFError where it is cut."""

    def read(self, size: int, /) -> bytes: ...


class _Unpacked:
    """Members or frames of compressed text, one after another; all that can be unpacked before they are cut or damaged.

    In small steps: zlib, lzma and zstandard give nothing of a step that fails.
    """

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._file, self._kind = file, kind
        self._frame: Any = None
        self._data = b""
        self._failed: Exception | None = None

    def read(self, size: int, /) -> bytes:
        parts, total = list[bytes](), 0
        while total < size and self._failed is None:
            try:
                part = self._step()
            except failures() as error:
                self._failed = error
                break
            if part is None:
                break
            parts.append(part)
            total += len(part)
        if not total and self._failed is not None:
            raise self._failed
        return b"".join(parts)

    def _step(self) -> bytes | None:
        """Some more text, maybe none; None at the end."""
        if self._frame is None:
            if self._kind != "zstd":
                self._data = self._data.lstrip(b"\0")  # Padding between members.
            if not self._data and not self._more():
                return None
            if not self._data.lstrip(b"\0"):
                return b""
            self._frame = _decoder(self._kind)
        elif not self._data and self._wants_input() and not self._more():
            raise EOFError
        if self._kind == "zstd":
            part: bytes = self._frame.decompress(self._data)
            self._data = b""
        else:
            part = self._frame.decompress(self._data, _STEP_BYTES)
            self._data = self._frame.unconsumed_tail if self._kind == "gzip" else b""
        if self._frame.eof:
            self._data, self._frame = self._frame.unused_data, None
        return part

    def _wants_input(self) -> bool:
        return self._kind != "xz" or bool(self._frame.needs_input)

    def _more(self) -> bool:
        self._data = self._file.read(_INPUT_BYTES)
        return bool(self._data)


def _decoder(kind: str) -> Any:
    if kind == "gzip":
        return zlib.decompressobj(31)
    if kind == "xz":
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _errors() -> tuple[type[Exception], ...]:
    import zstandard

    return OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError


def failures() -> tuple[type[Exception], ...]:
    """What reading packed text raises where it is cut or damaged."""
    return EOFError, *_errors()


def compression(head: bytes) -> str | None:
    """`gzip`, `xz`, `zstd`, or None for anything else."""
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


def uncompressed_head(head: bytes) -> bytes:
    """The text that the first bytes of a file stand for; as much as they give, maybe nothing."""
    import zstandard

    try:
        match compression(head):
            case "gzip":
                return zlib.decompressobj(31).decompress(head, 1 << 16)
            case "xz":
                return lzma.LZMADecompressor().decompress(head, 1 << 16)
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(head)[: 1 << 16]
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError):
        return b""
    return head


def opened(file: IO[bytes]) -> Readable:
    """What gives the file's text, unpacked where it is packed; all that there is before it is cut or damaged."""
    kind = compression(file.read(8))
    file.seek(0)
    return _Unpacked(file, kind) if kind else file


def text_blocks(
    path: Path, block_bytes: int = BLOCK_BYTES, damage: list[RecordingError] | None = None
) -> Iterator[TextBlock]:
    """The lines of `path` in blocks of about `block_bytes`.

    Raises RecordingError (FILE:LINE) for binary data and a line that has no end. Where the file ends before its time
    (compressed text that is cut or damaged, zeros up to its end), the error goes to `damage` and what was before it is
    given; without `damage` it is raised.
    """
    line, rest, is_damaged = 1, b"", False
    with path.open("rb") as file:
        stream = opened(file)
        while not is_damaged:
            try:
                data = _read(stream, block_bytes, path, line + rest.count(b"\n"))
            except RecordingError as error:
                if damage is None:
                    raise
                damage.append(error)
                break
            if not data:
                break
            text = rest + data
            if (zero := text.find(b"\0")) >= 0:
                zeros = _zeros(text, zero, stream, path, line)
                if damage is None:
                    raise zeros
                damage.append(zeros)
                is_damaged, text = True, text[:zero]
            _check(text, path, line)
            end = text.rfind(b"\n") + 1
            text, rest = text[:end], text[end:]
            if text:
                lines = text.count(b"\n")
                yield TextBlock(text.replace(b"\r\n", b"\n") if b"\r" in text else text, line, file.tell())
                line += lines
        if rest:
            yield TextBlock(rest, line, file.tell(), cut=True)


def _zeros(text: bytes, zero: int, stream: Readable, path: Path, line: int) -> RecordingError:
    """The error for a zero byte at `zero`; raised where anything but zeros follows, and where nothing is before."""
    where = f"{path}:{line + text.count(NEWLINE, 0, zero)}"
    rest = text[zero:]
    while zero and not rest.strip(b"\0"):
        try:
            rest = stream.read(BLOCK_BYTES)
        except failures():
            rest = b""
        if not rest:
            advice = "zeros up to the file's end, as where a machine stopped: what is before them is whole"
            return RecordingError(where, "text", "a zero byte", advice)
    raise RecordingError(where, "text", "a zero byte", "the file is binary or damaged from here on")


def _check(text: bytes, path: Path, line: int) -> None:
    """Refuse endless lines; `line` is the number of the first."""
    begin = 0
    while len(text) - begin > _LINE_BYTES_MAX:
        end = text.rfind(NEWLINE, begin, begin + _LINE_BYTES_MAX + 1)
        if end < 0:
            where = f"{path}:{line + text.count(NEWLINE, 0, begin)}"
            raise RecordingError(where, "a line of text", f"more than {_LINE_BYTES_MAX} bytes without an end")
        begin = end + 1


def _read(stream: Readable, size: int, path: Path, line: int) -> bytes:
    try:
        return stream.read(size)
    except EOFError:
        found = "the end of the file"
    except _errors() as error:
        found = str(error).splitlines()[0]
    advice = "the compressed file is cut or damaged: copy it again"
    raise RecordingError(f"{path}:{line}", "more compressed text", found, advice)
