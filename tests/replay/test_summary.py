"""The arithmetic of the summary: percentiles, and memory held, by hand."""

from __future__ import annotations

from fastgup_replay.ledger import Batch, Table
from fastgup_replay.summary import held_bytes_max, percentile


def batch(first_ns: int, unlinked_ns: list[int], freed_ns: int | None) -> Batch:
    tables = [Table(ts, 0, 1, 0, "pte") for ts in unlinked_ns]
    return Batch(first_ns, 0, 1, 0, 0, tables, queued_ns=max(unlinked_ns), freed_ns=freed_ns)


def test_held_is_tables_and_their_batch_page_from_unlink_to_free() -> None:
    assert held_bytes_max([], 4096, 100) == 0
    assert held_bytes_max([batch(1, [1, 2, 3], 50)], 4096, 100) == 4 * 4096
    assert held_bytes_max([batch(1, [1], None), batch(60, [60], 70)], 4096, 100) == 4 * 4096


def test_what_is_freed_at_an_instant_is_not_held_with_what_is_taken_then() -> None:
    assert held_bytes_max([batch(1, [1], 10), batch(10, [10], 20)], 4096, 100) == 2 * 4096


def test_percentiles_are_nearest_ranks() -> None:
    values = list(range(1, 201))
    assert (percentile(values, 50), percentile(values, 99), percentile([7], 99), percentile([], 50)) == (
        100,
        198,
        7,
        None,
    )
