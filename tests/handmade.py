"""Captures made by hand: a few operations with times that a reader can follow, in the shape that ingest gives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from fastgup_trace.schema import TABLES, conform
from fastgup_trace.tables import Capture

MS = 1_000_000


def capture(
    *,
    nr_cpus: int = 4,
    hz: int = 250,
    end_ms: int = 1000,
    batch_alloc_fail_every: int = 0,
    known: tuple[str, ...] = (),
    **tables: list[dict[str, Any]],
) -> Capture:
    """A capture of the given rows; times are in ms under `ms`, `end_ms` etc., `seq` follows the order of all rows.

    Rows take the defaults cpu 0, tid 1, mm 0, evidence observed. Two mms exist: 0 of process 1, 1 of process 2.
    """
    tables.setdefault("mm", [{"pid": 1, "comm": "one"}, {"pid": 2, "comm": "two"}])
    made = {}
    for name, schema in TABLES.items():
        rows = [_row(name, row) for row in tables.get(name, [])]
        rows.sort(key=lambda row: row.get("ts_ns", 0))
        columns = {key: [row.get(key) for row in rows] for key in schema.names}
        arrays = {key: pa.array(values, _plain(schema.field(key).type)) for key, values in columns.items()}
        made[name] = conform(name, dict(arrays), len(rows))
    return Capture(
        {
            "recordings": [], "nr_cpus": nr_cpus, "hz": hz, "page_size": 4096, "arch": "arm64", "start_ns": 0,
            "end_ns": end_ms * MS, "batch_alloc_fail_every": batch_alloc_fail_every, "lost": 0,
            "known": list(known), "sidecars": {},
        },
        made,
    )  # fmt: skip


def _row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    full = {"evidence": "observed", **row}
    if name != "mm":
        full = {"cpu": 0, "tid": 1, "mm": 0, **full}
        full["ts_ns"] = round(full.pop("ms") * MS)
        full.setdefault("seq", full["ts_ns"])
    for key in ("end", "irq_off", "irq_on", "freed"):
        if f"{key}_ms" in full:
            full[f"{key}_ns"] = round(full.pop(f"{key}_ms") * MS)
    if name == "gather" and full.get("end_ns") is not None:
        full.setdefault("end_seq", full["end_ns"])
    return full


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind


def munmap(ms: float, tables: int, *, users: int = 2, gather: int = 0, **where: Any) -> dict[str, Any]:
    """The rows of one munmap that frees `tables` pte tables: a gather of 1 ms with its flush at the end."""
    return {
        "gather": [{"ms": ms, "end_ms": ms + 1, "cause": "munmap", "mm_users": users, "nr_tables": tables, **where}],
        "table_free": [
            {
                "ms": ms + 0.5,
                "seq": round((ms + 0.5) * MS) + n,
                "level": "pte",
                "mm_users": users,
                "gather": gather,
                **where,
            }
            for n in range(tables)
        ],
        "tlb_flush": [{"ms": ms + 1, "reason": "gather", "gather": gather, **where}],
    }


def ticks(nr_cpus: int, until_ms: int, every_ms: int = 4) -> list[dict[str, Any]]:
    """A scheduling-clock interrupt on every CPU every `every_ms`."""
    return [
        {"ms": ms, "cpu": cpu, "phase": "tick", "tid": 100 + cpu}
        for ms in range(every_ms, until_ms, every_ms)
        for cpu in range(nr_cpus)
    ]


def busy(nr_cpus: int) -> list[dict[str, Any]]:
    """One context switch on every CPU at time 0, from a thread to a thread: no CPU is idle."""
    return [
        {"ms": 0, "cpu": cpu, "tid": 200 + cpu, "prev_tid": 200 + cpu, "next_tid": 100 + cpu} for cpu in range(nr_cpus)
    ]
