"""Laws of the designs (what must hold whatever the workload), over random workloads and every mechanism."""

from __future__ import annotations

from typing import Any

import pytest
from handmade import MS, busy, capture, munmap, ticks
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgup_replay.mechanisms import MECHANISMS
from fastgup_replay.outcome import Outcome
from fastgup_replay.policies import Mechanism, Sync, TableFree, Walker
from fastgup_replay.replay import replay
from fastgup_trace.tables import Capture

KNOWN = ("table_free", "gather", "tlb_flush", "thp.split_pmd", "thp.collapse", "walk", "sched")
END_MS = 400
MAX_TABLE_BATCH = 509

every_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)

workloads = st.fixed_dictionaries(
    {
        "nr_cpus": st.integers(2, 6),
        # (tables, mm_users): two users at least, for with fewer nobody else could walk this mm.
        "gathers": st.lists(st.tuples(st.sampled_from([1, 2, 7, 509, 510, 1019]), st.integers(2, 5)), max_size=3),
        "splits": st.integers(0, 4),
        "collapses": st.integers(0, 4),
        # (pause before it, length) in tenths of a ms, of walks one after the other on the last CPU
        "walks": st.lists(st.tuples(st.integers(1, 200), st.integers(1, 300)), max_size=6),
        "fail_every": st.integers(0, 4),
    }
)


def walks_of(work: dict[str, Any]) -> list[tuple[int, int]]:
    """(begin, end) of each walk in tenths of a ms."""
    walks, at = [], 0
    for pause, length in work["walks"]:
        walks.append((at + pause, at + pause + length))
        at += pause + length
    return walks


def recorded(work: dict[str, Any]) -> Capture:
    parts = [munmap(10 * (n + 1), tables, users=users, gather=n) for n, (tables, users) in enumerate(work["gathers"])]
    keys = ("gather", "table_free", "tlb_flush")
    merged: dict[str, Any] = {key: [row for part in parts for row in part[key]] for key in keys}
    call = {"cpu": work["nr_cpus"] - 1, "nr_pages": 1, "nr_pinned": 1, "entry": "get_user_pages_fast", "path": "fast"}
    walks = []
    for n, (begin, end) in enumerate(walks_of(work)):
        times = {"ms": begin / 10, "end_ms": end / 10, "irq_off_ms": begin / 10, "irq_on_ms": end / 10}
        walks.append({**call, **times, "tid": 50 + n})
    thp = [{"ms": 12 + n, "kind": "split_pmd"} for n in range(work["splits"])]
    thp += [{"ms": 20.5 + n, "kind": "collapse"} for n in range(work["collapses"])]
    return capture(
        nr_cpus=work["nr_cpus"], end_ms=END_MS, batch_alloc_fail_every=work["fail_every"], known=KNOWN,
        sched=busy(work["nr_cpus"]), rcu=ticks(work["nr_cpus"], END_MS), walk=walks, thp=thp, **merged,
    )  # fmt: skip


def run(work: dict[str, Any], mechanism: Mechanism) -> tuple[dict[str, Any], Outcome]:
    outcome = replay(recorded(work), [mechanism.name])
    return outcome.summary["mechanisms"][mechanism.name], outcome


@every_mechanism
@settings(max_examples=12, deadline=None)
@given(work=workloads)
def test_counts_follow_from_operations(mechanism: Mechanism, work: dict[str, Any]) -> None:
    found, outcome = run(work, mechanism)
    tables, causes = found["tables"], found["ipis"]["by_cause"]
    others = work["nr_cpus"] - 1
    assert tables["freed"] == sum(n for n, _ in work["gathers"])
    assert tables["freed"] == tables["at_once"] + tables["batched"] + tables["by_ipi"]
    assert found["rcu"]["tables"] == tables["batched"] == sum(outcome.tables["batch"]["nr_tables"].to_pylist())
    assert causes["table_free"]["interrupts"] == tables["by_ipi"] * others
    for cause, sync in (("split", mechanism.split), ("collapse", mechanism.collapse)):
        done = work["splits"] if cause == "split" else work["collapses"]
        if sync is Sync.IPI_ALL:
            assert causes[cause] == {"broadcasts": done * bool(others), "interrupts": done * others}
        elif sync is not Sync.IPI_MASK:
            assert causes[cause] == {"broadcasts": 0, "interrupts": 0}
    if mechanism.table_free is TableFree.RCU_BATCH:
        if not work["fail_every"]:
            assert found["rcu"]["batches"] == sum(-(-n // MAX_TABLE_BATCH) for n, _ in work["gathers"])
        elif work["fail_every"] == 1:
            assert tables["by_ipi"] == tables["freed"]
    else:
        assert tables["at_once"] == tables["freed"]


@every_mechanism
@settings(max_examples=12, deadline=None)
@given(work=workloads)
def test_a_sound_design_meets_no_hazard(mechanism: Mechanism, work: dict[str, Any]) -> None:
    hazards = run(work, mechanism)[0]["hazards"]
    if mechanism.protects_tables:
        assert hazards["table_use_after_free"] == 0
    if mechanism.protects_splits:
        assert hazards["split_race"] == 0
    if mechanism.flush_before_handover:
        assert hazards["free_before_tlbi"] == 0


@every_mechanism
@settings(max_examples=12, deadline=None)
@given(work=workloads)
def test_no_batch_is_freed_before_every_cpu_was_quiescent(mechanism: Mechanism, work: dict[str, Any]) -> None:
    """All CPUs are busy here, so between queueing and freeing each must have ticked outside a walk."""
    _, outcome = run(work, mechanism)
    tenth = MS // 10
    walks = [] if mechanism.walker is Walker.NONE else [(b * tenth, e * tenth) for b, e in walks_of(work)]
    outside = [t for t in range(4 * MS, END_MS * MS, 4 * MS) if not any(begin < t < end for begin, end in walks)]
    batch = outcome.tables["batch"]
    for queued, freed in zip(batch["queued_ns"].to_pylist(), batch["freed_ns"].to_pylist(), strict=True):
        assert freed is None or any(queued < tick <= freed for tick in outside), (queued, freed)


@settings(max_examples=12, deadline=None)
@given(work=workloads)
def test_nothing_is_as_exposed_as_no_protection(work: dict[str, Any]) -> None:
    kinds = ("table_use_after_free", "split_race")
    naive = run(work, next(m for m in MECHANISMS if m.name == "naive"))[0]["hazards"]
    for mechanism in MECHANISMS:
        hazards = run(work, mechanism)[0]["hazards"]
        assert all(hazards[kind] <= naive[kind] for kind in kinds), mechanism.name
