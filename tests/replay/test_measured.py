"""What the kernel did, measured on hand-made captures, and how a difference is accounted for, event by event."""

from __future__ import annotations

from typing import Any

import pytest
from handmade import busy, capture, munmap, ticks

from fastgup_replay import measured_ipis
from fastgup_replay.validate import Row, recorded_mechanism, validate
from fastgup_trace.errors import ModelError
from fastgup_trace.tables import Capture

QUEUED, RAN = "queue", "invoke"


def callback(ms: float, phase: str, head: int, nr: int | None = None, **where: Any) -> dict[str, Any]:
    return {"ms": ms, "phase": phase, "head": head, "nr": nr, "func": "tlb_remove_table_rcu", **where}


def three_gathers(*events: dict[str, Any]) -> Capture:
    """Three munmaps of 4, 5 and 6 tables at 10, 20 and 30 ms, whose batches are queued at 11.1, 21.1 and 31.1 ms."""
    parts = [munmap(10 * (n + 1), 4 + n, gather=n) for n in range(3)]
    merged: dict[str, Any] = {key: [row for part in parts for row in part[key]] for key in parts[0]}
    return capture(sched=busy(4), rcu=[*ticks(4, 900), *events], **merged)


def rows(made: Capture) -> dict[str, Row]:
    return {row.quantity: row for row in validate(made, "mainline-6.1")[1]}


QUEUES = [callback(11.1, QUEUED, 100), callback(21.1, QUEUED, 200), callback(31.1, QUEUED, 300)]


def test_all_batches_queued_and_freed_is_exact() -> None:
    runs = [callback(50, RAN, 100, 4), callback(60, RAN, 200, 5), callback(70, RAN, 300, 6)]
    found = rows(three_gathers(*QUEUES, *runs))
    for quantity, value in (("rcu.batches", 3), ("tables.batched", 15), ("rcu.tables_per_batch_max", 6)):
        assert (found[quantity].predicted, found[quantity].measured, found[quantity].error) == (value, value, 0)
    assert found["rcu.batches_of_other_size"].measured == 0


def test_a_batch_in_flight_is_accounted_for_with_its_gathers_size() -> None:
    found = rows(three_gathers(*QUEUES, callback(50, RAN, 100, 4), callback(60, RAN, 200, 5)))["tables.batched"]
    assert (found.predicted, found.measured, found.error) == (15, 9, 6)
    assert [(event.amount, event.ts_ns) for event in found.accounted] == [(6, 31_100_000)]
    assert found.explained is not None
    assert "in flight" in found.explained


def test_a_callback_that_must_have_run_is_told_from_one_in_flight() -> None:
    """A CPU's callbacks run in order: that of 21.1 ms ran before that of 31.1 ms, though nobody saw it."""
    found = rows(three_gathers(*QUEUES, callback(50, RAN, 100, 4), callback(70, RAN, 300, 6)))["tables.batched"]
    assert found.error == 5
    assert found.explained is not None
    assert "missed probe hit" in found.explained


def test_a_batch_from_before_the_recording_counts_against() -> None:
    runs = [callback(1, RAN, 900, 8), callback(50, RAN, 100, 4), callback(60, RAN, 200, 5), callback(70, RAN, 300, 6)]
    found = rows(three_gathers(*QUEUES, *runs))["tables.batched"]
    assert (found.error, [event.amount for event in found.accounted]) == (-8, [-8])


def test_a_kernel_that_frees_fewer_tables_than_the_gather_had_is_not_explained_away() -> None:
    runs = [callback(50, RAN, 100, 4), callback(60, RAN, 200, 3), callback(70, RAN, 300, 6)]
    found = rows(three_gathers(*QUEUES, *runs))
    assert (found["tables.batched"].error, found["tables.batched"].explained) == (2, None)
    assert found["rcu.batches_of_other_size"].measured == 1
    assert not found["rcu.batches_of_other_size"].exact


def test_a_batch_that_the_kernel_never_queued_is_an_error() -> None:
    found = rows(three_gathers(*QUEUES[:2]))["rcu.batches"]
    assert (found.predicted, found.measured, found.exact) == (3, 2, False)


def collapse(**more: Any) -> Capture:
    """One collapse at 10 ms whose broadcast lasts to 12 ms; handlers run on CPUs 1 and 2 of 4."""
    return capture(
        thp=[{"ms": 10, "kind": "collapse"}],
        sync=[{"ms": 10, "end_ms": 12, "kind": "broadcast", "cause": "collapse", "nr_targets": 3}],
        ipi=[{"ms": 11, "cpu": cpu, "phase": "handler", "callback": "tlb_remove_table_smp_sync"} for cpu in (1, 2)],
        **more,
    )


def test_a_handler_that_a_probe_missed_is_explained_only_as_often_as_the_kernel_counts() -> None:
    made = collapse()
    assert rows(made)["ipis.collapse.interrupts"].error == 1
    assert rows(made)["ipis.collapse.interrupts"].explained is None
    made.provenance["sidecars"]["kprobe_missed"] = {"tlb_remove_table_smp_sync": 1}
    found = rows(made)["ipis.collapse.interrupts"]
    assert (found.predicted, found.measured, len(found.accounted)) == (3, 2, 1)
    assert found.explained is not None


def test_overlapping_broadcasts_share_no_handler() -> None:
    made = capture(
        thp=[{"ms": 10, "kind": "collapse"}, {"ms": 10.5, "kind": "collapse", "cpu": 1, "tid": 2}],
        sync=[
            {"ms": 10, "end_ms": 12, "kind": "broadcast", "cause": "collapse", "nr_targets": 3},
            {"ms": 10.5, "end_ms": 13, "kind": "broadcast", "cause": "collapse", "nr_targets": 3, "cpu": 1, "tid": 2},
        ],
        ipi=[
            {"ms": 11, "cpu": cpu, "phase": "handler", "callback": "tlb_remove_table_smp_sync", "seq": 11_000_000 + n}
            for n, cpu in enumerate((1, 2, 3, 0, 2))
        ],
    )
    made.provenance["sidecars"]["kprobe_missed"] = {"tlb_remove_table_smp_sync": 1}
    found = rows(made)["ipis.collapse.interrupts"]
    assert (found.predicted, found.measured, len(found.accounted)) == (6, 5, 1)


def test_function_call_interrupts_are_broadcasts_only_where_single_calls_are_counted_apart() -> None:
    made = capture()
    assert not measured_ipis.calls_are_broadcasts(made)
    made.provenance["sidecars"]["interrupts"] = {"Function call interrupts": [1, 0, 2, 0]}
    assert measured_ipis.counted_interrupts(made) is None
    made.provenance["sidecars"]["interrupts"]["Single function call interrupts"] = [9, 9, 9, 9]
    counted = measured_ipis.counted_interrupts(made)
    assert counted is not None
    assert counted.value == 3


def test_a_capture_that_names_no_mechanism_asks_for_one() -> None:
    with pytest.raises(ModelError, match="--mechanism NAME"):
        recorded_mechanism(capture())
