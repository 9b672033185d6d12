"""What a recording can tell at all: of which operations no record means that there were none.

A probe that was on and saw nothing is a zero; one that was off is a gap. The list of enabled events lies beside a
recording or it does not, so an empty table alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

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
_INSTRUMENTED: Final = "fastgup"
"""The system of the 2014 instrumentation: enabled as a whole."""


def known_from(enabled: Iterable[str]) -> list[str]:
    """Tables, and `thp.split_pmd`, `thp.collapse` and `rcu.callbacks`, that these enabled events and functions feed.

    `enabled` has event names with or without their system (`kprobes:tlb_remove_table`, `sched/sched_switch`), or the
    instrumentation's system alone.
    """
    names = {word.replace("/", ":").rpartition(":")[2] for word in enabled}
    if _INSTRUMENTED in names:
        names |= {probe.event for probe in PROBES if probe.kernels.startswith("2014")}
    found = {table for name in names for table in tables_of(name)}
    found |= {kind for kind, events in _KINDS.items() if names & set(events)}
    return sorted(found - {"thp", "rcu"})  # as tables they say nothing of their kinds
