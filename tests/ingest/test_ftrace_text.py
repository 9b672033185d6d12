"""Text in, rows out: every expected value is read off the text by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ftrace_texts import HEAD_3_18, HEAD_6_1, REPORT, fields, read

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text import open_ftrace_text, sniff
from fastgup_trace.ingest.records import Loss


@dataclass(frozen=True)
class Blueprint:
    """One line, and the fields it must give."""

    line: str
    event: str
    fields: dict[str, Any]
    head: str = HEAD_6_1


TASK = "            init-1       [003] d..1.   239.475701: "
TASK_3_18 = "            init-1     [003] d..1    66.921954: "
TASK_REPORT = "            init-1     [003]   239.475701: "
SWITCH = {
    "prev_comm": "swapper/2",
    "prev_pid": 0,
    "prev_prio": 120,
    "next_comm": "a b",
    "next_pid": 14,
    "next_prio": 98,
}

BLUEPRINTS = {
    "kprobe": Blueprint(
        TASK + "tlb_remove_table: (tlb_remove_table+0x0/0x1a4) tlb=0xffff800008c9b788 batch=0x0 users=-2 name=\"x y\"",
        "tlb_remove_table",
        {"__probe_ip.sym": "tlb_remove_table", "tlb": 0xFFFF800008C9B788, "batch": 0, "users": -2, "name": '"x y"'},
    ),
    "kprobe symbol": Blueprint(
        TASK + "call_rcu: (call_rcu+0x0/0x554) head=0xffff5fb7c5621300 func=file_free_rcu+0x0/0x80",
        "call_rcu",
        {"__probe_ip.sym": "call_rcu", "head": 0xFFFF5FB7C5621300, "func.sym": "file_free_rcu"},
    ),
    "kretprobe, return address first": Blueprint(
        TASK + "handle_mm_fault_ret: (do_page_fault+0x174/0x3c0 <- handle_mm_fault) ret=0x8",
        "handle_mm_fault_ret",
        {"__probe_ret_ip.sym": "do_page_fault", "__probe_func.sym": "handle_mm_fault", "ret": 8},
    ),
    "kretprobe in trace-cmd, function first": Blueprint(
        TASK_REPORT + "rcu_do_batch_ret:     (ffffb5dfa9b437a0 <- ffffb5dfa9b4941c)",
        "rcu_do_batch_ret",
        {"__probe_func": 0xFFFFB5DFA9B437A0, "__probe_ret_ip": 0xFFFFB5DFA9B4941C},
        REPORT,
    ),
    "kprobe in trace-cmd": Blueprint(
        TASK_REPORT + "flush_tlb_mm:         (c0411bd0) mm=0xc22c9c00 users=1",
        "flush_tlb_mm",
        {"__probe_ip": 0xC0411BD0, "mm": 0xC22C9C00, "users": 1},
        REPORT,
    ),
    "sched_switch": Blueprint(
        TASK + "sched_switch: prev_comm=swapper/2 prev_pid=0 prev_prio=120 prev_state=R+ ==>"
        " next_comm=a b next_pid=14 next_prio=98",
        "sched_switch",
        {**SWITCH, "prev_state": 0x100},
    ),
    "sched_switch in trace-cmd": Blueprint(
        TASK_REPORT + "sched_switch:         swapper/2:0 [120] D ==> a b:14 [98]",
        "sched_switch",
        {**SWITCH, "prev_state": 2},
        REPORT,
    ),
    "sched_switch in trace-cmd -R": Blueprint(
        TASK_REPORT + "sched_switch:          prev_comm=swapper/2 prev_pid=0 prev_prio=120 prev_state=4096"
        " next_comm=a b next_pid=14 next_prio=98",
        "sched_switch",
        {**SWITCH, "prev_state": 4096},
        REPORT,
    ),
    "fork": Blueprint(
        TASK + "sched_process_fork: comm=init pid=1 child_comm=in it child_pid=407",
        "sched_process_fork",
        {"parent_comm": "init", "parent_pid": 1, "child_comm": "in it", "child_pid": 407},
    ),
    "a process called 12": Blueprint(
        TASK + "sched_process_exit: comm=12 pid=409 prio=120",
        "sched_process_exit",
        {"comm": "12", "pid": 409, "prio": 120},
    ),
    "task_newtask, flags in hexadecimal": Blueprint(
        TASK + "task_newtask: pid=407 comm=init clone_flags=1200000 oom_score_adj=-900",
        "task_newtask",
        {"pid": 407, "comm": "init", "clone_flags": 0x1200000, "oom_score_adj": -900},
    ),
    "softirq": Blueprint(TASK + "softirq_entry: vec=9 [action=RCU]", "softirq_entry", {"vec": 9}),
    "irq": Blueprint(TASK + "irq_handler_entry: irq=1 name=a b", "irq_handler_entry", {"irq": 1, "name": "a b"}),
    "irq exit": Blueprint(TASK + "irq_handler_exit: irq=11 ret=handled", "irq_handler_exit", {"irq": 11, "ret": 1}),
    "ipi_raise": Blueprint(
        TASK + "ipi_raise: target_mask=00000000,00000008 (Function call interrupts)",
        "ipi_raise",
        {"target_cpus": [8], "reason": "Function call interrupts"},
    ),
    "ipi_raise on 32 bits": Blueprint(
        TASK + "ipi_raise: target_mask=00000001 (Rescheduling interrupts)",
        "ipi_raise",
        {"target_cpus": [1], "reason": "Rescheduling interrupts"},
    ),
    "ipi_raise on 96 CPUs": Blueprint(
        TASK + "ipi_raise: target_mask=80000000,00000001,00000002 (x (y))",
        "ipi_raise",
        {"target_cpus": [0x1_0000_0002, 0x8000_0000], "reason": "x (y)"},
    ),
    "ipi_raise in trace-cmd -R": Blueprint(
        TASK_REPORT + "ipi_raise:             target_cpus=ARRAY[04, 00, 00, 00, 01, 00, 00, 00] reason=x",
        "ipi_raise",
        {"target_cpus": [0x1_0000_0004], "reason": "x"},
        REPORT,
    ),
    "ipi_send_cpumask in trace-cmd": Blueprint(
        TASK_REPORT + "ipi_send_cpumask:     cpumask=0-1,3,64 callsite=smp_call+0x0 callback=0x0",
        "ipi_send_cpumask",
        {"cpumask": [0b1011, 1], "callsite.sym": "smp_call", "callback": 0},
        REPORT,
    ),
    "csd": Blueprint(
        TASK + "csd_queue_cpu: cpu=1 callsite=on_each_cpu_cond_mask+0x20/0x60 func=do_sync_core csd=00000000f94237f7",
        "csd_queue_cpu",
        {"cpu": 1, "callsite.sym": "on_each_cpu_cond_mask", "func.sym": "do_sync_core", "csd.hashed": 0xF94237F7},
    ),
    "rcu_utilization": Blueprint(
        TASK + "rcu_utilization: Start scheduler-tick", "rcu_utilization", {"s": "Start scheduler-tick"}
    ),
    "rcu_callback of 3.18": Blueprint(
        TASK_3_18 + "rcu_callback: rcu_sched rhp=ffffffc06f0b2200 func=file_free_rcu 0/13",
        "rcu_callback",
        {"rcuname": "rcu_sched", "rhp": 0xFFFFFFC06F0B2200, "func.sym": "file_free_rcu", "qlen_lazy": 0, "qlen": 13},
        HEAD_3_18,
    ),
    "rcu_grace_period of 3.18": Blueprint(
        TASK_3_18 + "rcu_grace_period: rcu_sched 474 AccReadyCB",
        "rcu_grace_period",
        {"rcuname": "rcu_sched", "gpnum": 474, "gpevent": "AccReadyCB"},
        HEAD_3_18,
    ),
    "rcu_grace_period of 6.1": Blueprint(
        TASK + "rcu_grace_period: rcu_sched 1897 start",
        "rcu_grace_period",
        {"rcuname": "rcu_sched", "gp_seq": 1897, "gpevent": "start"},
    ),
    "rcu_batch_end": Blueprint(
        TASK_3_18 + "rcu_batch_end: rcu_sched CBs-invoked=3 idle=.S.R",
        "rcu_batch_end",
        {"rcuname": "rcu_sched", "callbacks_invoked": 3, "cb": 0, "nr": 1, "iit": 0, "risk": 1},
        HEAD_3_18,
    ),
    "syscall entry": Blueprint(
        TASK + "sys_munmap(addr: ffff8c45a000, len: 1a6000)",
        "sys_enter_munmap",
        {"addr": 0xFFFF8C45A000, "len": 0x1A6000},
    ),
    "syscall entry of a path": Blueprint(
        TASK + "sys_execve(filename: 1ef5e8f8, argv: 0)", "sys_enter_execve", {"filename.ptr": 0x1EF5E8F8, "argv": 0}
    ),
    "syscall entry in trace-cmd": Blueprint(
        TASK_REPORT + "sys_enter_brk:        brk: 0x3f989b00", "sys_enter_brk", {"brk": 0x3F989B00}, REPORT
    ),
    "futex in trace-cmd": Blueprint(
        TASK_REPORT + "sys_enter_futex:      op=FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME uaddr=0xffffadf8f5f0 val=0x1f1",
        "sys_enter_futex",
        {"op": 265, "uaddr": 0xFFFFADF8F5F0, "val": 0x1F1},
        REPORT,
    ),
    "syscall exit": Blueprint(TASK + "sys_clone -> 0x197", "sys_exit_clone", {"ret": 407}),
    "syscall failure": Blueprint(TASK + "sys_futex -> 0xfffffffffffffff5", "sys_exit_futex", {"ret": -11}),
    "syscall failure on 32 bits": Blueprint(TASK + "sys_futex -> 0xfffffff5", "sys_exit_futex", {"ret": -11}),
    "raw syscall": Blueprint(
        TASK + "sys_enter: NR 33 (b, 1, 55d31dc139bc, 0, 7, b)",
        "sys_enter",
        {"id": 33, "args": [11, 1, 0x55D31DC139BC, 0, 7, 11]},
    ),
    "raw syscall exit": Blueprint(TASK + "sys_exit: NR 33 = -2", "sys_exit", {"id": 33, "ret": -2}),
    "tlb_flush": Blueprint(
        TASK + "tlb_flush: pages:-1 reason:flush on task switch (0)", "tlb_flush", {"pages": 2**64 - 1, "reason": 0}
    ),
    "fastgup tlb_flush": Blueprint(
        TASK_3_18 + "tlb_flush: mm=ffffffc07bef6100 start=0 end=7ff00d8000 fullmm=1",
        "tlb_flush",
        {"mm": 0xFFFFFFC07BEF6100, "start": 0, "end": 0x7FF00D8000, "fullmm": 1},
        HEAD_3_18,
    ),
    "fastgup table_free": Blueprint(
        TASK_3_18 + "table_free: mm=ffffffc07bef6100 mm_users=0 level=pmd pfn=71080 addr=400000 path=gather"
        " batch=(nil) slot=-1 fullmm=1 ip=ffffffc00015747c",
        "table_free",
        {
            "mm": 0xFFFFFFC07BEF6100, "mm_users": 0, "level": 1, "pfn": 0x71080, "addr": 0x400000, "path": 3,
            "batch": 0, "slot": -1, "fullmm": 1, "ip": 0xFFFFFFC00015747C,
        },
        HEAD_3_18,
    ),
    "khugepaged, whose pointers are hashed": Blueprint(
        TASK + "mm_collapse_huge_page: mm=000000005a9a75f6, isolated=1, status=succeeded",
        "mm_collapse_huge_page",
        {"mm.hashed": 0x5A9A75F6, "isolated": 1, "status": 1},
    ),
    "a symbol that 6.1 does not have": Blueprint(
        TASK + "mm_collapse_huge_page: mm=000000005a9a75f6, isolated=1, status=new_reason",
        "mm_collapse_huge_page",
        {"mm.hashed": 0x5A9A75F6, "isolated": 1, "status": "new_reason"},
    ),
    "key: value": Blueprint(TASK + "some_event: a:5 b:x y", "some_event", {"a": 5, "b": "x y"}),
    "truth and units": Blueprint(
        TASK + "some_event: ok=true bad=false runtime=124 [ns] size=8B", "some_event",
        {"ok": 1, "bad": 0, "runtime": 124, "size": 8},
    ),
    "no keys": Blueprint(TASK + "tracing_mark_write: B|18926|input", "tracing_mark_write", {"text": "B|18926|input"}),
    "no body": Blueprint(TASK + "some_event:", "some_event", {}),
    "function": Blueprint(
        TASK + "handle_mm_fault <-do_page_fault", "function:handle_mm_fault", {"parent_ip.sym": "do_page_fault"}
    ),
    "function with offsets": Blueprint(
        TASK + "ext4_sync+0x0/0x20 [ext4] <-vfs_sync+0x4/0x8", "function:ext4_sync", {"parent_ip.sym": "vfs_sync"}
    ),
    "function in trace-cmd": Blueprint(
        TASK_REPORT + "function:                handle_mm_fault", "function:handle_mm_fault", {}, REPORT
    ),
    "function with its parent in trace-cmd": Blueprint(
        TASK_REPORT + "function:             call_rcu <-- task_work_run", "function:call_rcu",
        {"parent_ip.sym": "task_work_run"}, REPORT,
    ),
    "function without a name in trace-cmd -R": Blueprint(
        TASK_REPORT + "function:              ip=ffffffc00008af84 parent_ip=ffffffc000080b78",
        "function:0xffffffc00008af84", {"parent_ip": 0xFFFFFFC000080B78}, REPORT,
    ),
    "function in trace-cmd -R": Blueprint(
        TASK_REPORT + "function:              ip=call_rcu parent_ip=__dentry_kill", "function:call_rcu",
        {"parent_ip.sym": "__dentry_kill"}, REPORT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_line(name: str, tmp_path: Path) -> None:
    blueprint = BLUEPRINTS[name]
    result = read(tmp_path, blueprint.head.replace("{n}", "1") + blueprint.line + "\n")
    assert result.counts == {blueprint.event: 1}
    assert result.undecodable == {}
    (row,) = result.rows(blueprint.event)
    assert fields(row) == blueprint.fields


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_line_in_crowd(name: str, tmp_path: Path) -> None:
    """The same line between all others of its writer gives the same fields."""
    blueprint = BLUEPRINTS[name]
    lines = [other.line for other in BLUEPRINTS.values() if other.head == blueprint.head]
    result = read(tmp_path, blueprint.head.replace("{n}", str(len(lines))) + "\n".join(lines) + "\n")
    assert sum(result.counts.values()) == len(lines)
    rows = [{k: v for k, v in fields(row).items() if v is not None} for row in result.rows(blueprint.event)]
    expected = dict(blueprint.fields)
    if name == "a symbol that 6.1 does not have":
        expected["status.text"] = expected.pop("status")  # Beside numbers it can't be in their column.
    assert expected in rows


@dataclass(frozen=True)
class Task:
    """The head of a line, and the common columns it must give: (time, cpu, pid, flags)."""

    head: str
    common: tuple[int, int, int, int | None]
    comms: dict[int, str]
    tgids: dict[int, int]


IRQS_OFF, NEED_RESCHED, HARDIRQ, SOFTIRQ, PREEMPT, NMI, BH_OFF = 1, 4, 8, 16, 32, 64, 128

TASKS = {
    "plain": Task("     bash-12      [001] .....  1.000002:", (1_000_002_000, 1, 12, 0), {12: "bash"}, {}),
    "tgid": Task("  bash-12  (      7) [001] .....  1.000002:", (1_000_002_000, 1, 12, 0), {12: "bash"}, {12: 7}),
    "no tgid": Task("  <idle>-0  (-------) [001] d.h..  1.000002:", (1_000_002_000, 1, 0, IRQS_OFF | HARDIRQ), {}, {}),
    "unknown comm": Task("  <...>-12  (-----) [011] ....  1.000002:", (1_000_002_000, 11, 12, 0), {}, {}),
    "spaces": Task("   a b c-12      [001] .....  1.000002:", (1_000_002_000, 1, 12, 0), {12: "a b c"}, {}),
    "dashes": Task(" memfd:-91-12    [001] .....  1.000002:", (1_000_002_000, 1, 12, 0), {12: "memfd:-91"}, {}),
    "posing": Task(" x-1 [002]-12    [001] .....  1.000002:", (1_000_002_000, 1, 12, 0), {12: "x-1 [002]"}, {}),
    "all flags": Task(
        " x-12 [001] DNH2.  1.000002:",
        (1_000_002_000, 1, 12, IRQS_OFF | BH_OFF | NEED_RESCHED | PREEMPT | HARDIRQ | SOFTIRQ), {12: "x"}, {},
    ),
    "bottom halves off": Task(" x-12 [001] b.s21  1.000002:", (1_000_002_000, 1, 12, BH_OFF | SOFTIRQ), {12: "x"}, {}),
    "NMI": Task(" x-12 [001] d.Z1.  1.000002:", (1_000_002_000, 1, 12, IRQS_OFF | NMI | HARDIRQ), {12: "x"}, {}),
    "need-resched": Task(" x-12 [001] .n...  1.000002:", (1_000_002_000, 1, 12, NEED_RESCHED), {12: "x"}, {}),
    "no flags": Task(" x-12 [001]  1.000002:", (1_000_002_000, 1, 12, None), {12: "x"}, {}),
    "nanoseconds": Task(" x-12 [001] 1.000000002:", (1_000_000_002, 1, 12, None), {12: "x"}, {}),
    "ticks": Task(" x-12 [000]15799300448085:", (15799300448085, 0, 12, None), {12: "x"}, {}),
    "trace-cmd report -l": Task(" x-12  2d.h.. 1.000002:", (1_000_002_000, 2, 12, IRQS_OFF | HARDIRQ), {12: "x"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_task(name: str, tmp_path: Path) -> None:
    task = TASKS[name]
    text = f"{task.head} some_event: a=1 comm=y-9 [003] .... 7.000000: z\n"
    assert sniff(Path(), text.encode())
    result = read(tmp_path, text)
    (row,) = result.rows("some_event")
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"], row["common_flags"]) == task.common
    assert result.recording.comms == task.comms
    assert result.recording.tgids == task.tgids


def test_header(tmp_path: Path) -> None:
    text = HEAD_6_1.replace("{n}/{n}", "2/7") + f"{TASK}a: x=1\n{TASK}b: x=1\n"
    result = read(tmp_path, text)
    assert (result.recording.tracer, result.recording.nr_cpus) == ("nop", 4)
    assert result.recording.details["entries_written"] == 7
    # Five were overwritten before the first that is there; on which CPU nobody knows.
    assert result.recording.losses == [Loss(-1, 239_475_701_000, 239_475_701_000, 5)]
    assert result.undecodable == {}


def test_missing_records(tmp_path: Path) -> None:
    result = read(tmp_path, HEAD_6_1.replace("{n}", "9") + f"{TASK}a: x=1\n")
    assert result.undecodable == {"announced by the header, not in the text": 8}
    assert result.recording.losses == []


def test_losses(tmp_path: Path) -> None:
    text = """\
 x-1 [000] ..... 1.000001: a: x=1
 x-1 [001] ..... 1.000002: a: x=2
CPU:0 [LOST 12 EVENTS]
 x-1 [001] ..... 1.000003: a: x=3
 x-1 [000] ..... 1.000004: a: x=4
CPU:1 [LOST EVENTS]
 x-1 [001] ..... 1.000005: a: x=5
CPU:2 [34 EVENTS DROPPED]
 x-1 [002] ..... 1.000006: a: x=6
CPU:0 [EVENTS DROPPED]
 x-1 [002] ..... 1.000007: a: x=7
##### CPU 3 buffer started ####
"""
    result = read(tmp_path, text)
    assert [row["x"] for row in result.rows("a")] == [1, 2, 3, 4, 5, 6, 7]
    assert result.recording.losses == [
        Loss(0, 1_000_001_000, 1_000_004_000, 12),
        Loss(1, 1_000_003_000, 1_000_005_000, None),
        Loss(2, 1_000_001_000, 1_000_006_000, 34),
        Loss(0, 1_000_004_000, 1_000_007_000, None),
    ]
    assert result.undecodable == {}


def test_lines_that_are_no_records_are_counted(tmp_path: Path) -> None:
    text = f"{TASK}a: x=1\nsome words\n\n x-1 [000] what\n{TASK}<stack trace>\n => do_exit\n => do_group_exit\n"
    result = read(tmp_path, text)
    assert result.counts == {"a": 1, "kernel_stack": 1}
    assert result.undecodable == {"the line is no record": 2}


def test_shapes_of_one_event(tmp_path: Path) -> None:
    """Bodies with other keys fill other columns; what has more shapes than can be learnt keeps its text."""
    lines = [f"{TASK}a: {key}={n}" for n, key in enumerate("bcdefghijkl")]
    result = read(tmp_path, "\n".join(lines) + "\n")
    assert result.counts == {"a": 11}
    rows = result.rows("a")
    assert fields(rows[2]) == dict.fromkeys("bcdefghi") | {"d": 2, "text": None}
    assert [row["text"] for row in rows[8:]] == ["j=8", "k=9", "l=10"]
    assert result.undecodable == {}


def test_words_before_the_keys_are_a_field(tmp_path: Path) -> None:
    names = [f"clock_{n}" for n in range(20)]
    result = read(
        tmp_path, "".join(f"{TASK}clock_set_rate: {name} state={n} cpu_id=0\n" for n, name in enumerate(names))
    )
    assert [(row["text"], row["state"]) for row in result.rows("clock_set_rate")] == [
        *zip(names, range(20), strict=True)
    ]


def test_numbers_of_known_events_that_are_none(tmp_path: Path) -> None:
    """They are counted, and their words kept; the other fields of the record are read."""
    result = read(
        tmp_path,
        f"{TASK}softirq_entry: vec=99999999999999999999 [action=X]\n{TASK}tlb_flush: pages=zz reason=4\n"
        f"{TASK}tlb_flush: pages=3 reason=5\n{TASK}sched_switch: prev_co\n",
    )
    assert [row["vec"] for row in result.rows("softirq_entry")] == [None]
    flushes = [(row.get("pages"), row.get("pages.text"), row["reason"]) for row in result.rows("tlb_flush")]
    assert flushes == [(None, "zz", 4), (3, None, 5)]
    assert result.undecodable == {
        "softirq_entry: a number that does not fit its field": 1,
        "tlb_flush: a number that does not fit its field": 1,
        "sched_switch: none of its known fields": 1,
    }


def test_hostile_comm(tmp_path: Path) -> None:
    text = b" <script>\xff\x1b[0m-12 [001] ..... 1.000002: sched_process_exit: comm=<b>\xff pid=12 prio=1\n"
    result = read(tmp_path, text)
    assert result.recording.comms == {12: "<script>�\x1b[0m"}
    assert result.rows("sched_process_exit")[0]["comm"] == "<b>�"


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    nines = "9" * 18
    text = f" x-{nines[:10]} [001] ..... {nines}.000002: a: x={nines}{nines} y=0x{'f' * 40} z=-{nines}{nines}\n"
    (row,) = read(tmp_path, text).rows("a")
    assert row["common_pid"] == 2**31 - 1
    assert row["common_ts_ns"] < 2**63


def test_wanted(tmp_path: Path) -> None:
    text = f"{TASK}a: x=1 y=2\n{TASK}b: x=1\n{TASK}c_1: x=1 y=2 z=do_exit+0x0/0x4\n{TASK}c_2: y=3\n"
    wanted = {"a": frozenset({"y"}), "c_*": frozenset({"x", "z.sym"})}
    result = read(tmp_path, text, wanted)
    assert result.counts == {"a": 1, "b": 1, "c_1": 1, "c_2": 1}
    assert {name: fields(table.to_pylist()[0]) for name, table in result.windows[0].events.items()} == {
        "a": {"y": 2},
        "c_1": {"x": 1, "z.sym": "do_exit"},
        "c_2": {},
    }
    assert [result.rows(name)[0]["common_seq"] for name in ("a", "c_1", "c_2")] == [0, 2, 3]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="absent: expected a file to read, found No such file or directory"):
        open_ftrace_text(tmp_path / "absent")
