"""The kernel's records beside the samples: mappings, comms, forks, exits, switches, losses; each an event of its own.

Layouts: include/uapi/linux/perf_event.h (v6.18), enum perf_event_type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.unaligned import Int64s, words

Column: TypeAlias = "pa.Array[Any]"


@dataclass(frozen=True)
class Shape:
    """Numbers of a record (name, place, type), bits of `misc`, and the string at its end (name, place)."""

    numbers: tuple[tuple[str, int, str], ...] = ()
    bits: tuple[tuple[str, int], ...] = ()
    text: tuple[str, int] | None = None


_IDS = (("pid", 8, "i4"), ("tid", 12, "i4"))
_RANGE = (*_IDS, ("addr", 16, "u8"), ("len", 24, "u8"), ("pgoff", 32, "u8"))
_INODE = (("maj", 40, "u4"), ("min", 44, "u4"), ("ino", 48, "u8"), ("ino_generation", 56, "u8"))
_FAMILY = (("pid", 8, "i4"), ("ppid", 12, "i4"), ("tid", 16, "i4"), ("ptid", 20, "i4"))
_SWITCH = (("out", abi.MISC_SWITCH_OUT), ("preempt", abi.MISC_SWITCH_OUT_PREEMPT))

SHAPES: Final = {
    abi.MMAP: Shape(_RANGE, text=("filename", 40)),
    abi.MMAP2: Shape((*_RANGE, *_INODE, ("prot", 64, "u4"), ("flags", 68, "u4")), text=("filename", 72)),
    abi.COMM: Shape(_IDS, (("exec", abi.MISC_COMM_EXEC),), ("comm", 16)),
    abi.FORK: Shape(_FAMILY),
    abi.EXIT: Shape(_FAMILY),
    abi.LOST: Shape((("id", 8, "u8"), ("lost", 16, "u8"))),
    abi.LOST_SAMPLES: Shape((("lost", 8, "u8"),)),
    abi.THROTTLE: Shape((("time", 8, "u8"), ("id", 16, "u8"), ("stream_id", 24, "u8"))),
    abi.UNTHROTTLE: Shape((("time", 8, "u8"), ("id", 16, "u8"), ("stream_id", 24, "u8"))),
    abi.READ: Shape(_IDS),
    abi.AUX: Shape((("aux_offset", 8, "u8"), ("aux_size", 16, "u8"), ("flags", 24, "u8"))),
    abi.ITRACE_START: Shape(_IDS),
    abi.SWITCH: Shape((), _SWITCH),
    abi.SWITCH_CPU_WIDE: Shape((("next_prev_pid", 8, "i4"), ("next_prev_tid", 12, "i4")), _SWITCH),
    abi.NAMESPACES: Shape(_IDS),
    abi.KSYMBOL: Shape((("addr", 8, "u8"), ("len", 16, "u4"), ("ksym_type", 20, "u2"), ("flags", 22, "u2")),
                       text=("name", 24)),
    abi.BPF_EVENT: Shape((("type", 8, "u2"), ("flags", 10, "u2"), ("id", 12, "u4"))),
    abi.CGROUP: Shape((("id", 8, "u8"),), text=("path", 16)),
    abi.TEXT_POKE: Shape((("addr", 8, "u8"), ("old_len", 16, "u2"), ("new_len", 18, "u2"))),
    abi.AUX_OUTPUT_HW_ID: Shape((("hw_id", 8, "u8"),)),
}  # fmt: skip

_THREAD: Final = {
    abi.MMAP: "tid", abi.MMAP2: "tid", abi.COMM: "tid", abi.FORK: "ptid", abi.EXIT: "tid", abi.ITRACE_START: "tid",
}  # fmt: skip
"""The field that tells the record's thread where the recording has no sample_id_all."""


def event_of(kind: int) -> str:
    """The name of a kind of record, as perf calls it."""
    return "PERF_RECORD_" + abi.RECORD_NAMES.get(kind, f"{kind}")


def numbers(data: NDArray[np.uint8], place: Int64s, kind: int, order: str) -> dict[str, NDArray[np.generic]]:
    """The numbers of records of one kind at `place`, without looking whether they are long enough."""
    return {name: words(data, place + at, order + dtype) for name, at, dtype in SHAPES[kind].numbers}


def bytes_min(kind: int) -> int:
    """How long a record of this kind is at least."""
    shape = SHAPES.get(kind, Shape())
    ends = [at + int(dtype[1]) for _, at, dtype in shape.numbers]
    return max([abi.HEADER_BYTES, *ends, shape.text[1] if shape.text else 0])


def thread_of(data: NDArray[np.uint8], place: Int64s, kind: int, order: str) -> NDArray[np.int32] | None:
    """The thread that records of one kind are about; None where they don't tell."""
    for name, at, dtype in SHAPES[kind].numbers if kind in _THREAD else ():
        if name == _THREAD[kind]:
            return words(data, place + at, order + dtype).astype(np.int32)
    return None


def columns(
    data: NDArray[np.uint8], place: Int64s, size: Int64s, kind: int, order: str, names: frozenset[str] | None
) -> dict[str, Column]:
    """The fields `names` (None: all) of records of one kind, each at least `bytes_min` long."""
    shape = SHAPES.get(kind, Shape())
    found: dict[str, Column] = {}
    misc, unset = np.zeros(0, np.int64), np.zeros(len(place), np.bool_)
    if shape.bits or kind == abi.MMAP2:
        misc = words(data, place + 4, f"{order}u2").astype(np.int64)
    if kind == abi.MMAP2:  # a build id takes the place of the inode (v5.12, commit 88a16a130933)
        unset = misc & abi.MISC_MMAP_BUILD_ID != 0
    for name, at, dtype in shape.numbers:
        if names is None or name in names:
            values = words(data, place + at, order + dtype)
            mask = unset if unset.any() and (name, at, dtype) in _INODE else None
            found[name] = pa.array(values.astype(dtype), mask=mask)
    for name, bit in shape.bits:
        if names is None or name in names:
            found[name] = pa.array((misc & bit != 0).astype(np.uint8))
    if shape.text and (names is None or shape.text[0] in names):
        found[shape.text[0]] = texts(data, place + shape.text[1], place + size)
    return found


def texts(data: NDArray[np.uint8], start: Int64s, end: Int64s) -> Column:
    """The strings between `start` and `end`, each up to its first zero byte; bytes that are no UTF-8 as \\xNN."""
    length = _lengths(data, start, end)
    offsets = np.zeros(len(start) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    index = np.arange(offsets[-1], dtype=np.int64) + np.repeat(start - offsets[:-1], length)
    parts = [pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data[index])]
    encoded = pa.Array.from_buffers(pa.large_binary(), len(start), [None, *parts]).dictionary_encode()
    names = [name.decode("utf-8", "backslashreplace") for name in encoded.dictionary.to_pylist()]
    found = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names, pa.string()))
    return found if len(set(names)) == len(names) else found.cast(pa.string()).dictionary_encode()


_ONES, _HIGHS = np.uint64(0x0101_0101_0101_0101), np.uint64(0x8080_8080_8080_8080)


def _lengths(data: NDArray[np.uint8], start: Int64s, end: Int64s) -> Int64s:
    """Bytes to the first zero byte, eight at a time; the last ones, where eight would reach too far, one by one."""
    length = end - start
    live, at = np.arange(len(start)), start
    while len(live):
        fits = at + 8 <= end[live]
        for row in live[~fits].tolist():
            tail = data[int(start[row]) : int(end[row])].tobytes()
            length[row] = min(length[row], tail.find(b"\0") % (1 << 62))
        live, at = live[fits], at[fits]
        word = words(data, at, "<u8").astype(np.uint64)
        zeros = (word - _ONES) & ~word & _HIGHS  # the lowest bit set is that of the first zero byte
        hit = zeros != 0
        lowest = zeros[hit] & (~zeros[hit] + np.uint64(1))
        length[live[hit]] = at[hit] - start[live[hit]] + np.log2(lowest.astype(np.float64)).astype(np.int64) // 8
        live, at = live[~hit], at[~hit] + 8
    return length
