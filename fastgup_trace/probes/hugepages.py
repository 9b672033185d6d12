"""thp: splits of a PMD mapping, splits of a folio, collapses."""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.pairing import enclosing, match
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Rows, stack

SPLIT_PAGE: Final = ("split_huge_page_to_list", "split_huge_page_to_list_to_order", "split_huge_page")


def huge_pages(records: Records) -> Rows:
    """Rows of `thp` with the `pointer` of their mm where the probe has it."""
    return stack([_split_pmds(records), _split_pages(records), _collapses(records)])


def _split_pmds(records: Records) -> Rows:
    """One PMD mapping split.

    2014: pmdp_splitting_flush. 6.x: pmdp_invalidate, since __split_huge_pmd rechecks under the lock and often finds
    nothing to split; a split of the zero page or of a file mapping does not come there.
    """
    splits = records.rows("thp_split_ipi", fields=("mm", "addr", "phase"))
    begin = splits.take(np.flatnonzero(splits["phase"] == 0))
    finish = splits.take(np.flatnonzero(splits["phase"] == 1))
    end = match(begin.thread, begin["seq"], finish.thread, finish["seq"])
    instrumented = begin.having(end_ns=finish.at("ts_ns", end), address=begin["addr"], pointer=begin["mm"])
    # The instrumentation sits inside pmdp_splitting_flush: not both.
    functions = records.rows("pmdp_splitting_flush", fields=("address",)).having(pointer=NULL)
    functions = Rows() if "thp_split_ipi" in records else functions
    invalidated = records.rows("pmdp_invalidate", fields=("mm", "addr"))
    around = records.rows("__split_huge_pmd")
    done = records.rows("__split_huge_pmd_ret")
    end = match(around.thread, around["seq"], done.thread, done["seq"])
    whole = np.flatnonzero(end >= 0)
    call = enclosing(
        around.thread[whole], around["seq"][whole], done["seq"][end[whole]], invalidated.thread, invalidated["seq"]
    )
    finish_row = np.where(call >= 0, end[whole][call], -1) if len(whole) else call
    modern = invalidated.having(
        end_ns=done.at("ts_ns", finish_row), address=invalidated["addr"], pointer=invalidated["mm"]
    )
    return stack([instrumented, functions, modern]).having(kind=records.code("split_pmd"))


def _split_pages(records: Records) -> Rows:
    """split_huge_page_to_list: a folio; result 0 or -EAGAIN (extra pins) as it returned."""
    rows = records.rows(*SPLIT_PAGE, fields=("page",))
    ends = records.rows(*(f"{name}_ret" for name in SPLIT_PAGE), fields=("ret",))
    end = match(rows.thread, rows["seq"], ends.thread, ends["seq"])
    return rows.having(
        end_ns=ends.at("ts_ns", end), result=ends.at("ret", end), kind=records.code("split_page"), pointer=NULL
    )


def _collapses(records: Records) -> Rows:
    """pmdp_collapse_flush: one PMD collapsed; `result` is what collapse_huge_page returned, where that called it."""
    rows = records.rows("pmdp_collapse_flush", fields=("mm", "addr"))
    flushed = records.rows("pmdp_collapse_flush_ret")
    flush_end = match(rows.thread, rows["seq"], flushed.thread, flushed["seq"])
    around = records.rows("collapse_huge_page")
    done = records.rows("collapse_huge_page_ret", fields=("ret",))
    end = match(around.thread, around["seq"], done.thread, done["seq"])
    whole = np.flatnonzero(end >= 0)
    call = enclosing(around.thread[whole], around["seq"][whole], done["seq"][end[whole]], rows.thread, rows["seq"])
    finish = np.where(call >= 0, end[whole][call], -1) if len(whole) else call
    end_ns = np.where(finish >= 0, done.at("ts_ns", finish), flushed.at("ts_ns", flush_end))
    return rows.having(
        end_ns=end_ns,
        address=rows["addr"],
        result=done.at("ret", finish),
        kind=records.code("collapse"),
        pointer=rows["mm"],
    )
