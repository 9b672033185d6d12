"""A bounds-checked position in the bytes of a recording: every read names its file and offset when it fails."""

from __future__ import annotations

from typing import Literal, NoReturn

from fastgup_trace.errors import RecordingError

ADVICE = "the file is damaged or incomplete: copy or record it again"


class Cursor:
    """Reads numbers and strings from `data`; `where` names the file, or the section that `data` was unpacked from."""

    def __init__(self, data: memoryview, where: str, big_endian: bool = False, pos: int = 0) -> None:
        self.data, self.where, self.pos = data, where, pos
        self.order: Literal["big", "little"] = "big" if big_endian else "little"

    def fail(self, expected: str, found: str, pos: int | None = None, advice: str = ADVICE) -> NoReturn:
        raise RecordingError(f"{self.where}: offset {self.pos if pos is None else pos}", expected, found, advice)

    def left(self) -> int:
        return len(self.data) - self.pos

    def seek(self, pos: int, what: str) -> None:
        """Move to `pos`, the place of `what`."""
        if not 0 <= pos <= len(self.data):
            self.fail(f"the offset of {what} inside the {len(self.data)} bytes", f"{pos}")
        self.pos = pos

    def take(self, size: int, what: str) -> memoryview:
        if not 0 <= size <= self.left():
            self.fail(f"{size} bytes of {what}", f"{self.left()} bytes to the end")
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), self.order)

    def text(self, what: str, limit: int = 4096) -> str:
        """A string that ends with a zero byte, of at most `limit` bytes."""
        start = self.pos
        head = bytes(self.data[start : start + limit])
        end = head.find(b"\0")
        if end < 0:
            self.fail(f"{what}, a string that ends with a zero byte", f"none in {len(head)} bytes")
        self.pos = start + end + 1
        return head[:end].decode("utf-8", "backslashreplace")

    def literal(self, expected: bytes, what: str) -> None:
        start = self.pos
        found = bytes(self.take(len(expected), what))
        if found != expected:
            self.fail(f"{expected!r}", f"{found!r}", start)
