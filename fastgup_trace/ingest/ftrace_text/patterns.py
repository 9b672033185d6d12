"""A small language for what an event prints, and the regular expressions made of it.

A pattern is the event's print format with the *format's* field names in braces, so that what is printed under
another name comes out under the right one: `comm={parent_comm:c} pid={parent_pid:d}`. Kinds:

    d       decimal, to int64
    u       decimal, maybe printed signed, of an unsigned field, to uint64
    x       hexadecimal with or without 0x, to uint64
    p       a pointer: to NAME, or to NAME.hashed where the kernel printed a hash of it (4.15 and later)
    s       text, to a dictionary
    c       the name of a task: text of at most 64 bytes (TASK_COMM_LEN is 16), to a dictionary
    sym     a function, `NAME+0x0/0x80`, `NAME` or a bare address: to NAME.sym and, where an address, NAME
    probe   as sym, but bare addresses have no 0x
    mask    a cpumask or bitmask, `00000000,0000000f`, to list<uint64>
    cpus    a cpumask, which trace-cmd writes as a list, `0-1,3`; to list<uint64>
    words   hexadecimal numbers with commas, to list<uint64>
    long    hexadecimal of a signed long, to int64
    state   task state letters, to int64
    futex   names of futex commands and flags, to int64
    a|b|c   symbols of 0, 1, 2, or the number
    auto    whatever it looks like
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_HEX = rb"(?:0x)?[0-9a-fA-F]+|\(nil\)|\(null\)|\(_+ptrval_+\)"
_VALUES: dict[str, bytes] = {
    "d": rb"-?\d+",
    "u": rb"-?\d+",
    "x": _HEX,
    "p": _HEX,
    "s": rb".*?",
    "c": rb".{0,64}?",
    "sym": rb"\S+?(?: \[\w+\])?",
    "probe": rb"[^()<\n]+?",
    "mask": rb"[0-9a-f,]+|ARRAY\[[0-9a-f, ]*\]",
    "cpus": rb"[0-9a-f,-]+",
    "words": rb"[0-9a-f, ]*|ARRAY\[[0-9a-f, ]*\]",
    "long": rb"(?:0x)?[0-9a-fA-F]+",
    "state": rb"[A-Za-z+|]+",
    "futex": rb"[A-Z_0-9a-fx|]+",
    "auto": rb".*?",
}


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern: `regex` matches a whole body, its groups are `fields` of `kinds`."""

    regex: re.Pattern[bytes]
    fields: tuple[str, ...]
    kinds: tuple[str, ...]
    literals: tuple[bytes, ...]
    """What stands before, between and after the fields; a run of spaces is any number of them."""
    atomic: bool


@lru_cache(maxsize=4096)
def pattern(text: str, atomic: bool = False) -> Pattern:
    """Compile a pattern of the language above. A run of spaces matches any number of spaces.

    Where `atomic`, a value ends at the first place where what follows it stands: no line takes long to refuse.
    """
    fields, kinds, literals, regex = list[str](), list[str](), [b""], b""
    begin, end = (b"(?>", b")") if atomic else (b"", b"")
    for literal, name, kind in re.findall(r"([^{]*)(?:\{([^:}]*):([^}]+)\})?", text):
        regex += re.sub(rb"(?:\\ )+", rb" ++", re.escape(literal.encode()))
        literals[-1] += literal.encode()
        if kind:
            literals.append(b"")
            regex += end if fields else b""
            value = _VALUES.get(kind) or rb"%s|\d+" % b"|".join(re.escape(s.encode()) for s in kind.split("|"))
            regex += begin + b"(" + value + b")"
            fields.append(name)
            kinds.append(kind)
    regex += rb" *$" + (end if fields else b"")
    return Pattern(re.compile(rb"^" + regex, re.MULTILINE), tuple(fields), tuple(kinds), tuple(literals), atomic)


# Print formats by event: the newest first, then older kernels', then trace-cmd's own (its plugins).
# Sources: include/trace/events/*.h of 3.10, 3.18, 4.19, 6.1, 6.12; the format files of the recordings.
_MM = "mm={mm:p} "
_CSD = ("func={func:sym}, csd={csd:p}", "func={func:sym} csd={csd:p}")
# SCAN_* of mm/khugepaged.c, as 6.1 numbers them and 6.12 goes on; 0 and 1 are the same since 4.6.
_SCAN = (
    "failed|succeeded|pmd_null|pmd_none|page_pmd_mapped|exceed_none_pte|exceed_swap_pte|exceed_shared_pte|"
    "pte_non_present|pte_uffd_wp|pte_mapped_hugepage|no_writable_page|lack_referenced_page|page_null|scan_aborted|"
    "not_suitable_page_count|page_not_in_lru|page_locked|page_not_anon|page_compound|no_process_for_page|vma_null|"
    "vma_check_failed|not_suitable_address_range|could_not_delete_page_from_lru|alloc_huge_page_failed|"
    "ccgroup_charge_failed|truncated|page_has_private|store_failed|copy_poisoned_page|page_filled"
)
_LEVEL = "level={level:pte|pmd|pud} "
EVENT_PATTERNS: dict[str, tuple[str, ...]] = {
    "sched_switch": (
        "prev_comm={prev_comm:c} prev_pid={prev_pid:d} prev_prio={prev_prio:d} prev_state={prev_state:state}"
        " ==> next_comm={next_comm:c} next_pid={next_pid:d} next_prio={next_prio:d}",
        "{prev_comm:c}:{prev_pid:d} [{prev_prio:d}] {prev_state:state} ==> {next_comm:c}:{next_pid:d} [{next_prio:d}]",
        "prev_comm={prev_comm:c} prev_pid={prev_pid:d} prev_prio={prev_prio:d} prev_state={prev_state:d}"
        " next_comm={next_comm:c} next_pid={next_pid:d} next_prio={next_prio:d}",
    ),
    **dict.fromkeys(
        ("sched_wakeup", "sched_wakeup_new", "sched_waking"),
        (
            "comm={comm:c} pid={pid:d} prio={prio:d} target_cpu={target_cpu:d}",
            "comm={comm:c} pid={pid:d} prio={prio:d} success={success:d} target_cpu={target_cpu:d}",
            "{comm:c}:{pid:d} [{prio:d}] success={success:d} CPU:{target_cpu:d}",
            "{comm:c}:{pid:d} [{prio:d}] CPU:{target_cpu:d}",
        ),
    ),
    "sched_process_fork": (
        "comm={parent_comm:c} pid={parent_pid:d} child_comm={child_comm:c} child_pid={child_pid:d}",
        "parent_comm={parent_comm:c} parent_pid={parent_pid:d} child_comm={child_comm:c} child_pid={child_pid:d}",
    ),
    "sched_process_exec": ("filename={filename:s} pid={pid:d} old_pid={old_pid:d}",),
    "sched_process_exit": (
        "comm={comm:c} pid={pid:d} prio={prio:d} group_dead={group_dead:false|true}",
        "comm={comm:c} pid={pid:d} prio={prio:d}",
    ),
    "task_newtask": (
        "pid={pid:d} comm={comm:c} clone_flags={clone_flags:x} oom_score_adj={oom_score_adj:d}",
    ),
    "task_rename": ("pid={pid:d} oldcomm={oldcomm:c} newcomm={newcomm:c} oom_score_adj={oom_score_adj:d}",),
    **dict.fromkeys(("softirq_entry", "softirq_exit", "softirq_raise"), ("vec={vec:d} [action={:s}]", "vec={vec:d}")),
    "irq_handler_entry": ("irq={irq:d} name={name:s}",),
    "irq_handler_exit": ("irq={irq:d} ret={ret:unhandled|handled}",),
    "ipi_raise": (
        "target_mask={target_cpus:mask} ({reason:s})",
        "target_cpus={target_cpus:mask} reason={reason:s}",
        "target_mask={mask:x} nr={nr:d} reason={:s} ip={ip:x}",
        "mask={mask:x} nr={nr:d} ip={ip:x}",
    ),
    **dict.fromkeys(("ipi_entry", "ipi_exit"), ("({reason:s})", "reason={reason:s}", "nr={nr:d} reason={:s}")),
    "ipi_send_cpu": ("cpu={cpu:d} callsite={callsite:sym} callback={callback:sym}",),
    "ipi_send_cpumask": ("cpumask={cpumask:cpus} callsite={callsite:sym} callback={callback:sym}",),
    "csd_queue_cpu": ("cpu={cpu:d} callsite={callsite:sym} func={func:sym} csd={csd:p}",),
    **dict.fromkeys(("csd_function_entry", "csd_function_exit"), _CSD),
    "rcu_utilization": ("s={s:s}", "{s:s}"),
    "rcu_callback": (
        "{rcuname:s} rhp={rhp:p} func={func:sym} {qlen_lazy:d}/{qlen:d}",
        "{rcuname:s} rhp={rhp:p} func={func:sym} {qlen:d}",
        "rcuname={rcuname:s} rhp={rhp:p} func={func:sym} qlen_lazy={qlen_lazy:d} qlen={qlen:d}",
        "rcuname={rcuname:s} rhp={rhp:p} func={func:sym} qlen={qlen:d}",
    ),
    "rcu_kfree_callback": (
        "{rcuname:s} rhp={rhp:p} func={offset:d} {qlen_lazy:d}/{qlen:d}",
        "{rcuname:s} rhp={rhp:p} func={offset:d} {qlen:d}",
    ),
    "rcu_invoke_callback": (
        "rcuname={rcuname:s} rhp={rhp:p} func={func:sym}",
        "{rcuname:s} rhp={rhp:p} func={func:sym}",
    ),
    "rcu_invoke_kfree_callback": ("{rcuname:s} rhp={rhp:p} func={offset:d}",),
    "rcu_grace_period": (
        "{rcuname:s} {gpnum:u} {gpevent:s}",
        "rcuname={rcuname:s} gp_seq={gp_seq:u} gpevent={gpevent:s}",
        "rcuname={rcuname:s} gpnum={gpnum:u} gpevent={gpevent:s}",
    ),
    "rcu_batch_start": (
        "{rcuname:s} CBs={qlen_lazy:d}/{qlen:d} bl={blimit:d}",
        "{rcuname:s} CBs={qlen:d} bl={blimit:d}",
        "rcuname={rcuname:s} qlen_lazy={qlen_lazy:d} qlen={qlen:d} blimit={blimit:d}",
    ),
    "rcu_batch_end": (
        "{rcuname:s} CBs-invoked={callbacks_invoked:d} idle={cb:.|C}{nr:.|S}{iit:.|I}{risk:.|R}",
        "{rcuname:s} CBs-invoked={callbacks_invoked:d} idle={:s}",  # trace-cmd does not print what it means to.
        "rcuname={rcuname:s} callbacks_invoked={callbacks_invoked:d} cb={cb:d} nr={nr:d} iit={iit:d} risk={risk:d}",
    ),
    "sys_enter": ("NR {id:d} ({args:words})", "id={id:d} args={args:words}"),
    "sys_exit": ("NR {id:d} = {ret:d}", "id={id:d} ret={ret:d}"),
    "mm_khugepaged_scan_pmd": (
        "mm={mm:p}, scan_pfn={pfn:x}, writable={writable:d}, referenced={referenced:d},"
        " none_or_zero={none_or_zero:d}, status={status:" + _SCAN + "}, unmapped={unmapped:d}",
    ),
    "mm_collapse_huge_page": ("mm={mm:p}, isolated={isolated:d}, status={status:" + _SCAN + "}",),
    "mm_collapse_huge_page_swapin": (
        "mm={mm:p}, swapped_in={swapped_in:d}, referenced={referenced:d}, ret={ret:d}",
    ),
    "mm_collapse_huge_page_isolate": (
        "scan_pfn={pfn:x}, none_or_zero={none_or_zero:d}, referenced={referenced:d}, writable={writable:d},"
        " status={status:" + _SCAN + "}",
    ),
    "mm_khugepaged_scan_file": (
        "mm={mm:p}, scan_pfn={pfn:x}, filename={filename:s}, present={present:d}, swap={swap:d}, result={result:"
        + _SCAN + "}",
    ),
    "tlb_flush": (
        "pages:{pages:u} reason:{:s} ({reason:d})",
        "pages={pages:u} reason={:s} ({reason:d})",
        "reason={reason:d} pages={pages:u}",
        "pages={pages:u} reason={reason:d}",
        _MM + "start={start:x} end={end:x} fullmm={fullmm:d}",
    ),
    **dict.fromkeys(
        ("page_fault_user", "page_fault_kernel"), ("address={address:x} ip={ip:sym} error_code={error_code:x}",)
    ),
    # The system `fastgup` of the instrumented 3.10, 3.13 and 3.18 kernels.
    "table_alloc": (_MM + _LEVEL + "pfn={pfn:x} addr={addr:x}",),
    "table_free": (
        _MM + "mm_users={mm_users:d} " + _LEVEL + "pfn={pfn:x} addr={addr:x}"
        " path={path:immediate|batched|one_sync|gather|direct} batch={batch:p} slot={slot:d} fullmm={fullmm:d}"
        " ip={ip:x}",
    ),
    "table_batch_flush": (_MM + "mm_users={mm_users:d} batch={batch:p} nr={nr:d} fullmm={fullmm:d}",),
    "table_batch_freed": ("batch={batch:p} nr={nr:d}",),
    "table_one_sync": ("pfn={pfn:x} phase={phase:d}",),
    "thp_split_ipi": (
        _MM + "addr={addr:x} kind={kind:tlbflush|kick_all_cpus_sync|smp_call_function|gup_readers} phase={phase:d}",
    ),
    "gup_walk": (_MM + "start={start:x} nr_pages={nr_pages:d} write={write:d} nr={nr:d} irqs_off={irqs_off:d}",),
    "gup_fast": (_MM + "start={start:x} nr_pages={nr_pages:d} write={write:d} nr_fast={nr_fast:d} ret={ret:d}",),
    "fault": (_MM + "addr={addr:x} esr={esr:x} flags={flags:x} ret={ret:x} user={user:d}",),
    "futex_again": (_MM + "addr={addr:x} n={n:d}",),
    "readers_wait": (_MM + "where={where:d} spins={spins:d}",),
    "funcgraph_entry": ("func={func:sym} depth={depth:d}",),
    "funcgraph_exit": (
        "func={func:sym} depth={depth:d} overrun={overrun:x} calltime={calltime:x} rettime={rettime:x}",
        "func={func:sym} overrun={overrun:x} calltime={calltime:x} rettime={rettime:x} depth={depth:d}",
    ),
}  # fmt: skip


def known_patterns(event: str, modern: bool) -> tuple[str, ...]:
    """The patterns of an event; `modern` is a kernel that surely is 5.15 or later."""
    known = EVENT_PATTERNS.get(event, ())
    if modern and event == "rcu_grace_period":  # Renamed in 4.19.
        return tuple(text.replace("{gpnum:u} {", "{gp_seq:u} {") for text in known)
    return known


@lru_cache(maxsize=4096)
def known_numbers(event: str) -> dict[str, str]:
    """The fields of an event that are numbers in every pattern that is known, and their kinds."""
    pairs = {(name, kind) for text in EVENT_PATTERNS.get(event, ()) for name, kind in _FIELD.findall(text)}
    others = {name for name, kind in pairs if kind not in _NUMBERS}
    return {name: kind for name, kind in sorted(pairs) if name not in others}


@lru_cache(maxsize=4096)
def known_fields(event: str) -> frozenset[str]:
    """The fields that the known patterns of an event have."""
    return frozenset(name for text in EVENT_PATTERNS.get(event, ()) for name, _ in _FIELD.findall(text))


_FIELD = re.compile(r"\{([^:}]+):([^}]+)\}")
_NUMBERS = {"d", "u", "x", "p"}
