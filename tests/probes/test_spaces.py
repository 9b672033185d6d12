"""Address spaces: which mm a pointer or a thread meant at a time."""

from __future__ import annotations

from event_records import column, tables


def test_a_pointer_is_another_mm_after_its_mm_died() -> None:
    found = tables("""
    10 0 100 handle_mm_fault addr=0x1000 flags=0x40 mm=0x1
    11 0 100 exit_mmap mm=0x1 users=0
    12 0 100 tlb_gather_mmu_fullmm tlb=0xa mm=0x1 users=0
    13 0 100 tlb_remove_table tlb=0xa table=0x501 mm=0x1 batch=0 users=0
    14 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=0 batch=0xb start=0 end=0 bits=1
    20 0 200 handle_mm_fault addr=0x2000 flags=0x40 mm=0x1
    """)
    assert column(found["mm"], "pid", "pointer", "born_ns", "died_ns", "users_max") == [
        (100, 1, None, 14, 0),
        (200, 1, 20, None, None),
    ]
    assert column(found["fault"], "mm") == [0, 1]
    assert column(found["table_free"], "mm") == [0]


def test_2014_a_pointer_dies_with_mm_users_0() -> None:
    found = tables("""
    10 0 100 table_free mm=0x1 mm_users=0 level=0 pfn=5 addr=0x1000 path=0 batch=0 fullmm=1
    11 0 100 tlb_flush mm=0x1 start=0 end=0 fullmm=1
    12 0 100 table_alloc mm=0x1 level=0 pfn=6 addr=0x1000
    13 0 101 fault mm=0x1 addr=0x1000 esr=0 flags=0xa9 ret=0 user=1
    """)
    assert column(found["mm"], "pid", "died_ns") == [(100, 10), (101, None)]
    assert column(found["tlb_flush"], "mm") == [0]
    assert column(found["table_alloc"], "mm") == [1]


def test_a_record_without_a_pointer_has_its_threads_mm_and_never_across_an_exec() -> None:
    found = tables("""
    9 0 100 sys_enter_munmap addr=0x1000 len=0x1000
    10 0 100 handle_mm_fault addr=0x1000 flags=0x40 mm=0x1
    11 0 100 sys_enter_munmap addr=0x2000 len=0x1000
    20 0 100 sched_process_exec filename=/bin/true pid=100
    21 0 100 sys_enter_munmap addr=0x3000 len=0x1000
    22 0 100 handle_mm_fault addr=0x2000 flags=0x40 mm=0x2
    """)
    assert column(found["vma_op"], "mm") == [0, 0, 1]
    assert column(found["mm"], "comm") == [None, "true"]


def test_a_thread_never_seen_on_its_mm_has_that_of_its_process() -> None:
    found = tables(
        """
        10 0 100 handle_mm_fault addr=0x1000 flags=0x40 mm=0x1
        11 1 101 sys_enter_munmap addr=0x2000 len=0x1000
        12 1 300 sys_enter_munmap addr=0x2000 len=0x1000
        """,
        tgids={100: 100, 101: 100, 300: 300},
    )
    assert column(found["vma_op"], "mm") == [0, None]
    assert column(found["mm"], "pid") == [100]


def test_a_kernel_threads_record_has_the_mm_that_it_works_on() -> None:
    found = tables("""
    10 0 100 handle_mm_fault addr=0x1000 flags=0x40 mm=0x1
    11 1 39 pmdp_collapse_flush mm=0x1 addr=0x200000
    12 1 39 sched_switch prev_pid=39 next_pid=100 prev_state=1
    """)
    assert column(found["thp"], "mm", "tid") == [(0, 39)]
    assert column(found["sched"], "mm", "next_mm") == [(None, 0)]


def test_a_fault_on_anothers_mm_does_not_move_the_thread() -> None:
    """exec writes its arguments to the new stack through FAULT_FLAG_REMOTE."""
    found = tables("""
    10 0 100 handle_mm_fault addr=0x1000 flags=0x40 mm=0x1
    11 0 100 handle_mm_fault addr=0x2000 flags=0x81 mm=0x2
    12 0 100 sys_enter_brk brk=0
    """)
    assert column(found["fault"], "mm", "write", "user") == [(0, False, True), (1, True, False)]
    assert column(found["vma_op"], "mm") == [0]


def test_the_switch_of_context_names_the_mm_of_the_thread_to_come() -> None:
    found = tables("""
    10 0 0 sched_switch prev_pid=0 next_pid=100 prev_state=0
    11 0 0 check_and_switch_context mm=0x1 users=1
    12 0 100 sys_enter_brk brk=0
    """)
    assert column(found["sched"], "next_mm", "mm") == [(0, None)]
    assert column(found["vma_op"], "mm") == [0]


def test_names_a_process_as_it_exits_else_as_it_was_executed() -> None:
    found = tables(
        """
        10 0 1 sched_process_fork child_pid=100 child_comm=sh
        11 0 100 fault mm=0x1 addr=0x1000 esr=0 flags=1 ret=0 user=1
        12 0 100 sched_process_exec filename=/proc/self/exe pid=100
        13 0 100 fault mm=0x2 addr=0x1000 esr=0 flags=1 ret=0 user=1
        14 0 100 sched_process_exit comm=sleep pid=100
        15 0 200 fault mm=0x3 addr=0x1000 esr=0 flags=1 ret=0 user=1
        """,
        comms={200: "saved"},
    )
    assert column(found["mm"], "pid", "comm", "born_ns") == [(100, "sh", 11), (100, "sleep", 13), (200, "saved", None)]


def test_kernel_addresses_above_half_the_space_come_back_unchanged() -> None:
    found = tables("10 0 100 handle_mm_fault addr=0xffff000000001000 flags=0x40 mm=0xffff5fb7c1458780")
    assert column(found["mm"], "pointer") == [0xFFFF5FB7C1458780]
    assert column(found["fault"], "address") == [0xFFFF000000001000]
