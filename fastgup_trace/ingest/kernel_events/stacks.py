"""Stacks of the kernel and of a process (options/stacktrace): which record each belongs to, and its functions' names.

The kernel writes a stack behind its record (kernel/trace/trace.c: trace_buffer_unlock_commit_regs), the kernel's before
the process's. An interrupt between the two may put records of its own, with their stacks, in between.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.kernel_events.batches import Group
from fastgup_trace.ingest.kernel_events.symbols import Symbols
from fastgup_trace.ingest.unaligned import Int64s

Column: TypeAlias = "pa.Array[Any]"

KERNEL, USER = "kernel_stack", "user_stack"
STACKS = frozenset((KERNEL, USER))


class Owners:
    """Finds the record of each stack; keeps what it found for the stacks of the window to come."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Int64s, Int64s]] = {}

    def column(self, event: str, stacks: Group) -> Column | None:
        """`of_seq` of some stacks; None for a recording that does not tell the record before on their CPU.

        Behind the stack of the other kind the record is that one's; behind one of its own kind it is not known.
        """
        if stacks.previous is None:
            return None
        seq, previous = stacks.seq, stacks.previous
        found = previous.copy()
        for other, (known, owners) in self._known.items():
            row = np.searchsorted(known, previous)
            same = known[np.minimum(row, len(known) - 1)] == previous
            found[same] = -1 if other == event else owners[row[same]]
        found[np.isin(previous, seq)] = -1
        self._known[event] = seq.copy(), found
        return pa.array(found, mask=found < 0)


def are_stacks(callers: Column | None) -> bool:
    """Whether these are lists of addresses."""
    return callers is not None and pa.types.is_list(callers.type) and pa.types.is_integer(callers.type.value_type)


def caller_symbols(callers: Column, symbols: Symbols) -> Column:
    """`caller.sym`: the functions of `caller`, a list of addresses each."""
    values = callers.values.to_numpy(zero_copy_only=False).astype(np.uint64)
    known, inverse = np.unique(values, return_inverse=True)
    names = pa.array(symbols.names(known), pa.string()).take(pa.array(inverse))
    mask = callers.is_null() if callers.null_count else None
    return pa.ListArray.from_arrays(callers.offsets, names, mask=mask)
