"""Pairing against the plain way to do it, on random records."""

from __future__ import annotations

import numpy as np
import pytest

from fastgup_trace.probes.pairing import enclosing, joint, last_before, match, next_after


def matched(begins: list[tuple[int, int]], ends: list[tuple[int, int]]) -> list[int]:
    """A stack a key."""
    stacks: dict[int, list[int]] = {}
    found = [-1] * len(begins)
    records = [(seq, key, i, False) for i, (key, seq) in enumerate(begins)]
    records += [(seq, key, i, True) for i, (key, seq) in enumerate(ends)]
    for _, key, i, is_end in sorted(records):
        stack = stacks.setdefault(key, [])
        if not is_end:
            stack.append(i)
        elif stack:
            found[stack.pop()] = i
    return found


@pytest.mark.parametrize("seed", range(300))
def test_equal_to_a_walk_over_the_records(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 14, 3)
    seqs = rng.permutation(60)[: sizes.sum()].astype(np.int64)
    begin_seqs, end_seqs, point_seqs = (np.sort(part) for part in np.split(seqs, np.cumsum(sizes)[:-1]))
    begin_keys, end_keys, point_keys = (rng.integers(-2, 2, size).astype(np.int64) for size in sizes)

    def pairs(keys: np.ndarray, seqs: np.ndarray) -> list[tuple[int, int]]:
        return list(zip(keys.tolist(), seqs.tolist(), strict=True))

    begins, ends, points = pairs(begin_keys, begin_seqs), pairs(end_keys, end_seqs), pairs(point_keys, point_seqs)
    end = match(begin_keys, begin_seqs, end_keys, end_seqs)
    assert end.tolist() == matched(begins, ends)

    whole = np.flatnonzero(end >= 0)
    around = enclosing(begin_keys[whole], begin_seqs[whole], end_seqs[end[whole]], point_keys, point_seqs)
    intervals = [(*begins[i], ends[end[i]][1]) for i in whole]
    assert around.tolist() == [
        max((i for i, (k, low, high) in enumerate(intervals) if k == key and low < seq < high), default=-1)
        for key, seq in points
    ]
    assert last_before(begin_keys, begin_seqs, point_keys, point_seqs).tolist() == [
        max((i for i, (k, s) in enumerate(begins) if k == key and s < seq), default=-1) for key, seq in points
    ]
    assert next_after(begin_keys, begin_seqs, point_keys, point_seqs).tolist() == [
        min((i for i, (k, s) in enumerate(begins) if k == key and s > seq), default=-1) for key, seq in points
    ]


def test_a_lost_end_leaves_the_next_pair_whole() -> None:
    begins, ends = np.array([1, 3]), np.array([4])
    assert match(np.zeros(2, np.int64), begins, np.zeros(1, np.int64), ends).tolist() == [-1, 0]


def test_an_end_without_a_begin_takes_none() -> None:
    assert match(np.zeros(1, np.int64), np.array([5]), np.zeros(2, np.int64), np.array([1, 9])).tolist() == [1]


def test_last_before_leaves_out_the_point_itself_unless_asked() -> None:
    keys, seqs = np.array([7, 7]), np.array([3, 5])
    assert last_before(keys, seqs, np.array([7]), np.array([5])).tolist() == [0]
    assert last_before(keys, seqs, np.array([7]), np.array([5]), or_at=True).tolist() == [1]


def test_joint_keys_are_equal_where_all_columns_are() -> None:
    key = joint(np.array([1, 1, 2, 1]), np.array([9, 8, 9, 9]))
    assert key[0] == key[3]
    assert len({*key.tolist()}) == 3
