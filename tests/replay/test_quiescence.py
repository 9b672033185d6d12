"""Ticks that hit the kernel are no quiescent states: which threads are known to be in it, by hand."""

from __future__ import annotations

import numpy as np
from handmade import capture

from fastgup_replay.columns import where
from fastgup_replay.quiescence import covered, in_kernel


def test_covered_is_per_thread_with_nested_and_touching_stretches() -> None:
    tid = np.array([1, 1, 2])
    begin, end = np.array([10, 12, 10]), np.array([20, 14, 11])
    points = [(1, 9), (1, 10), (1, 13), (1, 15), (1, 20), (2, 10), (2, 15), (3, 12)]
    found = covered(tid, begin, end, np.array([t for t, _ in points]), np.array([p for _, p in points]))
    assert found.tolist() == [False, True, True, True, False, True, False, False]


def test_system_calls_faults_and_kernel_threads_are_in_the_kernel() -> None:
    made = capture(
        mm=[{"pid": 1, "comm": "one", "pointer": 4096}],
        vma_op=[{"ms": 10, "end_ms": 20, "op": "munmap"}],
        fault=[{"ms": 30, "duration_ns": 2_000_000}],
        rcu=[
            {"ms": 15, "phase": "tick"},
            {"ms": 25, "phase": "tick"},
            {"ms": 31, "phase": "tick"},
            {"ms": 15, "phase": "tick", "tid": 0, "mm": None, "cpu": 1},
            {"ms": 15, "phase": "tick", "tid": 7, "mm": None, "cpu": 2},
        ],
    )
    rcu = made["rcu"]
    by_row = dict(
        zip(
            zip(rcu["ts_ns"].to_pylist(), rcu["tid"].to_pylist(), strict=True),
            in_kernel(made, where(rcu, "phase", "tick")).tolist(),
            strict=True,
        )
    )
    ms = 1_000_000
    assert by_row == {
        (15 * ms, 1): True,
        (25 * ms, 1): False,
        (31 * ms, 1): True,
        (15 * ms, 0): False,
        (15 * ms, 7): True,
    }
