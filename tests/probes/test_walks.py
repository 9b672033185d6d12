"""Fast-GUP calls: entry, path, the irq-off interval."""

from __future__ import annotations

from event_records import column, tables

CALL = "get_user_pages_fast start=0x1000 nr=8 flags=0"
WALK = "internal_get_user_pages_fast start=0x1000 nr=8 flags=0"


def path(*inside: str, ret: int) -> tuple[object, ...]:
    lines = [CALL, WALK, *inside, f"internal_get_user_pages_fast_ret ret={ret}"]
    other = "9 1 101 get_user_pages_unlocked start=0x9000 nr=1 flags=0\n"
    text = other + "\n".join(f"{10 + i} 0 100 {line}" for i, line in enumerate(lines))
    walk = tables(text)["walk"]
    (row,) = column(walk, "entry", "path", "nr_pages", "nr_pinned", "irq_off_ns", "irq_on_ns", "end_ns")
    assert isinstance(row, tuple)
    return row


def test_all_pages_by_the_walk_is_fast() -> None:
    assert path("gup_irqs_off_940 x=1", "gup_irqs_on_198 x=1", ret=8) == (
        "get_user_pages_fast", "fast", 8, 8, 12, 13, 14,
    )  # fmt: skip


def test_a_fallback_for_all_pages_is_slow_and_for_some_is_mixed() -> None:
    assert path("get_user_pages_unlocked start=0x1000 nr=8 flags=0", ret=8)[1:4] == ("slow", 8, 0)
    assert path("get_user_pages_unlocked start=0x4000 nr=5 flags=0", ret=8)[1:4] == ("mixed", 8, 3)
    assert path("__gup_longterm_locked mm=0x1 start=0x4000 nr=5", ret=8)[1:4] == ("mixed", 8, 3)


def test_nothing_pinned_or_an_error_is_failed() -> None:
    assert path("get_user_pages_unlocked start=0x1000 nr=8 flags=0", ret=-14)[1] == "failed"
    assert path(ret=0)[1] == "failed"


def test_fewer_pages_without_a_fallback_is_mixed() -> None:
    assert path(ret=3)[1:4] == ("mixed", 8, 3)


def test_the_entry_is_the_threads_last_one_since_its_walk_before() -> None:
    walk = tables("""
    10 0 100 pin_user_pages_fast start=0x1000 nr=1 flags=0
    11 0 100 gup_fast_fallback start=0x1000 nr=1 flags=0
    12 0 100 gup_fast_fallback_ret ret=1
    13 0 100 gup_fast_fallback start=0x2000 nr=1 flags=0
    14 0 100 gup_fast_fallback_ret ret=1
    """)["walk"]
    assert column(walk, "entry") == ["pin_user_pages_fast", None]


def test_a_walk_for_the_page_of_a_futex_key_is_the_futexs() -> None:
    found = tables("""
    10 0 100 get_futex_key uaddr=0x1a84 fshared=1
    11 0 100 get_user_pages_fast start=0x1a84 nr=1 flags=0
    12 0 100 internal_get_user_pages_fast start=0x1000 nr=1 flags=0
    13 0 100 internal_get_user_pages_fast_ret ret=1
    14 0 100 get_futex_key_ret ret=0
    15 0 100 get_user_pages_fast start=0x1000 nr=1 flags=0
    16 0 100 internal_get_user_pages_fast start=0x1000 nr=1 flags=0
    17 0 100 internal_get_user_pages_fast_ret ret=1
    """)
    assert column(found["walk"], "entry") == ["futex", "get_user_pages_fast"]
    assert column(found["futex"], "address", "shared", "turn", "end_ns", "result") == [(0x1A84, True, 1, 14, 0)]


def test_without_returns_a_walk_is_fast_only_where_a_fallback_would_have_been_seen() -> None:
    entry = "10 0 100 internal_get_user_pages_fast start=0x1000 nr=8 flags=0\n"
    assert column(tables(entry)["walk"], "path", "end_ns") == [(None, None)]
    probed = tables(entry + "11 1 101 get_user_pages_unlocked start=0x5000 nr=8 flags=0")
    assert column(probed["walk"], "path") == ["fast"]


def test_2014_the_walk_before_a_return_is_its_own_and_another_is_a_row() -> None:
    walk = tables("""
    10 0 100 gup_walk mm=0x1 start=0x1000 nr_pages=8 write=1 nr=8 irqs_off=0
    11 0 100 gup_fast mm=0x1 start=0x1000 nr_pages=8 write=1 nr_fast=8 ret=8
    12 0 100 gup_walk mm=0x1 start=0x2000 nr_pages=8 write=1 nr=3 irqs_off=0
    13 1 101 gup_walk mm=0x1 start=0x9000 nr_pages=1 write=1 nr=0 irqs_off=128
    14 0 100 gup_fast mm=0x1 start=0x2000 nr_pages=8 write=1 nr_fast=3 ret=8
    15 0 100 gup_fast mm=0x1 start=0x3000 nr_pages=8 write=1 nr_fast=0 ret=8
    16 0 100 gup_fast mm=0x1 start=0x3000 nr_pages=8 write=1 nr_fast=0 ret=-14
    """)["walk"]
    assert column(walk, "ts_ns", "entry", "path", "nr_pinned", "irq_on_ns", "tail") == [
        (11, "get_user_pages_fast", "fast", 8, 10, False),
        (13, "__get_user_pages_fast", "failed", 0, 13, True),
        (14, "get_user_pages_fast", "mixed", 3, 12, False),
        (15, "get_user_pages_fast", "slow", 0, None, False),
        (16, "get_user_pages_fast", "failed", 0, None, False),
    ]


def test_the_function_tracer_of_3_18_gives_one_row_a_call() -> None:
    walk = tables("""
    10 0 100 function:get_user_pages_fast ip=1
    11 0 100 function:__get_user_pages_fast ip=1
    12 0 100 function:__get_user_pages_fast ip=1
    """)["walk"]
    assert column(walk, "ts_ns", "entry", "path") == [
        (10, "get_user_pages_fast", None),
        (12, "__get_user_pages_fast", None),
    ]


def test_each_further_lap_of_a_futex_key_is_a_row() -> None:
    futex = tables("""
    10 0 100 futex_again mm=0x1 addr=0x1000 n=1
    11 0 100 futex_again mm=0x1 addr=0x1000 n=2
    """)["futex"]
    assert column(futex, "address", "turn") == [(0x1000, 1), (0x1000, 2)]


def test_2014_a_walk_that_finds_interrupts_off_is_get_futex_keys_and_no_calls() -> None:
    """The unpatched kernel's lap: a call through mmap_sem, an empty walk of the tail page, and again."""
    walk = tables("""
    10 0 100 gup_fast mm=0x1 start=0x1000 nr_pages=1 write=1 nr_fast=0 ret=1
    11 0 100 gup_walk mm=0x1 start=0x1000 nr_pages=1 write=1 nr=0 irqs_off=1
    12 0 100 gup_fast mm=0x1 start=0x1000 nr_pages=1 write=1 nr_fast=0 ret=1
    13 0 100 gup_walk mm=0x1 start=0x1000 nr_pages=1 write=1 nr=0 irqs_off=1
    """)["walk"]
    assert column(walk, "ts_ns", "path", "nr_walked", "tail") == [
        (10, "slow", None, False),
        (11, "failed", 0, True),
        (12, "slow", None, False),
        (13, "failed", 0, True),
    ]
