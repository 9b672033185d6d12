"""What a recording can tell at all: of which operations no record means that there were none.

A probe that was on and saw nothing is a zero; one that was off is a gap. The list of enabled events lies beside a
recording or it does not, so an empty table alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

from fastgup_trace.probes.catalog import PROBES, tables_of

SPLITS: Final = "thp.split_pmd"
COLLAPSES: Final = "thp.collapse"
CALLBACKS: Final = "rcu.callbacks"

# Kinds of rows with probes of their own, in tables that other probes feed too.
_KINDS: Final = {
    SPLITS: ("pmdp_invalidate", "thp_split_ipi", "pmdp_splitting_flush"),
    COLLAPSES: ("pmdp_collapse_flush",),
    CALLBACKS: ("call_rcu", "rcu_callback", "table_batch_flush"),
}
# What tells of some operations only: perf's own records of mappings are those of files to run.
_PARTIAL: Final = frozenset({"PERF_RECORD_MMAP", "PERF_RECORD_MMAP2"})
_INSTRUMENTED: Final = "fastgup"
"""The system of the 2014 instrumentation: enabled as a whole."""


def enabled_in(meta: Mapping[str, Any]) -> list[str]:
    """The events that a meta.json says were on, and the functions that its trace-cmd line asked for (`-l`)."""
    events = meta.get("events_enabled")
    names = events.split() if isinstance(events, str) else events if isinstance(events, list) else []
    line = str(meta.get("trace_cmd_line") or "").split()
    return [str(name) for name in names] + [after for word, after in pairwise(line) if word == "-l"]


def probes_on(enabled: Iterable[str]) -> frozenset[str]:
    """Events and functions by bare name, from names with or without their system, or an instrumentation's system alone.

    `kprobes:tlb_remove_table`, `sched/sched_switch` and `function:do_nothing` lose what is before the name.
    """
    names = {word.replace("/", ":").rpartition(":")[2] for word in enabled}
    if _INSTRUMENTED in names:
        names |= {probe.event for probe in PROBES if probe.kernels.startswith("2014")}
    return frozenset(names)


def known_from(enabled: Iterable[str]) -> list[str]:
    """Tables, and `thp.split_pmd`, `thp.collapse` and `rcu.callbacks`, that these enabled events and functions feed."""
    names = probes_on(enabled)
    found = {table for name in names - _PARTIAL for table in tables_of(name)}
    found |= {kind for kind, events in _KINDS.items() if names & set(events)}
    return sorted(found - {"thp", "rcu"})  # as tables they say nothing of their kinds
