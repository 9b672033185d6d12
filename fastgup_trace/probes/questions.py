"""Which questions a capture can answer, and the probe to add for each that it can't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.patterns import matches
from fastgup_trace.probes.known import enabled_in, probes_on

Tables = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Question:
    """`rows` counts what answers it; `probes` are the events of which any, when on, makes an answer of none a zero."""

    name: str
    asks: str
    rows: Callable[[Tables], int]
    probes: tuple[str, ...]
    add: str


@dataclass(frozen=True)
class Answer:
    """`can` is yes, zero (the probe was on and saw nothing) or no."""

    question: Question
    can: str
    rows: int


def _count(table: str, **where: str | tuple[str, ...]) -> Callable[[Tables], int]:
    """Rows of `table` in which each column has one of the values; `*` is any that is not null."""

    def rows(tables: Tables) -> int:
        found = tables[table]
        for column, value in where.items():
            if value == "*":
                found = found.filter(pc.is_valid(found[column]))
            else:
                values = pa.array([value] if isinstance(value, str) else list(value))
                found = found.filter(pc.is_in(found[column].cast(pa.string()), values))
        return len(found)

    return rows


_BATCH: Final = "tlb_remove_table_rcu"
_HANDLERS: Final = ("tlb_remove_table_smp_sync", "do_nothing", "flush_tlb_func", "ipi_flush_tlb_a15_erratum")

QUESTIONS: Final = (
    Question(
        "tables", "how many page tables left their parents, in which gather",
        _count("table_free", gather="*"), ("tlb_remove_table", "table_free", "tlb_finish_mmu"),
        "kprobes tlb_gather_mmu, tlb_finish_mmu, tlb_remove_table (recipe: `tlb=%x0 mm=+0(%x0)`)",
    ),
    Question(
        "mm_users", "which tables a kernel with the `mm_users < 2` test frees at once",
        _count("table_free", mm_users="*"), ("table_free",), "`users` (mm_users) at the kprobe tlb_remove_table",
    ),
    Question(
        "levels", "which of them were pte, pmd or pud tables", _count("table_free", level="*"), ("table_free",),
        "the replay's page-table model infers it; only the 2014 instrumentation says it",
    ),
    Question(
        "batches", "RCU batches and how full each was",
        _count("rcu", func=_BATCH, nr="*"), ("table_batch_flush", _BATCH),
        "kprobe tlb_remove_table_rcu with `head=%x0 nr=+16(%x0):u32`",
    ),
    Question(
        "queue_to_free", "from the queueing of a batch to its freeing",
        _count("table_free", freed_ns="*"), ("table_batch_freed", "table_batch_flush"),
        "kprobes call_rcu (`head=%x0 func=%x1:symbol`) and tlb_remove_table_rcu",
    ),
    Question(
        "grace_periods", "grace periods as they were", _count("rcu", phase=("gp_start", "gp_end")),
        ("rcu_gp_init", "rcu_gp_cleanup"), "`-e rcu`, or kprobes rcu_gp_init and rcu_gp_cleanup",
    ),
    Question(
        "quiescent", "when each CPU last was in a quiescent state", _count("sched"),
        ("sched_switch",), "`-e sched:sched_switch`",
    ),
    Question(
        "ticks", "scheduler ticks, which end grace periods on busy CPUs", _count("rcu", phase="tick"),
        ("rcu_utilization", "irq_handler_entry", "local_timer_entry"),
        "`-e rcu:rcu_utilization` or `-e irq:irq_handler_entry`",
    ),
    Question(
        "splits", "IPIs on THP splits: how often a PMD mapping was split", _count("thp", kind="split_pmd"),
        ("pmdp_invalidate", "pmdp_splitting_flush", "thp_split_ipi"),
        "kprobe pmdp_invalidate (3.x: pmdp_splitting_flush)",
    ),
    Question(
        "collapses", "IPIs on THP collapse: how often a PMD was collapsed", _count("thp", kind="collapse"),
        ("pmdp_collapse_flush",), "kprobe pmdp_collapse_flush",
    ),
    Question(
        "broadcasts", "broadcasts that the recorded kernel sent, and who waited", _count("sync"),
        ("tlb_remove_table_sync_one", "table_one_sync", "thp_split_ipi", "kick_all_cpus_sync"),
        "kprobes tlb_remove_table_sync_one, kick_all_cpus_sync and their returns",
    ),
    Question(
        "ipi_targets", "interrupts that each CPU received", _count("ipi", phase=("entry", "handler")),
        ("ipi_entry", "csd_function_entry", "call_function_entry"), "`-e ipi` (x86: `-e irq_vectors -e csd`)",
    ),
    Question(
        "ipi_functions", "which function an interrupt ran for", _count("ipi", phase="handler", callback="*"),
        ("csd_function_entry", *_HANDLERS), "`-e csd` (6.5 and later), or kprobe tlb_remove_table_smp_sync",
    ),
    Question(
        "shootdown", "who a TLB shootdown would interrupt: the CPUs that run an mm", _count("sched", next_mm="*"), (),
        "`-e sched:sched_switch` and kprobe handle_mm_fault with `mm=+16(%x0)`",
    ),
    Question(
        "flushes", "TLB invalidations that the kernel issued", _count("tlb_flush"),
        ("tlb_flush", "tlb_flush_at_*", "flush_tlb_mm"), "kprobes at the inlined tlb_flush() (x86: `-e tlb`)",
    ),
    Question(
        "walks", "fast-GUP calls: fast, slow or mixed", _count("walk", path="*"),
        ("gup_fast", "internal_get_user_pages_fast_ret"),
        "kprobe and kretprobe internal_get_user_pages_fast (6.12: gup_fast_fallback), get_user_pages_unlocked",
    ),
    Question(
        "walk_intervals", "hazards: how long each walk had interrupts off",
        _count("walk", irq_off_ns="*", irq_on_ns="*"),
        ("gup_irqs_off_*",), "kprobes behind the walk's `msr daifset` and `msr daif`",
    ),
    Question(
        "futexes", "futex keys that needed a walk, and laps of their loop", _count("futex"),
        ("get_futex_key", "futex_again"),
        "kprobe get_futex_key and its return",
    ),
    Question(
        "causes", "why a gather was: munmap, exec, madvise, ...", _count("vma_op"), ("sys_enter_munmap", "sys_enter"),
        "`-e syscalls:sys_enter_munmap` and its like, enter and exit (or `-e raw_syscalls`)",
    ),
    Question(
        "users_over_time", "mm_users over time: threads and forks as they come and go", _count("task"),
        ("sched_process_fork", "task_newtask"),
        "`-e sched:sched_process_fork -e sched:sched_process_exit -e task:task_newtask`",
    ),
    Question(
        "faults", "page faults, from which page tables can be inferred", _count("fault", address="*"),
        ("handle_mm_fault", "fault", "page_fault_user"), "kprobe handle_mm_fault (x86: `-e exceptions`)",
    ),
)  # fmt: skip


def answers(tables: Tables, provenance: Mapping[str, Any]) -> list[Answer]:
    """Each question with whether this capture answers it."""
    meta = provenance.get("sidecars", {}).get("meta", {})
    on = probes_on([*provenance.get("events", {}), *enabled_in(meta)])
    found = []
    for question in QUESTIONS:
        rows = question.rows(tables)
        seen = any(matches(probe, name) for probe in question.probes for name in on)
        found.append(Answer(question, "yes" if rows else "zero" if seen else "no", rows))
    return found
