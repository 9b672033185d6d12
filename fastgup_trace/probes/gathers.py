"""gather, table_free and table_alloc: page-table pages that enter and leave, and the mmu_gather that took them out.

6.x: tlb_gather_mmu to tlb_finish_mmu by (thread, mmu_gather), tlb_remove_table between. The batch of a table is the
`batch` that the gather's next record shows, since tlb_remove_table is probed at its entry.
2014: no gather event; the tables of one thread and mm that its next tlb_flush of that mm closes are one gather.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import enclosing, joint, last_before, match, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Bools, Ints, Rows, stack
from fastgup_trace.probes.syscalls import Calls

FOREVER: Final = int(np.iinfo(np.int64).max)
# A fork of 2014's words; what the recorded kernel did -> path of the capture.
PATHS: Final = {
    "immediate": "at_once", "gather": "at_once", "batched": "batched", "one_sync": "by_ipi", "direct": "direct",
}  # fmt: skip
CAUSE_BY_CALL: Final = {
    "munmap": "munmap", "mmap": "mmap", "brk": "brk", "mremap": "mremap", "madvise": "madvise", "mprotect": "mprotect",
    "exec": "exec", "exit": "exit",
}  # fmt: skip
RECLAIMERS: Final = ("khugepaged", "kswapd", "kcompactd", "ksmd")
BATCH_CALLBACK: Final = "tlb_remove_table_rcu"


def gathers_and_tables(records: Records, context: Context, calls: Calls) -> tuple[Rows, Rows]:
    """Rows of `gather` and of `table_free`; `gather` of a table is the row number of its gather."""
    if "table_free" in records:
        gathers, tables = _gathers_of_tables(records, _instrumented_tables(records, context))
    else:
        gathers, tables = _probed(records)
    return gathers.having(cause=_cause(records, context, calls, gathers)), tables


def table_allocs(records: Records, context: Context) -> Rows:
    rows = records.rows("table_alloc", fields=("mm", "level", "pfn", "addr"))
    return rows.having(pointer=rows["mm"], table=_table_address(rows, context), address=rows["addr"])


def _table_address(rows: Rows, context: Context) -> Ints:
    return np.where(rows["pfn"] == NULL, NULL, rows["pfn"] * context.page_size)


# -- 6.x -------------------------------------------------------------------------------------------------------------


def _probed(records: Records) -> tuple[Rows, Rows]:
    begins = records.rows("tlb_gather_mmu", "tlb_gather_mmu_fullmm", fields=("tlb", "mm", "users"))
    ends = records.rows("tlb_finish_mmu", fields=("tlb", "mm", "users", "batch", "start", "end", "bits"))
    frees = records.rows("tlb_remove_table", fields=("tlb", "table", "mm", "batch", "users"))
    if "tlb_finish_mmu" not in records:
        return Rows(), _without_gather(frees)
    key = joint(
        *(np.concatenate(parts) for parts in zip(*((r.thread, r["tlb"]) for r in (begins, ends, frees)), strict=True))
    )
    begin_key, end_key, free_key = np.split(key, np.cumsum([len(begins), len(ends)]))
    end = match(begin_key, begins["seq"], end_key, ends["seq"])
    later = next_after(begin_key, begins["seq"], begin_key, begins["seq"])
    until = np.where(end >= 0, ends.at("seq", end), np.where(later >= 0, begins.at("seq", later) - 1, FOREVER))
    begins = begins.having(key=begin_key, end_row=end, until=until)
    # A gather whose begin was not recorded starts with the first table that it took.
    orphan = np.setdiff1d(np.arange(len(ends)), end)
    holder = _holder(begins, frees, free_key)
    closing = next_after(end_key, ends["seq"], free_key, frees["seq"])
    first = _first_of(orphan, np.where(holder < 0, closing, -1))
    lost = ends.take(orphan).having(key=end_key[orphan], end_row=orphan, until=ends["seq"][orphan])
    lost = lost.having(
        ts_ns=np.where(first >= 0, frees.at("ts_ns", first), lost["ts_ns"]),
        seq=np.where(first >= 0, frees.at("seq", first), lost["seq"]),
        cpu=np.where(first >= 0, frees.at("cpu", first), lost["cpu"]),
        evidence=records.code("inferred"),
    )
    begins = begins.having(evidence=records.code("observed"))
    rows = stack([begins, lost])
    bits = ends.at("bits", rows["end_row"])
    fullmm = rows["event"] == records.code("tlb_gather_mmu_fullmm")
    # struct mmu_gather: bit 0 is fullmm, 3.x to 6.12.
    fullmm = np.where(bits == NULL, fullmm.astype(np.int64), fullmm | (bits & 1 == 1))
    rows = rows.having(
        pointer=rows["mm"],
        mm_users=rows["users"],
        fullmm=fullmm,
        end_seq=np.where(rows["end_row"] >= 0, rows["until"], NULL),
        end_ns=ends.at("ts_ns", rows["end_row"]),
        start=ends.at("start", rows["end_row"]),
        end=ends.at("end", rows["end_row"]),
    )
    gather = _holder(rows, frees, free_key)
    tables = _fate(records, frees.having(gather=gather, key=free_key), ends.having(key=end_key))
    return rows.having(nr_tables=np.bincount(gather[gather >= 0], minlength=len(rows)).astype(np.int64)), tables


def _holder(gathers: Rows, frees: Rows, free_key: Ints) -> Ints:
    """The gather around each table. Twice the seq leaves room for one that begins at its first table."""
    until = np.where(gathers["until"] == FOREVER, FOREVER, gathers["until"] * 2)
    return enclosing(gathers["key"], gathers["seq"] * 2 - 1, until, free_key, frees["seq"] * 2)


def _first_of(groups: Ints, group_of_row: Ints) -> Ints:
    """For each group the first row that is in it, -1 for none."""
    return next_after(group_of_row, np.arange(len(group_of_row)), groups, np.full(len(groups), -1))


def _without_gather(frees: Rows) -> Rows:
    return frees.having(pointer=frees["mm"], mm_users=frees["users"], gather=NULL)


def _fate(records: Records, frees: Rows, ends: Rows) -> Rows:
    """What became of each table: its batch, and when that batch's callback freed it."""
    ends = ends.having(gather=-1)
    marks = stack([frees, ends])
    following = next_after(marks["key"], marks["seq"], frees["key"], frees["seq"])
    after = marks.at("batch", following)
    # batch 0 afterwards: the table filled the batch, which left at once, or there was no page for one.
    batch = np.where((after != NULL) & (after != 0), after, frees["batch"])
    batch = np.where(batch == 0, NULL, batch)
    queue, freed = _queues(records), records.rows(BATCH_CALLBACK, fields=("head",))
    queued = next_after(queue["head"], queue["seq"], batch, frees["seq"])
    callback = _callback_of(queue, freed, batch, queued, frees["seq"])
    one = records.rows("tlb_remove_table_sync_one")
    sync = next_after(one.thread, one["seq"], frees.thread, frees["seq"])
    alone = (after == 0) & (frees["batch"] == 0) & (one.at("seq", sync) < marks.at("seq", following)) & (sync >= 0)
    batched = (batch != NULL) & ((queued >= 0) | (callback >= 0))
    path = np.where(alone, records.code("by_ipi"), np.where(batched, records.code("batched"), NULL))
    return frees.having(
        pointer=frees["mm"],
        mm_users=frees["users"],
        gather=np.where(frees["gather"] < 0, NULL, frees["gather"]),
        path=path,
        batch=batch,
        freed_ns=freed.at("ts_ns", callback),
    )


def _queues(records: Records) -> Rows:
    """call_rcu of table batches."""
    rows = records.rows("call_rcu", fields=("head", "func.sym"))
    return rows.take(np.flatnonzero(rows["func.sym"] == records.code(BATCH_CALLBACK)))


def _callback_of(queue: Rows, freed: Rows, batch: Ints, queued: Ints, since: Ints) -> Ints:
    """The callback that freed each batch: the next of that head, unless the page was queued as another batch before."""
    start = np.where(queued >= 0, queue.at("seq", queued), since)
    callback = next_after(freed["head"], freed["seq"], batch, start)
    reuse = next_after(queue["head"], queue["seq"], batch, start)
    reused = (reuse >= 0) & (queue.at("seq", reuse) < freed.at("seq", callback))
    return np.where((batch == NULL) | reused, -1, callback)


# -- 2014 ------------------------------------------------------------------------------------------------------------


def _instrumented_tables(records: Records, context: Context) -> Rows:
    fields = ("mm", "mm_users", "level", "pfn", "addr", "path", "batch", "fullmm")
    rows = records.rows("table_free", fields=fields)
    if not len(rows):
        return rows
    path = np.full(len(rows), NULL)
    for theirs, ours in PATHS.items():
        path[rows["path"] == records.code(theirs)] = records.code(ours)
    freed = records.rows("table_batch_freed", fields=("batch", "nr"))
    batch = np.where(rows["batch"] == 0, NULL, rows["batch"])
    callback = next_after(freed["batch"], freed["seq"], batch, rows["seq"])
    return rows.having(
        pointer=rows["mm"],
        table=_table_address(rows, context),
        address=rows["addr"],
        path=path,
        batch=batch,
        freed_ns=np.where(batch == NULL, NULL, freed.at("ts_ns", callback)),
    )


def _gathers_of_tables(records: Records, tables: Rows) -> tuple[Rows, Rows]:
    flushes = records.rows("tlb_flush", fields=("mm", "start", "end", "fullmm"))
    inside = np.flatnonzero(tables["path"] != records.code("direct"))
    key = joint(np.concatenate([tables.thread, flushes.thread]), np.concatenate([tables["mm"], flushes["mm"]]))
    key, flush_key = key[: len(tables)], key[len(tables) :]
    closing = next_after(flush_key, flushes["seq"], key[inside], tables["seq"][inside])
    group = joint(key[inside], closing)
    _, first, inverse, count = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(tables["seq"][inside[first]], kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    rows, close = tables.take(inside[first[order]]), closing[first[order]]
    gather = np.full(len(tables), NULL)
    gather[inside] = rank[inverse.reshape(-1)]
    rows = rows.having(
        end_ns=flushes.at("ts_ns", close),
        end_seq=flushes.at("seq", close),
        start=flushes.at("start", close),
        end=flushes.at("end", close),
        nr_tables=count[order].astype(np.int64),
        evidence=records.code("inferred"),
    )
    return rows, tables.having(gather=gather)


# -- both ------------------------------------------------------------------------------------------------------------


def _cause(records: Records, context: Context, calls: Calls, gathers: Rows) -> Ints:
    """Why each gather was: the system call around it; exit or exec for a whole mm; reclaim for kernel threads."""
    code = records.code
    call = calls.around(gathers)
    op = calls.rows.at("op", call)
    cause = np.full(len(gathers), code("unknown"))
    for name, why in CAUSE_BY_CALL.items():
        cause[op == code(name)] = code(why)
    # 3.x under the function tracer: unmap_region of do_munmap, since the thread's gather before.
    unmap = records.rows("unmap_region")
    unmapped = next_after(unmap.thread, unmap["seq"], gathers.thread, _previous_end(gathers))
    cause[(op == NULL) & (unmapped >= 0) & (unmap.at("seq", unmapped) < gathers["end_seq"])] = code("munmap")
    whole = (gathers["fullmm"] == 1) | (gathers["mm_users"] == 0)
    cause[whole] = code("exit")
    cause[whole & ((op == code("exec")) | _execs_next(records, gathers))] = code("exec")
    reclaimers = [tid for tid, comm in context.comms.items() if comm.startswith(RECLAIMERS)]
    cause[np.isin(gathers["tid"], reclaimers)] = code("reclaim")
    return cause


def _previous_end(gathers: Rows) -> Ints:
    """Where the thread's gather before each began; -1 for its first."""
    before = last_before(gathers.thread, gathers["seq"], gathers.thread, gathers["seq"])
    return np.where(before >= 0, gathers.at("end_seq", before), -1)


def _execs_next(records: Records, gathers: Rows) -> Bools:
    """The thread goes on to exec and not to exit. sched_process_exit comes after exit_mm (kernel/exit.c)."""
    tasks = records.rows("sched_process_exec", "sched_process_exit")
    row = next_after(tasks["tid"], tasks["seq"], gathers["tid"], gathers["seq"])
    execs: Bools = tasks.at("event", row) == records.code("sched_process_exec")
    return execs


def gather_of_flush(gathers: Rows, keys: Ints, flush_keys: Ints, flushes: Rows) -> Ints:
    """The gather that each flush belongs to: that of its key open at the time or ended by it."""
    row = last_before(keys, gathers["seq"], flush_keys, flushes["seq"], or_at=True)
    end = np.where(gathers["end_seq"] == NULL, FOREVER, gathers["end_seq"])
    gathers = gathers.having(end_or_open=end)
    return np.where((row >= 0) & (gathers.at("end_or_open", row) >= flushes["seq"]), row, NULL)
