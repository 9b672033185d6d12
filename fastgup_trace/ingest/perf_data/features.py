"""What a perf.data tells of the machine and of how it was recorded: sections behind the data, or records of a pipe.

Layouts: tools/perf/Documentation/perf.data-file-format.txt (v6.18).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.perf_data import abi
from fastgup_trace.ingest.perf_data.attrs import Attr, named, parse_attr, parse_ids
from fastgup_trace.ingest.perf_data.tracing_data import TracingData, parse_tracing_data

_STRING_BYTES_MAX = 1 << 16


@dataclass
class Features:
    """What the features tell; a feature that a file does not have leaves its default."""

    tracing: TracingData = field(default_factory=TracingData)
    texts: dict[int, str] = field(default_factory=dict)
    """OSRELEASE, VERSION, ARCH, CMDLINE."""
    nr_cpus: int | None = None
    clock_data: dict[str, int] | None = None
    """Wall-clock time and the recording's clock at one moment."""
    described: list[Attr] = field(default_factory=list)
    """EVENT_DESC: the attrs once more, with ids and names."""


def parse_feature(features: Features, number: int, cursor: Cursor) -> None:
    """Take in the feature `number`, whose data is at the cursor. Raises RecordingError where it is not whole."""
    if number == abi.FEATURE_TRACING_DATA:
        features.tracing = parse_tracing_data(cursor)
    elif number in (abi.FEATURE_OSRELEASE, abi.FEATURE_VERSION, abi.FEATURE_ARCH):
        features.texts[number] = _string(cursor)
    elif number == abi.FEATURE_NRCPUS:
        present, online = cursor.number(4, "the number of CPUs"), cursor.number(4, "the number of CPUs online")
        features.nr_cpus = online or present or None
    elif number == abi.FEATURE_CMDLINE:
        count = cursor.number(4, "the number of arguments")
        if count > cursor.left() // 4:
            cursor.fail(f"at most {cursor.left() // 4} arguments", f"{count}", cursor.pos - 4)
        features.texts[number] = " ".join(_string(cursor) for _ in range(count))
    elif number == abi.FEATURE_CLOCK_DATA:
        cursor.take(8, "clock data")  # version, clockid
        wall_ns, clock_ns = cursor.number(8, "the wall clock"), cursor.number(8, "the recording's clock")
        features.clock_data = {"wall_clock_ns": wall_ns, "clock_ns": clock_ns}
    elif number == abi.FEATURE_EVENT_DESC:
        features.described = _described(cursor)


def _described(cursor: Cursor) -> list[Attr]:
    count, size = cursor.number(4, "the number of events"), cursor.number(4, "the size of an attr")
    if count * size > cursor.left():
        cursor.fail(f"events in {cursor.left()} bytes", f"{count} of {size} bytes", cursor.pos - 8)
    found = []
    for _ in range(count):
        attr = parse_attr(cursor, size)
        ids, name = cursor.number(4, "the number of ids"), _string(cursor)
        if ids * 8 > cursor.left():
            cursor.fail(f"at most {cursor.left() // 8} ids", f"{ids}")
        numbers = parse_ids(cursor, ids * 8)
        found.append(named(Attr(**(attr.__dict__ | {"ids": numbers})), name.rstrip()))
    return found


def _string(cursor: Cursor) -> str:
    size = cursor.number(4, "the size of a string")
    if size > _STRING_BYTES_MAX:
        cursor.fail(f"a string of at most {_STRING_BYTES_MAX} bytes", f"{size}", cursor.pos - 4)
    return bytes(cursor.take(size, "a string")).split(b"\0")[0].decode("utf-8", "backslashreplace")


def with_names(attrs: list[Attr], described: list[Attr]) -> list[Attr]:
    """`attrs` with the names that EVENT_DESC has for their ids, or for the one at the same place."""
    by_id = {number: other.name for other in described for number in other.ids}
    result = []
    for place, attr in enumerate(attrs):
        name = next((by_id[number] for number in attr.ids if number in by_id), None)
        if name is None and not attr.ids and place < len(described):
            same = described[place]
            name = same.name if (same.type, same.config) == (attr.type, attr.config) else None
        result.append(named(attr, name) if name and not attr.name else attr)
    return result


def feature_sections(cursor: Cursor, bits: int, damage: list[RecordingError]) -> Features:
    """The features of `bits` from the table of their places at the cursor; what is not whole goes to `damage`."""
    features = Features()
    places = []
    try:
        for number in (number for number in range(abi.FEATURES_MAX) if bits >> number & 1):
            offset, size = cursor.number(8, "the place of a feature"), cursor.number(8, "the size of a feature")
            places.append((number, offset, size))
    except RecordingError as error:
        damage.append(error)
    for number, offset, size in places:
        try:
            cursor.seek(offset, f"feature {number}")
            cursor.take(size, f"feature {number}")
            inner = Cursor(cursor.data[: offset + size], cursor.where, cursor.order == "big", offset)
            parse_feature(features, number, inner)
        except RecordingError as error:
            damage.append(error)
    return features
