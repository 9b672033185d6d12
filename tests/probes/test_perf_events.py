"""perf's own records and software events as rows, where the tracepoints that tell more were off."""

from __future__ import annotations

from event_records import column, tables

from fastgup_trace.probes.known import known_from

SIDE_BAND = """
1 0 100 PERF_RECORD_FORK pid=90 tid=90 ptid=1 synthesized=1
2 0 100 PERF_RECORD_COMM comm=old exec=1 synthesized=1
3 0 100 PERF_RECORD_MMAP2 addr=0x1000 len=0x1000 tid=90 synthesized=1
10 0 100 PERF_RECORD_FORK pid=101 tid=101 ptid=100 synthesized=0
11 1 101 PERF_RECORD_COMM comm=new exec=1 synthesized=0
12 1 101 PERF_RECORD_COMM comm=renamed exec=0 synthesized=0
13 1 101 PERF_RECORD_MMAP2 addr=0x400000 len=0x3000 tid=101 synthesized=0
14 1 101 page-faults addr=0x400010 ip=0x400020
15 1 101 PERF_RECORD_FORK pid=101 tid=102 ptid=101 synthesized=0
16 1 101 PERF_RECORD_SWITCH_CPU_WIDE out=1 preempt=0 next_prev_tid=102
17 1 102 PERF_RECORD_SWITCH_CPU_WIDE out=0 preempt=0 next_prev_tid=101
18 1 102 page-faults addr=0x400030 ip=null
19 1 102 PERF_RECORD_EXIT tid=102 synthesized=0
"""


def test_tasks_come_from_records_that_are_not_made_up() -> None:
    found = tables(SIDE_BAND)
    assert column(found["task"], "ts_ns", "op", "tid", "pid", "child_tid", "comm") == [
        (10, "fork", 100, 101, 101, None),
        (11, "exec", 101, 101, None, "new"),
        (15, "thread", 101, 101, 102, None),
        (19, "exit", 102, 101, None, None),
    ]
    assert column(found["sched"], "ts_ns", "prev_tid", "next_tid") == [(16, 101, 102)]
    assert column(found["vma_op"], "ts_ns", "op", "address", "length") == [(13, "mmap", 0x400000, 0x3000)]


def test_faults_of_one_process_share_its_inferred_mm() -> None:
    found = tables(SIDE_BAND)
    assert column(found["fault"], "ts_ns", "tid", "address", "ip") == [
        (14, 101, 0x400010, 0x400020), (18, 102, 0x400030, None),
    ]  # fmt: skip
    assert column(found["mm"], "pid", "comm", "evidence") == [(101, "new", "inferred")]
    assert set(column(found["fault"], "mm")) == {0}


def test_tracepoints_tell_more_than_perf_does() -> None:
    found = tables(
        """
        1 0 100 page_fault_user address=0x1000 ip=0x2000 error_code=6
        2 0 100 page-faults addr=0x1000 ip=0x2000
        3 0 100 sched_process_fork child_pid=101 child_comm=a
        4 0 100 PERF_RECORD_FORK pid=101 tid=101 ptid=100 synthesized=0
        5 0 100 sched_switch prev_pid=100 next_pid=0 prev_state=1
        6 0 100 PERF_RECORD_SWITCH_CPU_WIDE out=1 preempt=0 next_prev_tid=0
        7 0 101 minor-faults addr=0x1000 ip=0x2000
        """
    )
    assert [len(found[name]) for name in ("fault", "task", "sched")] == [1, 1, 1]


def test_page_faults_are_the_minor_and_the_major_ones() -> None:
    both = """
        1 0 100 minor-faults addr=0x1000 ip=0x2000
        2 0 100 major-faults addr=0x3000 ip=0x2000
        """
    assert len(tables(both)["fault"]) == 2
    assert len(tables(both + "3 0 100 page-faults addr=0x1000 ip=0x2000")["fault"]) == 1


def test_no_mapping_in_perfs_own_records_does_not_mean_that_there_was_none() -> None:
    assert "vma_op" not in known_from(["PERF_RECORD_MMAP2", "page-faults"])
    assert "fault" in known_from(["PERF_RECORD_MMAP2", "page-faults"])
