"""walk and futex: calls of fast GUP, how each ended, and the futex keys that needed one."""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import last_before, match, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Bools, Ints, Rows, stack

# The function behind every entry: since 5.8 (376a34efa4ee) and since 6.12.
INTERNAL: Final = ("internal_get_user_pages_fast", "gup_fast_fallback")
ENTRIES: Final = ("get_user_pages_fast", "pin_user_pages_fast", "get_user_pages_fast_only", "__get_user_pages_fast")
FALLBACKS: Final = ("get_user_pages_unlocked", "__gup_longterm_locked")
FOREVER: Final = np.iinfo(np.int64).max


def walks(records: Records, context: Context) -> Rows:
    """Rows of `walk`; `nr_pinned` is what the lockless walk pinned, without what a fallback added."""
    if records.like("gup_fast", "gup_walk"):
        return _recorded(records)
    return _probed(records, context) if records.like(*INTERNAL) else _entries(records)


def _path(records: Records, fast: Bools, slow: Bools, failed: Bools, mixed: Bools) -> Ints:
    code = records.code
    return np.select([failed, fast, slow, mixed], [code(w) for w in ("failed", "fast", "slow", "mixed")], NULL)


def _probed(records: Records, context: Context) -> Rows:
    """internal_get_user_pages_fast, with what the same thread did before it returned."""
    rows = records.rows(*INTERNAL, fields=("start", "nr"))
    ends = records.rows(*(f"{name}_ret" for name in INTERNAL), fields=("ret",)).having()
    thread = rows.thread
    end = match(thread, rows["seq"], ends.thread, ends["seq"])
    later = next_after(thread, rows["seq"], thread, rows["seq"])
    until = np.where(later >= 0, rows.at("seq", later), FOREVER)
    until = np.where(end >= 0, ends.at("seq", end), until)
    ret, end_ns = ends.at("ret", end), ends.at("ts_ns", end)

    fallbacks = records.rows(*FALLBACKS, fields=("nr",))
    fallback = _first_inside(fallbacks, rows, until)
    fell, rest = fallback >= 0, fallbacks.at("nr", fallback)
    off, on = records.rows("gup_irqs_off_*"), records.rows("gup_irqs_on_*")

    nr, known = rows["nr"], rows["nr"] != NULL
    by_walk = np.where(fell, np.where(known & (rest != NULL), np.maximum(nr - rest, 0), NULL), ret)
    failed = (ret != NULL) & (ret <= 0)
    slow, mixed = fell & (by_walk == 0), fell & (by_walk > 0)
    fast = ~fell & known & (ret == nr)
    partial = ~fell & known & (ret > 0) & (ret < nr)  # FOLL_FAST_ONLY stops where the walk stops
    if records.like(*FALLBACKS):
        # Entry probes only: where the fallback is probed and was not called, the walk did it.
        fast |= ~fell & known & (ret == NULL) & (rows["seq"] < until)
    return rows.having(
        end_ns=end_ns,
        address=rows["start"],
        nr_pages=nr,
        nr_pinned=np.where((by_walk < 0) & (by_walk != NULL), 0, by_walk),
        entry=_entry(records, rows, context),
        path=_path(records, fast, slow, failed, mixed | partial),
        irq_off_ns=off.at("ts_ns", _first_inside(off, rows, until)),
        irq_on_ns=on.at("ts_ns", _first_inside(on, rows, until)),
        pointer=NULL,
    )


def _first_inside(points: Rows, rows: Rows, until: Ints) -> Ints:
    """For each row the first of `points` on its thread after it and before `until`."""
    found = next_after(points.thread, points["seq"], rows.thread, rows["seq"])
    return np.where(points.at("seq", found) < until, found, -1)


def _entry(records: Records, rows: Rows, context: Context) -> Ints:
    """The entry point that led to each walk: the thread's last since its walk before; futex where a key wanted it."""
    entries = records.rows(*ENTRIES)
    before = last_before(rows.thread, rows["seq"], rows.thread, rows["seq"])
    entry = last_before(entries.thread, entries["seq"], rows.thread, rows["seq"])
    name = np.where(entries.at("seq", entry) > rows.at("seq", before), entries.at("event", entry), NULL)
    keys = _futex_keys(records)
    key = last_before(keys.thread, keys["seq"], rows.thread, rows["seq"])
    page = ~np.int64(context.page_size - 1)
    wanted = (rows["seq"] < keys.at("end_seq", key)) & (keys.at("address", key) & page == rows["start"] & page)
    return np.where(wanted & (key >= 0) & (rows["start"] != NULL), records.code("futex"), name)


def _recorded(records: Records) -> Rows:
    """gup_fast and gup_walk of the 2014 instrumentation: a walk belongs to the gup_fast that returns right after it,
    but not one that found interrupts off, which get_user_pages_fast never does: that is get_futex_key's own."""
    calls = records.rows("gup_fast", fields=("mm", "start", "nr_pages", "nr_fast", "ret"))
    inner = records.rows("gup_walk", fields=("mm", "start", "nr_pages", "nr", "irqs_off"))
    before = last_before(calls.thread, calls["seq"], calls.thread, calls["seq"])
    walk = last_before(inner.thread, inner["seq"], calls.thread, calls["seq"])
    mine = (inner.at("seq", walk) > calls.at("seq", before)) & (inner.at("irqs_off", walk) <= 0)
    walk = np.where(mine & (inner.at("start", walk) == calls["start"]), walk, -1)
    ret, fast = calls["ret"], calls["nr_fast"]
    code = records.code
    whole = calls.having(
        address=calls["start"],
        pointer=calls["mm"],
        nr_pinned=fast,
        nr_walked=inner.at("nr", walk),
        end_ns=calls["ts_ns"],
        entry=code("get_user_pages_fast"),
        path=_path(records, fast == calls["nr_pages"], fast == 0, ret <= 0, fast > 0),
        irq_on_ns=inner.at("ts_ns", walk),
        tail=0,
    )
    alone = inner.take(np.setdiff1d(np.arange(len(inner)), walk))
    nr = alone["nr"]
    alone = alone.having(
        address=alone["start"],
        pointer=alone["mm"],
        nr_pinned=nr,
        nr_walked=nr,
        end_ns=alone["ts_ns"],
        entry=code("__get_user_pages_fast"),
        path=_path(records, nr == alone["nr_pages"], nr < 0, nr <= 0, nr > 0),
        irq_on_ns=alone["ts_ns"],
        # get_futex_key holds interrupts off around its walk of a THP tail page (a5b338f2b0b1); the flag is 128 on
        # 3.18 (PSR_I_BIT) and 1 on 3.10 and 3.13.
        tail=(alone["irqs_off"] > 0).astype(np.int64),
    )
    return stack([whole, alone])


def _entries(records: Records) -> Rows:
    """Entry points only (3.x, function tracer): a row a call; __get_user_pages_fast where it is not nested in one."""
    rows = records.rows(*ENTRIES, fields=("start", "nr"))
    nested = rows["event"] == records.code("__get_user_pages_fast")
    before = last_before(rows.thread, rows["seq"], rows.thread, rows["seq"])
    nested &= rows.at("event", before) == records.code("get_user_pages_fast")
    rows = rows.take(np.flatnonzero(~nested))
    ends = records.rows(*(f"{name}_ret" for name in ENTRIES))
    end = match(rows.thread, rows["seq"], ends.thread, ends["seq"])
    return rows.having(
        address=rows["start"], nr_pages=rows["nr"], entry=rows["event"], end_ns=ends.at("ts_ns", end), pointer=NULL
    )


def _futex_keys(records: Records) -> Rows:
    """get_futex_key with its return; `end_seq` is the thread's next key where the return is not recorded."""
    rows = records.rows("get_futex_key", fields=("uaddr", "fshared"))
    ends = records.rows("get_futex_key_ret", fields=("ret",))
    end = match(rows.thread, rows["seq"], ends.thread, ends["seq"])
    later = next_after(rows.thread, rows["seq"], rows.thread, rows["seq"])
    until = np.where(later >= 0, rows.at("seq", later), FOREVER)
    return rows.having(
        address=rows["uaddr"],
        shared=rows["fshared"],
        pointer=NULL,
        end_seq=np.where(end >= 0, ends.at("seq", end), until),
        end_ns=ends.at("ts_ns", end),
        result=ends.at("ret", end),
    )


def futexes(records: Records, context: Context) -> Rows:
    """Rows of `futex`: one a call (turn 1 where it took one lap), and one for each further lap that was recorded."""
    keys = _futex_keys(records)
    again = records.rows("futex_again", fields=("mm", "addr", "n"))
    again = again.having(address=again["addr"], pointer=again["mm"], shared=1, turn=again["n"])
    return stack([keys.having(turn=1), again])
