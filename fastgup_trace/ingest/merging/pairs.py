"""Which records of two recordings are of one event: the nearest of the same CPU and thread, each used once."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TOLERANCE_NS: Final = 1_000_000
"""Stamps of one event lie closer together: its tracers are called one after the other."""

RECORDINGS_MAX: Final = 63
"""As many bits tell by which recordings a record is used."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDS: Final = 8
_SPREAD: Final = 64
_RANGE_NS: Final = 1 << 55
_PID: Final = 0xFFFFFFFF
_NONE: Final = np.empty(0, np.int64)


def keys_of(table: pa.Table) -> Ints:
    """CPU and thread of each record in one number, all bits of either set where it is not known."""
    cpu, pid = (table[name].cast(pa.int64()).fill_null(-1).to_numpy() for name in ("common_cpu", "common_pid"))
    keys: Ints = (cpu << 32) | (pid & _PID)
    return keys


class Pool:
    """The records of one event of a recording that others' records of the time now looked at may be the same as."""

    def __init__(self) -> None:
        self._keys, self._ts, self._used = _NONE, _NONE, _NONE
        self._known = -1

    def add(self, keys: Ints, ts: Ints) -> None:
        """The records of the next window."""
        self._known &= _known_bits(keys)
        self._keys, self._ts = np.concatenate([self._keys, keys]), np.concatenate([self._ts, ts])
        self._used = np.concatenate([self._used, np.zeros(len(keys), np.int64)])

    def forget(self, until_ns: int) -> None:
        """All others are read up to this time."""
        stay = np.flatnonzero(self._ts >= max(until_ns, TOLERANCE_NS) - TOLERANCE_NS)
        if len(stay) < len(self._ts):
            self._keys, self._ts, self._used = self._keys[stay], self._ts[stay], self._used[stay]

    def has(self, keys: Ints) -> Bools:
        """Whether there are records of the CPU and thread of these."""
        theirs, mine = self.comparable(keys)[0], keys & self._mask(keys)
        return np.isin(mine, np.unique(theirs))

    def comparable(self, keys: Ints) -> tuple[Ints, Ints, Ints]:
        """Keys and times of the pool, and these keys, by what of a key is known in both."""
        mask = self._mask(keys)
        return self._keys & mask, self._ts, keys & mask

    def paired(self, number: int, keys: Ints, ts: Ints) -> Bools:
        """Whether each of these records of recording `number` is one of the pool, which then is used."""
        theirs, their_ts, mine = self.comparable(keys)
        base = int(ts[0]) if len(ts) else 0
        their_ts, ts = _spread(theirs, their_ts, base), _spread(mine, ts, base)
        paired = np.zeros(len(keys), bool)
        for _ in range(_ROUNDS):
            free, left = np.flatnonzero(self._used >> number & 1 == 0), np.flatnonzero(~paired)
            pool_at, at = _nearest_pairs(theirs[free], their_ts[free], mine[left], ts[left])
            if not len(at):
                break
            self._used[free[pool_at]] |= 1 << number
            paired[left[at]] = True
        return paired

    def _mask(self, keys: Ints) -> int:
        return self._known & _known_bits(keys)


def _known_bits(keys: Ints) -> int:
    return (~_PID if (keys >> 32 >= 0).all() else 0) | (_PID if (keys & _PID != _PID).all() else 0)


def _spread(keys: Ints, ts: Ints, base: int) -> Ints:
    """Times in 1/_SPREAD ns after `base`; equal ones of a key, as text has, follow one another."""
    order = np.lexsort((ts, keys))
    places = np.arange(len(ts))
    again = np.zeros(len(ts), bool)
    again[1:] = (np.diff(keys[order]) == 0) & (np.diff(ts[order]) == 0)
    rank = places - np.maximum.accumulate(np.where(again, 0, places))
    found = np.empty(len(ts), np.int64)
    found[order] = np.clip(ts[order] - base, -_RANGE_NS, _RANGE_NS) * _SPREAD + np.minimum(rank, _SPREAD - 1)
    return found


def _nearest_pairs(keys: Ints, ts: Ints, other_keys: Ints, other_ts: Ints) -> tuple[Ints, Ints]:
    """The places of records in both that are each other's nearest of the same key and near enough."""
    nearest, _ = _nearest(keys, ts, other_keys, other_ts)
    back, distance = _nearest(other_keys, other_ts, keys, ts)
    at = np.flatnonzero(distance <= TOLERANCE_NS * _SPREAD)
    at = at[nearest[back[at]] == at]
    return back[at], at


def _nearest(keys: Ints, ts: Ints, other_keys: Ints, other_ts: Ints) -> tuple[Ints, Ints]:
    """For each record the place of the nearest one of the others with its key, and how far in time it is."""
    far = np.iinfo(np.int64).max
    both_keys, both_ts = np.concatenate([other_keys, keys]), np.concatenate([other_ts, ts])
    order = np.lexsort((both_ts, both_keys))
    is_other = order < len(other_keys)
    places = np.arange(len(order))
    before = np.maximum.accumulate(np.where(is_other, places, -1))
    behind = np.minimum.accumulate(np.where(is_other, places, len(order))[::-1])[::-1]
    found, distance = np.zeros(len(order), np.int64), np.full(len(order), far)
    for candidate, there in ((before, before >= 0), (behind, behind < len(order))):
        at = np.flatnonzero(there & ~is_other)
        theirs, mine = order[candidate[at]], order[at]
        gap = np.where(both_keys[theirs] == both_keys[mine], np.abs(both_ts[theirs] - both_ts[mine]), far)
        nearer = gap < distance[at]
        found[at[nearer]], distance[at[nearer]] = theirs[nearer], gap[nearer]
    mine = np.flatnonzero(~is_other)
    result, gaps = np.zeros(len(keys), np.int64), np.full(len(keys), far)
    result[order[mine] - len(other_keys)], gaps[order[mine] - len(other_keys)] = found[mine], distance[mine]
    return result, gaps
