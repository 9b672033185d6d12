"""Grace periods over a few CPUs, by hand: who must pass a quiescent state, and when the callback runs."""

from __future__ import annotations

from fastgup_replay.rcu import FOREIGN, GracePeriods

JIFFY, FQS = 4, 4


def machine(idle: list[bool]) -> tuple[GracePeriods, list[tuple[int, int]]]:
    ran: list[tuple[int, int]] = []
    return GracePeriods(idle, JIFFY, FQS, lambda batch, ts: ran.append((batch, ts))), ran


def test_a_callback_runs_at_its_cpus_tick_after_every_cpu_noticed_and_then_ticked() -> None:
    rcu, ran = machine([False, False])
    rcu.queue(0, 1, 7)
    rcu.tick(0, 4, True)  # sees the callback: a grace period starts, and both CPUs owe
    rcu.tick(1, 5, True)  # notices it; what it passed before does not count
    rcu.tick(0, 8, True)
    rcu.tick(1, 9, True)  # reports
    assert rcu.completed == 0
    rcu.tick(0, 12, True)  # the last report ends it, and this CPU's softirq finds its callback ready
    assert rcu.completed == 1
    assert ran == [(7, 12)]


def test_a_walk_on_another_cpu_holds_the_grace_period_up() -> None:
    rcu, ran = machine([False, False])
    rcu.queue(0, 1, 7)
    for ts in (4, 8, 12, 16):
        rcu.tick(0, ts, True)
        rcu.tick(1, ts + 1, False)  # inside a walk
    assert rcu.completed == 0
    rcu.tick(1, 21, True)
    rcu.tick(0, 24, True)
    assert ran == [(7, 24)]


def test_an_idle_cpu_is_found_by_the_scan() -> None:
    rcu, ran = machine([False, True])
    rcu.queue(0, 1, 7)
    rcu.tick(0, 4, True)
    rcu.tick(0, 5, True)
    rcu.tick(0, 7, True)  # reports; the idle CPU still owes
    assert rcu.completed == 0
    rcu.tick(0, 9, True)  # the scan of 4 + FQS = 8 came before
    assert rcu.completed == 1
    assert ran == [(7, 9)]


def test_a_callback_queued_during_a_grace_period_waits_for_the_next() -> None:
    rcu, ran = machine([False, False])
    rcu.queue(0, 1, 1)
    rcu.tick(0, 4, True)
    rcu.queue(0, 5, 2)
    for ts in (5, 9):
        rcu.tick(1, ts, True)
    for ts in (8, 12):
        rcu.tick(0, ts, True)
    assert ran == [(1, 12)]  # and the next grace period has begun: callback 2 had been noticed at 8
    for ts in (13, 17):
        rcu.tick(1, ts, True)
        rcu.tick(0, ts + 3, True)
    assert ran == [(1, 12), (2, 20)]


def test_a_context_switch_counts_when_the_next_tick_reports_it() -> None:
    rcu, _ = machine([False, False])
    rcu.queue(0, 1, FOREIGN)
    rcu.tick(0, 4, True)
    rcu.core(1, 5)  # notices
    rcu.switch(1, 6, idle=False)
    rcu.tick(0, 7, True)
    rcu.tick(0, 8, True)
    assert rcu.completed == 0
    rcu.tick(1, 9, False)  # the tick itself hits a walk; the switch before it counts
    assert rcu.completed == 1


def test_an_idle_cpu_with_callbacks_ticks_by_itself() -> None:
    rcu, ran = machine([True])
    rcu.queue(0, 1, 7)
    rcu.advance(100)
    assert [batch for batch, _ in ran] == [7]
    assert ran[0][1] <= 1 + 4 * JIFFY


def test_every_batch_is_invoked_once_and_never_before_a_whole_grace_period() -> None:
    rcu, ran = machine([False, False, True])
    queued = {}
    for n in range(20):
        ts = 3 * n + 1
        rcu.queue(n % 2, ts, n)
        queued[n] = ts
        rcu.tick(0, ts + 1, n % 3 != 0)
        rcu.tick(1, ts + 2, True)
    for ts in range(100, 200, 4):
        rcu.tick(0, ts, True)
        rcu.tick(1, ts + 1, True)
    assert sorted(batch for batch, _ in ran) == list(range(20))
    assert all(ts > queued[batch] for batch, ts in ran)


def test_what_a_cpu_passed_before_it_noticed_the_grace_period_does_not_count() -> None:
    rcu, _ = machine([False, False])
    rcu.queue(0, 1, FOREIGN)
    rcu.tick(0, 4, True)
    rcu.switch(1, 5, idle=False)
    rcu.core(1, 6)  # notices, and forgets the switch
    rcu.core(1, 7)
    rcu.tick(0, 8, True)
    rcu.tick(0, 9, True)
    assert rcu.completed == 0
    rcu.switch(1, 10, idle=False)
    rcu.core(1, 11)
    assert rcu.completed == 1


def test_the_next_grace_period_begins_where_one_ends_if_any_cpu_asks_for_it() -> None:
    rcu, ran = machine([False, False])
    rcu.queue(0, 1, 1)
    rcu.tick(0, 4, True)
    rcu.queue(1, 5, 2)
    rcu.tick(1, 6, True)  # sees its callback, and notices the grace period
    rcu.tick(1, 7, True)
    rcu.tick(0, 8, True)
    rcu.tick(0, 9, True)  # ends the first, and CPU 1's callback begins the second
    rcu.tick(0, 10, True)
    rcu.tick(0, 11, True)  # has noticed and reported
    rcu.tick(1, 12, True)
    rcu.tick(1, 13, True)
    assert ran == [(1, 9), (2, 13)]
