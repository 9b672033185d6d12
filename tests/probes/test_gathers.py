"""Gathers and the tables they took, from records written by hand."""

from __future__ import annotations

from event_records import column, tables

TWO_THREADS = """
10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
11 1 101 tlb_gather_mmu tlb=0xb mm=0x1 users=2
12 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0 users=2
13 1 101 tlb_remove_table tlb=0xb table=0x502 mm=0x1 batch=0 users=2
14 0 100 tlb_remove_table tlb=0xa table=0x503 mm=0x1 batch=0xaa0 users=2
15 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0xaa0 start=0x1000 end=0x5000 bits=4
16 0 100 call_rcu head=0xaa0 func=1 func.sym=tlb_remove_table_rcu
17 1 101 tlb_finish_mmu tlb=0xb mm=0x1 users=2 batch=0xbb0 start=0x6000 end=0x7000 bits=4
18 1 101 call_rcu head=0xbb0 func=1 func.sym=tlb_remove_table_rcu
30 1 0 tlb_remove_table_rcu head=0xbb0 nr=1
31 0 0 tlb_remove_table_rcu head=0xaa0 nr=2
"""


def test_a_table_belongs_to_the_gather_of_its_thread_and_mmu_gather() -> None:
    found = tables(TWO_THREADS)
    assert column(found["gather"], "ts_ns", "end_ns", "tid", "nr_tables", "mm_users", "fullmm", "evidence") == [
        (10, 15, 100, 2, 2, False, "observed"),
        (11, 17, 101, 1, 2, False, "observed"),
    ]
    assert column(found["gather"], "start", "end", "end_seq") == [(0x1000, 0x5000, 5), (0x6000, 0x7000, 7)]
    assert column(found["table_free"], "table", "gather") == [(0x501, 0), (0x502, 1), (0x503, 0)]


def test_the_batch_is_the_one_that_the_gather_shows_next_and_its_callback_frees_it() -> None:
    free = tables(TWO_THREADS)["table_free"]
    assert column(free, "batch", "path", "freed_ns") == [
        (0xAA0, "batched", 31), (0xBB0, "batched", 30), (0xAA0, "batched", 31),
    ]  # fmt: skip


def test_a_full_batch_leaves_at_once_and_the_next_table_begins_another() -> None:
    found = tables("""
    10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    11 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0xaa0 users=2
    12 0 100 call_rcu head=0xaa0 func=1 func.sym=tlb_remove_table_rcu
    13 0 100 tlb_remove_table tlb=0xa table=0x502 mm=0x1 batch=0 users=2
    14 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0xbb0 start=0 end=0 bits=4
    15 0 100 call_rcu head=0xbb0 func=1 func.sym=tlb_remove_table_rcu
    """)
    assert column(found["table_free"], "batch", "path") == [(0xAA0, "batched"), (0xBB0, "batched")]
    assert column(found["gather"], "nr_tables") == [2]


def test_no_page_for_a_batch_is_a_broadcast_for_one_table() -> None:
    found = tables("""
    10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    11 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0 users=2
    12 0 100 tlb_remove_table_sync_one __probe_ip=1
    13 0 100 tlb_remove_table_sync_one_ret __probe_ip=1
    14 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0 start=0 end=0 bits=4
    """)
    assert column(found["table_free"], "batch", "path") == [(None, "by_ipi")]
    assert column(found["sync"], "kind", "cause", "ts_ns", "end_ns") == [("broadcast", "table_free", 12, 13)]


def test_a_page_used_for_another_batch_is_not_freed_by_that_ones_callback() -> None:
    """The callback of the first use was missed (a probe's missed hit)."""
    found = tables("""
    10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    11 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0 users=2
    12 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0xaa0 start=0 end=0 bits=4
    13 0 100 call_rcu head=0xaa0 func=1 func.sym=tlb_remove_table_rcu
    20 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    21 0 100 tlb_remove_table tlb=0xa table=0x502 mm=0x1 batch=0 users=2
    22 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0xaa0 start=0 end=0 bits=4
    23 0 100 call_rcu head=0xaa0 func=1 func.sym=tlb_remove_table_rcu
    30 0 0 tlb_remove_table_rcu head=0xaa0 nr=1
    """)
    assert column(found["table_free"], "path", "freed_ns", "gather") == [("batched", None, 0), ("batched", 30, 1)]


def test_a_gather_whose_begin_was_not_recorded_begins_with_its_first_table() -> None:
    found = tables("""
    11 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0xaa0 users=1
    12 0 100 tlb_remove_table tlb=0xa table=0x502 mm=0x1 batch=0xaa0 users=1
    13 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=1 batch=0xaa0 start=0 end=0 bits=5
    14 0 100 tlb_finish_mmu tlb=0xb mm=0x1 users=1 batch=0 start=0 end=0 bits=4
    """)
    assert column(found["gather"], "ts_ns", "end_ns", "nr_tables", "fullmm", "evidence") == [
        (11, 13, 2, True, "inferred"),
        (14, 14, 0, False, "inferred"),
    ]
    assert column(found["table_free"], "gather") == [0, 0]


def test_a_gather_open_at_the_end_has_no_end() -> None:
    found = tables("""
    10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    11 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0 start=0 end=0 bits=0
    12 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    13 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0 users=2
    """)
    assert column(found["gather"], "end_ns", "end_seq", "nr_tables") == [(11, 1, 0), (None, None, 1)]


def test_causes() -> None:
    found = tables(
        """
        10 0 100 sys_enter_munmap addr=0x1000 len=0x2000
        11 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
        12 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0 start=0 end=0 bits=0
        13 0 100 sys_exit_munmap ret=0
        20 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
        21 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0 start=0 end=0 bits=0
        30 0 100 sys_enter_execve filename=5
        31 0 100 tlb_gather_mmu_fullmm tlb=0xa mm=0x1 users=0
        32 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=0 batch=0 start=0 end=0 bits=1
        33 0 100 sys_exit_execve ret=0
        40 0 100 tlb_gather_mmu_fullmm tlb=0xa mm=0x2 users=0
        41 0 100 tlb_finish_mmu tlb=0xa mm=0x2 users=0 batch=0 start=0 end=0 bits=1
        50 0 39 tlb_gather_mmu tlb=0xa mm=0x3 users=1
        51 0 39 tlb_finish_mmu tlb=0xa mm=0x3 users=1 batch=0 start=0 end=0 bits=0
        """,
        comms={39: "khugepaged"},
    )
    assert column(found["gather"], "cause") == ["munmap", "unknown", "exec", "exit", "reclaim"]


INSTRUMENTED = """
10 0 100 table_free mm=0x1 mm_users=2 level=0 pfn=5 addr=0x1000 path=1 batch=0xaa0 fullmm=0
11 0 100 table_free mm=0x1 mm_users=2 level=1 pfn=6 addr=0x2000 path=4 batch=0 fullmm=0
12 1 101 table_free mm=0x1 mm_users=2 level=0 pfn=7 addr=0x3000 path=2 batch=0 fullmm=0
13 0 100 tlb_flush mm=0x2 start=0 end=0x1000 fullmm=0
14 0 100 table_free mm=0x1 mm_users=2 level=0 pfn=8 addr=0x4000 path=1 batch=0xaa0 fullmm=0
15 0 100 tlb_flush mm=0x1 start=0x1000 end=0x5000 fullmm=0
16 0 100 table_batch_flush mm=0x1 mm_users=2 batch=0xaa0 nr=2
17 0 100 table_free mm=0x1 mm_users=0 level=0 pfn=9 addr=0x6000 path=0 batch=0 fullmm=1
30 0 0 table_batch_freed batch=0xaa0 nr=2
"""


def test_2014_the_tables_that_a_threads_next_flush_of_the_mm_closes_are_one_gather() -> None:
    found = tables(INSTRUMENTED, kernel_release="3.13.10")
    assert column(found["gather"], "ts_ns", "end_ns", "nr_tables", "tid", "fullmm", "cause", "evidence") == [
        (10, 15, 2, 100, False, "unknown", "inferred"),
        (12, None, 1, 101, False, "unknown", "inferred"),
        (17, None, 1, 100, True, "exit", "inferred"),
    ]
    assert column(found["table_free"], "table", "level", "path", "gather", "freed_ns") == [
        (5 * 4096, "pte", "batched", 0, 30),
        (6 * 4096, "pmd", "direct", None, None),
        (7 * 4096, "pte", "by_ipi", 1, None),
        (8 * 4096, "pte", "batched", 0, 30),
        (9 * 4096, "pte", "at_once", 2, None),
    ]
    assert column(found["tlb_flush"], "reason", "gather", "pages") == [("gather", None, 1), ("gather", 0, 4)]


def test_2014_text_says_the_same_in_words() -> None:
    words = INSTRUMENTED
    for event_path, word in ((1, "batched"), (4, "direct"), (2, "one_sync"), (0, "immediate")):
        words = words.replace(f"path={event_path} ", f"path={word} ")
    words = words.replace("level=0", "level=pte").replace("level=1", "level=pmd")
    assert tables(words)["table_free"].equals(tables(INSTRUMENTED)["table_free"])


def test_the_function_tracer_gives_gathers_without_arguments() -> None:
    found = tables("""
    10 0 100 function:tlb_gather_mmu ip=1
    11 0 100 function:tlb_remove_table ip=1
    12 0 100 function:tlb_finish_mmu ip=1
    20 0 100 function:exit_mmap ip=1
    21 0 100 function:tlb_gather_mmu_fullmm ip=1
    22 0 100 function:tlb_finish_mmu ip=1
    """)
    assert column(found["gather"], "ts_ns", "end_ns", "nr_tables", "fullmm", "cause") == [
        (10, 12, 1, False, "unknown"),
        (21, 22, 0, True, "exit"),
    ]
    assert column(found["table_free"], "gather", "path", "mm") == [(0, None, 0)]
    assert column(found["mm"], "pid", "pointer", "evidence") == [(100, None, "inferred")]
