"""From the records of a window to one Arrow table an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.kernel_events.batches import EVENT_IDS, Batch, Group, groups
from fastgup_trace.ingest.kernel_events.fields import MESSAGE, Column, Context, Rows, asked_for, decode, with_numbers
from fastgup_trace.ingest.kernel_events.formats import Field, Format, Formats
from fastgup_trace.ingest.kernel_events.messages import Messages, are_messages
from fastgup_trace.ingest.kernel_events.stacks import KERNEL, STACKS, Owners, are_stacks, caller_symbols
from fastgup_trace.ingest.records import Wanted, WantedRecords, Window, wanted_fields
from fastgup_trace.ingest.unaligned import words

_COMMON = {"common_type": (0, 2), "common_flags": (2, 1), "common_preempt_count": (3, 1), "common_pid": (4, 4)}
"""struct trace_entry as it has been since 2.6.31: place and size."""

_ENTRY = (
    Field("common_pid", "int", None, 4, 4, True),
    Field("common_flags", "unsigned char", None, 2, 1, False),
)

FUNCTION = "function"

__all__ = ["Batch", "EventDecoder"]


class EventDecoder:
    """Decodes windows one after another; keeps the position in the merged order."""

    def __init__(self, formats: Formats, context: Context, wanted: Wanted | None, path: str, *, strict: bool) -> None:
        self._formats, self._context, self._path, self._strict = formats, context, path, strict
        self._names = formats.names()
        self._wanted = wanted
        self._only = wanted.only if isinstance(wanted, WantedRecords) else {}
        self._seq = 0
        self._owners = Owners()
        self._messages = Messages(context.order, context.long_bytes, context.symbols)
        self._usable = dict[int, Format | None]()
        self._asked = dict[str, tuple[bool, frozenset[str] | None]]()
        self.selected = self._select()
        """For each event id whether its records are needed: they are wanted, or nothing is known of the event."""

    def _select(self) -> NDArray[np.bool_]:
        selected = np.ones(EVENT_IDS, np.bool_)
        if self._wanted is not None:
            names = {name for name in self._wanted if not name.endswith("*")}
            prefixes = tuple(name[:-1] for name in self._wanted if name.endswith("*"))
            names |= STACKS if STACKS & names else frozenset()  # a process's stack comes behind the kernel's
            for number, name in self._names.items():
                selected[number] = name in names or name == FUNCTION or name.startswith(prefixes)
        return selected

    def window(self, batch: Batch) -> Window:
        """Decode a batch. Raises RecordingError for a record of an event without a format, if `strict`."""
        counts, found = groups(batch, self.selected, self._context.order, self._seq)
        window = Window({}, {}, {})
        undecodable = Counter[str]()
        for number in np.flatnonzero(counts).tolist():
            name, count = self._names.get(number), int(counts[number])
            if name is None:
                self._unknown(number, batch)
                undecodable["record of an event without a format"] += count
            elif not self.selected[number] or self._format(number) is None:
                window.counts[name] = window.counts.get(name, 0) + count
                if self.selected[number]:
                    undecodable[f"{name}: its format can't be used"] += count
        for group in found:
            format_ = self._format(group.id)
            if format_ is None:
                continue
            for name, part in self._named(format_, batch, group):
                window.counts[name] = window.counts.get(name, 0) + len(part)
                is_wanted, fields = self._fields(name)
                owners = self._owners.column(name, part) if name in STACKS else None
                if not is_wanted:
                    continue
                part = self._worth_decoding(format_, batch, part)
                table, short = self._table(format_, fields, batch, part)
                if owners is not None and (fields is None or "of_seq" in fields):
                    table = table.append_column("of_seq", owners)
                if short:
                    undecodable["record too short for a field"] += short
                if name in window.events:  # two systems may have events of one name
                    table = _joined(window.events[name], table)
                window.events[name] = table
        window.undecodable.update(undecodable)
        self._seq += int(counts.sum())
        return window

    def _unknown(self, number: int, batch: Batch) -> None:
        if self._strict:
            row = int(np.argmax(words(batch.data, batch.start, f"{self._context.order}u2") == number))
            where = f"{self._path}: {batch.place(row)}"
            raise RecordingError(where, "a record of an event whose format the file has", f"event {number}", ADVICE)

    def _fields(self, name: str) -> tuple[bool, frozenset[str] | None]:
        """Whether the event is wanted, and which of its fields (None: all)."""
        if name not in self._asked:
            self._asked[name] = wanted_fields(self._wanted, name)
        return self._asked[name]

    def _format(self, number: int) -> Format | None:
        """The event's format; None if there is none, or it is not one, or has the common fields elsewhere."""
        if number not in self._usable:
            try:
                format_ = self._formats[number]
            except (KeyError, RecordingError):
                self._usable[number] = None
            else:
                places = {field.name: (field.offset, field.size) for field in format_.common}
                sound = all(places.get(name) == place for name, place in _COMMON.items())
                self._usable[number] = format_ if sound else None
        return self._usable[number]

    def _named(self, format_: Format, batch: Batch, group: Group) -> Iterator[tuple[str, Group]]:
        """The event's name with its records; the function tracer's records by the function that they saw."""
        ip = next((field for field in format_.fields if field.name == "ip"), None)
        if format_.name != FUNCTION or format_.system != "ftrace" or ip is None:
            yield format_.name, group
            return
        addresses = self._addresses(ip, batch, group)
        known, inverse = np.unique(addresses, return_inverse=True)
        names = [
            name or f"{address:#x}"
            for name, address in zip(self._context.symbols.names(known), known.tolist(), strict=True)
        ]
        codes, places = np.unique(np.array(names), return_inverse=True)
        code = places[inverse]
        by_name = np.argsort(code, kind="stable")
        for part in np.split(by_name, np.flatnonzero(np.diff(code[by_name])) + 1):
            yield f"{FUNCTION}:{codes[code[part[0]]]}", group.take(part)

    def _addresses(self, ip: Field, batch: Batch, group: Group) -> NDArray[np.uint64]:
        fits = group.length >= ip.offset + ip.size
        place = np.where(fits, group.start + ip.offset, 0)
        found = words(batch.data, place, f"{self._context.order}u{ip.size}").astype(np.uint64)
        return np.where(fits, found, np.uint64(0))

    def _worth_decoding(self, format_: Format, batch: Batch, group: Group) -> Group:
        """Of an event whose field tells which records are of use, those; and any too short to have the field."""
        name, values = self._only.get(format_.name, ("", ()))
        field = next((field for field in format_.fields if field.name == name), None)
        if field is None or field.size not in (1, 2, 4, 8):
            return group
        fits = group.length >= field.offset + field.size
        dtype = f"{self._context.order}{'i' if field.signed else 'u'}{field.size}"
        found = words(batch.data, np.where(fits, group.start + field.offset, 0), dtype).astype(np.int64)
        return group.take(np.flatnonzero(np.isin(found, values) | ~fits))

    def _table(self, format_: Format, names: frozenset[str] | None, batch: Batch, group: Group) -> tuple[pa.Table, int]:
        data, order = batch.data, self._context.order
        fields = asked_for(format_, names)
        rows = Rows(data, group.start, group.length)
        if batch.ids is not None and order == "<":
            rows = with_numbers(rows, [*_ENTRY, *fields])
        pid, flags = rows.numbers.get("common_pid"), rows.numbers.get("common_flags")
        columns: dict[str, Column] = {
            "common_seq": pa.array(group.seq.copy()),
            "common_ts_ns": pa.array(group.ts.copy()),
            "common_cpu": pa.array(group.cpu.astype(np.int32)),
            "common_pid": pa.array(words(data, group.start + 4, f"{order}i4").astype(np.int32) if pid is None else pid),
            "common_flags": pa.array(data[group.start + 2] if flags is None else flags),
        }
        own, short = decode(format_, fields, rows, self._context, names)
        if format_.name == KERNEL and are_stacks(own.get("caller")) and (names is None or "caller.sym" in names):
            own["caller.sym"] = caller_symbols(own["caller"], self._context.symbols)
        if format_.name == "bprint" and are_messages(own) and (names is None or MESSAGE in names):
            own[MESSAGE] = self._messages.column(own["fmt"], own["buf"])
        return pa.table(columns | own), len(short)


def _joined(first: pa.Table, second: pa.Table) -> pa.Table:
    table = pa.concat_tables([first, second], promote_options="default").unify_dictionaries()
    return table.sort_by("common_seq")
