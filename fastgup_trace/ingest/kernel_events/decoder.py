"""From the records of a window to one Arrow table an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.kernel_events.fields import Column, Context, Rows, decode
from fastgup_trace.ingest.kernel_events.formats import Field, Format, Formats
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields
from fastgup_trace.ingest.unaligned import Int64s, words

_COMMON = {"common_type": (0, 2), "common_flags": (2, 1), "common_preempt_count": (3, 1), "common_pid": (4, 4)}
"""struct trace_entry as it has been since 2.6.31: place and size."""

FUNCTION = "function"


@dataclass(frozen=True)
class Batch:
    """Records of a window in merged order: where each one's payload (struct trace_entry and fields) lies in `data`."""

    data: NDArray[np.uint8]
    """With 8 spare bytes at its end."""
    start: Int64s
    length: Int64s
    ts: Int64s
    cpu: Int64s
    place: Callable[[int], str]
    """Row -> where the recording has it, for errors: `offset 4711`."""


class EventDecoder:
    """Decodes windows one after another; keeps the position in the merged order."""

    def __init__(self, formats: Formats, context: Context, wanted: Wanted | None, path: str, *, strict: bool) -> None:
        self._formats, self._context, self._path, self._strict = formats, context, path, strict
        self._wanted = wanted
        self._seq = 0

    def window(self, batch: Batch) -> Window:
        """Decode a batch. Raises RecordingError for a format that does not parse, or (`strict`) is missing."""
        data, order = batch.data, self._context.order
        ids = words(data, batch.start, f"{order}u2").astype(np.uint16)
        by_id = np.argsort(ids, kind="stable")
        edges = np.flatnonzero(np.diff(ids[by_id])) + 1
        window = Window({}, {}, {})
        undecodable = Counter[str]()
        for rows in np.split(by_id, edges) if len(by_id) else ():
            number = int(ids[rows[0]])
            if number not in self._formats:
                self._unknown(number, batch, int(rows[0]))
                undecodable["record of an event without a format"] += len(rows)
                continue
            format_ = self._formats[number]
            self._check_common(format_)
            for name, part in self._named(format_, batch, rows):
                window.counts[name] = window.counts.get(name, 0) + len(part)
                asked_for, fields = wanted_fields(self._wanted, name)
                if not asked_for:
                    continue
                table, short = self._table(format_, fields, batch, part)
                if short:
                    undecodable["record too short for a field"] += short
                if name in window.events:  # two systems may have events of one name
                    table = _joined(window.events[name], table)
                window.events[name] = table
        window.undecodable.update(undecodable)
        self._seq += len(ids)
        return window

    def _unknown(self, number: int, batch: Batch, row: int) -> None:
        if self._strict:
            where = f"{self._path}: {batch.place(row)}"
            raise RecordingError(where, "a record of an event whose format the file has", f"event {number}", ADVICE)

    def _check_common(self, format_: Format) -> None:
        found = {field.name: (field.offset, field.size) for field in format_.common}
        if any(found.get(name) != place for name, place in _COMMON.items()):
            where = f"{self._path}: format of {format_.system}:{format_.name}"
            raise RecordingError(where, f"common fields at {_COMMON}", f"{found}", ADVICE)

    def _named(self, format_: Format, batch: Batch, rows: Int64s) -> Iterator[tuple[str, Int64s]]:
        """The event's name with its rows; the function tracer's records by the function that they saw."""
        ip = next((field for field in format_.fields if field.name == "ip"), None)
        if format_.name != FUNCTION or format_.system != "ftrace" or ip is None:
            yield format_.name, rows
            return
        addresses = self._addresses(ip, batch, rows)
        known, inverse = np.unique(addresses, return_inverse=True)
        names = [
            name or f"{address:#x}"
            for name, address in zip(self._context.symbols.names(known), known.tolist(), strict=True)
        ]
        codes, places = np.unique(np.array(names), return_inverse=True)
        code = places[inverse]
        by_name = np.argsort(code, kind="stable")
        for part in np.split(by_name, np.flatnonzero(np.diff(code[by_name])) + 1):
            yield f"{FUNCTION}:{codes[code[part[0]]]}", rows[part]

    def _addresses(self, ip: Field, batch: Batch, rows: Int64s) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        fits = batch.length[rows] >= ip.offset + ip.size
        place = np.where(fits, batch.start[rows] + ip.offset, 0)
        return np.where(
            fits, words(batch.data, place, f"{self._context.order}u{ip.size}").astype(np.uint64), np.uint64(0)
        )

    def _table(
        self, format_: Format, fields: frozenset[str] | None, batch: Batch, rows: Int64s
    ) -> tuple[pa.Table, int]:
        data, order, start = batch.data, self._context.order, batch.start[rows]
        columns: dict[str, Column] = {
            "common_seq": pa.array(rows + self._seq),
            "common_ts_ns": pa.array(batch.ts[rows]),
            "common_cpu": pa.array(batch.cpu[rows].astype(np.int32)),
            "common_pid": pa.array(words(data, start + 4, f"{order}i4").astype(np.int32)),
            "common_flags": pa.array(data[start + 2]),
        }
        own, short = decode(format_, fields, Rows(data, start, batch.length[rows]), self._context)
        return pa.table(columns | own), len(short)


def _joined(first: pa.Table, second: pa.Table) -> pa.Table:
    table = pa.concat_tables([first, second], promote_options="default").unify_dictionaries()
    return table.sort_by("common_seq")
