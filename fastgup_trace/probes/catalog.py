"""Every probe: the event or function, the fields that it must have, the table it fills, and the kernels that have it.

A name ending in `*` stands for all events that begin so. Function-tracer records are wanted under the function's name
too (`function:NAME`), function-graph ones as `funcgraph_entry` and `funcgraph_exit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.patterns import matches
from fastgup_trace.probes import syscall_numbers


@dataclass(frozen=True)
class Probe:
    """One event that says something about the mm."""

    event: str
    needs: tuple[str, ...]
    table: str
    tells: str
    kernels: str


_KPROBE = "6.1 and 6.12 kprobe, function tracer"
_KPROBE_61 = "5.8 to 6.11 kprobe, or function tracer"
_CALLS = ("mmap", "mmap2", "mmap_pgoff", "munmap", "mremap", "brk", "mprotect", "madvise", "execve", "execveat")
_FASTGUP = "2014 instrumentation (3.10, 3.13, 3.18)"
_STOCK = "tracepoint, all"
_RCU_TRACE = "tracepoint with CONFIG_RCU_TRACE"
_IPI = "arm, arm64 tracepoint from 3.17; 2014"
_PERF = "perf software event, all"
_SIDE_BAND = "perf.data, all"
_SEND = ("callsite", "callsite.sym", "callback", "callback.sym")

PROBES: Final = (
    # fault
    Probe("handle_mm_fault", ("addr", "flags", "mm"), "fault", "address, write, user", _KPROBE),
    Probe("handle_mm_fault_ret", (), "fault", "duration_ns", "kretprobe"),
    Probe("do_page_fault", (), "fault", "a fault, no address", "function tracer"),
    Probe("fault", ("mm", "addr", "esr", "flags", "ret", "user"), "fault", "all", _FASTGUP),
    Probe("page_fault_user", ("address", "ip", "error_code"), "fault", "address, ip, write", "x86 tracepoint"),
    Probe("page_fault_kernel", ("address", "ip", "error_code"), "fault", "address, ip, write", "x86 tracepoint"),
    Probe("page-faults", ("addr", "ip"), "fault", "address, ip", _PERF),
    Probe("minor-faults", ("addr", "ip"), "fault", "address, ip", _PERF),
    Probe("major-faults", ("addr", "ip"), "fault", "address, ip", _PERF),
    # walk
    Probe("internal_get_user_pages_fast", ("start", "nr"), "walk", "address, nr_pages", _KPROBE_61),
    Probe("internal_get_user_pages_fast_ret", ("ret",), "walk", "end_ns, path", "kretprobe"),
    Probe("gup_fast_fallback", ("start", "nr"), "walk", "address, nr_pages", "6.12 kprobe"),
    Probe("gup_fast_fallback_ret", ("ret",), "walk", "end_ns, path", "6.12 kretprobe"),
    Probe("get_user_pages_fast", ("start", "nr"), "walk", "entry", _KPROBE),
    Probe("get_user_pages_fast_ret", (), "walk", "end_ns", "function graph"),
    Probe("pin_user_pages_fast", ("start", "nr"), "walk", "entry", _KPROBE),
    Probe("get_user_pages_fast_only", ("start", "nr"), "walk", "entry", _KPROBE),
    Probe("__get_user_pages_fast", ("start", "nr"), "walk", "entry", "3.x function tracer"),
    Probe("get_user_pages_unlocked", ("start", "nr"), "walk", "path (a fallback)", _KPROBE_61),
    Probe("__gup_longterm_locked", ("mm", "start", "nr"), "walk", "path (a fallback)", "6.12 kprobe"),
    Probe("gup_irqs_off_*", (), "walk", "irq_off_ns", "kprobe behind `msr daifset` / `cpsid i`"),
    Probe("gup_irqs_on_*", (), "walk", "irq_on_ns", "kprobe behind `msr daif` / `msr CPSR_c`"),
    Probe("gup_fast", ("mm", "start", "nr_pages", "nr_fast", "ret"), "walk", "all", _FASTGUP),
    Probe("gup_walk", ("mm", "start", "nr_pages", "nr", "irqs_off"), "walk", "irq_on_ns, tail", _FASTGUP),
    # futex
    Probe("get_futex_key", ("uaddr", "fshared"), "futex", "address, shared", _KPROBE),
    Probe("get_futex_key_ret", ("ret",), "futex", "end_ns, result", "kretprobe"),
    Probe("futex_again", ("mm", "addr", "n"), "futex", "turn", _FASTGUP),
    # gather, table_free, table_alloc
    Probe("tlb_gather_mmu", ("tlb", "mm", "users"), "gather", "a gather's begin", _KPROBE),
    Probe("tlb_gather_mmu_fullmm", ("tlb", "mm", "users"), "gather", "begin of an exit's gather", _KPROBE),
    Probe("tlb_finish_mmu", ("tlb", "mm", "users", "batch", "start", "end", "bits"), "gather", "its end", _KPROBE),
    Probe("tlb_remove_table", ("tlb", "table", "mm", "batch", "users"), "table_free", "table, batch", _KPROBE),
    Probe("free_pgtables", ("mm",), "mm", "an address space", _KPROBE),
    Probe(
        "table_free", ("mm", "mm_users", "level", "pfn", "addr", "path", "batch", "fullmm"),
        "table_free", "all", _FASTGUP,
    ),
    Probe("table_alloc", ("mm", "level", "pfn", "addr"), "table_alloc", "all", _FASTGUP),
    Probe("table_batch_flush", ("mm", "mm_users", "batch", "nr"), "rcu", "nr of a queued batch", _FASTGUP),
    Probe("table_batch_freed", ("batch", "nr"), "table_free", "freed_ns", _FASTGUP),
    # rcu
    Probe("call_rcu", ("head", "func", "func.sym"), "rcu", "queue", _KPROBE),
    Probe("tlb_remove_table_rcu", ("head", "nr"), "rcu", "invoke, nr; table_free.freed_ns", _KPROBE),
    Probe("rcu_callback", ("rcuname", "rhp", "func", "func.sym", "qlen"), "rcu", "queue", _RCU_TRACE),
    Probe("rcu_invoke_callback", ("rcuname", "rhp", "func", "func.sym"), "rcu", "invoke", _RCU_TRACE),
    Probe("rcu_gp_init", (), "rcu", "gp_start", _KPROBE),
    Probe("rcu_gp_cleanup", (), "rcu", "gp_end", _KPROBE),
    Probe("rcu_report_qs_rnp", ("gps",), "rcu", "qs", _KPROBE),
    Probe(
        "rcu_grace_period", ("rcuname", "gpnum", "gp_seq", "gpevent"), "rcu", "gp_start, gp_end, qs",
        _RCU_TRACE,
    ),
    Probe("rcu_utilization", ("s",), "rcu", "tick", _STOCK),
    Probe("irq_handler_entry", ("name",), "rcu", "tick (arch_timer)", _STOCK),
    Probe("local_timer_entry", (), "rcu", "tick", "x86 tracepoint"),
    Probe("softirq_entry", ("vec",), "rcu", "core_begin", _STOCK),
    Probe("softirq_exit", ("vec",), "rcu", "core_end", _STOCK),
    # sched, task
    Probe("sched_switch", ("prev_pid", "next_pid", "prev_state"), "sched", "all", _STOCK),
    Probe("check_and_switch_context", ("mm", "users"), "mm", "the mm of the thread to come", "arm, arm64 kprobe"),
    Probe("sched_process_fork", ("child_pid", "child_comm"), "task", "fork, thread", _STOCK),
    Probe("task_newtask", ("pid", "comm", "clone_flags"), "task", "clone_flags", _STOCK),
    Probe("sched_process_exec", ("filename", "pid"), "task", "exec", _STOCK),
    Probe("sched_process_exit", ("comm", "pid"), "task", "exit", _STOCK),
    Probe(
        "PERF_RECORD_SWITCH", ("out", "preempt"), "sched", "prev_tid", _SIDE_BAND
    ),
    Probe(
        "PERF_RECORD_SWITCH_CPU_WIDE", ("out", "preempt", "next_prev_tid"), "sched", "prev_tid, next_tid", _SIDE_BAND
    ),
    Probe("PERF_RECORD_FORK", ("pid", "tid", "ptid", "synthesized"), "task", "fork, thread", _SIDE_BAND),
    Probe("PERF_RECORD_COMM", ("comm", "exec", "synthesized"), "task", "exec", "perf.data, from 3.16"),
    Probe("PERF_RECORD_EXIT", ("tid", "synthesized"), "task", "exit", _SIDE_BAND),
    # ipi
    Probe("ipi_raise", ("target_cpus", "reason", "mask", "nr"), "ipi", "raise", _IPI),
    Probe("ipi_entry", ("reason", "nr"), "ipi", "entry", _IPI),
    Probe("ipi_exit", ("reason", "nr"), "ipi", "exit", _IPI),
    Probe("ipi_send_cpu", ("cpu", *_SEND), "ipi", "raise, callers", "6.4"),
    Probe(
        "ipi_send_cpumask", ("cpumask", *_SEND), "ipi", "raise, callers", "6.4"
    ),
    Probe("csd_function_entry", ("func", "func.sym"), "ipi", "handler", "tracepoint from 6.5"),
    Probe("tlb_remove_table_smp_sync", (), "ipi", "handler", _KPROBE),
    Probe("ipi_flush_tlb_a15_erratum", (), "ipi", "handler", "arm kprobe"),
    Probe("do_nothing", (), "ipi", "handler", "3.x function tracer"),
    Probe("flush_tlb_func", (), "ipi", "handler", "x86 kprobe or function tracer"),
    Probe("call_function_entry", (), "ipi", "entry", "x86 tracepoint"),
    Probe("call_function_exit", (), "ipi", "exit", "x86 tracepoint"),
    Probe("call_function_single_entry", (), "ipi", "entry", "x86 tracepoint"),
    Probe("call_function_single_exit", (), "ipi", "exit", "x86 tracepoint"),
    Probe("reschedule_entry", (), "ipi", "entry", "x86 tracepoint"),
    Probe("reschedule_exit", (), "ipi", "exit", "x86 tracepoint"),
    # sync
    Probe("tlb_remove_table_sync_one", (), "sync", "broadcast", _KPROBE),
    Probe("tlb_remove_table_sync_one_ret", (), "sync", "end_ns", "kretprobe"),
    Probe("smp_call_function_many_cond", ("mask", "func", "func.sym"), "sync", "nr_targets; erratum", _KPROBE),
    Probe("smp_call_function_many_cond_ret", (), "sync", "end_ns", "kretprobe"),
    Probe("smp_call_function_many", ("mask", "func", "func.sym"), "sync", "nr_targets; erratum", "3.x to 5.x kprobe"),
    Probe("table_one_sync", ("pfn", "phase"), "sync", "broadcast for one table", _FASTGUP),
    Probe("thp_split_ipi", ("mm", "addr", "kind", "phase"), "thp", "split_pmd, and its broadcast in sync", _FASTGUP),
    Probe("readers_wait", ("mm", "where", "spins"), "sync", "spin", "2014 instrumentation (RFC V1)"),
    Probe("kick_all_cpus_sync", (), "sync", "broadcast", "3.x function tracer, kprobe"),
    # thp
    Probe("pmdp_splitting_flush", (), "thp", "split_pmd", "3.x function tracer"),
    Probe("split_huge_page", (), "sync", "cause", "3.x function tracer"),
    Probe("__split_huge_page_pmd", (), "sync", "cause", "3.x function tracer"),
    Probe("pmdp_invalidate", ("mm", "addr"), "thp", "split_pmd", _KPROBE),
    Probe("__split_huge_pmd", ("mm",), "thp", "end_ns of split_pmd", _KPROBE),
    Probe("__split_huge_pmd_ret", (), "thp", "end_ns of split_pmd", "kretprobe"),
    Probe("split_huge_page_to_list", ("page",), "thp", "split_page", _KPROBE_61),
    Probe("split_huge_page_to_list_ret", ("ret",), "thp", "result", "kretprobe"),
    Probe("split_huge_page_to_list_to_order", ("page",), "thp", "split_page", "6.9 to 6.12 kprobe"),
    Probe("split_huge_page_to_list_to_order_ret", ("ret",), "thp", "result", "kretprobe"),
    Probe("pmdp_collapse_flush", ("mm", "addr"), "thp", "collapse", _KPROBE),
    Probe("pmdp_collapse_flush_ret", (), "thp", "end_ns", "kretprobe"),
    Probe("collapse_huge_page", ("mm",), "thp", "result of a collapse", "arm64 kprobe"),
    Probe("collapse_huge_page_ret", ("ret",), "thp", "result of a collapse", "arm64 kretprobe"),
    Probe("collapse_and_free_pmd", ("mm",), "sync", "cause", "arm64 kprobe"),
    Probe("collapse_pte_mapped_thp", ("mm",), "sync", "cause", "arm64 kprobe"),
    # tlb_flush
    Probe("tlb_flush_at_*", ("tlb", "mm", "start", "end", "bits"), "tlb_flush", "all", "arm64 kprobe"),
    Probe(
        "tlb_flush", ("mm", "start", "end", "fullmm", "reason", "pages"), "tlb_flush", "all", "x86 tracepoint; 2014"
    ),
    Probe("flush_tlb_mm", ("mm", "users"), "tlb_flush", "reason mm", "arm kprobe, function tracer"),
    Probe("flush_tlb_range", ("mm", "start", "end"), "tlb_flush", "reason range", "arm kprobe, function tracer"),
    Probe("flush_tlb_page", ("mm", "addr"), "tlb_flush", "reason page", "arm kprobe, function tracer"),
    Probe("broadcast_tlb_mm_a15_erratum", ("mm",), "sync", "mm of an erratum broadcast", "arm kprobe"),
    # vma_op
    Probe("sys_enter_mmap", ("addr", "len"), "vma_op", "mmap", "syscalls"),
    Probe("sys_enter_mmap2", ("addr", "len"), "vma_op", "mmap", "syscalls"),
    Probe("sys_enter_mmap_pgoff", ("addr", "len"), "vma_op", "mmap", "syscalls, 32-bit"),
    Probe("sys_enter_munmap", ("addr", "len"), "vma_op", "munmap", "syscalls"),
    Probe("sys_enter_mremap", ("addr", "old_len"), "vma_op", "mremap", "syscalls"),
    Probe("sys_enter_brk", ("brk",), "vma_op", "brk", "syscalls"),
    Probe("sys_enter_mprotect", ("start", "len"), "vma_op", "mprotect", "syscalls"),
    Probe("sys_enter_madvise", ("start", "len_in", "behavior"), "vma_op", "madvise", "syscalls"),
    Probe("sys_enter_execve", (), "vma_op", "exec", "syscalls"),
    Probe("sys_enter_execveat", (), "vma_op", "exec", "syscalls"),
    Probe("sys_enter_exit_group", (), "vma_op", "exit", "syscalls"),
    *(
        Probe(f"sys_exit_{name}", ("ret",), "vma_op", "end_ns, result", "syscalls")
        for name in _CALLS
    ),
    Probe("sys_enter", ("id", "args"), "vma_op", "all, by number", "raw_syscalls"),
    Probe("sys_exit", ("id", "ret"), "vma_op", "end_ns, result", "raw_syscalls"),
    Probe("PERF_RECORD_MMAP", ("addr", "len", "tid", "synthesized"), "vma_op", "mmap of a file to run", _SIDE_BAND),
    Probe("PERF_RECORD_MMAP2", ("addr", "len", "tid", "synthesized"), "vma_op", "mmap of a file to run", _SIDE_BAND),
    # mm
    Probe("exit_mmap", ("mm", "users"), "mm", "died_ns", _KPROBE),
    Probe("__get_user_pages", ("mm",), "mm", "an address space", _KPROBE),
    Probe("collapse_file", ("mm",), "mm", "an address space", "arm64 kprobe"),
    Probe("mm_khugepaged_scan_pmd", ("mm",), "mm", "an address space", _STOCK),
    Probe("mm_khugepaged_scan_file", ("mm",), "mm", "an address space", _STOCK),
    Probe("mm_collapse_huge_page", ("mm",), "mm", "an address space", _STOCK),
    Probe("unmap_region", (), "mm", "a process", "function tracer"),
)  # fmt: skip


TICK: Final = "Start scheduler-tick"
TIMER: Final = "arch_timer"
RCU_SOFTIRQ: Final = 9
# Frequent events of which a table takes only records with one of these values in a field.
ONLY: Final[dict[str, tuple[str, tuple[str, ...] | tuple[int, ...]]]] = {
    "rcu_utilization": ("s", (TICK,)),
    "irq_handler_entry": ("name", (TIMER,)),
    "rcu_grace_period": ("gpevent", ("start", "end", "cpuqs")),
    "softirq_entry": ("vec", (RCU_SOFTIRQ,)),
    "softirq_exit": ("vec", (RCU_SOFTIRQ,)),
    "sys_enter": ("id", syscall_numbers.ALL),
    "sys_exit": ("id", syscall_numbers.ALL),
}


# What ends an operation long after the records around it: the callback of a batch of tables, a grace period later;
# unless its page was queued again before.
LATE: Final = frozenset({"tlb_remove_table_rcu", "table_batch_freed", "call_rcu"})


def trimmed(event: str, records: pa.Table) -> pa.Table:
    """`records` without those that no table takes, so that a long recording needs less memory."""
    field, values = ONLY.get(event, ("", ()))
    if field not in records.schema.names:
        return records
    column = records[field]
    if isinstance(values[0], str) and pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    elif isinstance(values[0], str) or not pa.types.is_integer(column.type):
        return records
    return records.filter(pc.is_in(column, pa.array(values)))


def worth_decoding() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Of ONLY what is told by a number: a reader can leave the other records out before it decodes them."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for event, (field, values) in ONLY.items():
        if numbers := tuple(value for value in values if isinstance(value, int)):
            found[event] = field, numbers
    return found


def wanted() -> dict[str, frozenset[str]]:
    """Event -> the fields to decode: of the probes, and of the function tracers' records."""
    fields: dict[str, frozenset[str]] = {}
    for probe in PROBES:
        fields[probe.event] = fields.get(probe.event, frozenset()) | frozenset(probe.needs)
        fields[f"function:{probe.event}"] = frozenset()
    calls = frozenset({"func", "func.sym"})
    return {**fields, "funcgraph_entry": calls, "funcgraph_exit": calls | {"duration_ns"}}


@lru_cache(maxsize=1 << 12)
def is_wanted(event: str) -> bool:
    """Whether some probe wants this event of a recording."""
    name = event.removeprefix("function:")
    if name in ("funcgraph_entry", "funcgraph_exit"):
        return True
    return any(matches(probe.event, name) for probe in PROBES)


def tables_of(event: str) -> list[str]:
    """The tables that an event feeds."""
    name = event.removeprefix("function:")
    return list(dict.fromkeys(probe.table for probe in PROBES if matches(probe.event, name)))
