"""Records written by hand, one a line, as the event tables that a format yields.

    TS CPU TID EVENT FIELD=VALUE ...

TS is in nanoseconds and `common_seq` the line's number. A value is an integer (0x too), a word, `null`, or a mask in
brackets: `target_cpus=[0xe]`. Every record of an event has the fields of its first.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from fastgup_trace import probes
from fastgup_trace.probes import Context, Part
from fastgup_trace.schema import TABLES

Value = int | str | list[int] | None


def by_hand(text: str) -> dict[str, pa.Table]:
    """The event tables of these lines; lines that are empty or begin with # are none."""
    rows: dict[str, list[dict[str, Value]]] = {}
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    for seq, (ts, cpu, tid, event, *fields) in enumerate(lines):
        row: dict[str, Value] = {
            "common_seq": seq,
            "common_ts_ns": int(ts),
            "common_cpu": int(cpu),
            "common_pid": int(tid),
        }
        row.update((name, _value(value)) for name, _, value in (field.partition("=") for field in fields))
        rows.setdefault(event, []).append(row)
    return {event: pa.table({name: _column(name, found) for name in found[0]}) for event, found in rows.items()}


def _value(text: str) -> Value:
    if text == "null":
        return None
    if text.startswith("["):
        return [int(word, 0) for word in text[1:-1].split(",")]
    try:
        return int(text, 0)
    except ValueError:
        return text.replace("_-_", " ")


def _column(name: str, rows: list[dict[str, Value]]) -> pa.Array:
    values = [row[name] for row in rows]
    first = next((value for value in values if value is not None), None)
    if name in ("common_cpu", "common_pid"):
        return pa.array(values, pa.int32())
    if isinstance(first, list):
        return pa.array(values, pa.list_(pa.uint64()))
    if isinstance(first, str):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, pa.uint64() if any(isinstance(v, int) and v >= 1 << 63 for v in values) else pa.int64())


def tables(text: str, **context: object) -> dict[str, pa.Table]:
    """The capture tables of these lines on a machine with `context`."""
    return tables_of(by_hand(text), Context(**context))  # type: ignore[arg-type]


def tables_of(events: Mapping[str, pa.Table], context: Context | None = None) -> dict[str, pa.Table]:
    """The capture tables of a recording that is one part."""
    found: dict[str, pa.Table] = {}
    for tables in probes.to_tables([Part(events)], context or Context()):
        found.update(tables)
    return {name: found.get(name, schema.empty_table()) for name, schema in TABLES.items()}


def column(table: pa.Table, *names: str) -> list[object]:
    """One column as a list, or several as a list of tuples."""
    lists = [table[name].to_pylist() for name in names]
    return lists[0] if len(names) == 1 else list(zip(*lists, strict=True))
