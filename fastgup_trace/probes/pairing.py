"""Which record ends what another began, and which interval of the same thread encloses a record.

All columnar: a record is a pair (key, seq) of int64, the key a thread or a thread and something more, the seq its place
in the recording. Answers are row numbers, -1 for none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]


_NARROW: Final = 1 << 22
_PRODUCT_MAX: Final = 1 << 62


def codes(values: Ints) -> tuple[Ints, int]:
    """Small numbers that are equal where the values are, and one more than the greatest of them."""
    if not len(values):
        return values, 1
    low, high = int(values.min()), int(values.max())
    if high - low < _NARROW:  # tids, CPUs, codes of words
        return values - low, high - low + 1
    encoded = pa.array(values).dictionary_encode()  # by hashing: a sort would cost more
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def ranks(*columns: Ints) -> list[Ints]:
    """Several columns of keys as small numbers that compare across the columns."""
    return np.split(codes(np.concatenate(columns))[0], np.cumsum([len(c) for c in columns])[:-1])


def joint(*columns: Ints) -> Ints:
    """One key for rows that agree in all `columns`."""
    key, count = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        code, more = codes(column)
        if count * more >= _PRODUCT_MAX:
            key, count = codes(key)
        key, count = key * more + code, count * more
    return codes(key)[0]


def by_key(key: Ints) -> Ints:
    """The order that puts small numbers together and leaves those that are equal as they are."""
    if len(key) and int(key.min()) >= 0 and int(key.max()) < 1 << 16:
        return np.argsort(key.astype(np.uint16), kind="stable")  # numpy sorts 16 bits by counting
    return np.argsort(key, kind="stable")


def _in_order(seqs: Ints) -> bool:
    return bool((seqs[1:] >= seqs[:-1]).all())


def _near(keys: Ints, seqs: Ints, point_keys: Ints, point_seqs: Ints, side: str) -> tuple[Ints, Ints]:
    """Rows in (key, seq) order, and for each point the place in that order where it would go."""
    rank, point_rank = ranks(keys, point_keys)
    low = int(min(seqs.min(initial=0), point_seqs.min(initial=0)))
    span = int(max(seqs.max(initial=0), point_seqs.max(initial=0))) - low + 2
    packed = rank * span + (seqs - low)
    order = by_key(rank) if _in_order(seqs) else np.argsort(packed, kind="stable")
    points = point_rank * span + (point_seqs - low)
    place = np.searchsorted(packed[order], points, side="left" if side == "left" else "right")
    return order.astype(np.int64), place.astype(np.int64)


def last_before(keys: Ints, seqs: Ints, point_keys: Ints, point_seqs: Ints, *, or_at: bool = False) -> Ints:
    """For each point the last row of the same key with a smaller seq (or an equal one with `or_at`)."""
    if not len(keys):
        return np.full(len(point_keys), -1, np.int64)
    order, place = _near(keys, seqs, point_keys, point_seqs, "right" if or_at else "left")
    row = order[np.maximum(place - 1, 0)]
    return np.where((place > 0) & (keys[row] == point_keys), row, -1)


def next_after(keys: Ints, seqs: Ints, point_keys: Ints, point_seqs: Ints) -> Ints:
    """For each point the first row of the same key with a greater seq."""
    if not len(keys):
        return np.full(len(point_keys), -1, np.int64)
    order, place = _near(keys, seqs, point_keys, point_seqs, "right")
    row = order[np.minimum(place, len(order) - 1)]
    return np.where((place < len(order)) & (keys[row] == point_keys), row, -1)


def match(begin_keys: Ints, begin_seqs: Ints, end_keys: Ints, end_seqs: Ints) -> Ints:
    """For each begin its end: the first later end of the same key at the same depth of nesting.

    An end without a begin is skipped. A begin whose end was lost (a kretprobe that missed) stays unmatched, and what
    it encloses or what follows it still finds its own end.
    """
    nr_begins = len(begin_keys)
    if not nr_begins or not len(end_keys):
        return np.full(nr_begins, -1, np.int64)
    key = np.concatenate(ranks(begin_keys, end_keys))
    seq = np.concatenate([begin_seqs, end_seqs])
    is_end = np.arange(len(key)) >= nr_begins
    # Begins stand before ends, so at one seq they come first; the sort of two ordered runs is a merge.
    order = np.argsort(seq, kind="stable")
    order = order[by_key(key[order])]
    key, is_end = key[order], is_end[order]
    depth = _depth(key, is_end)
    # Within one key and one depth, rows in time order: an end closes the begin right before it.
    again = by_key(key * (int(depth.max()) + 1) + depth)
    same = (key[again][1:] == key[again][:-1]) & (depth[again][1:] == depth[again][:-1])
    pair = same & is_end[again][1:] & ~is_end[again][:-1]
    result = np.full(nr_begins, -1, np.int64)
    result[order[again[:-1][pair]]] = order[again[1:][pair]] - nr_begins
    return result


def _depth(key: Ints, is_end: npt.NDArray[np.bool_]) -> Ints:
    """The depth that each row opens or closes, in (key, time) order; an end at depth 0 leaves it at 0."""
    step = np.where(is_end, -1, 1)
    total = np.cumsum(step)
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    start = np.repeat(total[first] - step[first], np.diff(np.r_[first, len(key)]))
    level = total - start
    # The running minimum of each key below 0 is what its surplus ends took away. One accumulate over all keys: each
    # key's levels are shifted below those of the key before it.
    group = np.cumsum(np.r_[0, (key[1:] != key[:-1]).astype(np.int64)])
    shift = group * (2 * len(key) + 2)
    floor = np.minimum.accumulate(np.minimum(level, 0) - shift) + shift
    depth = level - floor
    result: Ints = np.where(is_end, depth + 1, depth).astype(np.int64)
    return result


def enclosing(begin_keys: Ints, begin_seqs: Ints, end_seqs: Ints, point_keys: Ints, point_seqs: Ints) -> Ints:
    """For each point the innermost interval of the same key around it (begin < point < end).

    Intervals of one key nest or are apart, as those of `match` do.
    """
    nr = len(begin_keys)
    if not nr or not len(point_keys):
        return np.full(len(point_keys), -1, np.int64)
    begin_rank, point_rank = ranks(begin_keys, point_keys)
    key = np.concatenate([begin_rank, begin_rank, point_rank])
    seq = np.concatenate([begin_seqs, end_seqs, point_seqs])
    # At one seq: an end, then a point, then a begin: a point on an edge is outside.
    kind = np.repeat(np.array([2, 0, 1]), [nr, nr, len(point_keys)])
    order = np.lexsort((kind, seq))
    order = order[by_key(key[order])]
    key, kind = key[order], kind[order]
    step = np.where(kind == 2, 1, np.where(kind == 0, -1, 0))
    total = np.cumsum(step)
    depth = np.where(kind == 0, total + 1, total)
    # The interval around a point at depth d is the last begin of depth d before it.
    again = by_key(key * (int(depth.max(initial=0)) + 1) + depth)
    is_begin = kind[again] == 2
    latest = np.maximum.accumulate(np.where(is_begin, np.arange(len(again)), -1))
    found = np.where((kind[again] == 1) & (depth[again] > 0) & (latest >= 0), order[again[np.maximum(latest, 0)]], -1)
    result = np.full(len(point_keys), -1, np.int64)
    points = kind[again] == 1
    result[order[again[points]] - 2 * nr] = found[points]
    return result
