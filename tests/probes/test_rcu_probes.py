"""Callbacks, grace periods, quiescent states, ticks."""

from __future__ import annotations

from event_records import column, tables


def test_the_size_of_a_queued_batch_is_that_of_the_flush_just_before() -> None:
    rcu = tables("""
    10 0 100 table_batch_flush mm=0x1 mm_users=2 batch=0xaa0 nr=7
    11 0 100 rcu_callback rcuname=rcu_sched rhp=0xaa0 func=1 func.sym=tlb_remove_table_rcu qlen=3
    12 0 100 rcu_callback rcuname=rcu_sched rhp=0xaa0 func=1 func.sym=file_free_rcu qlen=4
    20 1 0 rcu_invoke_callback rcuname=rcu_sched rhp=0xaa0 func=1 func.sym=tlb_remove_table_rcu
    21 1 0 table_batch_freed batch=0xaa0 nr=7
    22 1 0 rcu_invoke_callback rcuname=rcu_sched rhp=0xbb0 func=1 func.sym=file_free_rcu
    """)["rcu"]
    assert column(rcu, "ts_ns", "phase", "func", "head", "nr", "flavor", "qlen", "mm") == [
        (11, "queue", "tlb_remove_table_rcu", 0xAA0, 7, "rcu_sched", 3, 0),
        (12, "queue", "file_free_rcu", 0xAA0, None, "rcu_sched", 4, None),
        (20, "invoke", "tlb_remove_table_rcu", 0xAA0, 7, "rcu_sched", None, None),
        (22, "invoke", "file_free_rcu", 0xBB0, None, "rcu_sched", None, None),
    ]


def test_the_instrumentation_alone_gives_both_rows() -> None:
    rcu = tables("""
    10 0 100 table_batch_flush mm=0x1 mm_users=2 batch=0xaa0 nr=7
    21 1 0 table_batch_freed batch=0xaa0 nr=7
    """)["rcu"]
    assert column(rcu, "phase", "func", "head", "nr") == [
        ("queue", "tlb_remove_table_rcu", 0xAA0, 7),
        ("invoke", "tlb_remove_table_rcu", 0xAA0, 7),
    ]


def test_one_callback_seen_twice_is_one_row() -> None:
    rcu = tables("""
    20 1 0 rcu_invoke_callback rcuname=rcu_preempt rhp=0xaa0 func=1 func.sym=tlb_remove_table_rcu
    21 1 0 tlb_remove_table_rcu head=0xaa0 nr=3
    """)["rcu"]
    assert column(rcu, "ts_ns", "phase", "nr") == [(20, "invoke", 3)]


def test_kprobes() -> None:
    rcu = tables("""
    10 0 14 rcu_gp_init x=1
    11 1 100 rcu_utilization s=Start_-_scheduler-tick
    12 1 100 rcu_utilization s=End_-_scheduler-tick
    13 1 100 irq_handler_entry irq=11 name=arch_timer
    14 1 100 softirq_entry vec=9
    15 1 100 rcu_report_qs_rnp mask=2 rnp=1 gps=0x1c6d
    16 1 100 softirq_exit vec=9
    17 1 100 softirq_entry vec=1
    18 0 14 rcu_gp_cleanup x=1
    """)["rcu"]
    assert column(rcu, "ts_ns", "phase", "gp_seq") == [
        (10, "gp_start", None), (11, "tick", None), (14, "core_begin", None), (15, "qs", 0x1C6D),
        (16, "core_end", None), (18, "gp_end", None),
    ]  # fmt: skip


def test_without_rcu_utilization_the_timer_interrupt_is_the_tick_and_an_ipi_is_not() -> None:
    rcu = tables("""
    13 1 100 irq_handler_entry irq=27 name=arch_timer
    14 1 100 irq_handler_entry irq=1 name=IPI
    """)["rcu"]
    assert column(rcu, "ts_ns", "phase") == [(13, "tick")]


def test_events_of_grace_periods() -> None:
    rcu = tables("""
    10 0 14 rcu_grace_period rcuname=rcu_sched gpnum=25 gpevent=start
    11 1 0 rcu_grace_period rcuname=rcu_sched gpnum=25 gpevent=cpuqs
    12 1 0 rcu_grace_period rcuname=rcu_sched gpnum=25 gpevent=fqswait
    13 0 14 rcu_grace_period rcuname=rcu_bh gpnum=25 gpevent=end
    """)["rcu"]
    assert column(rcu, "phase", "flavor", "gp_seq") == [
        ("gp_start", "rcu_sched", 25),
        ("qs", "rcu_sched", 25),
        ("gp_end", "rcu_bh", 25),
    ]
