"""tlb_flush: the invalidations that the kernel issued, as each architecture shows them."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.gathers import gather_of_flush
from fastgup_trace.probes.pairing import joint
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Ints, Rows, stack

# kprobes at the inlined tlb_flush() of arm64: the function that it is inlined into -> reason.
SITES: Final = {
    "tlb_finish_mmu": "gather", "tlb_flush_mmu": "gather", "tlb_remove_table": "gather", "unmap_page_range": "gather",
    "change_protection": "mprotect", "madvise_free_single_vma": "madvise", "madvise_cold": "madvise",
}  # fmt: skip
ARM: Final = {"flush_tlb_mm": "mm", "flush_tlb_range": "range", "flush_tlb_page": "page"}


def flushes(records: Records, context: Context, gathers: Rows) -> Rows:
    """Rows of `tlb_flush`, each with the gather that issued it where one did."""
    return stack(
        [
            _sites(records, context, gathers),
            _events(records, context, gathers),
            _arm(records, context),
            _splits(records),
        ]
    )


def site_reason(event: str) -> str:
    """`tlb_flush_at_FUNCTION_OFFSET` -> why it flushes; the function's own name where that is not known."""
    function = re.sub(r"_[0-9a-f]+$", "", event.removeprefix("tlb_flush_at_"))
    return SITES.get(function, "gather" if "unmap" in function else function)


def _pages(start: Ints, end: Ints, fullmm: Ints, context: Context) -> Ints:
    known = (start != NULL) & (end != NULL) & (end > start) & (start >= 0) & (fullmm != 1)
    return np.where(known, (np.where(known, end - start, 0) + context.page_size - 1) // context.page_size, NULL)


def _sites(records: Records, context: Context, gathers: Rows) -> Rows:
    rows = records.rows("tlb_flush_at_*", fields=("tlb", "mm", "start", "end", "bits"))
    reasons = {
        event: records.code(site_reason(records.words.texts[event])) for event in np.unique(rows["event"]).tolist()
    }
    fullmm = np.where(rows["bits"] == NULL, NULL, rows["bits"] & 1)
    key = joint(np.concatenate([gathers.thread, rows.thread]), np.concatenate([gathers["tlb"], rows["tlb"]]))
    return rows.having(
        pointer=rows["mm"],
        reason=np.array([reasons[event] for event in rows["event"].tolist()], np.int64),
        fullmm=fullmm,
        pages=_pages(rows["start"], rows["end"], fullmm, context),
        gather=gather_of_flush(gathers, key[: len(gathers)], key[len(gathers) :], rows),
    )


def _events(records: Records, context: Context, gathers: Rows) -> Rows:
    """`tlb_flush`: of the 2014 instrumentation (mm, start, end, fullmm), or x86's own (reason, pages)."""
    rows = records.rows("tlb_flush", fields=("mm", "start", "end", "fullmm", "reason", "pages"))
    theirs = rows["reason"] != NULL
    whole = rows["pages"] == -1  # TLB_FLUSH_ALL
    key = joint(np.concatenate([gathers.thread, rows.thread]), np.concatenate([gathers["pointer"], rows["mm"]]))
    ours = gather_of_flush(gathers, key[: len(gathers)], key[len(gathers) :], rows)
    return rows.having(
        pointer=rows["mm"],
        reason=np.where(theirs, rows["reason"], records.code("gather")),
        fullmm=np.where(theirs, whole.astype(np.int64), rows["fullmm"]),
        pages=np.where(
            theirs, np.where(whole, NULL, rows["pages"]), _pages(rows["start"], rows["end"], rows["fullmm"], context)
        ),
        gather=np.where(theirs | (rows["mm"] == NULL), NULL, ours),
    )


def _arm(records: Records, context: Context) -> Rows:
    """32-bit ARM's out-of-line functions (arch/arm/kernel/smp_tlb.c)."""
    rows = records.rows(*ARM, fields=("mm", "start", "end", "addr"))
    reasons = {records.code(function): records.code(reason) for function, reason in ARM.items()}
    page = rows["event"] == records.code("flush_tlb_page")
    whole = (rows["event"] == records.code("flush_tlb_mm")).astype(np.int64)
    start = np.where(page, rows["addr"], rows["start"])
    end = np.where(page & (start != NULL), start + context.page_size, rows["end"])
    return rows.having(
        pointer=rows["mm"],
        reason=np.array([reasons[event] for event in rows["event"].tolist()], np.int64),
        start=start,
        end=end,
        fullmm=whole,
        pages=_pages(start, end, whole, context),
    )


def _splits(records: Records) -> Rows:
    """pmdp_splitting_flush that only flushes: 3.13 as it was, and RFC V1 as recorded."""
    rows = records.rows("thp_split_ipi", fields=("mm", "addr", "kind", "phase"))
    rows = rows.take(np.flatnonzero((rows["kind"] == records.code("tlbflush")) & (rows["phase"] == 0)))
    return rows.having(pointer=rows["mm"], reason=records.code("split"), start=rows["addr"], fullmm=0)
