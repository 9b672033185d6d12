"""Stamps of a counter as nanoseconds, where the user knows its rate (as `trace-cmd report --ts2secs HZ`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_trace.errors import UsageError
from fastgup_trace.ingest.records import Loss, Recording, Window
from fastgup_trace.ingest.unaligned import Int64s

_RATES: Final = (1_000, 9_000_000_000)
"""Hz; the product of a second's ticks and 10**9 fits 64 bits below the last."""


def in_nanoseconds(recording: Recording, ticks_per_second: int) -> Recording:
    """The recording with its ticks turned into nanoseconds.

    Raises UsageError for a rate that no counter has, and for a recording that has times already, or none at all.
    """
    if not _RATES[0] <= ticks_per_second <= _RATES[1]:
        raise UsageError("--ts2secs", f"a rate of {_RATES[0]} to {_RATES[1]} Hz", f"{ticks_per_second}")
    if recording.unit != "ticks":
        raise UsageError("--ts2secs", "a recording in ticks of a counter", f"{recording.path} in {recording.unit}")
    losses = list[Loss]()

    def windows() -> Iterator[Window]:
        for window in recording.windows:
            events = {name: _converted(table, ticks_per_second) for name, table in window.events.items()}
            yield replace(window, events=events)
        moments = np.array([(loss.ts_ns, loss.end_ns) for loss in recording.losses], np.int64).reshape(-1, 2)
        for loss, (start, end) in zip(recording.losses, _ns(moments, ticks_per_second).tolist(), strict=True):
            losses.append(replace(loss, ts_ns=start, end_ns=end))

    details = {**recording.details, "ticks_per_second": ticks_per_second}
    return replace(recording, windows=windows(), losses=losses, unit="ns", details=details)


def _converted(table: pa.Table, rate: int) -> pa.Table:
    ns = _ns(table["common_ts_ns"].to_numpy(), rate)
    return table.set_column(table.schema.get_field_index("common_ts_ns"), "common_ts_ns", pa.array(ns))


def _ns(ticks: Int64s, rate: int) -> Int64s:
    seconds, rest = np.divmod(ticks, rate)
    result: Int64s = seconds * 10**9 + rest * 10**9 // rate
    return result
