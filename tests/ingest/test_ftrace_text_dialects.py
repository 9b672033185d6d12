"""What kernels and tracers print besides plain events, read off by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from ftrace_texts import HEAD_6_1, fields, read, read_file

from fastgup_trace.ingest.ftrace_text import sniff

STACKS = """\
 x-1 [000] ..... 1.000001: a: v=1
 x-1 [000] ..... 1.000002: <stack trace>
 => do_exit
 => do_group_exit+0x10/0x80 [module]
 y-2 [001] ..... 1.000003: a: v=2
 x-1 [000] ..... 1.000004: <user stack trace>
 =>  <00007f1234567890>
 y-2 [001] ..... 1.000005: <stack trace>
 => ffffffc000157470
"""


@pytest.mark.parametrize("block_bytes", [None, 60, 130])
def test_stacks(block_bytes: int | None, tmp_path: Path) -> None:
    """Each belongs to the record before it on its CPU, or behind another stack to that one's."""
    path = tmp_path / "trace"
    path.write_text(STACKS)
    assert sniff(path, STACKS.encode())
    result = read_file(path, block_bytes=block_bytes)
    assert result.counts == {"a": 2, "kernel_stack": 2, "user_stack": 1}
    assert result.undecodable == {}
    kernel, user = result.rows("kernel_stack"), result.rows("user_stack")
    assert [(row["common_seq"], row["of_seq"]) for row in (*kernel, *user)] == [(1, 0), (4, 2), (3, 0)]
    assert [row["caller.sym"] for row in kernel] == [["do_exit", "do_group_exit"], [None]]
    assert (user[0]["caller"], user[0]["caller.sym"]) == ([0x7F1234567890], [None])


def test_stacks_of_trace_cmd(tmp_path: Path) -> None:
    text = """cpus=2
 x-1 [000] 1.000001: a: v=1
 x-1 [000] 1.000002: kernel_stack:         <stack trace >
=> do_exit (ffffffc000157470)
=> do_group_exit (ffffffc000157480)
"""
    (row,) = read(tmp_path, text).rows("kernel_stack")
    assert fields(row) == {
        "caller.sym": ["do_exit", "do_group_exit"],
        "caller": [0xFFFFFFC000157470, 0xFFFFFFC000157480],
        "of_seq": 0,
    }


def test_names_from_everywhere(tmp_path: Path) -> None:
    """`<...>` gets the name that some event tells of that task; the head of a line knows better."""
    text = """\
 <...>-5 [000] ..... 1.000001: a: v=1
 x-1 [000] ..... 1.000002: sched_process_fork: comm=x pid=1 child_comm=x y child_pid=6
 x-1 [000] ..... 1.000003: sched_process_exec: filename=/usr/bin/longer-than-15-bytes pid=7 old_pid=7
 x-1 [000] ..... 1.000004: sched_switch: prev_comm=x prev_pid=1 prev_prio=1 prev_state=R ==> next_comm=five next_pid=5 \
next_prio=1
 <...>-6 [000] ..... 1.000005: a: v=2
 <7>-7 [000] ..... 1.000006: a: v=3
 x-1 [000] ..... 1.000007: task_newtask: pid=8 comm=z clone_flags=1200000 oom_score_adj=0
 z-8 [000] ..... 1.000008: sched_wakeup: comm=other pid=8 prio=1 target_cpu=000
"""
    assert read(tmp_path, text, wanted={}).recording.comms == {
        1: "x", 5: "five", 6: "x y", 7: "longer-than-15-", 8: "z",
    }  # fmt: skip


def test_functions_with_arguments(tmp_path: Path) -> None:
    """func-args of 6.15."""
    text = HEAD_6_1.replace("{n}", "2") + (
        " x-1 [000] ..... 1.000001: call_rcu(head=0xffff888003d4a000, func=12) <-__dentry_kill\n"
        " x-1 [000] ..... 1.000002: schedule() <-worker_thread\n"
    )
    result = read(tmp_path, text)
    assert fields(result.rows("function:call_rcu")[0]) == {
        "head": 0xFFFF888003D4A000, "func": 12, "parent_ip.sym": "__dentry_kill",
    }  # fmt: skip
    assert fields(result.rows("function:schedule")[0]) == {"parent_ip.sym": "worker_thread"}


IRQSOFF = """\
# tracer: irqsoff
#
# irqsoff latency trace v1.1.5 on 3.8.0-test+
# --------------------------------------------------------------------
# latency: 16 us, #4/4, CPU#0 | (M:preempt VP:0, KP:0, SP:0 HP:0 #P:4)
#  => started at: run_timer_softirq
#                  _------=> CPU#
#                 / _-----=> irqs-off
#                | / _----=> need-resched
#                || / _---=> hardirq/softirq
#                ||| / _--=> preempt-depth
  <idle>-0       0d.s2    0us+: _raw_spin_lock_irq <-run_timer_softirq
a b-1234567     12dNs3 1017us!: sched_process_exit: comm=a b pid=12 prio=120
  <idle>-0       0dNs3   25us : <stack trace>
 => run_timer_softirq
"""


def test_latency_tracer(tmp_path: Path) -> None:
    assert sniff(tmp_path, IRQSOFF.encode())
    result = read(tmp_path, IRQSOFF)
    assert result.counts == {"function:_raw_spin_lock_irq": 1, "sched_process_exit": 1, "kernel_stack": 1}
    assert result.undecodable == {}
    (exit_,) = result.rows("sched_process_exit")
    common = (exit_["common_ts_ns"], exit_["common_cpu"], exit_["common_pid"], exit_["common_flags"])
    assert common == (1_017_000, 12, 1234567, 1 | 4 | 16 | 32)
    assert (exit_["comm"], exit_["pid"]) == ("a b", 12)
    assert result.recording.comms == {1234567: "a b"}
    assert (result.recording.tracer, result.recording.kernel_release) == ("irqsoff", "3.8.0-test+")


def test_latency_verbose(tmp_path: Path) -> None:
    text = (
        "# tracer: preemptoff\n"
        "            bash  4251   1 1 00000000 00000001 [000003d2] 1234.567ms (+0.003ms): do_exit <-do_group_exit\n"
    )
    result = read(tmp_path, text)
    (row,) = result.rows("function:do_exit")
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"]) == (0x3D2 * 1000, 1, 4251)
    assert row["parent_ip.sym"] == "do_group_exit"


GRAPHS: dict[str, tuple[str, list[tuple[str, int, int | None]]]] = {
    "arguments and returns": (
        " 0)               |  do_exit(code=0x1, name=2) {\n"
        " 0)   0.250 us    |    call_rcu(head=0xff); /* ret=0xfffffff5 */\n"
        " 0)   1.000 us    |  } /* do_exit ret=-22 */\n"
        " 0)   2.000 us    |  mmput(); /* = 0x0 */\n",
        [("do_exit", 0, 2**64 - 22), ("call_rcu", 1, 0xFFFFFFF5), ("mmput", 0, 0)],
    ),
    "no cpu": (
        "               |  do_exit() {\n   0.250 us    |    call_rcu();\n + 10.000 us  |  }\n",
        [("do_exit", 0, None), ("call_rcu", 1, None)],
    ),
    "interrupts": (
        " 0)               |  do_exit() {\n 0)   ==========> |\n 0)               |    call_rcu();\n"
        " 0)   <========== |\n 0)               |  }\n",
        [("do_exit", 0, None), ("call_rcu", 1, None)],
    ),
    "relative times, tasks and flags": (
        "        12 us |   0)  bash-7       |  d..1. |   0.250 us    |  call_rcu();\n",
        [("call_rcu", 0, None)],
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_options(name: str, tmp_path: Path) -> None:
    text, expected = GRAPHS[name]
    text = "# tracer: function_graph\n#\n# CPU  DURATION                  FUNCTION CALLS\n" + text
    assert sniff(tmp_path, text.encode())
    result = read(tmp_path, text)
    assert result.undecodable == {}
    found = {(row["func.sym"], row["depth"], row.get("retval")) for row in result.rows("funcgraph_exit")}
    assert found == set(expected)
    assert result.counts["funcgraph_entry"] == result.counts["funcgraph_exit"] == len(expected)


def test_graph_relative_times(tmp_path: Path) -> None:
    text = "# tracer: irqsoff\n  1000012 us |   3)   bash-7       |  d..1. |   0.250 us    |  call_rcu();\n"
    (row,) = read(tmp_path, text).rows("funcgraph_entry")
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"]) == (1_000_012_000, 3, 7)
    assert row["common_flags"] == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("            bash-4251  [01] 10152.583854: path_put <-path_walk", (10_152_583_854_000, 1, 4251, None)),
        (" a (b) [c]-12  (  7) [001] ...1 1.000002: e: x=1", (1_000_002_000, 1, 12, 0)),
        (" <7952>-7952  (-----) [000] dn.4   538.064912: e: x=1", (538_064_912_000, 0, 7952, 5)),
        (" x-12 [001] d..1. 123456: e: x=1", (123_456, 1, 12, 1)),
    ],
)
def test_heads(line: str, expected: tuple[int, ...], tmp_path: Path) -> None:
    result = read(tmp_path, f"TRACE:\n# tracer: nop\n# * Snapshot is allocated *\n{line}\n")
    (event,) = result.counts
    (row,) = result.rows(event)
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"], row["common_flags"]) == expected
    assert result.undecodable == {}
