"""How each fast-GUP call of the recording would have been served under a mechanism.

What a walk finds is in the page tables, which all mechanisms share; so a call that the recorded kernel's walker
served, or could not, is served alike by any other lockless walker. A kernel without one tells nothing of that.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from fastgup_replay.columns import UNKNOWN, flags, integers, strings
from fastgup_replay.policies import Mechanism, Walker
from fastgup_replay.timeline import Timeline

LIVELOCKED = "livelocked"


def served(timeline: Timeline, mechanism: Mechanism) -> list[str | None]:
    """The path of each row of `timeline.walks` under `mechanism`; None where the recording can't tell.

    Without a lockless walker every call takes the slow path, and the irq-off walk that get_futex_key makes of a THP
    tail page never succeeds: that call loops for ever (v3.13 kernel/futex.c, mm/util.c).
    """
    walks = timeline.walks
    paths = strings(walks["path"])
    tail = flags(walks["tail"]).tolist()
    if mechanism.walker is Walker.NONE:
        return [
            LIVELOCKED if t else ("failed" if path == "failed" else "slow") for path, t in zip(paths, tail, strict=True)
        ]
    if not has_walker(timeline):
        return [None] * len(walks)
    nr_pages, nr_walked = integers(walks["nr_pages"]).tolist(), integers(walks["nr_walked"]).tolist()
    return [_by_result(*row) for row in zip(paths, nr_pages, nr_walked, strict=True)]


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


def has_walker(timeline: Timeline) -> bool:
    """Whether the recorded kernel has a lockless walker: at least one call was served by it, or none was made."""
    paths = strings(timeline.walks["path"])
    return not paths or any(path in ("fast", "mixed") for path in paths)


def count(paths: list[str | None]) -> dict[str, int | None]:
    """Calls by path. A path is null (not known) when any call's is."""
    known = Counter(paths)
    unknown = known.pop(None, 0)
    keys = ("fast", "slow", "mixed", "failed", LIVELOCKED)
    return {"total": len(paths), **{key: None if unknown else known[key] for key in keys}}


def table(timeline: Timeline, paths: list[str | None], delays: dict[int, int]) -> dict[str, object]:
    """The columns of the outcome's `walk` table, but for `mechanism`."""
    walks: pa.Table = timeline.walks
    columns = ("ts_ns", "end_ns", "cpu", "tid", "mm", "nr_pages", "entry", "evidence")
    return {
        **{name: walks[name].to_pylist() for name in columns},
        "path": paths,
        "delayed_ns": [delays.get(row, 0) for row in range(len(walks))],
    }
