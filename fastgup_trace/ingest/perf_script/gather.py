"""The records of some lines to a Gatherer: tracepoints by their print format, the others typed here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import Records
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans
from fastgup_trace.ingest.ftrace_text.window import Gatherer
from fastgup_trace.ingest.perf_script.bodies import (
    LOST,
    TAIL_LINES,
    Fields,
    find_tail,
    record_fields,
    without_tail,
)
from fastgup_trace.ingest.perf_script.lines import Heads
from fastgup_trace.ingest.records import Loss

NO_RECORD = "the line is no record"
SPACE = 32
OTHER_SHAPE = "{}: fields in a shape that is not known"


@dataclass
class Taker:
    """Feeds blocks to a Gatherer; how tracepoints end and where CPUs are is kept between them."""

    gatherer: Gatherer
    losses: list[Loss]
    samples: Callable[[Spans], Fields]
    """Splits the bodies of samples: `bodies.sample_fields`, or its compiled twin."""
    tail: re.Pattern[bytes] | None = None
    tail_known: bool = False
    cpu_ns: dict[int, int] = field(default_factory=dict)
    """Time of the last record of each CPU."""
    first_ns: int | None = None

    def take(self, heads: Heads) -> None:
        """Add the records of a block."""
        if heads.others:
            self.gatherer.undecodable[NO_RECORD] += len(heads.others)
        if not len(heads):
            return
        keys = [name + b": " if traced else b"" for name, traced in zip(heads.names, heads.traced, strict=True)]
        flags = np.full(len(heads), -1, np.int64)
        bodies = self._bodies(heads)
        records = Records(heads.ts_ns, heads.cpu, heads.tid, flags, heads.codes, keys, bodies, [], [], 9)
        self.gatherer.add(records, Calls())
        for code, (name, traced) in enumerate(zip(heads.names, heads.traced, strict=True)):
            if not traced:
                rows = np.flatnonzero(heads.codes == code)
                self.gatherer.add_fields(name.decode("utf-8", "replace"), rows, self._fields(name, rows, heads))
        self._find_losses(heads)

    def _bodies(self, heads: Heads) -> Spans:
        """The bodies, of tracepoints without spaces before (-F flags) and the sample's addresses behind them."""
        traced = np.array(heads.traced, bool)[heads.codes]
        rows = np.flatnonzero(traced)
        if not self.tail_known and len(rows):
            self.tail, self.tail_known = find_tail(heads.bodies.take(rows[:TAIL_LINES]).tolist()), True
        begin, end = heads.bodies.begin.copy(), heads.bodies.end.copy()
        if self.tail and len(rows):
            cut = without_tail(heads.bodies.take(rows).tolist(), self.tail)
            end[rows] = begin[rows] + np.array([len(body) for body in cut], np.int64)
        text = np.frombuffer(heads.bodies.text, np.uint8)
        while len(rows := rows[begin[rows] < end[rows]]) and len(rows := rows[text[begin[rows]] == SPACE]):
            begin[rows] += 1
        return Spans(heads.bodies.text, begin, end)

    def _fields(self, name: bytes, rows: Int64s, heads: Heads) -> Callable[[], Fields]:
        """The fields of the untraced records at `rows`, when they are asked for."""

        def fields() -> Fields:
            bodies = heads.bodies.take(rows)
            if name.startswith(b"PERF_RECORD_"):
                found, misfits = record_fields(name, bodies.tolist())
                found["synthesized"] = pa.array(heads.untimed[rows].astype(np.uint8))
                if misfits:
                    self.gatherer.undecodable[OTHER_SHAPE.format(name.decode("utf-8", "replace"))] += misfits
                return found
            found = self.samples(bodies)
            period = heads.period[rows]
            if (period >= 0).any():
                found = {"period": pa.array(period.astype(np.uint64), mask=period < 0), **found}
            return found

        return fields

    def _find_losses(self, heads: Heads) -> None:
        """PERF_RECORD_LOST is written with the first record that finds room again: the loss lies before it."""
        ts, cpu = heads.ts_ns, heads.cpu
        if self.first_ns is None:
            self.first_ns = int(ts[0])
        for code in [code for code, name in enumerate(heads.names) if name in LOST]:
            rows = np.flatnonzero(heads.codes == code)
            fields, _ = record_fields(heads.names[code], heads.bodies.take(rows).tolist())
            counts = fields["lost"].to_pylist() if "lost" in fields else [None] * len(rows)
            for row, count in zip(rows.tolist(), counts, strict=True):
                number, end = int(cpu[row]), int(ts[row])
                before = np.flatnonzero(cpu[:row] == number)
                start = int(ts[before[-1]]) if len(before) else self.cpu_ns.get(number, self.first_ns)
                self.losses.append(Loss(number, min(start, end), end, count))
        last = np.full(int(cpu.max()) + 2, -1, np.int64)
        last[cpu + 1] = np.arange(len(cpu))  # Of several the last stays.
        for row in last[last >= 0].tolist():
            self.cpu_ns[int(cpu[row])] = int(ts[row])
