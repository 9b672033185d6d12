"""Recordings of windows made by hand, as a format's reader yields them, and all that is read of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest import ingest
from fastgup_trace.ingest.records import Recording, Window
from fastgup_trace.tables import Capture, Collected

MS = 1_000_000


def recording(name: str, *windows: Window | dict[str, pa.Table], **facts: Any) -> Recording:
    """A recording of these windows; a dict of tables is a window with its counts."""
    made = [w if isinstance(w, Window) else Window(w, {event: len(t) for event, t in w.items()}) for w in windows]
    base = Recording(
        Path(name), "fake", 100, "mono", 2, "arm64", "6.1", 4096, None, {}, {}, [], iter(made)
    )  # fmt: skip
    return replace(base, **facts)


def read(result: Recording) -> tuple[dict[str, pa.Table], Counter[str]]:
    """All records of an event in one table, and the counts."""
    tables, counts, last = dict[str, list[pa.Table]](), Counter[str](), -1
    for window in result.windows:
        counts.update(window.counts)
        seqs = np.sort(np.concatenate([t["common_seq"].to_numpy() for t in window.events.values()] or [np.empty(0)]))
        assert len(seqs) == len(np.unique(seqs)) and (not len(seqs) or seqs[0] > last)
        last = int(seqs[-1]) if len(seqs) else last
        for event, table in window.events.items():
            assert np.all(np.diff(table["common_seq"].to_numpy()) > 0)
            tables.setdefault(event, []).append(table)
    return {e: pa.concat_tables(t, promote_options="permissive") for e, t in tables.items()}, counts


def stamps(table: pa.Table) -> list[int]:
    found: list[int] = table["common_ts_ns"].to_pylist()
    return found


def capture_of(paths: Sequence[Path], **options: Any) -> Capture:
    sink = Collected()
    return sink.capture(ingest(paths, sink, **options))
