"""vma_op: the system calls that change an address space, and which of them a record lies in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import enclosing, joint, match, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Ints, Rows, stack
from fastgup_trace.probes.syscall_numbers import NUMBERS

# System call -> (op, field of the address, field of the length), under the names of include/linux/syscalls.h.
CALLS: Final[Mapping[str, tuple[str, str | None, str | None]]] = {
    "mmap": ("mmap", "addr", "len"),
    "mmap_pgoff": ("mmap", "addr", "len"),
    "mmap2": ("mmap", "addr", "len"),
    "munmap": ("munmap", "addr", "len"),
    "mremap": ("mremap", "addr", "old_len"),
    "brk": ("brk", "brk", None),
    "mprotect": ("mprotect", "start", "len"),
    "madvise": ("madvise", "start", "len_in"),
    "execve": ("exec", None, None),
    "execveat": ("exec", None, None),
    "exit_group": ("exit", None, None),
}
FIELDS: Final = ("addr", "len", "old_len", "brk", "start", "len_in", "behavior")


@dataclass(frozen=True)
class Calls:
    """System calls as rows with `op`, `address`, `length`, `advice`, `result`, `end_ns`, `end_seq`."""

    rows: Rows

    def around(self, points: Rows) -> Ints:
        """For each point the row of the system call that its thread is in, -1 for none."""
        rows = self.rows
        return enclosing(rows["tid"], rows["seq"], rows["end_seq"], points["tid"], points["seq"])


def find_calls(records: Records, context: Context) -> Calls:
    """Every enter with the exit that follows it on its thread; one that never returned has no end."""
    if not records.like("sys_enter*"):
        return Calls(_mapped(records))
    enters = stack([_enters(records), _raw(records, context)])
    exits = stack(
        [
            records.rows(*(f"sys_exit_{name}" for name in CALLS), fields=("ret",)).having(raw=0),
            records.rows("sys_exit", fields=("id", "ret")).having(raw=1),
        ]
    )
    # An exit has the event, or the number, of its enter.
    code = dict(zip(CALLS, records.words.codes(CALLS).tolist(), strict=True))
    calls = {records.code(f"sys_exit_{name}"): code[name] for name in CALLS}
    numbers = {number: code[name] for number, name in NUMBERS.get(context.arch, {}).items()}
    kind = np.where(exits["raw"] == 1, _looked_up(exits["id"], numbers), _looked_up(exits["event"], calls))
    begin_key = joint(np.r_[enters["tid"], exits["tid"]], np.r_[enters["call"], kind])
    end = match(begin_key[: len(enters)], enters["seq"], begin_key[len(enters) :], exits["seq"])
    open_end = next_after(enters["tid"], enters["seq"], enters["tid"], enters["seq"])
    forever = np.where(open_end >= 0, enters.at("seq", open_end) - 1, np.iinfo(np.int64).max)
    end_seq = np.where(end >= 0, exits.at("seq", end), np.maximum(forever, enters["seq"] + 1))
    return Calls(enters.having(end_ns=exits.at("ts_ns", end), end_seq=end_seq, result=exits.at("ret", end)))


def _looked_up(values: Ints, codes: Mapping[int, int]) -> Ints:
    """The code of each value, a small number; -1 for one that has none."""
    table = np.full(max(codes, default=0) + 2, -1)
    table[list(codes)] = list(codes.values())
    return table[np.where((values >= 0) & (values < len(table)), values, -1)]


def _mapped(records: Records) -> Rows:
    """Mappings that perf records for its symbols: files mapped to be executed, or all with perf record -d."""
    rows = records.rows("PERF_RECORD_MMAP", "PERF_RECORD_MMAP2", fields=("addr", "len", "tid", "synthesized"))
    rows = rows.take(np.flatnonzero((rows["synthesized"] != 1) & (rows["its_tid"] > 0)))
    return rows.having(
        tid=rows["its_tid"], op=records.code("mmap"), address=rows["addr"], length=rows["len"], end_seq=rows["seq"]
    )


def _enters(records: Records) -> Rows:
    parts = []
    for name, (op, address, length) in CALLS.items():
        rows = records.rows(f"sys_enter_{name}", fields=FIELDS)
        parts.append(
            rows.having(
                raw=0,
                call=records.code(name),
                op=records.code(op),
                address=rows[address] if address else NULL,
                length=rows[length] if length else NULL,
                advice=rows["behavior"],
            )
        )
    return stack(parts)


def _raw(records: Records, context: Context) -> Rows:
    """sys_enter of raw_syscalls: the number and six arguments. 32-bit numbers are another table: not read."""
    rows = records.rows("sys_enter", fields=("id", "args"))
    numbers = NUMBERS.get(context.arch)
    if not len(rows) or numbers is None:
        return Rows()
    rows = rows.take(np.flatnonzero(np.isin(rows["id"], list(numbers))))

    def by_call(values: Iterable[int | bool]) -> Ints:
        return _looked_up(rows["id"], dict(zip(numbers, map(int, values), strict=True)))

    names = list(numbers.values())
    return rows.having(
        raw=1,
        call=by_call(records.words.codes(names).tolist()),
        op=by_call(records.words.codes(CALLS[name][0] for name in names).tolist()),
        address=np.where(by_call(CALLS[name][1] is not None for name in names) == 1, rows["arg0"], NULL),
        length=np.where(by_call(CALLS[name][2] is not None for name in names) == 1, rows["arg1"], NULL),
        advice=np.where(by_call(name == "madvise" for name in names) == 1, rows["arg2"], NULL),
    )
