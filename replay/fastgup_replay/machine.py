"""The CPUs as the workload drives them: which address space each runs, and which walks are under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastgup_replay.columns import UNKNOWN


@dataclass(frozen=True)
class Walk:
    """A walk that is inside its protected region from begin_ns to end_ns. `row` is its row in `Timeline.walks`."""

    row: int
    tid: int
    cpu: int
    mm: int
    begin_ns: int
    end_ns: int


class Machine:
    """`nr_cpus` CPUs with their active address spaces, mm_cpumask, and running walks."""

    def __init__(self, idle: Iterable[bool]) -> None:
        self.idle = list(idle)
        self.nr_cpus = len(self.idle)
        self.cpu_of: dict[int, int] = {}
        self.walks: dict[int, Walk] = {}
        self._active_mm = [UNKNOWN] * self.nr_cpus
        self._lazy = [False] * self.nr_cpus
        self._mask: dict[int, set[int]] = {}

    def switch(self, cpu: int, next_tid: int, next_mm: int) -> None:
        """A context switch. A kernel thread or the idle task keeps the last mm lazily (arch/x86 switch_mm, v3.13)."""
        self.idle[cpu] = next_tid == 0
        self.cpu_of[next_tid] = cpu
        if next_mm == UNKNOWN:
            self._lazy[cpu] = True
        else:
            self.runs(cpu, next_mm)

    def runs(self, cpu: int, mm: int) -> None:
        """`cpu` runs `mm`: it enters that mm's mm_cpumask and leaves the mask of the one before."""
        before = self._active_mm[cpu]
        if before != mm and before in self._mask:
            self._mask[before].discard(cpu)
        self._active_mm[cpu] = mm
        self._lazy[cpu] = False  # also where no switch told that a thread of this mm runs here
        self._mask.setdefault(mm, set()).add(cpu)

    def others(self, cpu: int) -> list[int]:
        """All online CPUs but `cpu`."""
        return [other for other in range(self.nr_cpus) if other != cpu]

    def running(self, mm: int, cpu: int) -> list[int]:
        """The CPUs but `cpu` whose active ASID is `mm`'s (a15_erratum_get_cpumask, v3.13 arch/arm/mm/context.c)."""
        return [other for other in self.others(cpu) if self._active_mm[other] == mm]

    def shootdown(self, mm: int, cpu: int) -> list[int]:
        """mm_cpumask(mm) but `cpu`. A lazy CPU leaves it at its first IPI (leave_mm, v3.13 arch/x86/mm/tlb.c)."""
        mask = self._mask.get(mm, set())
        targets = sorted(mask - {cpu})
        for target in targets:
            if self._lazy[target]:
                mask.discard(target)
                self._active_mm[target] = UNKNOWN
        return targets

    def walkers(self, mm: int, but_tid: int) -> list[Walk]:
        """The walks of `mm` under way, other than the thread's own."""
        return [walk for walk in self.walks.values() if walk.mm == mm and walk.tid != but_tid]

    def in_walk(self, cpu: int) -> bool:
        return any(walk.cpu == cpu for walk in self.walks.values())

    def held_up_by(self, targets: list[int], ts_ns: int) -> list[Walk]:
        """The irq-off walks on `targets` that an IPI sent at ts_ns has to wait for."""
        return [walk for walk in self.walks.values() if walk.cpu in targets and walk.end_ns > ts_ns]
