"""Texts of every kind that a reader takes, small and written by hand."""

from __future__ import annotations

import json

from ftrace_texts import HEAD_3_18, HEAD_6_1, REPORT

_BODIES = (
    "sched_switch: prev_comm=a b prev_pid={n} prev_prio=120 prev_state=R+ ==> "
    "next_comm=swapper/0 next_pid=0 next_prio=120",
    "page_fault_user: address=0x7f{n:08x} ip=0x55{n:08x} error_code=0x6",
    "tlb_flush: pages:{n} reason:local mm shootdown (3)",
    "ipi_raise: target_mask=00000000,0000000{k} (Function call interrupts)",
    "sys_enter: NR 11 (7f{n:08x}, 1000, 0, 0, 0, 22)",
    "sys_exit: NR 11 = 0",
    "tracing_mark_write: B|{n}|draw",
    "mm_khugepaged_scan_pmd: mm=00000000deadbee{k}, scan_pfn=0x{n:x}, writable=1, "
    "referenced=0, none_or_zero=511, status=succeeded, unmapped=0",
    "rcu_utilization: Start context switch",
)  # fmt: skip


def _body(n: int) -> str:
    return _BODIES[n % len(_BODIES)].format(n=n + 1000, k=n % 4 + 1)


def ftrace(records: int = 60, *, old: bool = False, ns: bool = False) -> str:
    flags, head = ("d..3", HEAD_3_18) if old else ("d..2.", HEAD_6_1)
    lines = [head.format(n=records)]
    for n in range(records):
        stamp = f"{100 + n // 7}.{n * 1001 % 1000000:06d}" + ("123" if ns else "")
        if n == 30:
            lines.append("CPU:1 [LOST 7 EVENTS]\n")
        lines.append(f"          task {n % 5}-{1000 + n}    [00{n % 4}] {flags}  {stamp}: {_body(n)}\n")
        if n % 20 == 5:
            lines.append(" => do_exit\n => __x64_sys_exit+0x12/0x20\n => <stack trace>\n")
    return "".join(lines)


def report(records: int = 60) -> str:
    return REPORT + "".join(
        f"          task-{n % 5}-{1000 + n}  [00{n % 4}]  {100 + n // 7}.{n * 1001 % 1000000:06d}: "
        f"{_body(n).replace(': ', ':          ', 1)}\n"
        for n in range(records)
    )


def graph(calls: int = 20) -> str:
    head = (
        "# tracer: function_graph\n#\n# CPU  DURATION                  FUNCTION CALLS\n"
        "# |     |   |                     |   |   |   |\n"
    )
    body = (
        " 0)               |  do_munmap() {\n"
        " 0)   0.500 us    |    tlb_gather_mmu();\n"
        " 0)               |    unmap_vmas() {\n"
        " 0) + 12.345 us   |      free_pgtables();\n"
        " 0) ! 120.000 us  |    }\n"
        " 0)               |  /* tlb_flush: pages:1 reason:local mm shootdown (3) */\n"
        " 0) # 1234.567 us |  } /* do_munmap */\n"
        " ------------------------------------------\n"
        " 1)  bash-100      =>  make-200\n"
        " ------------------------------------------\n"
    )
    return head + body * calls


def perf_script(records: int = 60) -> str:
    lines = list[str]()
    for n in range(records):
        stamp = f"{100 + n // 7}.{n * 1001 % 1000000:06d}"
        if n % 12 == 3:
            lines.append(
                f"        task {n % 3} {1000 + n} [00{n % 4}] {stamp}:          1 page-faults: 7f{n:08x} f+0x1 (lib)\n"
            )
            lines.append("\t    7f0012345678 f+0x1 (/usr/lib/a b.so)\n\tffffffff81000000 [unknown] ([kernel])\n\n")
        elif n % 12 == 7:
            lines.append(
                f"        task {n % 3} {1000 + n} [00{n % 4}] {stamp}: PERF_RECORD_COMM exec: a b:{1000 + n}/{n}\n"
            )
        else:
            lines.append(f"        task {n % 3} {1000 + n} [00{n % 4}] {stamp}: sched:{_body(n)}\n")
    return "".join(lines)


def json_lines(records: int = 60) -> str:
    found = [
        {"ts": 1_000_000 * n, "event": ("tlb_flush", "sched_switch", "x")[n % 3], "cpu": n % 4, "pid": 1000 + n,
         "comm": "a b", "pages": n, "start": hex(n << 40), "mask": [1, n], "what": None, "reason": "word"}
        for n in range(records)
    ]  # fmt: skip
    wrapped = [
        {"type": "printf", "data": json.dumps({"ts": 10**9, "event": "wrapped", "cpu": 1, "n": 5}) + "\n"},
        {"type": "lost_events", "data": {"events": 7}},
    ]
    return "".join(json.dumps(line) + "\n" for line in [*found, *wrapped])


def systrace_html(records: int = 40) -> str:
    return (
        "<!DOCTYPE html>\n<html>\n<head><title>Android System Trace</title><script>var x = 1;</script></head>\n<body>\n"
        '<script class="trace-data" type="application/text">\n'
        f"{ftrace(records, old=True)}</script>\n</body>\n</html>\n"
    )
