"""The timeline of small captures: which rows become which operations, and what is known to be absent."""

from __future__ import annotations

from typing import Any

from handmade import MS, capture, munmap

from fastgup_replay.timeline import Op, build


def kinds(timeline: Any) -> list[str]:
    return [Op(kind).name for kind in timeline.kind.tolist()]


def test_operations_come_in_time_order_and_a_gathers_flush_is_part_of_its_end() -> None:
    timeline = build(capture(**munmap(10, 2), thp=[{"ms": 10.6, "kind": "split_pmd"}]))
    assert kinds(timeline) == ["UNLINK", "UNLINK", "SPLIT", "FINISH"]
    assert timeline.ts_ns.tolist() == [round(ms * MS) for ms in (10.5, 10.5, 10.6, 11)]
    assert timeline.value.tolist()[-1] == 1  # its flush was seen


def test_direct_frees_and_the_flushes_of_thps_are_no_operations() -> None:
    made = capture(
        table_free=[{"ms": 1, "path": "direct"}, {"ms": 2, "path": "batched"}],
        tlb_flush=[{"ms": 3, "reason": "split"}, {"ms": 4, "reason": "mprotect"}],
        thp=[{"ms": 5, "kind": "split_page"}, {"ms": 6, "kind": "collapse"}],
    )
    assert kinds(build(made)) == ["UNLINK", "FLUSH", "COLLAPSE"]


def test_on_x86_a_flush_is_the_senders_own_record_not_what_came_of_it() -> None:
    reasons = ("local mm shootdown", "remote ipi send", "remote shootdown", "flush on task switch")
    flushes = [{"ms": n, "reason": reason} for n, reason in enumerate(reasons)]
    timeline = build(capture(tlb_flush=flushes))
    assert (kinds(timeline), timeline.ts_ns.tolist()) == (["FLUSH"], [0])


def test_a_flush_without_a_gather_ends_the_gather_that_its_thread_just_finished() -> None:
    """arm: flush_tlb_range inside tlb_finish_mmu names no mmu_gather."""
    gather = [{"ms": 10, "end_ms": 20, "nr_tables": 0}]
    flush = [{"ms": 21, "reason": "range"}, {"ms": 30, "reason": "page"}, {"ms": 21, "reason": "range", "tid": 9}]
    timeline = build(capture(gather=gather, tlb_flush=flush))
    assert kinds(timeline) == ["FINISH", "FLUSH", "FLUSH"]
    assert timeline.value.tolist()[0] == 1
    assert sorted(timeline.tid.tolist()[1:]) == [1, 9]


def test_the_callbacks_of_table_batches_are_no_input() -> None:
    rcu = [
        {"ms": 1, "phase": "queue", "func": "tlb_remove_table_rcu"},
        {"ms": 2, "phase": "queue", "func": "file_free_rcu"},
        {"ms": 3, "phase": "invoke", "func": "tlb_remove_table_rcu"},
        {"ms": 4, "phase": "tick"},
        {"ms": 5, "phase": "core_begin"},
    ]
    assert kinds(build(capture(rcu=rcu))) == ["QUEUE", "TICK", "CORE"]


def lap(ms: float, address: int = 4096, tid: int = 1) -> list[dict[str, Any]]:
    """One lap of get_futex_key without a walker: a slow call, and a walk of the tail page that pins nothing."""
    where = {"address": address, "tid": tid, "nr_pages": 1}
    return [
        {"ms": ms, "end_ms": ms + 0.1, "entry": "get_user_pages_fast", "path": "slow", "nr_pinned": 1, **where},
        {"ms": ms + 0.2, "entry": "__get_user_pages_fast", "path": "failed", "nr_pinned": 0, "tail": True, **where},
    ]


def test_the_laps_of_one_futex_call_are_one_call() -> None:
    walks = [row for ms in (1, 2, 3) for row in lap(ms)] + lap(10, address=8192) + lap(1.5, tid=2)
    folded = build(capture(walk=walks)).walks
    assert len(folded) == 6  # three threads-and-addresses, each with its call and its first walk of the tail page


def test_calls_that_did_not_loop_stay_apart() -> None:
    """A walk of the tail page that pins it ends the call: the next at that address is another call."""
    once = [{**row, "path": "fast", "nr_pinned": 1} for row in lap(1)]
    again = [{**row, "path": "fast", "nr_pinned": 1} for row in lap(2)]
    assert len(build(capture(walk=once + again)).walks) == 4


def test_what_is_known_comes_from_rows_and_from_probes_that_were_on() -> None:
    known = build(capture(known=("walk",), thp=[{"ms": 1, "kind": "collapse"}])).known
    assert {"walk", "thp.collapse"} <= known
    assert "thp.split_pmd" not in known
    assert "table_free" not in known
