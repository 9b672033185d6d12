"""How each fast-GUP call of the recording would have been served under a mechanism.

What a walk finds is in the page tables, which all mechanisms share; so a call that the recorded kernel's walker
served, or could not, is served alike by any other lockless walker. A kernel without one tells nothing of that.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_replay.columns import UNKNOWN, flags, integers, nulls, strings, where
from fastgup_replay.policies import Mechanism, Walker
from fastgup_replay.timeline import Timeline

LIVELOCKED: Final = "livelocked"
PATHS: Final = ("fast", "slow", "mixed", "failed", LIVELOCKED)


def served(timeline: Timeline, mechanism: Mechanism) -> list[str | None]:
    """The path of each row of `timeline.walks` under `mechanism`; None where the recording can't tell.

    Without a lockless walker every call takes the slow path, and the irq-off walk that get_futex_key makes of a THP
    tail page never succeeds: that call loops for ever (v3.13 kernel/futex.c, mm/util.c). Later kernels make no second
    walk, so their recordings don't tell which shared futexes are on a tail page.
    """
    walks = timeline.walks
    paths = strings(walks["path"])
    if mechanism.walker is Walker.NONE:
        tails, untold = flags(walks["tail"]).tolist(), futexes_untold(timeline)
        return [_slow(*row) for row in zip(paths, tails, untold, strict=True)]
    if not timeline.has_walker:
        return [None] * len(walks)
    nr_pages, nr_walked = integers(walks["nr_pages"]).tolist(), integers(walks["nr_walked"]).tolist()
    return [_by_result(*row) for row in zip(paths, nr_pages, nr_walked, strict=True)]


def _slow(recorded: str | None, tail: bool, untold: bool) -> str | None:
    if tail:
        return LIVELOCKED
    return "failed" if recorded == "failed" else None if untold else "slow"


def futexes_untold(timeline: Timeline) -> list[bool]:
    """The walks for a shared futex of which nothing tells whether its page is the tail of a THP."""
    walks = timeline.walks
    futex = np.zeros(len(walks), bool)
    futex[where(walks, "entry", "futex")] = True
    return list((futex & nulls(walks["tail"])).tolist())


def _by_result(recorded: str | None, nr_pages: int, nr_walked: int) -> str | None:
    """get_user_pages_fast takes the rest through mmap_sem when the walk comes back short (v3.18 mm/gup.c).

    A call that failed did so there, for every mechanism; where no probe tells what the walk got, the recorded path
    stands.
    """
    if recorded == "failed" or nr_walked == UNKNOWN or nr_pages <= 0:
        return recorded
    return "fast" if nr_walked >= nr_pages else "mixed" if nr_walked > 0 else "slow"


def results_known(timeline: Timeline) -> bool:
    """Whether each walk's own result was probed, apart from what its call did."""
    return UNKNOWN not in integers(timeline.walks["nr_walked"])


def count(paths: list[str | None], mechanism: Mechanism) -> dict[str, int | None]:
    """Calls by path. Where some call's is not known, so are all the paths that it may have taken."""
    known = Counter(paths)
    possible = ("slow", LIVELOCKED) if mechanism.walker is Walker.NONE else PATHS
    open_ones = possible if known.pop(None, 0) else ()
    return {"total": len(paths), **{key: None if key in open_ones else known[key] for key in PATHS}}


def table(timeline: Timeline, paths: list[str | None], delays: dict[int, int]) -> dict[str, object]:
    """The columns of the outcome's `walk` table, but for `mechanism`."""
    walks: pa.Table = timeline.walks
    columns = ("ts_ns", "end_ns", "cpu", "tid", "mm", "nr_pages", "entry", "evidence")
    return {
        **{name: walks[name].to_pylist() for name in columns},
        "path": paths,
        "delayed_ns": [delays.get(row, 0) for row in range(len(walks))],
    }
