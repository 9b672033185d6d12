"""A recording's records under one name each, however the tracer came by them: kprobe, tracepoint, function tracer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.patterns import matches
from fastgup_trace.probes.rows import NULL, Ints, Rows, Words, elements, stack, to_ints

# Fields that the kernel holds as a number and prints as a word (the events' own print fmt); text has the word.
SYMBOLS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("table_alloc", "level"): ("pte", "pmd", "pud"),
    ("table_free", "level"): ("pte", "pmd", "pud"),
    ("table_free", "path"): ("immediate", "batched", "one_sync", "gather", "direct"),
    ("thp_split_ipi", "kind"): ("tlbflush", "kick_all_cpus_sync", "smp_call_function", "gup_readers"),
    # arch/arm64/kernel/smp.c of 3.13: enum ipi_msg_type, under the words of /proc/interrupts.
    **{
        (event, "nr"): (
            "Rescheduling interrupts", "Function call interrupts", "Single function call interrupts",
            "CPU stop interrupts", "Timer broadcast interrupts", "IRQ work interrupts",
        )
        for event in ("ipi_raise", "ipi_entry", "ipi_exit")
    },
    ("readers_wait", "where"): ("tlb_flush_mmu", "pte_free"),
    # enum tlb_flush_reason; the words of include/trace/events/tlb.h, which has none for TLB_REMOTE_WRONG_CPU
    # (545946e3b4b5, "x86/mm/tlb: Add tracepoint for TLB flush IPI to stale CPU").
    ("tlb_flush", "reason"): (
        "flush on task switch", "remote shootdown", "local shootdown", "local mm shootdown", "remote ipi send",
        "remote wrong CPU",
    ),
}  # fmt: skip

# Fields whose values are words, masks of CPUs, and the arguments of system calls; all others must be integers.
WORDS: Final = frozenset(
    {"func.sym", "callsite.sym", "callback.sym", "filename", "comm", "child_comm", "s", "name", "rcuname", "gpevent",
     "reason", "kind", "where", "level", "path"}
)  # fmt: skip
MASKS: Final = frozenset({"target_cpus", "cpumask"})
ARGUMENTS: Final = "args"
# The 2014 instrumentation's words in text, as /proc/interrupts has them.
SYNONYMS: Final = {
    "reschedule": "Rescheduling interrupts",
    "call_func": "Function call interrupts",
    "call_func_single": "Single function call interrupts",
}


_TRACED: Final = (("funcgraph_entry", ""), ("funcgraph_exit", "_ret"))


class Names:
    """The names of a recording's events, collected part by part."""

    def __init__(self, parts: Iterable[Mapping[str, pa.Table]] = ()) -> None:
        self._found, self._probed = set[str](), set[str]()
        for events in parts:
            self.add(events)

    def add(self, events: Mapping[str, pa.Table]) -> None:
        for name, table in events.items():
            if not _is_graph(name):
                self._found |= {name.removeprefix("function:")} if len(table) else set()
                self._probed |= set() if name.startswith("function:") else {name}
        for event, suffix in _TRACED:
            if event in events and "func.sym" in events[event].schema.names:
                self._found |= {
                    f"{symbol}{suffix}" for symbol in pc.unique(_texts(events[event]["func.sym"])).to_pylist()
                }

    @property
    def probed(self) -> frozenset[str]:
        """The events that are none of the function tracers'."""
        return frozenset(self._probed)

    @property
    def recorded(self) -> frozenset[str]:
        """Those that have records, as `by_function` names them."""
        probed = self._probed
        return frozenset(name for name in self._found if name in probed or name.removesuffix("_ret") not in probed)


def _is_graph(event: str) -> bool:
    return event.startswith("funcgraph_")


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()).drop_null()


def by_function(events: Mapping[str, pa.Table], probed: frozenset[str]) -> dict[str, pa.Table]:
    """The function tracers' records as events of the function's name: `X` its entry, `X_ret` its return.

    Where a probe of that name (one of `probed`) recorded too, it has the arguments, and the function tracer's records
    are left out.
    """
    plain = {name: table for name, table in events.items() if not name.startswith("function:") and not _is_graph(name)}
    found: dict[str, pa.Table] = {}
    for name, table in events.items():
        if name.startswith("function:"):
            found[name.removeprefix("function:")] = table
    for event, suffix in _TRACED:
        if event in events and "func.sym" in events[event].schema.names:
            # Its func is the traced function, not an argument of the same name (call_rcu's callback).
            symbols = events[event]["func.sym"].cast(pa.string())
            table = events[event].drop_columns([c for c in ("func", "func.sym") if c in events[event].schema.names])
            for symbol in pc.unique(symbols).drop_null().to_pylist():
                found[f"{symbol}{suffix}"] = table.filter(pc.equal(symbols, symbol))
    return {**{name: table for name, table in found.items() if name.removesuffix("_ret") not in probed}, **plain}


@dataclass(frozen=True)
class Records:
    """Records of a recording, or a part of it, that a probe wants, by event name."""

    events: Mapping[str, pa.Table]
    words: Words
    recorded: frozenset[str] | None = None
    """The events that the whole recording has records of; None: those of `events`."""

    def __contains__(self, event: str) -> bool:
        return event in self.names

    @cached_property
    def names(self) -> frozenset[str]:
        if self.recorded is not None:
            return self.recorded
        return frozenset(name for name, table in self.events.items() if len(table))

    def like(self, *patterns: str) -> list[str]:
        """The recording's events that match a name or a prefix that ends in `*`, in the order of the patterns."""
        return [name for pattern in patterns for name in sorted(self.names) if matches(pattern, name)]

    def rows(self, *patterns: str, fields: tuple[str, ...] = ()) -> Rows:
        """The records of these events in `seq` order, with `event` and `fields` (NULL where an event lacks one)."""
        return stack([self._event(name, fields) for name in self.like(*patterns) if name in self.events])

    def _event(self, name: str, fields: tuple[str, ...]) -> Rows:
        table = self.events[name]
        columns = {
            "seq": to_ints(table["common_seq"], self.words),
            "ts_ns": to_ints(table["common_ts_ns"], self.words),
            "cpu": _known(to_ints(table["common_cpu"], self.words)),
            "tid": to_ints(table["common_pid"], self.words),
            "event": np.full(len(table), self.words.code(name)),
        }
        for field in fields:
            if field == ARGUMENTS:
                columns.update(self._arguments(table))
            elif field in table.schema.names:
                # ipi_send_cpu has a field `cpu` of its own: the one it sends to.
                columns[f"its_{field}" if field in columns else field] = self._column(name, field, table[field])
        return Rows(columns)

    def _arguments(self, table: pa.Table) -> dict[str, Ints]:
        """The first three arguments of a raw system call as arg0, arg1, arg2."""
        if ARGUMENTS not in table.schema.names or not pa.types.is_list(table[ARGUMENTS].type):
            return {}
        if not pa.types.is_integer(table[ARGUMENTS].type.value_type):
            return {}
        return {f"arg{place}": values for place, values in enumerate(elements(table[ARGUMENTS], 3))}

    def _column(self, event: str, field: str, column: pa.ChunkedArray) -> Ints:
        """A field as codes or integers; NULL throughout where a recording types it as something else."""
        is_integer = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        symbols = SYMBOLS.get((event, field))
        if symbols is not None and is_integer:
            return self._symbolic(to_ints(column, self.words), symbols)
        if pa.types.is_list(column.type) != (field in MASKS) or is_integer != (field not in WORDS | MASKS):
            return np.full(len(column), NULL)
        values = to_ints(column, self.words)
        if field == "reason":
            for theirs, ours in SYNONYMS.items():
                values = np.where(values == self.code(theirs), self.code(ours), values)
        return values

    def _symbolic(self, values: Ints, symbols: tuple[str, ...]) -> Ints:
        codes = self.words.codes(symbols)
        known = (values >= 0) & (values < len(codes))
        return np.where(known, codes[np.where(known, values, 0)], NULL)

    def code(self, word: str) -> int:
        return self.words.code(word)


def _known(cpus: Ints) -> Ints:
    """CPUs, NULL where the recording does not tell them (-1)."""
    return np.where(cpus < 0, NULL, cpus)
