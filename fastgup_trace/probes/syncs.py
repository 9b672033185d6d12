"""sync: waits for other CPUs. A broadcast call that returns when all have answered, or a spin on a reader count."""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.pairing import last_before, match, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Ints, Rows, stack

SPLITTERS: Final = ("pmdp_splitting_flush", "split_huge_page", "split_huge_page_to_list", "__split_huge_page_pmd")
COLLAPSERS: Final = ("pmdp_collapse_flush", "collapse_and_free_pmd", "collapse_huge_page", "collapse_pte_mapped_thp")
BROADCASTS: Final = ("smp_call_function_many_cond", "smp_call_function_many", "on_each_cpu_cond_mask")
ERRATUM: Final = "ipi_flush_tlb_a15_erratum"


def syncs(records: Records) -> Rows:
    """Rows of `sync`; `nr_targets` where the call's CPU mask was recorded."""
    return stack(
        [_sync_one(records), _one_table(records), _splits(records), _kicks(records), _spins(records), _erratum(records)]
    )


def _pair(rows: Rows, ends: Rows) -> Rows:
    end = match(rows.thread, rows["seq"], ends.thread, ends["seq"])
    return rows.having(end_ns=ends.at("ts_ns", end), end_seq=ends.at("seq", end), pointer=NULL)


def _sync_one(records: Records) -> Rows:
    """tlb_remove_table_sync_one (6.1 and later): a collapse where the thread flushed a PMD for one just before."""
    rows = _pair(records.rows("tlb_remove_table_sync_one"), records.rows("tlb_remove_table_sync_one_ret"))
    collapse = records.rows(*COLLAPSERS, fields=("mm",))
    table = records.rows("tlb_remove_table")
    collapsed = last_before(collapse.thread, collapse["seq"], rows.thread, rows["seq"])
    freed = last_before(table.thread, table["seq"], rows.thread, rows["seq"])
    by_collapse = (collapsed >= 0) & (collapse.at("seq", collapsed) > table.at("seq", freed))
    return rows.having(
        kind=records.code("broadcast"),
        cause=np.where(by_collapse, records.code("collapse"), records.code("table_free")),
        function=records.code("tlb_remove_table_smp_sync"),
        nr_targets=_targets(records, rows),
        pointer=np.where(by_collapse, collapse.at("mm", collapsed), NULL),
    )


def _targets(records: Records, rows: Rows) -> Ints:
    """CPUs that the call inside each row goes to: those of its mask without the caller's own."""
    calls = records.rows(*BROADCASTS, fields=("mask",))
    call = next_after(calls.thread, calls["seq"], rows.thread, rows["seq"])
    inside = (call >= 0) & ((rows["end_seq"] == NULL) | (calls.at("seq", call) < rows["end_seq"]))
    return np.where(inside, _others(calls.at("mask", call), rows["cpu"]), NULL)


def _others(mask: Ints, cpu: Ints) -> Ints:
    """Bits of one-word masks, the CPU's own left out."""
    own = np.where((cpu >= 0) & (cpu < 64), np.int64(1) << np.clip(cpu, 0, 63), 0)
    count = np.unpackbits((mask & ~own).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.int64)
    return np.where(mask == NULL, NULL, count)


def _one_table(records: Records) -> Rows:
    """table_one_sync of the 2014 instrumentation, around tlb_remove_table_one's smp_call_function."""
    rows = records.rows("table_one_sync", fields=("pfn", "phase"))
    rows = _pair(rows.take(np.flatnonzero(rows["phase"] == 0)), rows.take(np.flatnonzero(rows["phase"] == 1)))
    raised = _raised(records, rows)
    return rows.having(
        kind=records.code("broadcast"), cause=records.code("table_free"), nr_targets=raised,
        function=records.code("smp_call_function"),
    )  # fmt: skip


def _raised(records: Records, rows: Rows) -> Ints:
    """Targets of the first ipi_raise inside each row; the kernels of 2014 raise for every target of a broadcast."""
    raises = records.rows("ipi_raise", fields=("target_cpus", "mask", "reason", "nr"))
    reason = np.where(raises["reason"] != NULL, raises["reason"], raises["nr"])
    raises = raises.take(np.flatnonzero(reason == records.code("Function call interrupts")))
    row = next_after(raises.thread, raises["seq"], rows.thread, rows["seq"])
    inside = (row >= 0) & (raises.at("seq", row) < rows["end_seq"])
    mask = raises.at("mask", row)
    bits = np.where(
        mask == NULL, records.words.bits(raises.at("target_cpus", row)), _others(mask, np.full(len(rows), -1))
    )
    return np.where(inside, bits, NULL)


def _splits(records: Records) -> Rows:
    """thp_split_ipi: the broadcast of pmdp_splitting_flush. A mere TLB flush is no wait, and no row here."""
    rows = records.rows("thp_split_ipi", fields=("mm", "addr", "kind", "phase"))
    begin = rows.take(np.flatnonzero((rows["phase"] == 0) & (rows["kind"] != records.code("tlbflush"))))
    pointer = begin["mm"]
    begin = _pair(begin, rows.take(np.flatnonzero(rows["phase"] == 1)))
    spin = begin["kind"] == records.code("gup_readers")
    return begin.having(
        kind=np.where(spin, records.code("spin"), records.code("broadcast")), cause=records.code("split"),
        function=begin["kind"], nr_targets=_raised(records, begin), pointer=pointer,
    )  # fmt: skip


def _kicks(records: Records) -> Rows:
    """kick_all_cpus_sync, function tracer or kprobe: a split's, where the thread began one just before."""
    if "thp_split_ipi" in records:
        return Rows()
    rows = _pair(records.rows("kick_all_cpus_sync"), records.rows("kick_all_cpus_sync_ret"))
    split = records.rows(*SPLITTERS)
    begun = last_before(split.thread, split["seq"], rows.thread, rows["seq"])
    before = last_before(rows.thread, rows["seq"], rows.thread, rows["seq"])
    of_split = (begun >= 0) & (split.at("seq", begun) > rows.at("seq", before))
    return rows.having(
        kind=records.code("broadcast"),
        cause=np.where(of_split, records.code("split"), NULL),
        function=records.code("kick_all_cpus_sync"),
        nr_targets=_next_raise(records, rows),
    )


def _next_raise(records: Records, rows: Rows) -> Ints:
    """Targets of the thread's next ipi_raise, for calls whose return is not recorded."""
    later = next_after(rows.thread, rows["seq"], rows.thread, rows["seq"])
    until = np.where(later >= 0, rows.at("seq", later), np.iinfo(np.int64).max)
    return _raised(records, rows.having(end_seq=np.where(rows["end_seq"] == NULL, until, rows["end_seq"])))


def _spins(records: Records) -> Rows:
    """readers_wait (RFC V1): how often the freeing side turned until no reader was left."""
    rows = records.rows("readers_wait", fields=("mm", "where", "spins"))
    return rows.having(
        kind=records.code("spin"), cause=records.code("table_free"), pointer=rows["mm"], end_ns=rows["ts_ns"],
        function=rows["where"],
    )  # fmt: skip


def _erratum(records: Records) -> Rows:
    """Erratum 798181: smp_call_function_many(ipi_flush_tlb_a15_erratum), that is with CPUs to ask."""
    rows = records.rows("smp_call_function_many_cond", "smp_call_function_many", fields=("mask", "func.sym"))
    ends = records.rows("smp_call_function_many_cond_ret", "smp_call_function_many_ret")
    rows = rows.having(pointer=NULL)
    paired = _pair(rows, ends)
    paired = paired.take(np.flatnonzero(paired["func.sym"] == records.code(ERRATUM)))
    flush = records.rows("broadcast_tlb_mm_a15_erratum", fields=("mm",))
    row = last_before(flush.thread, flush["seq"], paired.thread, paired["seq"])
    return paired.having(
        kind=records.code("broadcast"), cause=records.code("erratum"), function=records.code(ERRATUM),
        nr_targets=_others(paired["mask"], paired["cpu"]), pointer=flush.at("mm", row),
    )  # fmt: skip
