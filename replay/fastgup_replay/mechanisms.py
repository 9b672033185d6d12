"""The designs: how each protects a fast-GUP walker from tables freed, TLBs flushed and huge pages split under it.

One row of MECHANISMS a design; facts are from the kernel versions and postings named in its sources.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastgup_replay.policies import Invalidate, Mechanism, Sync, TableFree, Walker
from fastgup_trace.errors import UsageError

_V2: Final = (
    "Steve Capper, [RFC PATCH V2 0/4] get_user_pages_fast for ARM and ARM64, 6 Feb 2014 (cover letter and diffstat)"
)
_K313: Final = "linux 3.13.10: mm/memory.c, mm/util.c, kernel/smp.c, arch/arm64/include/asm/tlb.h"

_RFC_V2: Final = Mechanism(
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
)

_MAINLINE_318: Final = replace(
    _RFC_V2,
    name="mainline-3.18",
    title="Mainline 3.18: RFC V2 as merged (generic walker, kick_all_cpus_sync on split)",
    sources=("2667f50e8b81 (mm/gup.c)", "5e5f6dc10546 (arm64 RCU table free)", "linux 3.18.20 mm/memory.c"),
    notes=(
        *_RFC_V2.notes[1:],
        "Stable 3.18 kernels after 2018 dropped the mm_users test; see mainline-3.18-stable.",
    ),
)

_MAINLINE_61: Final = Mechanism(
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
)

MECHANISMS: Final[tuple[Mechanism, ...]] = (
    _RFC_V2,
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
    _MAINLINE_318,
    replace(
        _MAINLINE_318,
        name="mainline-3.18-stable",
        title="3.18 stable after 2018: as mainline-3.18, without the mm_users < 2 shortcut",
        single_user_shortcut=False,
        sources=(
            "linux 3.18.140: mm/memory.c (backport of the 2018 removal)",
            "recordings of 3.18.140: each of 5 full batches went to call_rcu with no TLB flush since its last table",
        ),
        notes=_RFC_V2.notes[2:],
    ),
    _MAINLINE_61,
    replace(
        _MAINLINE_61,
        name="mainline-6.12",
        title="Mainline 6.12: as 6.1; a file or shmem collapse frees its table with call_rcu instead of an IPI",
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
