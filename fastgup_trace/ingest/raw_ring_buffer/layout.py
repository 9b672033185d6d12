"""How the pages of a folder are laid out: from header_page where it was kept, the rest from the pages themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.raw_ring_buffer.folder import CpuPages
from fastgup_trace.ingest.ring_buffer.header import PageHeader, check_event_header, parse_page_header

_PAGES_LOOKED_AT = 16
_FLAGS = 1 << 31 | 1 << 30  # RB_MISSED_EVENTS, RB_MISSED_STORED
_COMMIT_MAX = 1 << 24
_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Layout:
    """Layout and byte order of sub-buffers of `page_bytes`."""

    header: PageHeader
    page_bytes: int
    big_endian: bool


def find_layout(where: str, header_page: str, header_event: str, cpus: Sequence[CpuPages]) -> Layout:
    """Raises RecordingError where no layout makes sense of the pages."""
    if header_event:
        check_event_header(header_event, where)
    if header_page:
        headers = [parse_page_header(header_page, where)]
    else:  # struct buffer_data_page: a time of 64 bits, a long, data
        headers = [PageHeader(0, 8, size, 8 + size, _PAGE_BYTES - 8 - size) for size in (8, 4)]
    layouts = [
        Layout(header, header.data_offset + header.data_bytes, big_endian)
        for header in headers
        for big_endian in (False, True)
    ]
    scores = [sum(_plausible(layout, cpu) for cpu in cpus) for layout in layouts]
    if not max(scores):
        first = next(cpu for cpu in cpus)
        found = repr(bytes(first.data[:24]))
        raise RecordingError(f"{first.path}: offset 0", "a ring-buffer page", found, "copy trace_pipe_raw again")
    return layouts[scores.index(max(scores))]


def _plausible(layout: Layout, cpu: CpuPages) -> int:
    """How many of the first pages have a time and a commit word that make sense, and times that do not decrease."""
    page_bytes = cpu.sub_buffer_bytes or layout.page_bytes
    header, good, before = layout.header, 0, 0
    order: Literal["big", "little"] = "big" if layout.big_endian else "little"
    for start in range(0, min(len(cpu.data), _PAGES_LOOKED_AT * page_bytes) - header.data_offset, page_bytes):
        page = cpu.data[start : start + header.data_offset]
        ts = int.from_bytes(page[header.timestamp_offset : header.timestamp_offset + 8], order)
        word = int.from_bytes(page[header.commit_offset : header.commit_offset + header.commit_bytes], order)
        commit = word & ~_FLAGS
        if not 0 < commit < _COMMIT_MAX or commit % 4 or not before <= ts < 1 << 63:
            break
        good, before = good + 1, ts
    return good
