"""The shipped recordings are whole: every record is read, and there are as many as trace-cmd counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import cast

import pytest

from fastgup_datasets.catalog import Entry, entries, find
from fastgup_trace.ingest.ftrace_text import open_ftrace_text
from fastgup_trace.ingest.trace_dat import open_trace_dat


@pytest.mark.parametrize("known", entries(), ids=lambda known: known.name)
def test_each_recording_has_the_records_that_its_sidecar_counts(known: Entry) -> None:
    path = find(known.name)
    recording = (open_trace_dat if known.file == "trace.dat" else open_ftrace_text)(path, wanted={})
    counts: Counter[str] = Counter()
    for window in recording.windows:
        counts.update(window.counts)
        assert not window.undecodable
    assert dict(counts) == json.loads((path.parent / "counts.json").read_text())
    assert counts.total() == known.events
    # A buffer that does not overwrite drops what comes last: its pages can't tell, the statistics at the end do.
    statistics = " ".join(map(str, cast(list[object], recording.details.get("cpustat", []))))
    assert sum(map(int, re.findall(r"dropped events: (\d+)", statistics))) == known.lost
    assert recording.nr_cpus is None or f"{recording.nr_cpus} CPUs" in known.machine
