"""The policies that a design is made of, and the steps that follow from them.

The engine executes policies and knows no design by name; `steps` tells the sequence that they mean, so what
`fastgup-trace mechanisms NAME` prints is what is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
