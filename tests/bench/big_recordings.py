"""A large recording made of a real one: its pages again and again, later each time.

    PYTHONPATH=tests python -m bench.big_recordings SOURCE TARGET BYTES

writes a trace.dat of version 6 of about BYTES. A source of version 7 is converted by trace-cmd first.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from shared_captures import shared

from fastgup_trace.ingest.trace_dat.container import MAGIC
from fastgup_trace.ingest.trace_dat.opening import read_container

# include/linux/ring_buffer.h: enum ring_buffer_type
_PADDING, _TIME_STAMP = 29, 31

_GAP_NS = 10_000_000_000


def repeated(source: Path, target: Path, size_bytes: int) -> Path:
    """Write `target`; each turn begins 10 s behind the last page of the turn before, whose records go on."""
    data = _version_6(source)
    container = read_container(source, memoryview(data))
    streams = sorted(container.streams, key=lambda stream: stream.offset)
    header = bytearray(data[: streams[0].offset])
    page_bytes = streams[0].page_bytes
    turns = max(size_bytes // sum(stream.size for stream in streams), 1)
    place = -(-len(header) // page_bytes) * page_bytes
    parts, low, high = [], [], []
    for stream in streams:
        entry = struct.pack("<QQ", stream.offset, stream.size)
        assert header.count(entry) == 1, "one entry of the CPU table"
        at = header.index(entry)
        header[at : at + 16] = struct.pack("<QQ", place, stream.size * turns)
        place += stream.size * turns
        pages = np.frombuffer(data, np.uint8, stream.size, stream.offset).reshape(-1, page_bytes).copy()
        times = pages[:, :8].view("<u8")
        parts.append((pages, times, _stamps(pages)))
        low.append(int(times.min()))
        high.append(int(times.max()))
    step = max(high) - min(low) + _GAP_NS
    with target.open("wb") as file:
        file.write(header)
        file.write(bytes(-len(header) % page_bytes))
        for pages, times, stamps in parts:
            words = pages.reshape(-1).view("<u4")
            for _ in range(turns):
                file.write(pages.tobytes())
                times += np.uint64(step)
                value = (words[stamps] >> 5 | words[stamps + 1].astype(np.uint64) << 27) + np.uint64(step)
                words[stamps] = (value & (1 << 27) - 1) << 5 | _TIME_STAMP
                words[stamps + 1] = value >> 27
    return target


def _stamps(pages: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where pages have absolute stamps, in words of four bytes: records in the middle may be given one (v5.10)."""
    found = list[int]()
    for number, page in enumerate(pages):
        words = page.view("<u4").tolist()
        at, end = 4, 4 + (words[2] & (1 << 20) - 1) // 4
        while at < end:
            kind, delta = words[at] & 31, words[at] >> 5
            if kind == _TIME_STAMP:
                found.append(number * len(words) + at)
            if kind == _PADDING and delta == 0:
                break
            at += 2 if kind > _PADDING else 1 + (kind if 0 < kind < _PADDING else (words[at + 1] + 3) // 4)
    return np.array(found, np.int64)


def _version_6(source: Path) -> bytes:
    data = source.read_bytes()
    if data[len(MAGIC) : len(MAGIC) + 2] == b"6\0":
        return data
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted.dat"
        line = ["trace-cmd", "convert", "-i", str(source), "--file-version", "6", "--compression", "none"]
        subprocess.run([*line, "-o", str(converted)], check=True, capture_output=True)
        return converted.read_bytes()


def shared_source() -> Path:
    """The recording that large ones are made of, where none is given; the test is skipped where it is absent."""
    folder = shared()
    if folder is None or shutil.which("trace-cmd") is None:
        pytest.skip("a large recording is made of shared/captures/x86/clk_mono.v7.dat, by trace-cmd")
    return folder / "captures" / "x86" / "clk_mono.v7.dat"


if __name__ == "__main__":
    repeated(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
