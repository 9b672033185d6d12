"""The records of some lines to a Gatherer: tracepoints by their print format, the others typed here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.graph import Calls
from fastgup_trace.ingest.ftrace_text.lines import Int64s, Lines
from fastgup_trace.ingest.ftrace_text.window import Gatherer
from fastgup_trace.ingest.perf_script.bodies import LOST, Fields, find_tail, record_fields, sample_fields, without_tail
from fastgup_trace.ingest.perf_script.lines import Heads
from fastgup_trace.ingest.records import Loss, wanted_fields

NO_RECORD = "the line is no record"
OTHER_SHAPE = "{}: fields in a shape that is not known"


def add_typed(gatherer: Gatherer, name: str, columns: tuple[Int64s, ...], fields: Callable[[], Fields]) -> None:
    """Add records of one event: their (time, position, cpu, pid, flags), and their fields as Arrow arrays.

    `fields` is called if the event is wanted.
    """
    size = len(columns[0])
    gatherer.counts[name] += size
    gathered = gatherer._place(name, columns)
    if gathered is None:
        return
    _, only = wanted_fields(gatherer.wanted, name)
    rows = np.arange(size, dtype=np.int64)
    for column, values in fields().items():
        if only is None or column in only or column.removesuffix(".sym") in only:
            gathered.add_words(column, "number", rows, values)
    gathered.size += size


@dataclass
class Taker:
    """Feeds blocks to a Gatherer; how tracepoints end and where CPUs are is kept between them."""

    gatherer: Gatherer
    losses: list[Loss]
    tail: re.Pattern[bytes] | None = None
    tail_known: bool = False
    cpu_ns: dict[int, int] = field(default_factory=dict)
    """Time of the last record of each CPU."""
    first_ns: int | None = None

    def take(self, heads: Heads) -> None:
        """Add the records of a block."""
        size = len(heads.names)
        traced = np.array(heads.traced, bool)
        bodies = heads.bodies
        if traced.any():
            rows = np.flatnonzero(traced).tolist()
            cut = [bodies[row] for row in rows]
            if not self.tail_known:
                self.tail, self.tail_known = find_tail(cut), True
            if self.tail:
                for row, body in zip(rows, without_tail(cut, self.tail), strict=True):
                    bodies[row] = body
        positions = self.gatherer.position + 2 * np.arange(size, dtype=np.int64)
        flags = np.full(size, -1, np.int64)
        keys = [name + b": " if is_traced else b"" for name, is_traced in zip(heads.names, heads.traced, strict=True)]
        lines = Lines(heads.ts_ns, heads.cpu, heads.tid, flags, keys, [body.lstrip() for body in bodies], [], set(), 9)
        self.gatherer.add(lines, Calls())
        if heads.others:
            self.gatherer.undecodable[NO_RECORD] += len(heads.others)
        groups: dict[bytes, list[int]] = {}
        for row in np.flatnonzero(~traced).tolist():
            groups.setdefault(heads.names[row], []).append(row)
        for name, at in groups.items():
            picked = np.array(at, np.int64)
            columns = tuple(c[picked] for c in (heads.ts_ns, positions, heads.cpu, heads.tid, flags))
            self._add_untraced(name, columns, [bodies[row] for row in at], heads.period[picked], heads.untimed[picked])
        self._find_losses(heads)

    def _add_untraced(
        self,
        name: bytes,
        columns: tuple[Int64s, ...],
        bodies: list[bytes],
        period: Int64s,
        untimed: npt.NDArray[np.bool_],
    ) -> None:
        event = name.decode("utf-8", "replace")

        def fields() -> Fields:
            if name.startswith(b"PERF_RECORD_"):
                found, misfits = record_fields(name, bodies)
                found["synthesized"] = pa.array(untimed.astype(np.uint8))
            else:
                found, misfits = sample_fields(bodies)
                if (period >= 0).any():
                    found = {"period": pa.array(period.astype(np.uint64), mask=period < 0), **found}
            if misfits:
                self.gatherer.undecodable[OTHER_SHAPE.format(event)] += misfits
            return found

        add_typed(self.gatherer, event, columns, fields)

    def _find_losses(self, heads: Heads) -> None:
        """PERF_RECORD_LOST is written with the first record that finds room again: the loss lies before it."""
        ts, cpu = heads.ts_ns, heads.cpu
        if self.first_ns is None and len(ts):
            self.first_ns = int(ts[0])
        lost = [row for row, name in enumerate(heads.names) if name.decode("latin-1") in LOST]
        for row in lost:
            number, end = int(cpu[row]), int(ts[row])
            before = np.flatnonzero(cpu[:row] == number)
            start = int(ts[before[-1]]) if len(before) else self.cpu_ns.get(number, self.first_ns or 0)
            fields, _ = record_fields(heads.names[row], [heads.bodies[row]])
            count = fields["lost"][0].as_py() if "lost" in fields else None
            self.losses.append(Loss(number, min(start, end), end, count))
        for number in np.unique(cpu).tolist():
            self.cpu_ns[number] = int(ts[np.flatnonzero(cpu == number)[-1]])
