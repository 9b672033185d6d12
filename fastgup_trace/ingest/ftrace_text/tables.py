"""The words of a window's records to typed tables, one an event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.ingest.ftrace_text.decode import Part
from fastgup_trace.ingest.ftrace_text.numbers import Numbers, joined
from fastgup_trace.ingest.ftrace_text.patterns import known_fields, known_numbers
from fastgup_trace.ingest.ftrace_text.spans import Int64s
from fastgup_trace.ingest.ftrace_text.values import (
    NUMERIC,
    Dialect,
    detect,
    numbers_and_text,
    together,
    typed,
    typed_numbers,
    widest,
)

OTHER_SHAPE = "{}: none of its known fields"
OTHER_NUMBER = "{}: a number that does not fit its field"


@dataclass
class Gathered:
    """The records of one event in a window."""

    rows: list[Int64s] = field(default_factory=list)
    size: int = 0
    words: dict[tuple[str, str], list[tuple[Int64s, Part]]] = field(default_factory=dict)
    """(field, kind) -> the event's rows that have it, and its words."""

    def add_words(self, name: str, kind: str, rows: Int64s, words: Part) -> None:
        self.words.setdefault((name, kind), []).append((rows + self.size, words))


@dataclass
class Tables:
    """Makes tables; what a field is stays from window to window."""

    dialect: Dialect
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    """(event, field) -> what the words of an `auto` field looked like so far."""
    types: dict[tuple[str, str], pa.DataType] = field(default_factory=dict)
    """(event, column) -> what it is in the first window that has it, and so in all."""
    undecodable: Counter[str] = field(default_factory=Counter)

    def table(
        self, event: str, gathered: Gathered, wanted: frozenset[str] | None, seq: Int64s, common: tuple[Int64s, ...]
    ) -> pa.Table:
        """The records of an event in a window, in order; `seq` and `common` (ts, cpu, pid, flags) are the window's."""
        rows = np.concatenate(gathered.rows)
        seqs = seq[rows]
        order = None
        if not (seqs[1:] > seqs[:-1]).all():
            order = np.argsort(seqs, kind="stable")
            rows, seqs = rows[order], seqs[order]
        ts, cpu, pid, flags = (column[rows] for column in common)
        columns: dict[str, pa.Array] = {
            "common_seq": pa.array(seqs),
            "common_ts_ns": pa.array(ts),
            "common_cpu": pa.array(cpu.astype(np.int32)),
            "common_pid": pa.array(pid.astype(np.int32), mask=pid < 0),
            "common_flags": pa.array(flags.astype(np.uint8), mask=flags < 0),
        }
        misfits = np.zeros(len(rows), bool)
        for (name, kind), parts in gathered.words.items():
            at = np.concatenate([part for part, _ in parts])
            found = self._typed(event, name, kind, [part for _, part in parts])
            if kind in NUMERIC or (kind == "auto" and name in known_numbers(event)):
                misfits[at] |= _nulls([found[key] for key in (name, f"{name}.hashed") if key in found], len(at))
            for column, values in found.items():
                full = _spread(values, at, len(rows))
                _join(columns, column, full if order is None else full.take(pa.array(order)))
        misfits = misfits if order is None else misfits[order]
        shapeless = _shapeless(columns, known_fields(event), wanted, len(rows)) & ~misfits
        for reason, where in (OTHER_NUMBER, misfits), (OTHER_SHAPE, shapeless):
            if where.any():
                self.undecodable[reason.format(event)] += int(where.sum())
        return pa.table(self._as_before(event, columns))

    def _as_before(self, event: str, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The columns of an event with the types that they had in earlier windows: integers keep their 64 bits, what
        is no number any more, or a list, is a column of its own.
        """
        found: dict[str, pa.Array] = {}
        for name, values in columns.items():
            before = self.types.setdefault((event, name), values.type)
            if before == values.type:
                found[name] = values
            elif pa.types.is_integer(before) and pa.types.is_integer(values.type):
                found[name] = values.cast(before, safe=False)
            else:
                found.setdefault(f"{name}.{_class_of(values.type)}", values)
        return found

    def _typed(self, event: str, name: str, kind: str, parts: list[Part]) -> dict[str, pa.Array]:
        numbers = [part for part in parts if isinstance(part, Numbers)]
        if numbers and len(numbers) == len(parts):
            read = joined(numbers)
            found = read.kind() if kind == "auto" else kind
            if kind == "auto" and found:
                found = self.kinds[event, name] = widest(self.kinds.get((event, name), found), found)
            if found in NUMERIC:
                return typed_numbers(name, found, read, self.dialect)
        words = together([part.words() if isinstance(part, Numbers) else part for part in parts])
        if kind == "number":
            return {name: words}
        if kind == "auto":
            kind = detect(words)
            kind = self.kinds[event, name] = widest(self.kinds.get((event, name), kind), kind)
            was_number = (event, name) in self.types and pa.types.is_integer(self.types[event, name])
            if (kind == "text" and was_number) or (kind in {"sym", "text"} and name in known_numbers(event)):
                return numbers_and_text(name, words)
        return typed(name, kind, words, self.dialect)


def _class_of(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "text"
    return "number" if pa.types.is_integer(kind) else "list"


def _nulls(columns: list[pa.Array], size: int) -> npt.NDArray[np.bool_]:
    """Which rows have no value in any of some columns."""
    found = np.ones(size, bool)
    for column in columns:
        found &= column.is_null().to_numpy(zero_copy_only=False) if column.null_count else np.False_
    return found


def _shapeless(
    columns: dict[str, pa.Array], known: frozenset[str], wanted: frozenset[str] | None, size: int
) -> npt.NDArray[np.bool_]:
    """Which of an event's rows have no known field of those that are wanted, though they should have some."""
    told = [values for name, values in columns.items() if name.partition(".")[0] in known]
    is_due = bool(known) and (wanted is None or bool(known & {name.removesuffix(".sym") for name in wanted}))
    if not is_due or any(not values.null_count for values in told):
        return np.zeros(size, bool)
    return _nulls(told, size)


def _spread(values: pa.Array, rows: Int64s, size: int) -> pa.Array:
    """`values` at `rows` of a column of `size`, null elsewhere."""
    if len(rows) == size and bool((rows == np.arange(size)).all()):
        return values
    at = np.full(size, -1, np.int64)
    at[rows] = np.arange(len(rows))
    return values.take(pa.array(at, mask=at < 0))


def _join(columns: dict[str, pa.Array], name: str, values: pa.Array) -> None:
    """Add a column. Where two shapes of an event have the same field, rows have the value of their shape;
    where one is a number and the other text (a symbol that is not known), the text is NAME.text.
    """
    there = columns.get(name)
    if there is None:
        columns[name] = values
    elif pa.types.is_dictionary(there.type) and pa.types.is_dictionary(values.type):
        columns[name] = pc.coalesce(there.cast(pa.string()), values.cast(pa.string())).dictionary_encode()
    elif there.type == values.type:
        columns[name] = pc.coalesce(there, values)
    elif pa.types.is_integer(there.type) and pa.types.is_integer(values.type):
        columns[name] = pc.coalesce(there, values.cast(there.type, safe=False))
    else:
        columns[f"{name}.{_class_of(values.type)}"] = values
