"""The layout of a sub-buffer and of its events, as the kernel tells it: events/header_page and events/header_event."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.kernel_events.formats import parse_fields


@dataclass(frozen=True)
class PageHeader:
    """Where a sub-buffer has its time, its commit word and its data; from events/header_page."""

    timestamp_offset: int
    commit_offset: int
    commit_bytes: int
    data_offset: int
    data_bytes: int


def parse_page_header(text: str, where: str) -> PageHeader:
    """Raises RecordingError unless the text has a time of 8 bytes, a commit word of 4 or 8, and data behind them."""
    fields = {field.name: field for field in parse_fields(text, f"{where}: header_page")}
    try:
        time, commit, data = fields["timestamp"], fields["commit"], fields["data"]
    except KeyError as missing:
        raise RecordingError(f"{where}: header_page", f"a field {missing}", f"{sorted(fields)}", ADVICE) from None
    sound = time.size == 8 and commit.size in (4, 8)
    if not sound or time.offset + 8 > data.offset or commit.offset + commit.size > data.offset or data.size < 16:
        raise RecordingError(
            f"{where}: header_page", "timestamp, commit, data behind each other", repr(text[:120]), ADVICE
        )
    return PageHeader(time.offset, commit.offset, commit.size, data.offset, data.size)


_HEADER_EVENT = {"type_len": 5, "time_delta": 27, "array": 32}
_HEADER_TYPES = {"padding": 29, "time_extend": 30, "time_stamp": 31, "data max": 28}


def check_event_header(text: str, where: str) -> None:
    """Raise RecordingError unless events/header_event describes the one layout that kernels have had since 2.6.31."""
    for name, bits in re.findall(r"(\w+)\s*:\s*(\d+) bits", text):
        if _HEADER_EVENT.get(name) != int(bits):
            raise RecordingError(
                f"{where}: header_event", f"{_HEADER_EVENT.get(name, 'no')} bits of {name}", bits, ADVICE
            )
    found = re.findall(r"(padding|time_extend|time_stamp|data max)\s*(?:: type|type_len)\s*==\s*(\d+)", text)
    for name, number in found:
        if _HEADER_TYPES[name] != int(number):
            raise RecordingError(f"{where}: header_event", f"{name} as type {_HEADER_TYPES[name]}", number, ADVICE)
    if not {"padding", "time_extend", "data max"} <= {name for name, _ in found}:
        raise RecordingError(f"{where}: header_event", "padding, time_extend and data max", repr(text[:120]), ADVICE)
