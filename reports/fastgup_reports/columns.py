"""Reading the tables of an outcome as numpy columns, mechanism by mechanism, and thinning what a screen can't show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

OPEN: Final = np.iinfo(np.int64).max
"""Stands for a null time: not reached by the end of the recording."""

POINTS_MAX: Final = 2000
"""Most points of one curve; a screen has about as many columns."""


class Outcome(Protocol):
    """What the report reads: summary.json and the tables of `fastgup_replay.outcome.OUTCOME_TABLES`."""

    @property
    def summary(self) -> Mapping[str, Any]: ...
    @property
    def tables(self) -> Mapping[str, pa.Table]: ...


def mechanisms(outcome: Outcome) -> list[str]:
    """The mechanisms replayed, in the order of the summary: the order of every table, legend and colour."""
    replayed = outcome.summary.get("mechanisms")
    return [str(name) for name in replayed] if isinstance(replayed, Mapping) else []


def by_mechanism(outcome: Outcome, table: str, columns: tuple[str, ...]) -> Iterator[tuple[str, pa.Table]]:
    """Each mechanism with its rows of `table`, of `columns` only; those without rows are left out."""
    rows = outcome.tables[table]
    if not len(rows):
        return
    names = rows["mechanism"].cast(pa.string())
    for mechanism in mechanisms(outcome):
        mine = rows.select(list(columns)).filter(pc.equal(names, mechanism))
        if len(mine):
            yield mechanism, mine


def ints(rows: pa.Table, column: str, null: int = 0) -> Ints:
    """A column of integers as int64, with `null` where it is null."""
    values = pc.fill_null(rows[column].cast(pa.int64()), null).to_numpy()
    return np.asarray(values, dtype=np.int64)


def texts(rows: pa.Table, column: str) -> npt.NDArray[np.object_]:
    """A column of text, with `not known` where it is null."""
    return np.asarray(
        pc.fill_null(rows[column].cast(pa.string()), "not known").to_numpy(zero_copy_only=False), dtype=object
    )


def frame(outcome: Outcome, pieces: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    """`pieces` as one table of `columns` (name -> dtype), `mechanism` first.

    `mechanism` is a categorical over all mechanisms of the outcome, drawn here or not: `draw` takes a mechanism's
    style from its code, and so every panel gives it the same.
    """
    order = pd.CategoricalDtype(mechanisms(outcome))
    if pieces:
        table = pd.concat(pieces, ignore_index=True)
    else:
        table = pd.DataFrame(
            {name: pd.Series(dtype=dtype) for name, dtype in {"mechanism": "object", **columns}.items()}
        )
    return table.astype({"mechanism": order, **columns})[["mechanism", *columns]]


def span_ns(outcome: Outcome) -> tuple[int, int]:
    """First and last time of the recording: from its provenance, else from the times in the outcome."""
    capture = outcome.summary.get("capture")
    start, end = (capture.get("start_ns"), capture.get("end_ns")) if isinstance(capture, Mapping) else (None, None)
    if isinstance(start, int) and isinstance(end, int) and start <= end:
        return start, end
    stamps = []
    for table, column in (("ipi", "ts_ns"), ("table", "unlinked_ns"), ("batch", "queued_ns"), ("walk", "ts_ns")):
        if len(outcome.tables[table]):
            low, high = pc.min_max(outcome.tables[table][column]).as_py().values()
            stamps += [t for t in (low, high) if t is not None]
    return (min(stamps), max(stamps)) if stamps else (0, 0)


def level(changes_ns: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """The running sum of `amounts` over time: (times, level after all changes of that time), times strictly rising."""
    order = np.argsort(changes_ns, kind="stable")
    times, levels = changes_ns[order], np.cumsum(amounts[order])
    last = np.append(times[1:] != times[:-1], True) if len(times) else np.zeros(0, bool)
    return times[last], levels[last]


def thin(times: Ints, levels: Ints, points_max: int = POINTS_MAX) -> tuple[Ints, Ints]:
    """A step curve with at most about `points_max` points that keeps every peak and trough at its time.

    Each of points_max / 4 equal stretches of time keeps its first, its lowest, its highest and its last point.
    """
    if len(times) <= points_max:
        return times, levels
    bins = max(points_max // 4, 1)
    width = max(int(times[-1] - times[0]) // bins + 1, 1)
    which = (times - times[0]) // width
    begins = np.flatnonzero(np.append(True, which[1:] != which[:-1]))
    ends = np.append(begins[1:], len(times))
    by_level = np.lexsort((levels, which))
    keep = np.unique(np.concatenate([begins, ends - 1, by_level[begins], by_level[ends - 1]]))
    return times[keep], levels[keep]


def same_curves(table: pd.DataFrame, values: list[str]) -> list[list[str]]:
    """Groups of two and more mechanisms whose rows in `table` are the same in `values`: their curves coincide."""
    groups: dict[bytes, list[str]] = {}
    for mechanism, rows in table.groupby("mechanism", observed=True, sort=False):
        key = pd.util.hash_pandas_object(rows[values], index=False).to_numpy().tobytes()
        groups.setdefault(key, []).append(str(mechanism))
    return [names for names in groups.values() if len(names) > 1]
