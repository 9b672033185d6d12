"""The bytes of a text recording, whole lines at a time: plain, gzip, xz or zstd, told by content."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np

from fastgup_trace.errors import RecordingError

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

BLOCK_BYTES = 2 << 20
NEWLINE = b"\n"
_LINE_BYTES_MAX = 1 << 16
"""The kernel prints a record through a buffer of 4 or 8 KB (struct trace_seq)."""
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


class _Zstd:
    """Frames of zstd, one after another; unlike the library's own stream, it tells that the last one is cut."""

    _STEP = 1024  # A byte may stand for 32 KB.

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame: ZstdDecompressionObj | None = None

    def read(self, size: int, /) -> bytes:
        import zstandard

        parts, total = list[bytes](), 0
        while total < size and (data := self._file.read(self._STEP)):
            while data:
                frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
                parts.append(frame.decompress(data))
                total += len(parts[-1])
                data, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        if not total and self._frame is not None:
            raise EOFError
        return b"".join(parts)


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


def _opened(file: IO[bytes]) -> Readable:
    head = file.read(8)
    file.seek(0)
    match compression(head):
        case "gzip":
            return gzip.open(file)
        case "xz":
            return lzma.LZMAFile(file)
        case "zstd":
            return _Zstd(file)
    return file


def text_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[TextBlock]:
    """The lines of `path` in blocks of about `block_bytes`.

    Raises RecordingError (FILE:LINE) for binary data, a line that has no end, and damaged compression.
    """
    line, rest = 1, b""
    with path.open("rb") as file:
        stream = _opened(file)
        while data := _read(stream, block_bytes, path, line + rest.count(b"\n")):
            text = rest + data
            _check(text, path, line)
            end = text.rfind(b"\n") + 1
            text, rest = text[:end], text[end:]
            if text:
                yield TextBlock(text, line, file.tell())
                line += text.count(b"\n")
        if rest:
            yield TextBlock(rest, line, file.tell(), cut=True)


def _check(text: bytes, path: Path, line: int) -> None:
    """Refuse binary data and endless lines; `line` is the number of the first."""
    if (zero := text.find(b"\0")) >= 0:
        where = f"{path}:{line + text.count(NEWLINE, 0, zero)}"
        raise RecordingError(where, "text", "a zero byte", "the file is binary or damaged from here on")
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(NEWLINE))
    too_long = np.diff(ends, prepend=-1, append=len(text)) > _LINE_BYTES_MAX
    if too_long.any():
        where = f"{path}:{line + int(too_long.argmax())}"
        raise RecordingError(where, "a line of text", f"more than {_LINE_BYTES_MAX} bytes without an end")


def _read(stream: Readable, size: int, path: Path, line: int) -> bytes:
    import zstandard

    try:
        return stream.read(size)
    except EOFError:
        found = "the end of the file"
    except (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        found = str(error).splitlines()[0]
    advice = "the compressed file is cut or damaged: copy it again, or decompress what can be and ingest that"
    raise RecordingError(f"{path}:{line}", "more compressed text", found, advice)
