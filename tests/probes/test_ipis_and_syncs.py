"""Interrupts between CPUs, and the waits for them."""

from __future__ import annotations

from event_records import column, tables


def test_raise_entry_exit_and_the_words_of_2014() -> None:
    found = tables("""
    10 0 100 ipi_raise mask=0xe nr=1 ip=5
    11 1 0 ipi_entry nr=1
    12 1 0 ipi_exit nr=1
    13 0 100 ipi_raise mask=1 nr=0 ip=5
    """)["ipi"]
    call = "Function call interrupts"
    assert column(found, "phase", "reason", "nr_targets", "target_cpus", "mm") == [
        ("raise", call, 3, [0xE], None), ("entry", call, None, None, None), ("exit", call, None, None, None),
        ("raise", "Rescheduling interrupts", 1, [1], None),
    ]  # fmt: skip


def test_masks_of_more_than_64_cpus_keep_their_words() -> None:
    found = tables("""
    10 0 100 ipi_raise target_cpus=[0,5] reason=Function_-_call_-_interrupts
    11 0 100 ipi_raise target_cpus=[0xff,0] reason=Function_-_call_-_interrupts
    12 0 100 ipi_send_cpu cpu=70 callback.sym=null
    """)["ipi"]
    assert column(found, "target_cpus", "nr_targets") == [([0, 5], 2), ([0xFF], 8), ([0, 1 << 6], 1)]


def test_a_sender_is_paired_with_the_interrupt_it_raised_around_another() -> None:
    found = tables("""
    10 0 100 ipi_send_cpu cpu=1 callsite.sym=generic_exec_single callback.sym=generic_smp_call_function_single_interrupt
    11 0 100 ipi_send_cpu cpu=2 callsite.sym=wakeup_preempt callback.sym=null
    12 0 100 ipi_raise target_cpus=[4] reason=Rescheduling_-_interrupts
    13 0 100 ipi_raise target_cpus=[2] reason=Function_-_call_-_interrupts
    """)["ipi"]
    assert column(found, "target_cpus", "callsite", "callback") == [
        ([4], "wakeup_preempt", None),
        ([2], "generic_exec_single", "generic_smp_call_function_single_interrupt"),
    ]


def test_a_handler_seen_twice_is_one_row() -> None:
    found = tables("""
    10 1 0 csd_function_entry func=1 func.sym=tlb_remove_table_smp_sync csd=2
    11 1 0 tlb_remove_table_smp_sync arg=0
    12 1 0 ipi_flush_tlb_a15_erratum arg=0
    """)["ipi"]
    assert column(found, "ts_ns", "phase", "callback") == [
        (10, "handler", "tlb_remove_table_smp_sync"),
        (12, "handler", "ipi_flush_tlb_a15_erratum"),
    ]


def test_a_sync_after_the_flush_of_a_collapse_is_the_collapses() -> None:
    found = tables("""
    10 0 39 pmdp_collapse_flush mm=0x1 addr=0x200000
    11 0 39 tlb_remove_table_sync_one x=1
    12 0 39 smp_call_function_many_cond mask=0xf func=1 func.sym=tlb_remove_table_smp_sync flags=3
    13 0 39 smp_call_function_many_cond_ret x=1
    14 0 39 tlb_remove_table_sync_one_ret x=1
    """)["sync"]
    assert column(found, "ts_ns", "end_ns", "kind", "cause", "function", "nr_targets", "mm") == [
        (11, 14, "broadcast", "collapse", "tlb_remove_table_smp_sync", 3, 0)
    ]


def test_the_broadcasts_of_2014() -> None:
    found = tables("""
    10 0 100 table_one_sync pfn=5 phase=0
    11 0 100 ipi_raise mask=0xe nr=1 ip=5
    12 0 100 table_one_sync pfn=5 phase=1
    20 1 101 thp_split_ipi mm=0x1 addr=0x200000 kind=2 phase=0
    21 1 101 ipi_raise mask=1 nr=0 ip=5
    22 1 101 ipi_raise mask=0xd nr=1 ip=5
    23 1 101 thp_split_ipi mm=0x1 addr=0x200000 kind=2 phase=1
    30 1 101 thp_split_ipi mm=0x1 addr=0x400000 kind=0 phase=0
    31 1 101 thp_split_ipi mm=0x1 addr=0x400000 kind=0 phase=1
    40 1 101 readers_wait mm=0x1 where=0 spins=62291
    """)
    assert column(found["sync"], "ts_ns", "end_ns", "kind", "cause", "function", "nr_targets", "spins") == [
        (10, 12, "broadcast", "table_free", "smp_call_function", 3, None),
        (20, 23, "broadcast", "split", "smp_call_function", 3, None),
        (40, 40, "spin", "table_free", "tlb_flush_mmu", None, 62291),
    ]
    assert column(found["thp"], "kind", "address", "end_ns") == [
        ("split_pmd", 0x200000, 23),
        ("split_pmd", 0x400000, 31),
    ]
    assert column(found["tlb_flush"], "reason", "start") == [("split", 0x400000)]


def test_kick_all_cpus_sync_is_a_splits_where_the_thread_began_one() -> None:
    found = tables("""
    10 0 100 function:pmdp_splitting_flush ip=1
    11 0 100 function:kick_all_cpus_sync ip=1
    12 0 100 ipi_raise target_cpus=[0xd] reason=Function_-_call_-_interrupts
    20 0 100 function:kick_all_cpus_sync ip=1
    """)
    assert column(found["sync"], "kind", "cause", "nr_targets") == [
        ("broadcast", "split", 3),
        ("broadcast", None, None),
    ]
    assert column(found["thp"], "kind") == ["split_pmd"]


def test_an_erratum_broadcast_counts_the_cpus_that_it_asks() -> None:
    found = tables("""
    10 0 100 broadcast_tlb_mm_a15_erratum mm=0x1
    11 0 100 smp_call_function_many_cond mask=3 func=1 func.sym=ipi_flush_tlb_a15_erratum flags=1
    12 0 100 smp_call_function_many_cond_ret x=1
    20 0 100 smp_call_function_many_cond mask=3 func=1 func.sym=do_sync_core flags=1
    """)["sync"]
    assert column(found, "cause", "nr_targets", "mm", "end_ns") == [("erratum", 1, 0, 12)]


def test_splits_and_collapses_of_6_1() -> None:
    found = tables("""
    10 0 100 __split_huge_pmd vma=1 pmd=2 addr=0x200000 mm=0x1
    11 0 100 pmdp_invalidate vma=1 addr=0x200000 pmdp=2 mm=0x1
    12 0 100 __split_huge_pmd_ret x=1
    20 0 100 __split_huge_pmd vma=1 pmd=2 addr=0x200000 mm=0x1
    21 0 100 __split_huge_pmd_ret x=1
    30 0 100 split_huge_page_to_list page=0x77 list=0
    31 0 100 split_huge_page_to_list_ret ret=-11
    40 1 39 collapse_huge_page mm=0x1 addr=0x400000 users=1
    41 1 39 pmdp_collapse_flush vma=1 addr=0x400000 pmdp=2 mm=0x1
    42 1 39 pmdp_collapse_flush_ret x=1
    43 1 39 collapse_huge_page_ret ret=1
    50 1 39 pmdp_collapse_flush vma=1 addr=0x600000 pmdp=2 mm=0x1
    51 1 39 pmdp_collapse_flush_ret x=1
    """)["thp"]
    assert column(found, "ts_ns", "end_ns", "kind", "address", "result", "mm") == [
        (11, 12, "split_pmd", 0x200000, None, 0),
        (30, 31, "split_page", None, -11, None),
        (41, 43, "collapse", 0x400000, 1, 0),
        (50, 51, "collapse", 0x600000, None, 0),
    ]
