"""What the function-graph tracer draws, and the calls that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ftrace_texts import read_file

from fastgup_trace.ingest import ftrace_text
from fastgup_trace.ingest.ftrace_text import open_ftrace_text, sniff
from fastgup_trace.ingest.records import Loss

UNTIMED = """\
# tracer: function_graph
#
# CPU  DURATION                  FUNCTION CALLS
# |     |   |                     |   |   |   |
 1) + 94.944 us   |  handle_mm_fault();
 0)               |  handle_mm_fault() {
 0)   0.250 us    |    call_rcu();
 0)               |    /* sched_switch: prev_comm=init prev_pid=467 prev_prio=120 prev_state=R ==> \
next_comm=x next_pid=9 next_prio=120 */
 ------------------------------------------
 0)  unmapst-467   =>      x-9
 ------------------------------------------

 0)   ==========> |
CPU:0 [LOST 7 EVENTS]
 0) # 1490.160 us |  exit_mmap();
 ------------------------------------------
 0)      x-9   =>  unmapst-467
 ------------------------------------------

 0) * 18343.34 us |  } /* handle_mm_fault */
 1) $ 12345678 us |  }
"""


def calls(path: Path) -> list[tuple[Any, ...]]:
    """(seq, event, cpu, pid, function, depth, duration) of all calls, in order."""
    found = []
    for window in read_file(path).windows:
        assert window.undecodable == {}
        for name in ("funcgraph_entry", "funcgraph_exit"):
            for row in window.events[name].to_pylist() if name in window.events else ():
                found.append(
                    (row["common_seq"], name[10:], row["common_cpu"], row["common_pid"], row["func.sym"], row["depth"],
                     row.get("duration_ns"))
                )  # fmt: skip
    return sorted(found)


def test_untimed(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(UNTIMED)
    assert sniff(Path(), UNTIMED.encode())
    assert calls(path) == [
        (0, "entry", 1, None, "handle_mm_fault", 0, None),
        (1, "exit", 1, None, "handle_mm_fault", 0, 94_944),
        (2, "entry", 0, 467, "handle_mm_fault", 0, None),
        (3, "entry", 0, 467, "call_rcu", 1, None),
        (4, "exit", 0, 467, "call_rcu", 1, 250),
        # 5 is the switch.
        (6, "entry", 0, 9, "exit_mmap", 0, None),
        (7, "exit", 0, 9, "exit_mmap", 0, 1_490_160),
        (8, "exit", 0, 467, "handle_mm_fault", 0, 18_343_340),
        # The kernel leaves out the name of what was last entered at that depth of that CPU.
        (9, "exit", 1, None, "handle_mm_fault", 0, 12_345_678_000),
    ]
    recording = open_ftrace_text(path)
    (window,) = recording.windows
    (switch,) = window.events["sched_switch"].to_pylist()
    assert (switch["common_seq"], switch["common_ts_ns"], switch["common_pid"]) == (5, 6, 467)
    assert (switch["prev_pid"], switch["next_comm"]) == (467, "x")
    assert recording.comms == {9: "x", 467: "init"}  # `unmapst` is cut.
    assert recording.losses == [Loss(0, 6, 8, 7)]
    assert "not recorded" in str(recording.details["times"])


ABSTIME = """\
# tracer: function_graph
#
#     TIME        CPU  TASK/PID         DURATION                  FUNCTION CALLS
#      |          |     |    |           |   |                     |   |   |   |
   10.000001 |   3)   a b-12     | ! 500.000 us  |  handle_mm_fault();
   10.000002 |   0)  bash-7      |               |  do_exit() {
   10.000003 |   0)  bash-7      |               |  /* ipi_entry: (x) */
   10.000104 |   0)  bash-7      | ! 102.000 us  |  }
   10.000900 |   0)  bash-7      |   1.000 us    |  exit_mmap();
"""


@pytest.mark.parametrize("block_bytes", [1 << 20, 300])
def test_abstime(block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With times, the exit of a leaf stands where it happened, also when later windows must tell."""
    monkeypatch.setattr(ftrace_text, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(ftrace_text, "LARGE_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(ftrace_text, "WINDOW_RECORDS", 2)
    path = tmp_path / "trace"
    path.write_text(ABSTIME)
    assert calls(path) == [
        (0, "entry", 3, 12, "handle_mm_fault", 0, None),
        (1, "entry", 0, 7, "do_exit", 0, None),
        (3, "exit", 0, 7, "do_exit", 0, 102_000),
        (4, "exit", 3, 12, "handle_mm_fault", 0, 500_000),
        (5, "entry", 0, 7, "exit_mmap", 0, None),
        (6, "exit", 0, 7, "exit_mmap", 0, 1_000),
    ]
    recording = open_ftrace_text(path)
    exits = [
        row for w in recording.windows if "funcgraph_exit" in w.events for row in w.events["funcgraph_exit"].to_pylist()
    ]
    assert [row["common_ts_ns"] for row in exits] == [10_000_104_000, 10_000_501_000, 10_000_901_000]
    assert [row["calltime"] for row in exits] == [10_000_002_000, 10_000_001_000, 10_000_900_000]
    assert recording.comms == {12: "a b", 7: "bash"}


REPORT = """\
cpus=4
 a-1     [003]    10.000001: funcgraph_entry:      + 94.944 us  |  handle_mm_fault();
 a-1     [003]    10.000200: funcgraph_entry:                   |  exit_mmap() {
 a-1     [003]    10.000300: funcgraph_entry:                   |    rcu_do_batch() {
 b-2     [003]    10.000400: funcgraph_entry:        1.000 us   |  call_rcu();
 a-1     [002]    10.000500: funcgraph_exit:       ! 200.000 us |    }
 a-1     [002]    10.000600: funcgraph_exit:       ! 400.000 us |  }
 a-1     [002]    10.000700: funcgraph_exit:         9.000 us   |  }
"""


def test_report(tmp_path: Path) -> None:
    """trace-cmd leaves all names out at `}`: calls of a thread pair like brackets, wherever it runs."""
    path = tmp_path / "report"
    path.write_text(REPORT)
    assert calls(path) == [
        (0, "entry", 3, 1, "handle_mm_fault", 0, None),
        (1, "exit", 3, 1, "handle_mm_fault", 0, 94_944),
        (2, "entry", 3, 1, "exit_mmap", 0, None),
        (3, "entry", 3, 1, "rcu_do_batch", 1, None),
        (4, "entry", 3, 2, "call_rcu", 0, None),
        (5, "exit", 3, 2, "call_rcu", 0, 1_000),
        (6, "exit", 2, 1, "rcu_do_batch", 1, 200_000),
        (7, "exit", 2, 1, "exit_mmap", 0, 400_000),
        (8, "exit", 2, 1, None, 0, 9_000),  # It was entered before the recording began.
    ]


def test_raw_report(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text(
        "cpus=1\n a-1 [000] 10.000001: funcgraph_entry: func=do_exit depth=2\n"
        " a-1 [000] 10.000002: funcgraph_exit: func=do_exit depth=2 overrun=0 calltime=9949f695b0 rettime=9949f80890\n"
    )
    (window,) = open_ftrace_text(path).windows
    (row,) = window.events["funcgraph_exit"].to_pylist()
    assert (row["func.sym"], row["depth"], row["rettime"] - row["calltime"]) == ("do_exit", 2, 94_944)
