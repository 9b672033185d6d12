"""The contract: the Arrow schema of every table of a capture.

All times are int64 nanoseconds on the recording's clock, never decreasing within a table; addresses are uint64;
`cpu` and `tid` int32; `mm` is an int32 row of the `mm` table, null where nothing tells the address space.
`seq` is the record's position in the recording's merged time order (ties by CPU, then position in that CPU's
buffer): it orders records of equal stamps across tables, which text recordings with microseconds have many of.
`evidence` says where a row comes from: `observed` (a probe saw it), `inferred` (derived), `assumed` (a default).
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from fastgup_trace.errors import SchemaError

CAPTURE_VERSION: Final = 1

TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_I32, _I64, _U64, _BOOL = pa.int32(), pa.int64(), pa.uint64(), pa.bool_()

_HEAD: Final = (("ts_ns", _I64), ("seq", _I64), ("cpu", _I32), ("tid", _I32), ("mm", _I32))


def _table(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([*_HEAD, *columns.items(), ("evidence", TEXT)])


TABLES: Final[dict[str, pa.Schema]] = {
    # A page fault. `ip` where the recorder saw it; `huge` where the fault mapped a PMD.
    "fault": _table(
        address=_U64, ip=_U64, user=_BOOL, write=_BOOL, exec=_BOOL, huge=_BOOL, duration_ns=_I64,
    ),
    # One fast-GUP call. entry: get_user_pages_fast, pin_user_pages_fast, __get_user_pages_fast,
    # get_user_pages_fast_only, futex. path: fast, slow, mixed, failed. The protected walk itself is
    # [irq_off_ns, irq_on_ns], null where not probed. nr_pinned: pages that the call got without its fallback;
    # nr_walked: pages that the walk's own probe reports, null where it has none. `tail`: an irq-off walk of a shared
    # futex on a THP tail page.
    "walk": _table(
        end_ns=_I64, address=_U64, nr_pages=_I64, nr_pinned=_I64, nr_walked=_I64, entry=TEXT, path=TEXT,
        irq_off_ns=_I64, irq_on_ns=_I64, tail=_BOOL,
    ),
    # mmap, munmap, mremap, brk, mprotect, madvise, exec, exit.
    "vma_op": _table(end_ns=_I64, op=TEXT, address=_U64, length=_U64, advice=_I32, result=_I64),
    # One mmu_gather, from tlb_gather_mmu to tlb_finish_mmu. `table_free.gather` and `tlb_flush.gather` are row numbers.
    # cause: munmap, exit, exec, madvise, mremap, brk, mprotect, mmap, reclaim, unknown.
    "gather": _table(
        end_ns=_I64, end_seq=_I64, cause=TEXT, fullmm=_BOOL, start=_U64, end=_U64, mm_users=_I32, nr_tables=_I32,
    ),
    # A page-table page that enters its parent. level: pte, pmd, pud.
    "table_alloc": _table(level=TEXT, table=_U64, address=_U64),
    # A page-table page that leaves its parent; path, batch and freed_ns are what the recorded kernel did with it.
    # path: at_once, batched, by_ipi, direct (freed outside the gather: deposits and spares no walker can see).
    "table_free": _table(
        level=TEXT, table=_U64, address=_U64, mm_users=_I32, gather=_I32, path=TEXT, batch=_U64, freed_ns=_I64,
    ),
    # One wait for other CPUs. kind: broadcast, spin, synchronize_rcu. cause: split, table_free, collapse, tlb, erratum.
    "sync": _table(end_ns=_I64, kind=TEXT, cause=TEXT, function=TEXT, nr_targets=_I32, spins=_I64),
    # get_futex_key: `turn` counts the laps of its loop, 1 for a call that did not go round again.
    "futex": _table(end_ns=_I64, address=_U64, shared=_BOOL, turn=_I64, result=_I32),
    # kind: split_pmd (one PMD mapping), split_page (a folio), collapse, huge_fault.
    "thp": _table(end_ns=_I64, kind=TEXT, address=_U64, mapcount=_I32, result=_I32),
    # An invalidation that the kernel issued. reason: gather, mprotect, madvise, split, collapse, page, range, mm,
    # or the kernel's own word.
    "tlb_flush": _table(reason=TEXT, pages=_I64, start=_U64, end=_U64, fullmm=_BOOL, gather=_I32),
    # phase: raise (target_cpus, nr_targets), entry, exit (reason), handler (callback: the function that ran on `cpu`).
    "ipi": _table(
        phase=TEXT, target_cpus=pa.list_(_U64), nr_targets=_I32, reason=TEXT, callsite=TEXT, callback=TEXT,
    ),
    # phase: queue, invoke (one callback), gp_start, gp_end, qs (a CPU reported), tick, core_begin, core_end (the
    # RCU softirq).
    "rcu": _table(phase=TEXT, flavor=TEXT, func=TEXT, head=_U64, nr=_I64, gp_seq=_I64, qlen=_I64),
    # A context switch on `cpu`; `tid` and prev_tid leave, next_tid enters (0 is the idle task).
    "sched": _table(prev_tid=_I32, next_tid=_I32, prev_state=_I64, next_mm=_I32),
    # op: fork, thread, exec, exit.
    "task": _table(op=TEXT, pid=_I32, child_tid=_I32, comm=TEXT, clone_flags=_U64),
    "irq_off": _table(end_ns=_I64, kind=TEXT),
    # What happened between ts_ns and end_ns and is not in the capture. why: dropped (by the tracer, on `cpu`; count is
    # null where the buffer does not say), `not decoded: REASON`, `cut: WHERE` (the recording ends there).
    "lost": _table(end_ns=_I64, count=_I64, why=TEXT),
    # One address space; `pointer` is the kernel's mm_struct, reused after died_ns. Its row is the `mm` of others.
    "mm": pa.schema(
        [("pid", _I32), ("comm", TEXT), ("pointer", _U64), ("born_ns", _I64), ("died_ns", _I64), ("users_max", _I32),
         ("evidence", TEXT)]
    ),
}  # fmt: skip


def conform(name: str, columns: dict[str, object], rows: int) -> pa.Table:
    """`columns` as the table `name`: what is missing becomes null, types are cast to the schema's.

    Raises SchemaError for a column that the schema does not have.
    """
    schema = TABLES[name]
    if unknown := set(columns) - set(schema.names):
        raise SchemaError(f"table {name}", "columns of its schema", f"{sorted(unknown)}")
    arrays = []
    for field in schema:
        value = columns.get(field.name)
        if value is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(value, str):
            arrays.append(_constant(value, rows))
        else:
            array = value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value)
            if isinstance(array, pa.ChunkedArray):
                array = array.combine_chunks()
            if field.type == TEXT and not pa.types.is_dictionary(array.type):
                array = array.cast(pa.string()).dictionary_encode()
            arrays.append(array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), rows).dictionary_encode() if rows else pa.nulls(0, TEXT)


def check(name: str, table: pa.Table) -> None:
    """Raise SchemaError unless `table` has the schema of `name` and its times never decrease."""
    schema = TABLES[name]
    if table.schema != schema:
        found = f"{table.schema.names}"
        raise SchemaError(f"table {name}", f"columns {schema.names}", found, "ingest the recording again")
    if "ts_ns" in schema.names and len(table) > 1:
        ts = table["ts_ns"].to_numpy()
        if (ts[1:] < ts[:-1]).any():
            row = int((ts[1:] < ts[:-1]).argmax()) + 1
            found = f"{ts[row]} after {ts[row - 1]} in row {row}"
            raise SchemaError(f"table {name}", "times that never decrease", found)
