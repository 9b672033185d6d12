"""From records in time order to one Arrow table an event, with what they tell of comms, processes and losses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_trace.ingest.kernel_events.decoder import Batch, EventDecoder
from fastgup_trace.ingest.kernel_events.symbols import Symbols
from fastgup_trace.ingest.perf_data import abi, sideband
from fastgup_trace.ingest.perf_data.attrs import Attr, event_name, place_in_sample
from fastgup_trace.ingest.perf_data.lost import LostRecords
from fastgup_trace.ingest.perf_data.order import Sorted
from fastgup_trace.ingest.perf_data.walk import NO_TIME, TOO_SHORT, UNKNOWN, Records
from fastgup_trace.ingest.records import Wanted, Window, wanted_fields
from fastgup_trace.ingest.unaligned import Int64s, words

if TYPE_CHECKING:
    from fastgup_trace.ingest.perf_data.spread import Spreader

_RAW_BYTES_MIN = 8
"""struct trace_entry: type, flags, preempt count, pid."""

_PIDS = 1 << 22
"""PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h)."""

_NUMBERS = (("ip", abi.IP), ("addr", abi.ADDR), ("period", abi.PERIOD))
"""Fields of a sample that are shown with their event."""


@dataclass
class Decoder:
    """Decodes windows one after another; keeps the position in the merged order."""

    attrs: list[Attr]
    """Grows where a pipe tells of an event late."""
    order: str
    events: EventDecoder
    symbols: Symbols | None
    wanted: Wanted | None
    comms: dict[int, str]
    lost: LostRecords
    untimed: bool
    """No event has times: records are told apart by their position."""
    spreader: Spreader | None
    """For large recordings: what sorts records out in compiled code."""
    seq: int = 0
    _raw_seq: int = 0
    _tgids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1 << 12, np.int32))
    """Process by thread, 0 where not known."""
    _asked: dict[str, tuple[bool, frozenset[str] | None]] = field(default_factory=dict)

    def window(self, found: Sorted) -> Window:
        """Decode a window. Raises RecordingError for an event's format that does not parse."""
        data, records = found.data, found.records
        window = Window({}, {}, {})
        for kind, count in found.own.items():
            if kind in abi.RECORD_NAMES:
                window.counts[sideband.event_of(kind)] = count
            elif kind > abi.BPF_METADATA:
                reason = "record of a kind that is not known"
                _count(window.undecodable, reason, count)
        if self.untimed:
            ts = self.seq + np.arange(len(records), dtype=np.int64)
            records = replace(records, ts=ts)
        others = (self._split if self.spreader is None else self._spread)(window, data, records)
        samples = records.kind[others] == abi.SAMPLE
        self._samples(window, data, records, others[samples])
        if not samples.all():
            self._sideband(window, data, records, others[~samples])
        self.lost.window(records)
        self.seq += len(records)
        return window

    def tgids(self) -> dict[int, int]:
        """Process by thread, of all windows so far."""
        threads = np.flatnonzero(self._tgids)
        return dict(zip(threads.tolist(), (self._tgids[threads]).tolist(), strict=True))

    def _note_processes(self, tids: NDArray[np.int32], pids: NDArray[np.int32]) -> None:
        known = (tids > 0) & (tids < _PIDS) & (pids > 0)
        if not known.all():
            tids, pids = tids[known], pids[known]
        if len(tids):
            self._have_room(int(tids.max()))
        self._tgids[tids] = pids

    def _have_room(self, highest: int) -> None:
        """Room for the process of thread `highest`."""
        if highest >= len(self._tgids):
            self._tgids = np.concatenate([self._tgids, np.zeros(2 * highest - len(self._tgids), np.int32)])

    def _fields(self, name: str) -> tuple[bool, frozenset[str] | None]:
        """Whether the event is wanted, and which of its fields (None: all)."""
        if name not in self._asked:
            self._asked[name] = wanted_fields(self.wanted, name)
        return self._asked[name]

    def _tracepoints(self) -> NDArray[np.bool_]:
        """For each event whether its samples are the kernel's own records."""
        return np.array([attr.type == abi.TRACEPOINT for attr in self.attrs], np.bool_)

    def _spread(self, window: Window, data: NDArray[np.uint8], records: Records) -> Int64s:
        """Decode the kernel's own records; returns the rows of the others, without samples of no event."""
        assert self.spreader is not None
        if len(records):
            self._have_room(min(int(records.tid.max()), _PIDS - 1))
        selected, tgids = self.events.selected, self._tgids[:_PIDS]
        found = self.spreader.window(data, records, self.seq, self._tracepoints(), selected, tgids)
        self._tell_unread(window, *found.tally.tolist())
        self._raw(window, found.batch)
        return found.others

    def _split(self, window: Window, data: NDArray[np.uint8], records: Records) -> Int64s:
        """As `_spread`, column after column."""
        self._note_processes(records.tid, records.pid)
        samples = records.kind == abi.SAMPLE
        # UNKNOWN, TOO_SHORT and NO_TIME are the last places
        raw = np.append(self._tracepoints(), [False] * 3)[records.attr] & (records.raw > 0) & samples
        short = raw & (records.raw_bytes < _RAW_BYTES_MIN)
        unread = short, samples & (records.attr == UNKNOWN), samples & (records.attr == TOO_SHORT)
        self._tell_unread(window, *(int(np.count_nonzero(rows)) for rows in unread))
        rows = np.flatnonzero(raw & ~short)
        if len(rows):
            part = records if len(rows) == len(records) else records.take(rows)
            start, length, cpu = part.place + part.raw, part.raw_bytes.astype(np.int64), part.cpu.astype(np.int64)
            self._raw(window, Batch(data, start, length, part.ts, cpu, lambda row: f"offset {start[row]}"), rows)
        return np.flatnonzero(~raw & ~(samples & (records.attr < 0)))

    def _raw(self, window: Window, batch: Batch, rows: Int64s | None = None) -> None:
        """Tracepoints and probes: the kernel's own record, which its format text describes; `rows` places each."""
        decoded = self.events.window(batch)
        for name, table in decoded.events.items():
            if rows is not None:
                local = table["common_seq"].to_numpy() - self._raw_seq
                seq = table.column_names.index("common_seq")
                table = table.set_column(seq, "common_seq", pa.array(rows[local] + self.seq))
            window.events[name] = table
        for name, count in decoded.counts.items():
            window.counts[name] = window.counts.get(name, 0) + count
        for reason, count in decoded.undecodable.items():
            window.undecodable[reason] = window.undecodable.get(reason, 0) + count
        self._raw_seq += len(batch) if rows is not None else 0

    def _tell_unread(self, window: Window, short: int, unknown: int, too_short: int) -> None:
        """Count samples that are none of the kernel's records, though they should be, and those of no event."""
        _count(window.undecodable, "raw data too short for a kernel event", short)
        _count(window.undecodable, "sample of an event that the header does not have", unknown)
        _count(window.undecodable, "sample too short for its fields", too_short)

    def _samples(self, window: Window, data: NDArray[np.uint8], records: Records, rows: Int64s) -> None:
        """Samples of events that are no tracepoints."""
        attr = records.attr[rows]
        by_name: dict[str, list[int]] = {}
        for number in np.flatnonzero(np.bincount(attr)).tolist():
            by_name.setdefault(event_name(self.attrs[number]), []).append(number)
        for name, numbers in by_name.items():
            window.counts[name] = window.counts.get(name, 0) + int(np.isin(attr, numbers).sum())
            asked_for, fields = self._fields(name)
            if asked_for:
                parts = [self._plain(data, records, rows[attr == number], number, fields) for number in numbers]
                window.events[name] = _in_order(parts)

    def _common(self, records: Records, rows: Int64s) -> dict[str, pa.Array]:
        return {
            "common_seq": pa.array(rows + self.seq),
            "common_ts_ns": pa.array(records.ts[rows]),
            "common_cpu": pa.array(records.cpu[rows]),
            "common_pid": pa.array(records.tid[rows]),
            "common_flags": pa.nulls(len(rows), pa.uint8()),
        }

    def _plain(
        self, data: NDArray[np.uint8], records: Records, rows: Int64s, number: int, fields: frozenset[str] | None
    ) -> pa.Table:
        """Samples of an event that is no tracepoint."""
        columns, place = self._common(records, rows), records.place[rows]
        for name, bit in _NUMBERS:
            at = place_in_sample(self.attrs[number], bit)
            if at < 0 or (fields is not None and fields.isdisjoint((name, f"{name}.sym"))):
                continue
            values = words(data, place + at, f"{self.order}u8").astype(np.uint64)
            columns[name] = pa.array(values)
            if name == "ip" and self.symbols is not None:
                misc = words(data, place + 4, f"{self.order}u2").astype(np.int64)
                columns["ip.sym"] = _symbols(self.symbols, values, misc & abi.CPUMODE_MASK == abi.CPUMODE_KERNEL)
        return pa.table(columns)

    def _sideband(self, window: Window, data: NDArray[np.uint8], records: Records, rows: Int64s) -> None:
        size = words(data, records.place[rows] + 6, f"{self.order}u2").astype(np.int64)
        kinds = records.kind[rows]
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            name = sideband.event_of(kind)
            of_kind = kinds == kind
            window.counts[name] = window.counts.get(name, 0) + int(of_kind.sum())
            whole = of_kind & (size >= sideband.bytes_min(kind))
            _count(window.undecodable, "record too short for a field", int(np.count_nonzero(of_kind & ~whole)))
            mine, sizes = rows[whole], size[whole]
            place = records.place[mine]
            self._note(data, records, mine, place, sizes, kind)
            asked_for, fields = self._fields(name)
            if not asked_for or not len(mine):
                continue
            columns = self._common(records, mine)
            thread = sideband.thread_of(data, place, kind, self.order)
            if thread is not None:
                tid = records.tid[mine]
                columns["common_pid"] = pa.array(np.where(tid < 0, thread, tid))
            if fields is None or "synthesized" in fields:
                columns["synthesized"] = pa.array((records.attr[mine] == NO_TIME).astype(np.uint8))
            window.events[name] = pa.table(columns | sideband.columns(data, place, sizes, kind, self.order, fields))

    def _note(
        self, data: NDArray[np.uint8], records: Records, rows: Int64s, place: Int64s, size: Int64s, kind: int
    ) -> None:
        """What a record tells of threads' names and processes, and of losses."""
        if kind in (abi.COMM, abi.FORK):
            found = sideband.numbers(data, place, kind, self.order)
            tid = found["tid"].astype(np.int32)
            self._note_processes(tid, found["pid"].astype(np.int32))
            if kind == abi.COMM:
                comms = sideband.texts(data, place + 16, place + size).to_pylist()
                self.comms.update(
                    (thread, comm) for thread, comm in zip(tid.tolist(), comms, strict=True) if thread > 0
                )
            else:
                for thread, parent in zip(tid.tolist(), found["ptid"].tolist(), strict=True):
                    if thread > 0 and parent in self.comms:
                        self.comms.setdefault(thread, self.comms[parent])
        elif kind in (abi.LOST, abi.LOST_SAMPLES):
            count = sideband.numbers(data, place, kind, self.order)["lost"].astype(np.uint64)
            misc = words(data, place + 4, f"{self.order}u2").astype(np.int64)
            meant = (kind == abi.LOST_SAMPLES) & (misc & abi.MISC_LOST_SAMPLES_BPF != 0)
            self.lost.note(records, rows[~meant], count[~meant].tolist(), kind)


def _count(counts: dict[str, int], reason: str, number: int) -> None:
    if number:
        counts[reason] = counts.get(reason, 0) + number


def _symbols(symbols: Symbols, addresses: NDArray[np.uint64], kernel: NDArray[np.bool_]) -> pa.Array:
    known, inverse = np.unique(addresses, return_inverse=True)
    names = symbols.names(known)
    place = {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name is not None))}
    codes = np.array([place.get(name, 0) if name is not None else 0 for name in names] or [0], np.int32)[inverse]
    found = np.array([name is not None for name in names], np.bool_)[inverse] & kernel
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=~found), pa.array(list(place), pa.string()))


def _in_order(parts: list[pa.Table]) -> pa.Table:
    """Samples of one name from several events, in the recording's order."""
    if len(parts) == 1:
        return parts[0]
    return pa.concat_tables(parts, promote_options="default").unify_dictionaries().sort_by("common_seq")
