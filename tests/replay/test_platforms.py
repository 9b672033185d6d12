"""The recorded machine: what its recording tells, and what is assumed for the rest."""

from __future__ import annotations

import pytest
from handmade import capture

from fastgup_replay.platforms import Platform, recorded


@pytest.mark.parametrize(
    ("page_size", "pointer_bytes", "tables"),
    [(4096, 4, 1021), (4096, 8, 509), (16384, 8, 2045), (65536, 8, 8189)],
)
def test_max_table_batch_is_the_kernels(page_size: int, pointer_bytes: int, tables: int) -> None:
    """(PAGE_SIZE - sizeof(struct mmu_table_batch)) / sizeof(void *), compiled for both word sizes."""
    assert Platform("x", "arm64", page_size, pointer_bytes, 4, 250).max_table_batch == tables


@pytest.mark.parametrize(
    ("hz", "nr_cpus", "fqs_ms"), [(100, 4, 10), (250, 4, 4), (300, 4, 6), (1000, 4, 3), (250, 256, 8)]
)
def test_the_scan_for_idle_cpus_is_the_kernels(hz: int, nr_cpus: int, fqs_ms: int) -> None:
    """RCU_JIFFIES_TILL_FORCE_QS + nr_cpus / 256 jiffies (v3.13 kernel/rcu/tree.c)."""
    assert Platform("x", "arm64", 4096, 8, nr_cpus, hz).fqs_ns // 1_000_000 == fqs_ms


def test_no_record_comes_from_a_cpu_that_the_machine_lacks() -> None:
    """A text without `#P` may be taken for fewer CPUs than it has records of: none may be dropped for that."""
    made = capture(nr_cpus=2, sched=[{"ms": 1, "cpu": 5, "next_tid": 9}])
    platform, evidence = recorded(made)
    assert (platform.nr_cpus, evidence["nr_cpus"]) == (6, "inferred")
    made.provenance["nr_cpus"] = None
    assert recorded(made)[0].nr_cpus == 6
    made.provenance["nr_cpus"] = 8
    assert recorded(made)[0].nr_cpus == 8
