"""Where a perf.data has its records, and what its events are: the header of a file, or the first records of a pipe.

Layout: tools/perf/Documentation/perf.data-file-format.txt, struct perf_file_header of tools/perf/util/header.h (v6.18).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE, Cursor
from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.attrs import ATTR_BYTES_MAX, ATTR_BYTES_MIN, ATTRS_MAX, Attr, parse_attr, parse_ids
from fastgup_trace.ingest.perf_data.features import Features, feature_sections, parse_feature, with_names
from fastgup_trace.ingest.perf_data.tracing_data import parse_tracing_data

LITTLE, BIG = b"PERFILE2", b"2ELIFREP"
OLD: Final = b"PERFFILE"
"""Version 1 (until v3.6), of either byte order."""

PIPE_BYTES: Final = 16
FILE_BYTES: Final = 104
_ID_ENTRY_BYTES: Final = 32
_HEAD_RECORDS_MAX: Final = 1 << 16


@dataclass
class Header:
    """All but the records of the kernel."""

    version: int
    pipe: bool
    big_endian: bool
    data_start: int
    data_end: int
    attrs: list[Attr] = field(default_factory=list)
    features: Features = field(default_factory=Features)
    cpus: dict[int, int] = field(default_factory=dict)
    """Id -> CPU, from PERF_RECORD_ID_INDEX."""
    comms: dict[int, str] = field(default_factory=dict)
    """From PERF_RECORD_THREAD_MAP."""
    head_end: int = 0
    """Where the records that were read for this header end."""


def read_header(path: Path, data: memoryview, damage: list[RecordingError]) -> Header:
    """Read the header. Raises RecordingError where nothing can be read without what is missing.

    Where the file is cut short behind its events, `damage` tells and what is there is read.
    """
    cursor = Cursor(data, str(path))
    magic = bytes(data[:8])
    if magic not in (LITTLE, BIG, OLD):
        cursor.fail("a perf.data file", f"one that begins with {magic!r}" if magic else "an empty file")
    cursor.order = "big" if magic == BIG or (magic == OLD and bytes(data[8:15]) == bytes(7)) else "little"
    cursor.take(8, "the magic")
    size = cursor.number(8, "the size of the header")
    if size == PIPE_BYTES:
        header = Header(2, True, cursor.order == "big", PIPE_BYTES, len(data))
    elif size >= FILE_BYTES:
        header = _read_file_header(cursor, size, 1 if magic == OLD else 2, damage)
    else:
        cursor.fail(f"a header of {PIPE_BYTES} (a pipe's) or {FILE_BYTES} bytes", f"{size}", 8)
    _read_head(header, Cursor(data[: header.data_end], str(path), header.big_endian, header.data_start))
    header.attrs = with_names(header.attrs, header.features.described)
    return header


def _read_file_header(cursor: Cursor, size: int, version: int, damage: list[RecordingError]) -> Header:
    stride = cursor.number(8, "the size of an event's entry")
    attrs_at, attrs_bytes = cursor.number(8, "the place of the events"), cursor.number(8, "the size of the events")
    start, length = cursor.number(8, "the place of the data"), cursor.number(8, "the size of the data")
    cursor.take(16, "the place of event types")  # names of tracepoints until v3.10, which EVENT_DESC has too
    bits = _feature_bits(cursor)
    cursor.seek(size, "the end of the header")
    if not ATTR_BYTES_MIN + 16 <= stride <= ATTR_BYTES_MAX + 16:
        cursor.fail(f"an event's entry of {ATTR_BYTES_MIN + 16} to {ATTR_BYTES_MAX + 16} bytes", f"{stride}", 16)
    if attrs_bytes // stride > ATTRS_MAX:
        cursor.fail(f"at most {ATTRS_MAX} events", f"{attrs_bytes // stride}", 32)
    attrs = []
    for number in range(attrs_bytes // stride):
        cursor.seek(attrs_at + number * stride, f"event {number}")
        attr = parse_attr(cursor, stride - 16)
        ids_at, ids_bytes = cursor.number(8, "the place of ids"), cursor.number(8, "the size of ids")
        if ids_bytes:
            ids = Cursor(cursor.data, cursor.where, cursor.order == "big")
            ids.seek(ids_at, f"the ids of event {number}")
            attr = replace(attr, ids=parse_ids(ids, ids_bytes))
        attrs.append(attr)
    cursor.seek(start, "the data")
    end, features = start + length, Features()
    if length == 0:  # perf record fills it in when it ends, and only then writes the features
        end = len(cursor.data)
        if end > start:
            found = "0: perf record did not come to its end, so there are no event formats"
            damage.append(RecordingError(f"{cursor.where}: offset 48", "the size of the data", found, ADVICE))
    elif end > len(cursor.data):
        end = len(cursor.data)
        found = f"{end - start} to the end of the file, and behind them no event formats"
        damage.append(RecordingError(f"{cursor.where}: offset {end}", f"{length} bytes of data", found, ADVICE))
    else:
        cursor.seek(end, "the features")
        features = feature_sections(cursor, bits, damage)
    return Header(version, False, cursor.order == "big", start, end, attrs, features)


def _feature_bits(cursor: Cursor) -> int:
    """The bitmap of features: 64-bit words, or 32-bit ones of a 32-bit perf; only big endian tells them apart."""
    raw = bytes(cursor.take(abi.FEATURES_MAX // 8, "the bitmap of features"))
    word = 8
    if cursor.order == "big" and not raw[7] >> abi.FEATURE_HOSTNAME & 1:  # every perf notes the host's name
        word = 4
    words = (raw[place : place + word] for place in range(0, len(raw), word))
    return int.from_bytes(b"".join(w if cursor.order == "little" else w[::-1] for w in words), "little")


def _read_head(header: Header, cursor: Cursor) -> None:
    """The records of perf's own before the first sample: in a pipe they are the header.

    What is damaged here is met again by the walk over all records, which reports it.
    """
    data, heads = cursor.data, struct.Struct(">IHH" if header.big_endian else "<IHH")
    pos, end = cursor.pos, len(cursor.data)
    for _ in range(_HEAD_RECORDS_MAX):
        header.head_end = pos
        if end - pos < abi.HEADER_BYTES:
            return
        kind, _, size = heads.unpack_from(data, pos)
        if kind in (abi.SAMPLE, abi.COMPRESSED, abi.COMPRESSED2) or not abi.HEADER_BYTES <= size <= end - pos:
            return
        body = Cursor(data[: pos + size], cursor.where, header.big_endian, pos + abi.HEADER_BYTES)
        behind = 0
        if kind == abi.TRACING_DATA:
            behind = body.number(4, "the size of the tracing data")
            if header.pipe:
                inner = Cursor(data[: pos + size + behind], cursor.where, pos=pos + size)
                header.features.tracing = parse_tracing_data(inner)
        elif kind == abi.AUXTRACE:
            behind = body.number(8, "the size of AUX data")
        elif kind in _OWN:
            read_own(header, kind, body)
        if behind > end - pos - size:
            return
        pos += size + behind


_OWN: Final = (abi.HEADER_ATTR, abi.HEADER_FEATURE, abi.EVENT_UPDATE, abi.ID_INDEX, abi.THREAD_MAP)


def read_own(header: Header, kind: int, body: Cursor) -> None:
    """Take in a record that perf itself wrote. Raises RecordingError where it does not hold what it says."""
    if kind == abi.HEADER_ATTR and header.pipe:
        size = int.from_bytes(body.data[body.pos + 4 : body.pos + 8], body.order) or ATTR_BYTES_MIN
        if len(header.attrs) >= ATTRS_MAX:
            body.fail(f"at most {ATTRS_MAX} events", "one more")
        attr = parse_attr(body, size)
        header.attrs.append(replace(attr, ids=parse_ids(body, body.left())))
    elif kind == abi.HEADER_FEATURE and header.pipe:
        parse_feature(header.features, body.number(8, "the number of a feature"), body)
    elif kind == abi.EVENT_UPDATE:
        _update(header, body)
    elif kind == abi.ID_INDEX:
        count = min(body.number(8, "the number of ids"), body.left() // _ID_ENTRY_BYTES)
        for _ in range(count):
            number, _, cpu, _ = (body.number(8, "an id's entry") for _ in range(4))
            if cpu < 1 << 16:
                header.cpus[number - (number >> 63 << 64)] = cpu
    elif kind == abi.THREAD_MAP:
        count = min(body.number(8, "the number of threads"), body.left() // 24)
        for _ in range(count):
            pid = body.number(8, "a thread")
            comm = bytes(body.take(16, "a thread's comm")).split(b"\0")[0].decode("utf-8", "backslashreplace")
            if comm and 0 < pid < 1 << 31:
                header.comms[pid] = comm


def _update(header: Header, body: Cursor) -> None:
    """PERF_EVENT_UPDATE__NAME (2) gives an event its name."""
    kind, number = body.number(8, "the kind of an update"), body.number(8, "an event's id")
    if kind != 2:
        return
    number -= number >> 63 << 64
    name = body.text("an event's name", 1 << 16)
    header.attrs = [replace(attr, name=name) if number in attr.ids else attr for attr in header.attrs]
