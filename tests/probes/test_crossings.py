"""What begins in one part and ends in another is one row, with its end, wherever the parts are cut."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from event_records import by_hand, column, tables
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgup_trace import probes
from fastgup_trace.probes import Context, Part
from fastgup_trace.probes.crossings import operations
from fastgup_trace.probes.part import FOREVER

NESTED = """
1 0 100 sys_enter_munmap addr=0x1000 len=0x1000
2 0 100 tlb_gather_mmu tlb=0xa mm=0x5 users=2
3 1 200 handle_mm_fault addr=0x9000 flags=0x1 mm=0x5
4 0 100 handle_mm_fault addr=0x2000 flags=0x0 mm=0x5
5 0 100 handle_mm_fault_ret ret=0
6 1 200 handle_mm_fault_ret ret=0
7 0 100 handle_mm_fault addr=0x3000 flags=0x0 mm=0x5
8 0 100 handle_mm_fault_ret ret=0
9 0 100 tlb_finish_mmu tlb=0xa mm=0x5 users=2 batch=0 start=0x1000 end=0x2000 bits=0
10 0 100 sys_exit_munmap ret=0
"""


def cut(events: dict[str, pa.Table], *seqs: int) -> list[Part]:
    """The recording in parts that begin at these places, without any margins."""
    ends = [0, *seqs, FOREVER]
    parts = []
    for start, end in pairwise(ends):
        own = {name: table.filter((pa.compute.field("common_seq") >= start) & (pa.compute.field("common_seq") < end))
               for name, table in events.items()}  # fmt: skip
        parts.append(Part({name: table for name, table in own.items() if len(table)}, start, end))
    return parts


def in_parts(events: dict[str, pa.Table], *seqs: int) -> dict[str, pa.Table]:
    found = dict[str, list[pa.Table]]()
    for made in probes.to_tables(cut(events, *seqs), Context()):
        for name, table in made.items():
            found.setdefault(name, []).append(table)
    return {name: pa.concat_tables(parts).unify_dictionaries() for name, parts in found.items()}


@pytest.mark.parametrize("place", range(1, 10))
def test_a_cut_anywhere_changes_no_row(place: int) -> None:
    whole, parted = tables(NESTED), in_parts(by_hand(NESTED), place)
    for name, table in parted.items():
        assert table.to_pylist() == whole[name].to_pylist(), name
    assert column(whole["fault"], "ts_ns", "duration_ns") == [(3, 3), (4, 1), (7, 1)]


CALLS = st.lists(
    st.tuples(st.integers(100, 102), st.sampled_from(["handle_mm_fault", "handle_mm_fault_ret"])), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(CALLS, st.sets(st.integers(1, 40), max_size=4))
def test_calls_and_returns_match_in_parts_as_in_the_whole(calls: list[tuple[int, str]], places: set[int]) -> None:
    text = "\n".join(
        f"{ts} 0 {tid} {event} " + ("ret=0" if event.endswith("_ret") else "addr=0x1000 flags=0 mm=0x5")
        for ts, (tid, event) in enumerate(calls, 1)
    )
    events = by_hand(text)
    parted = in_parts(events, *sorted(places))
    whole = tables(text)
    for name, table in parted.items():
        assert table.to_pylist() == whole[name].to_pylist(), name


def test_an_operation_has_both_events_in_the_recording() -> None:
    found = operations({"a", "a_ret", "b_ret", "sys_enter", "sys_exit", "sys_enter_brk", "thp_split_ipi"})
    assert [(o.begins, o.ends) for o in found] == [
        (("a",), ("a_ret",)), (("sys_enter",), ("sys_exit",)), (("thp_split_ipi",), ("thp_split_ipi",)),
    ]  # fmt: skip
