"""The designs: how each protects a fast-GUP walker from tables freed, TLBs flushed and huge pages split under it.

A mechanism is a frozen record of policies; the engine executes the policies and knows no mechanism by name.
`steps` tells the sequence that follows from the policies, so what is printed is what is executed.
Facts are from the kernel versions and postings named in `sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fastgup_trace.errors import UsageError


class Walker(StrEnum):
    """What a fast-GUP walk holds while it reads page tables without a lock."""

    NONE = "none"  # there is no lockless walk: every call takes mmap_sem
    IRQ_OFF = "irq-off"  # local_irq_save: holds up IPIs to this CPU and RCU-sched grace periods
    READER_COUNT = "per-mm counter"  # atomic gup_readers in the mm; interrupts stay on


class TableFree(StrEnum):
    """When a page-table page goes back to the allocator."""

    AT_ONCE = "at once, after the TLB invalidation"
    SPIN = "after the TLB invalidation, once the mm has no reader"
    RCU_BATCH = "by call_rcu, in batches"


class Invalidate(StrEnum):
    """How stale TLB entries on other CPUs go away."""

    HARDWARE = "hardware broadcast (TLBI)"
    IPI = "IPI to mm_cpumask, wait"


class Sync(StrEnum):
    """What a THP split or collapse does before it may rely on there being no walker."""

    NOTHING = "nothing"
    TLB_FLUSH = "TLB flush only"
    IPI_ALL = "IPI to all other CPUs, wait"
    IPI_MASK = "TLB flush by IPI to mm_cpumask, wait"
    SPIN = "spin until the mm has no reader"
    REF_FREEZE = "nothing: folio_ref_freeze fails while a walker holds a reference"


@dataclass(frozen=True)
class Mechanism:
    """One design.

    `single_user_shortcut`: with mm_users < 2 a table is freed at unlink, before any TLB invalidation.
    `flush_before_handover`: a full batch and the no-batch-page path invalidate TLBs first (since 2018).
    """

    name: str
    title: str
    walker: Walker
    table_free: TableFree
    invalidate: Invalidate
    split: Sync
    collapse: Sync
    sources: tuple[str, ...]
    single_user_shortcut: bool = False
    flush_before_handover: bool = True
    splitting_bit: bool = True
    """Whether a split marks the PMD for walkers first, as kernels before 4.5 did."""
    notes: tuple[str, ...] = ()

    @property
    def protects_tables(self) -> bool:
        """Whether a free waits for every walker that can still reach the table (law A1)."""
        match self.walker, self.table_free, self.invalidate:
            case (Walker.NONE, _, _) | (_, TableFree.RCU_BATCH, _) | (Walker.READER_COUNT, TableFree.SPIN, _):
                return True
            case (Walker.IRQ_OFF, _, Invalidate.IPI):
                return True
        return False

    @property
    def protects_splits(self) -> bool:
        """Whether a split waits for every walker that saw the PMD before it (law A3)."""
        match self.walker, self.split:
            case (
                (Walker.NONE, _)
                | (_, Sync.REF_FREEZE)
                | (Walker.IRQ_OFF, Sync.IPI_ALL | Sync.IPI_MASK)
                | (Walker.READER_COUNT, Sync.SPIN)
            ):
                return True
        return False


_V2: Final = (
    "Steve Capper, [RFC PATCH V2 0/4] get_user_pages_fast for ARM and ARM64, 6 Feb 2014 (cover letter and diffstat)"
)
_K313: Final = "linux 3.13.10: mm/memory.c, mm/util.c, kernel/smp.c, arch/arm64/include/asm/tlb.h"

MECHANISMS: Final[tuple[Mechanism, ...]] = (
    Mechanism(
        name="rfc-v2",
        title="RFC V2: RCU table free, irq-off walker, IPI on each THP split",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.RCU_BATCH,
        invalidate=Invalidate.HARDWARE,
        split=Sync.IPI_ALL,
        collapse=Sync.NOTHING,
        single_user_shortcut=True,
        flush_before_handover=False,
        sources=(
            _V2,
            "linux 3.13.10 mm/memory.c: tlb_remove_table, tlb_table_flush, tlb_remove_table_one",
            "linux 3.18.20 arch/arm/include/asm/tlb.h, arch/arm/mm/flush.c (the merged form)",
        ),
        notes=(
            "UNVERIFIED: the text of the four patches; this is from the cover letter, RFC V1, V4, V5 and the merge.",
            "With one user a table is free before the TLB invalidation (fixed on arm64 by 285994a62c80).",
            "A full batch is handed to RCU, and a table without a batch page freed, before the TLB invalidation.",
            "A collapse does not wait for walkers (fixed in 6.1 by 70cbc3cc78a9 and 2ba99c5e0881).",
        ),
    ),
    Mechanism(
        name="rfc-v1",
        title="RFC V1: an atomic count of walkers in each mm; freers and splitters spin on it",
        walker=Walker.READER_COUNT,
        table_free=TableFree.SPIN,
        invalidate=Invalidate.HARDWARE,
        split=Sync.SPIN,
        collapse=Sync.NOTHING,
        sources=(
            "Steve Capper, [RFC PATCH 0/2] get_user_pages_fast for ARM, 18 Oct 2013 (1382101634-4723-1)",
            "a 3.10 vendor tree with the arm64 port (gup_readers)",
        ),
        notes=(
            "The freer spins before every tlb_flush_mmu, also where only data pages are freed; readers can starve it.",
            "The arm64 port lacks the split hook: a recording of it shows no spin on a split.",
        ),
    ),
    Mechanism(
        name="unpatched-3.13",
        title="ARM/arm64 3.13 as it was: no fast walker, every call takes mmap_sem",
        walker=Walker.NONE,
        table_free=TableFree.AT_ONCE,
        invalidate=Invalidate.HARDWARE,
        split=Sync.TLB_FLUSH,
        collapse=Sync.NOTHING,
        sources=(_K313, "linux 3.13.10 kernel/futex.c: get_futex_key"),
        notes=("A shared futex on the tail page of a THP loops for ever in get_futex_key.",),
    ),
    Mechanism(
        name="mainline-3.18",
        title="Mainline 3.18: RFC V2 as merged (generic walker, kick_all_cpus_sync on split)",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.RCU_BATCH,
        invalidate=Invalidate.HARDWARE,
        split=Sync.IPI_ALL,
        collapse=Sync.NOTHING,
        single_user_shortcut=True,
        flush_before_handover=False,
        sources=("2667f50e8b81 (mm/gup.c)", "5e5f6dc10546 (arm64 RCU table free)", "linux 3.18.20 mm/memory.c"),
        notes=("Stable 3.18 kernels after 2018 dropped the mm_users test; see mainline-3.18-stable.",),
    ),
    Mechanism(
        name="mainline-3.18-stable",
        title="3.18 stable after 2018: as mainline-3.18, without the mm_users < 2 shortcut",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.RCU_BATCH,
        invalidate=Invalidate.HARDWARE,
        split=Sync.IPI_ALL,
        collapse=Sync.NOTHING,
        single_user_shortcut=False,
        flush_before_handover=True,
        sources=("linux 3.18.140: mm/memory.c (backport of the 2018 removal)",),
        notes=("UNVERIFIED: that the 2018 reordering (invalidate before the hand-over) was backported with it.",),
    ),
    Mechanism(
        name="mainline-6.1",
        splitting_bit=False,
        title="Mainline 6.1: RCU batches always, no IPI on split, one IPI to all CPUs per collapsed PMD",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.RCU_BATCH,
        invalidate=Invalidate.HARDWARE,
        split=Sync.REF_FREEZE,
        collapse=Sync.IPI_ALL,
        sources=(
            "linux 6.1.192 mm/mmu_gather.c, mm/khugepaged.c, mm/gup.c",
            "2ba99c5e0881 (mm/khugepaged: fix GUP-fast interaction by sending IPI)",
            "70cbc3cc78a9 (the walker re-checks the PMD)",
        ),
        notes=("A split needs no walker to leave: folio_ref_freeze fails while a pin is held.",),
    ),
    Mechanism(
        name="mainline-6.12",
        splitting_bit=False,
        title="Mainline 6.12: as 6.1; a file or shmem collapse frees its table with call_rcu instead of an IPI",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.RCU_BATCH,
        invalidate=Invalidate.HARDWARE,
        split=Sync.REF_FREEZE,
        collapse=Sync.IPI_ALL,
        sources=("linux 6.12.117 mm/mmu_gather.c, mm/khugepaged.c",),
    ),
    Mechanism(
        name="x86-3.13",
        title="x86 3.13: TLB flushes by IPI, which an irq-off walker holds up",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.AT_ONCE,
        invalidate=Invalidate.IPI,
        split=Sync.IPI_MASK,
        collapse=Sync.IPI_MASK,
        sources=(
            "linux 3.13.10 arch/x86/mm/tlb.c: flush_tlb_mm_range, leave_mm",
            "linux 3.13.10 arch/x86/mm/pgtable.c",
        ),
        notes=("Only the flushes that the recording shows are counted: copy-on-write flushes, for one, are not.",),
    ),
    Mechanism(
        name="naive",
        title="No protection: irq-off walker, hardware TLB invalidation, tables freed at once",
        walker=Walker.IRQ_OFF,
        table_free=TableFree.AT_ONCE,
        invalidate=Invalidate.HARDWARE,
        split=Sync.NOTHING,
        collapse=Sync.NOTHING,
        sources=(
            "the design that RFC V2's cover letter rules out",
            "Zi Shen Lim, 3 Oct 2013 (1380820515-21100-1), is this with a TLB flush on split",
        ),
        notes=("Unsound on hardware-broadcast TLBs: kept as the lower bound of what protection costs.",),
    ),
)

DEFAULT: Final = ("rfc-v2", "rfc-v1", "unpatched-3.13", "mainline-3.18", "mainline-6.1", "x86-3.13", "naive")
"""What `replay` runs when no mechanism is named."""


def mechanism(name: str) -> Mechanism:
    """The mechanism of that name. Raises UsageError, with the nearest names, if there is none."""
    for candidate in MECHANISMS:
        if candidate.name == name:
            return candidate
    from difflib import get_close_matches

    names = [m.name for m in MECHANISMS]
    near = get_close_matches(name, names, 2) or names
    raise UsageError("--mechanism", "the name of a mechanism", repr(name), f"nearest: {', '.join(near)}")


def steps(m: Mechanism) -> dict[str, tuple[str, ...]]:
    """The steps that each operation takes under `m`, derived from its policies as the engine executes them."""
    return {
        "fast GUP": _walk_steps(m),
        "a page-table page is unmapped": _unlink_steps(m),
        "the gather ends": _finish_steps(m),
        "a PMD mapping of a THP is split": _sync_steps(
            m.split, "set the PMD's splitting bit" if m.splitting_bit else "unmap the PMD, invalidate the TLB"
        ),
        "a PMD range is collapsed": _sync_steps(m.collapse, "clear the PMD, invalidate the TLB"),
    }


def _walk_steps(m: Mechanism) -> tuple[str, ...]:
    match m.walker:
        case Walker.NONE:
            return ("down_read(mmap_sem)", "get_user_pages", "up_read(mmap_sem)")
        case Walker.IRQ_OFF:
            return (
                "local_irq_save",
                "walk pgd..pte, take references",
                "local_irq_restore",
                "the rest through mmap_sem",
            )
        case Walker.READER_COUNT:
            return (
                "atomic_inc(gup_readers)",
                "walk pgd..pte, take references",
                "atomic_dec(gup_readers)",
                "the rest through mmap_sem",
            )


def _unlink_steps(m: Mechanism) -> tuple[str, ...]:
    unlink = "clear the parent entry"
    if m.table_free is not TableFree.RCU_BATCH:
        return (unlink, "put the table on the gather's page list")
    shortcut = ("if mm_users < 2: free the table now",) if m.single_user_shortcut else ()
    first = "invalidate the TLB, then " if m.flush_before_handover else ""
    return (
        unlink,
        *shortcut,
        f"if no batch page can be had: {first}IPI to all other CPUs, wait, free the one table",
        f"else append to the batch; when it is full: {first}call_rcu",
    )


def _finish_steps(m: Mechanism) -> tuple[str, ...]:
    spin = ("spin until the mm has no reader",) if m.table_free is TableFree.SPIN else ()
    free = "call_rcu for the batch" if m.table_free is TableFree.RCU_BATCH else "free the tables"
    return (*spin, f"invalidate the TLB: {m.invalidate.value}", free)


def _sync_steps(sync: Sync, first: str) -> tuple[str, ...]:
    return (first, sync.value)
