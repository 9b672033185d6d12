"""The reference engine over hand-made workloads: each count follows from the operations by a rule of the kernel."""

from __future__ import annotations

from typing import Any

import pytest
from handmade import MS, busy, capture, munmap, ticks

from fastgup_replay.mechanisms import MECHANISMS
from fastgup_replay.outcome import CAUSES, OUTCOME_TABLES, Outcome
from fastgup_replay.replay import replay
from fastgup_replay.selection import Selection
from fastgup_trace.errors import UsageError
from fastgup_trace.tables import Capture

NAMES = [m.name for m in MECHANISMS]
KNOWN = ("table_free", "gather", "tlb_flush", "thp.split_pmd", "thp.collapse", "walk", "sched")


def one(made: Capture, name: str, selection: Selection | None = None) -> dict[str, Any]:
    summary: dict[str, Any] = replay(made, [name], selection).summary["mechanisms"][name]
    return summary


def unmapping(tables: int, users: int, **more: Any) -> Capture:
    return capture(
        sched=busy(4), rcu=ticks(4, 1000), known=KNOWN, **munmap(10, tables, users=users), **more,
    )  # fmt: skip


def test_v2_batches_with_two_users_and_frees_at_once_with_one() -> None:
    batched, alone = one(unmapping(20, 2), "rfc-v2"), one(unmapping(20, 1), "rfc-v2")
    assert batched["tables"] == {"freed": 20, "at_once": 0, "batched": 20, "by_ipi": 0}
    assert (batched["rcu"]["batches"], batched["rcu"]["tables_per_batch_max"]) == (1, 20)
    assert batched["rcu"]["held_bytes_max"] == 21 * 4096
    assert alone["tables"] == {"freed": 20, "at_once": 20, "batched": 0, "by_ipi": 0}
    assert alone["hazards"]["free_before_tlbi"] == 20
    assert alone["rcu"]["batches"] == 0


def test_full_batches_leave_at_509_tables() -> None:
    """MAX_TABLE_BATCH of 4 KiB pages and 64-bit pointers is (4096 - 24) / 8 = 509."""
    rcu = one(unmapping(1100, 3), "rfc-v2")["rcu"]
    assert (rcu["batches"], rcu["full_batches"], rcu["tables_per_batch_max"]) == (3, 2, 509)


def test_6_1_batches_whoever_uses_the_mm() -> None:
    for users in (0, 1, 5):
        assert one(unmapping(20, users), "mainline-6.1")["tables"]["batched"] == 20


def test_every_third_batch_page_fails() -> None:
    """Pages asked for: 1 (had), 2 (had), 3 fails, then the next table of that gather asks again."""
    gathers = [munmap(10 * (n + 1), 2, gather=n) for n in range(4)]
    merged: dict[str, Any] = {key: [row for g in gathers for row in g[key]] for key in gathers[0]}
    made = capture(sched=busy(4), rcu=ticks(4, 1000), known=KNOWN, batch_alloc_fail_every=3, **merged)
    v2 = one(made, "rfc-v2")
    # Gather 2 asks third (fails, IPI), asks again for its second table; gather 3 asks fifth.
    assert v2["tables"] == {"freed": 8, "at_once": 0, "batched": 7, "by_ipi": 1}
    assert v2["ipis"]["by_cause"]["table_free"] == {"broadcasts": 1, "interrupts": 3}
    assert v2["rcu"]["batches"] == 4
    assert v2["hazards"]["free_before_tlbi"] == 1
    assert one(made, "mainline-6.1")["hazards"]["free_before_tlbi"] == 0


@pytest.mark.parametrize(
    ("name", "split", "collapse"),
    [
        ("rfc-v2", 3, 0),
        ("mainline-3.18", 3, 0),
        ("mainline-6.1", 0, 3),
        ("unpatched-3.13", 0, 0),
        ("rfc-v1", 0, 0),
        ("naive", 0, 0),
    ],
)
def test_interrupts_of_a_split_and_a_collapse(name: str, split: int, collapse: int) -> None:
    made = capture(thp=[{"ms": 5, "kind": "split_pmd"}, {"ms": 6, "kind": "collapse"}, {"ms": 7, "kind": "split_page"}])
    causes = one(made, name)["ipis"]["by_cause"]
    assert (causes["split"]["interrupts"], causes["collapse"]["interrupts"]) == (split, collapse)


def test_x86_interrupts_the_cpus_in_mm_cpumask_and_a_lazy_one_only_once() -> None:
    switch = {"prev_tid": 0, "tid": 0}
    sched = [
        {"ms": 1, "cpu": 0, "next_tid": 1, "next_mm": 0, **switch},
        {"ms": 1, "cpu": 1, "next_tid": 2, "next_mm": 0, **switch},
        {"ms": 1, "cpu": 2, "next_tid": 3, "next_mm": 0, **switch},
        {"ms": 1, "cpu": 3, "next_tid": 9, "next_mm": 1, **switch},
        {"ms": 2, "cpu": 2, "tid": 3, "prev_tid": 3, "next_tid": 0},  # idle: keeps mm 0 lazily
    ]
    flushes = [{"ms": ms, "reason": "mprotect"} for ms in (5, 6)]
    tlb = one(capture(sched=sched, tlb_flush=flushes), "x86-3.13")["ipis"]["by_cause"]["tlb"]
    assert tlb == {"broadcasts": 2, "interrupts": 2 + 1}


def walking(begin_ms: float, end_ms: float, **more: Any) -> dict[str, Any]:
    return {"ms": begin_ms, "end_ms": end_ms, "irq_off_ms": begin_ms, "irq_on_ms": end_ms, "cpu": 1, "tid": 2,
            "nr_pages": 1, "nr_pinned": 1, "entry": "get_user_pages_fast", "path": "fast", **more}  # fmt: skip


def test_a_walk_over_the_unlink_is_a_use_after_free_only_where_nothing_waits() -> None:
    made = unmapping(1, 2, walk=[walking(10.2, 30)])
    hazards = {name: one(made, name)["hazards"]["table_use_after_free"] for name in NAMES}
    assert hazards.pop("naive") == 1
    assert hazards == dict.fromkeys(hazards, 0)


def test_a_walk_that_begins_after_the_unlink_is_no_hazard() -> None:
    assert one(unmapping(1, 2, walk=[walking(10.6, 30)]), "naive")["hazards"]["table_use_after_free"] == 0


def test_who_waits_for_a_walk_with_interrupts_off() -> None:
    made = capture(thp=[{"ms": 12, "kind": "split_pmd"}], walk=[walking(10, 15)], known=KNOWN)
    v2 = replay(made, ["rfc-v2"])
    assert v2.summary["mechanisms"]["rfc-v2"]["ipis"]["wait_ns_max"] == 3 * MS
    assert v2.tables["walk"]["delayed_ns"].to_pylist() == [3 * MS]
    v1 = one(made, "rfc-v1")
    assert v1["spins"] == {"count": 1, "wait_ns_total": 3 * MS}
    assert one(made, "naive")["hazards"]["split_race"] == 1


def test_a_hazard_lasts_from_what_nobody_waited_for_to_the_end_of_the_walk() -> None:
    made = unmapping(1, 2, thp=[{"ms": 12, "kind": "split_pmd"}], walk=[walking(10.2, 30)])
    rows = replay(made, ["naive"]).tables["hazard"].to_pylist()
    windows = {row["kind"]: (row["ts_ns"], row["end_ns"]) for row in rows}
    assert windows == {"table_use_after_free": (11 * MS, 30 * MS), "split_race": (12 * MS, 30 * MS)}


def test_v1_spins_until_an_instant_without_readers() -> None:
    walks = [walking(10, 15), walking(14, 20, cpu=2, tid=3), walking(21, 22)]
    made = capture(thp=[{"ms": 12, "kind": "split_pmd"}], walk=walks, known=KNOWN)
    assert one(made, "rfc-v1")["spins"]["wait_ns_total"] == 8 * MS


def test_without_a_walker_a_shared_futex_on_a_thp_tail_never_ends() -> None:
    tail = walking(11, 12, entry="__get_user_pages_fast", tail=True)
    walks = one(capture(walk=[walking(10, 11), tail], known=KNOWN), "unpatched-3.13")["walks"]
    assert (walks["total"], walks["fast"], walks["slow"], walks["livelocked"]) == (2, 0, 1, 1)


def test_a_shared_futex_of_a_kernel_that_shows_no_tail_pages_is_slow_or_endless_nobody_knows() -> None:
    futex = walking(11, 12, entry="futex")
    walks = one(capture(walk=[walking(10, 11), futex], known=KNOWN), "unpatched-3.13")["walks"]
    assert (walks["total"], walks["fast"], walks["slow"], walks["livelocked"]) == (2, 0, None, None)


def test_a_kernel_without_a_walker_tells_nothing_of_one() -> None:
    slow = walking(10, 11, path="slow", nr_pinned=0)
    walks = one(capture(walk=[slow], known=KNOWN), "rfc-v2")["walks"]
    assert (walks["total"], walks["fast"], walks["slow"]) == (1, None, None)


def test_what_the_capture_does_not_tell_is_null_and_said() -> None:
    v2 = one(capture(sched=busy(4)), "rfc-v2")
    assert v2["tables"]["freed"] is None
    assert v2["ipis"]["by_cause"]["split"]["broadcasts"] is None
    assert v2["ipis"]["broadcasts"] is None
    assert v2["walks"]["fast"] is None
    assert len(v2["evidence"]["gaps"]) >= 3


def test_a_probe_that_was_on_and_saw_nothing_means_zero() -> None:
    v2 = one(capture(sched=busy(4), known=KNOWN), "rfc-v2")
    assert v2["tables"]["freed"] == 0
    assert v2["ipis"]["broadcasts"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_laws_that_hold_for_every_mechanism(name: str) -> None:
    # Two users at least: with fewer nobody else could walk this mm, and the walks below would be impossible.
    gathers = [munmap(10 * (n + 1), 3 + n, gather=n, users=2 + n % 3) for n in range(30)]
    merged: dict[str, Any] = {key: [row for g in gathers for row in g[key]] for key in gathers[0]}
    made = capture(
        sched=busy(4), rcu=ticks(4, 1000), known=KNOWN, batch_alloc_fail_every=4, **merged,
        thp=[{"ms": 33 + n, "kind": kind} for n, kind in enumerate(("split_pmd", "collapse") * 5)],
        walk=[walking(9.9 + 10 * n, 10.7 + 10 * n) for n in range(20)],
    )  # fmt: skip
    outcome = replay(made, [name])
    found = outcome.summary["mechanisms"][name]
    tables, rcu = found["tables"], found["rcu"]
    assert tables["freed"] == tables["at_once"] + tables["batched"] + tables["by_ipi"] == sum(3 + n for n in range(30))
    assert rcu["tables"] == tables["batched"]
    assert found["ipis"]["interrupts"] == sum(found["ipis"]["by_cause"][cause]["interrupts"] for cause in CAUSES)
    assert sum(outcome.tables["ipi_target"]["interrupts"].to_pylist()) == found["ipis"]["interrupts"]
    assert len(outcome.tables["table"]) == tables["freed"]
    unlinked, freed = (outcome.tables["table"][c].to_pylist() for c in ("unlinked_ns", "freed_ns"))
    assert all(f is None or f >= u for u, f in zip(unlinked, freed, strict=True))
    sound = next(m for m in MECHANISMS if m.name == name)
    if sound.protects_tables:
        assert found["hazards"]["table_use_after_free"] == 0
    for table_name, rows in outcome.tables.items():
        assert rows.schema == OUTCOME_TABLES[table_name]


def test_the_selection_limits_operations_but_not_who_drives_grace_periods() -> None:
    other = munmap(50, 7, gather=1, mm=1, tid=9)
    mine = munmap(10, 5)
    merged: dict[str, Any] = {key: mine[key] + other[key] for key in mine}
    made = capture(sched=busy(4), rcu=ticks(4, 1000), known=KNOWN, **merged)
    assert one(made, "rfc-v2", Selection(pids=(2,)))["tables"]["freed"] == 7
    assert one(made, "rfc-v2", Selection(comms=("one",)))["tables"]["freed"] == 5
    late = one(made, "rfc-v2", Selection(from_ns=40 * MS))
    assert (late["tables"]["freed"], late["rcu"]["queue_to_free_ns_p50"] is not None) == (7, True)
    with pytest.raises(UsageError, match="process of the capture"):
        one(made, "rfc-v2", Selection(pids=(77,)))


def test_equal_input_gives_an_equal_outcome() -> None:
    first: Outcome = replay(unmapping(40, 2), NAMES)
    second: Outcome = replay(unmapping(40, 2), NAMES)
    assert first.summary == second.summary
    assert all(first.tables[name].equals(second.tables[name]) for name in first.tables)
