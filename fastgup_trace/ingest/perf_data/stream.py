"""The bytes of a recording in stretches of whole records: the file itself, and what PERF_RECORD_COMPRESSED holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE, Cursor
from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.attrs import Layouts, layouts
from fastgup_trace.ingest.perf_data.header import Header, read_own
from fastgup_trace.ingest.perf_data.walk import BAD_SIZE, CUT, NEW_ATTR, Records, Walk, joined, moved, walk

STRETCH_BYTES: Final = 8 << 20
UNPACKED_BYTES_MAX: Final = 1 << 28
"""No packed record unpacks to more: it held what was in a ring buffer, 512 KB unless asked for."""

_PACKED_STEP: Final = 1 << 12
"""Bytes that are unpacked at a time: a block of zstd makes at most 128 KB of 4 bytes."""

COMPILED_BYTES: Final = 96 << 20
"""Recordings from this size on are walked by compiled code, whose start costs as much as a million records walked."""

Walker = Callable[[NDArray[np.uint8], int, int, int, str, Layouts, int], Walk]


@dataclass(frozen=True)
class Stretch:
    """Records and the data that their places are in; `end` is how far the file is read."""

    data: NDArray[np.uint8]
    records: Records
    end: int


def find_walker(size_bytes: int) -> Walker:
    if size_bytes < COMPILED_BYTES:
        return walk
    from fastgup_trace.ingest.perf_data.compiled_walk import CompiledWalk

    return CompiledWalk()


class Stream:
    """Reads the records of a file, stretch after stretch; `damage` takes what ends it before its time."""

    def __init__(
        self, data: NDArray[np.uint8], header: Header, where: str, damage: list[RecordingError], walker: Walker
    ) -> None:
        self.data, self._header, self._where, self._damage, self._walk = data, header, where, damage, walker
        self._order = ">" if header.big_endian else "<"
        self._layouts = layouts(header.attrs, header.cpus)
        self._unpack: Any = None
        self._rest = b""
        """The beginning of a record whose end the next packed record has."""

    def stretches(self) -> Iterator[Stretch]:
        pos, end = self._header.data_start, self._header.data_end
        attrs_from = self._header.head_end if self._header.pipe else end
        while pos < end:
            found = self._walk(
                self.data, pos, min(pos + STRETCH_BYTES, end), end, self._order, self._layouts, attrs_from
            )
            pos = found.end
            if (found.records.kind == abi.COMPRESSED).any() or (found.records.kind == abi.COMPRESSED2).any():
                yield from self._unpacked(found.records, pos)
            elif len(found.records):
                yield Stretch(self.data, found.records, pos)
            if found.why in (CUT, BAD_SIZE):
                self._damage.append(self._broken(found.why, pos, end))
                return
            if found.why == NEW_ATTR:
                pos, attrs_from = self._new_attr(pos), pos + 1
        if self._rest:
            expected = "the rest of a packed record"
            self._damage.append(self._error(pos, expected, f"the end of the data after {len(self._rest)} bytes"))

    def _error(self, pos: int, expected: str, found: str) -> RecordingError:
        return RecordingError(f"{self._where}: offset {pos}", expected, found, ADVICE)

    def _broken(self, why: int, pos: int, end: int) -> RecordingError:
        if why == BAD_SIZE:
            return self._error(pos, f"a record of {abi.HEADER_BYTES} bytes or more", "one of fewer")
        return self._error(pos, "a whole record", f"the end of the data after {end - pos} bytes")

    def _new_attr(self, pos: int) -> int:
        """Take in the PERF_RECORD_HEADER_ATTR at `pos`; returns where it ends."""
        size = int.from_bytes(self.data[pos + 6 : pos + 8], "big" if self._header.big_endian else "little")
        view = memoryview(self.data.data)[: pos + size]
        if len(view) < pos + size:
            raise self._error(pos, "a whole record", "the end of the data")
        body = Cursor(view, self._where, self._header.big_endian, pos + abi.HEADER_BYTES)
        read_own(self._header, abi.HEADER_ATTR, body)
        self._layouts = layouts(self._header.attrs, self._header.cpus)
        return pos + size

    def _unpacked(self, records: Records, file_end: int) -> Iterator[Stretch]:
        """The records of a stretch with those that packed ones hold in their place, in data of their own."""
        packed = np.flatnonzero((records.kind == abi.COMPRESSED) | (records.kind == abi.COMPRESSED2)).tolist()
        records = records.copy()  # a compiled walk uses its arrays again
        buffer, parts, size = list[NDArray[np.uint8]](), list[Records](), 0
        before = 0
        for row in [*packed, len(records)]:
            plain = records.take(slice(before, row))
            if len(plain):
                first = int(plain.place[0])
                last = int(plain.place[-1])
                data = self.data[first : last + self._size(last)]
                buffer.append(data)
                parts.append(moved(plain, size - first))
                size += len(data)
            before = row + 1
            if row < len(records):
                place = int(records.place[row])
                data, found = self._walk_unpacked(self._rest + self._unpack_record(place), place)
                for part in found:
                    parts.append(moved(part, size))
                buffer.append(data)
                size += len(data)
            if size > STRETCH_BYTES and row < len(records):
                yield Stretch(np.concatenate(buffer), joined(parts), int(records.place[row]))
                buffer, parts, size = [], [], 0
        if parts:
            yield Stretch(np.concatenate([*buffer, np.zeros(8, np.uint8)]), joined(parts), file_end)

    def _walk_unpacked(self, unpacked: bytes, place: int) -> tuple[NDArray[np.uint8], list[Records]]:
        """All whole records of unpacked data; what is behind them waits for the next."""
        parts, pos = list[Records](), 0
        if len(unpacked) < abi.HEADER_BYTES:
            self._rest = unpacked
            return np.zeros(0, np.uint8), parts
        data = np.frombuffer(unpacked, np.uint8)
        while pos < len(data):
            found = self._walk(data, pos, len(data), len(data), self._order, self._layouts, len(data))
            pos = found.end
            if len(found.records):
                parts.append(found.records.copy())
            if found.why == BAD_SIZE:
                raise self._error(place, "packed records of 8 bytes or more", f"one of fewer at byte {pos}")
            if found.why == CUT:
                break
        self._rest = unpacked[pos:]
        return data[:pos], parts

    def _size(self, place: int) -> int:
        order = "big" if self._header.big_endian else "little"
        return int.from_bytes(self.data[place + 6 : place + 8].tobytes(), order)  # type: ignore[arg-type]

    def _unpack_record(self, place: int) -> bytes:
        """What the packed record at `place` holds; zstd goes on from one record to the next."""
        import zstandard

        if self._unpack is None:
            self._unpack = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(read_across_frames=True)
        start, end = place + abi.HEADER_BYTES, place + self._size(place)
        order = "big" if self._header.big_endian else "little"
        kind = int.from_bytes(self.data[place : place + 4].tobytes(), order)  # type: ignore[arg-type]
        if kind == abi.COMPRESSED2:  # u64 data_size, the data, padding to 8 bytes (v6.16, commit 208c0e168344)
            length = int.from_bytes(self.data[start : start + 8].tobytes(), order)  # type: ignore[arg-type]
            start += 8
            if end < start or length > end - start:
                raise self._error(place, f"packed data of at most {max(end - start, 0)} bytes", f"{length}")
            end = start + length
        pieces, size = list[bytes](), 0
        for at in range(start, end, _PACKED_STEP):
            try:
                piece = self._unpack.decompress(self.data[at : min(at + _PACKED_STEP, end)].tobytes())
            except zstandard.ZstdError as error:
                raise self._error(place, "packed records that unpack", str(error).splitlines()[0]) from None
            size += len(piece)
            if size > UNPACKED_BYTES_MAX:
                raise self._error(place, f"at most {UNPACKED_BYTES_MAX} bytes in a packed record", "more")
            pieces.append(piece)
        return b"".join(pieces)
