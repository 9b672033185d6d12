"""Faults, system calls, tasks, TLB flushes; recordings whose fields are not what their names promise."""

from __future__ import annotations

import pyarrow as pa
import pytest
from event_records import by_hand, column, tables
from event_records import tables_of as tables_from

from fastgup_trace.probes.catalog import PROBES, is_wanted, tables_of, trimmed, wanted
from fastgup_trace.probes.flushes import site_reason
from fastgup_trace.probes.questions import QUESTIONS, answers
from fastgup_trace.schema import TABLES, check


def test_the_flags_of_a_fault_moved_in_4_0() -> None:
    text = "10 0 100 handle_mm_fault addr=0x1000 flags={} mm=0x1\n14 0 100 handle_mm_fault_ret ret=0"
    new = tables(text.format("0x255"), kernel_release="6.1.0-50-arm64")["fault"]
    assert column(new, "write", "user", "exec", "duration_ns") == [(True, True, False, 4)]
    assert column(tables(text.format("0x154"), kernel_release="6.1")["fault"], "write", "exec") == [(False, True)]
    old = tables(text.format("0xa8"), kernel_release="3.13.10")["fault"]
    assert column(old, "write", "user", "exec") == [(False, True, None)]


def test_faults_of_2014_and_of_x86() -> None:
    found = tables("""
    10 0 100 fault mm=0x1 addr=0x1000 esr=0x9200004f flags=0xa9 ret=8 user=1
    11 0 100 fault mm=0x1 addr=0x2000 esr=0x8200000f flags=0xa8 ret=8 user=1
    12 0 100 page_fault_user address=0x3000 ip=0x400000 error_code=0x6
    13 0 100 page_fault_kernel address=0x4000 ip=0xffff0000 error_code=0x10
    """)["fault"]
    assert column(found, "address", "ip", "write", "user", "exec") == [
        (0x1000, None, True, True, False), (0x2000, None, False, True, True),
        (0x3000, 0x400000, True, True, False), (0x4000, 0xFFFF0000, False, False, True),
    ]  # fmt: skip


def test_system_calls_pair_by_thread_and_name() -> None:
    found = tables("""
    10 0 100 sys_enter_munmap addr=0x1000 len=0x2000
    11 1 101 sys_enter_madvise start=0x5000 len_in=0x1000 behavior=4
    12 0 100 sys_exit_munmap ret=0
    13 1 101 sys_exit_madvise ret=-22
    14 0 100 sys_enter_mmap addr=0 len=0x40000000
    15 0 100 sys_exit_mmap ret=0x7f0000000000
    20 0 100 sys_enter_exit_group error_code=0
    """)["vma_op"]
    assert column(found, "op", "ts_ns", "end_ns", "address", "length", "advice", "result") == [
        ("munmap", 10, 12, 0x1000, 0x2000, None, 0),
        ("madvise", 11, 13, 0x5000, 0x1000, 4, -22),
        ("mmap", 14, 15, 0, 0x40000000, None, 0x7F0000000000),
        ("exit", 20, None, None, None, None, None),
    ]


def test_raw_system_calls_by_number() -> None:
    text = """
    10 0 100 sys_enter id=215 args=[0x1000,0x2000,0,0,0,0]
    11 0 100 sys_exit id=215 ret=0
    12 0 100 sys_enter id=64 args=[1,2,3,4,5,6]
    13 0 100 sys_exit id=64 ret=3
    14 0 100 sys_enter id=233 args=[0xffff800000000000,0x1000,4,0,0,0]
    15 0 100 sys_exit id=233 ret=0
    """
    found = tables(text, arch="arm64")["vma_op"]
    assert column(found, "op", "address", "length", "advice", "end_ns") == [
        ("munmap", 0x1000, 0x2000, None, 11),
        ("madvise", 0xFFFF800000000000, 0x1000, 4, 15),
    ]
    assert len(tables(text, arch="arm")["vma_op"]) == 0


def test_one_row_a_new_task_and_what_tells_a_thread_from_a_fork() -> None:
    found = tables("""
    10 0 100 task_newtask pid=101 comm=a clone_flags=0x3d0f00
    11 0 100 sched_process_fork child_pid=101 child_comm=a
    12 0 100 task_newtask pid=102 comm=a clone_flags=0x1200000
    13 0 100 sched_process_fork child_pid=102 child_comm=a
    14 0 101 sched_process_exit comm=a pid=101
    """)["task"]
    assert column(found, "op", "tid", "child_tid", "pid", "clone_flags", "evidence") == [
        ("thread", 100, 101, 100, 0x3D0F00, "observed"),
        ("fork", 100, 102, 102, 0x1200000, "observed"),
        ("exit", 101, None, 100, None, "observed"),
    ]


def test_without_clone_flags_a_task_on_its_parents_mm_is_a_thread() -> None:
    found = tables("""
    9 0 100 fault mm=0x1 addr=0x1000 esr=0 flags=1 ret=0 user=1
    10 0 100 sched_process_fork child_pid=101 child_comm=a
    11 0 100 sched_process_fork child_pid=102 child_comm=a
    12 0 101 fault mm=0x1 addr=0x1000 esr=0 flags=1 ret=0 user=1
    13 0 102 fault mm=0x2 addr=0x1000 esr=0 flags=1 ret=0 user=1
    """)["task"]
    assert column(found, "op", "child_tid", "evidence") == [("thread", 101, "inferred"), ("fork", 102, "inferred")]


def test_the_place_of_an_inlined_flush_tells_its_reason() -> None:
    reasons = {
        "tlb_flush_at_tlb_finish_mmu_f4": "gather", "tlb_flush_at_change_protection_c4c": "mprotect",
        "tlb_flush_at_madvise_free_single_vma_1b8": "madvise",
        "tlb_flush_at_huge_pmd_unshare_flush_48": "huge_pmd_unshare_flush",
        "tlb_flush_at___unmap_hugepage_range_constprop_0_414": "gather",
    }  # fmt: skip
    assert {site: site_reason(site) for site in reasons} == reasons


def test_flushes_of_each_architecture() -> None:
    found = tables("""
    10 0 100 tlb_gather_mmu tlb=0xa mm=0x1 users=2
    11 0 100 tlb_flush_at_unmap_page_range_120 tlb=0xa mm=0x1 start=0x1000 end=0x3000 bits=8
    12 0 100 tlb_finish_mmu tlb=0xa mm=0x1 users=2 batch=0 start=0 end=0 bits=0
    13 0 100 tlb_flush_at_change_protection_c4c tlb=0xa mm=0x1 start=0x1000 end=0x1800 bits=9
    20 0 100 flush_tlb_page vma=1 addr=0x5000 mm=0x1
    21 0 100 flush_tlb_mm mm=0x1 users=1
    """)["tlb_flush"]
    assert column(found, "reason", "pages", "fullmm", "gather") == [
        ("gather", 2, False, 0), ("mprotect", None, True, None), ("page", 1, False, None), ("mm", None, True, None),
    ]  # fmt: skip
    x86 = tables("10 0 100 tlb_flush reason=1 pages=33\n11 0 100 tlb_flush reason=0 pages=-1")["tlb_flush"]
    assert column(x86, "reason", "pages", "fullmm") == [
        ("remote shootdown", 33, False),
        ("flush on task switch", None, True),
    ]


# Every event of every probe, with fields of the wrong kind, alone and all at once.
WRONG = {
    "integers": pa.array([7, 8], pa.int64()),
    "words": pa.array(["a", "b"]).dictionary_encode(),
    "lists": pa.array([[1, 2], None], pa.list_(pa.uint64())),
    "floats": pa.array([1.5, 2.5]),
    "nulls": pa.array([None, None], pa.int64()),
    "lowest": pa.array([-(1 << 63), (1 << 63) - 1], pa.int64()),
    "highest": pa.array([(1 << 64) - 1, 1 << 63], pa.uint64()),
}


def wrong_events(kind: str) -> dict[str, pa.Table]:
    events = {}
    for number, probe in enumerate(PROBES):
        name = probe.event.replace("*", "x")
        head = {
            "common_seq": pa.array([2 * number, 2 * number + 1]), "common_ts_ns": pa.array([number, number]),
            "common_cpu": pa.array([0, 0], pa.int32()), "common_pid": pa.array([0, 100], pa.int32()),
        }  # fmt: skip
        events[name] = pa.table({**head, **dict.fromkeys(probe.needs, WRONG[kind])})
    return events


@pytest.mark.parametrize("kind", WRONG)
def test_fields_of_another_kind_do_no_harm(kind: str) -> None:
    events = wrong_events(kind)
    everything = tables_from(events)
    for name, table in everything.items():
        check(name, table)
    for name, table in events.items():
        tables_from({name: table})


def test_no_events_give_every_table_without_rows() -> None:
    found = tables_from({})
    assert {name: table.schema for name, table in found.items()} == TABLES
    assert not any(len(table) for table in found.values())


def test_every_probe_fills_a_table_of_the_schema_and_is_wanted() -> None:
    asked = wanted()
    for probe in PROBES:
        assert probe.table in TABLES
        assert set(probe.needs) <= asked[probe.event]
        assert is_wanted(probe.event.replace("*", "anything"))
        assert probe.table in tables_of(probe.event.replace("*", "anything"))
    assert not is_wanted("kmalloc")


def test_a_question_is_answered_by_rows_or_by_a_probe_that_saw_nothing() -> None:
    found = tables("10 0 100 thp_split_ipi mm=0x1 addr=0x200000 kind=2 phase=0")

    def can(provenance: dict[str, object]) -> dict[str, str]:
        return {answer.question.name: answer.can for answer in answers(found, provenance)}

    assert can({"events": {"thp_split_ipi": 1}})["splits"] == "yes"
    assert can({"events": {}})["collapses"] == "no"
    assert can({"events": {"pmdp_collapse_flush": 1}})["collapses"] == "zero"
    listed: dict[str, object] = {
        "events": {},
        "sidecars": {"meta": {"events_enabled": ["kprobes:pmdp_collapse_flush"]}},
    }
    assert can(listed)["collapses"] == "zero"
    assert set(can({}).values()) <= {"yes", "zero", "no"}
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)


def test_records_by_hand_are_typed_as_a_format_types_them() -> None:
    events = by_hand("10 0 100 ipi_raise target_cpus=[0xe] reason=a_-_b")
    assert events["ipi_raise"].schema.field("target_cpus").type == pa.list_(pa.uint64())
    assert events["ipi_raise"]["reason"].to_pylist() == ["a b"]


def test_records_that_no_table_takes_may_be_left_out() -> None:
    events = by_hand("""
    10 0 100 rcu_utilization s=Start_-_scheduler-tick
    11 0 100 rcu_utilization s=End_-_scheduler-tick
    12 0 100 softirq_entry vec=9
    13 0 100 softirq_entry vec=1
    14 0 100 rcu_grace_period rcuname=rcu_sched gpnum=1 gpevent=start
    15 0 100 rcu_grace_period rcuname=rcu_sched gpnum=1 gpevent=newreq
    16 0 100 sched_switch prev_pid=100 next_pid=0 prev_state=1
    """)
    less = {name: trimmed(name, table) for name, table in events.items()}
    assert {name: len(table) for name, table in less.items()} == {
        "rcu_utilization": 1, "softirq_entry": 1, "rcu_grace_period": 1, "sched_switch": 1,
    }  # fmt: skip
    assert tables_from(less) == tables_from(events)
    for kind in WRONG:
        for name, table in wrong_events(kind).items():
            trimmed(name, table)
