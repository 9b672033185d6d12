"""Reading the tables of an outcome as numpy columns, mechanism by mechanism, and thinning what a screen can't show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_replay.columns import integers
from fastgup_replay.outcome import Outcome
from fastgup_reports.theme import NOT_KNOWN, each_mechanism

Ints = npt.NDArray[np.int64]

OPEN: Final = np.iinfo(np.int64).max
"""Stands for a null time: not reached by the end of the recording."""

POINTS_MAX: Final = 2000
"""Most points of one curve; a screen has about as many columns."""

THINNED: Final = "Thinned to what a screen can show; every peak and trough is kept."


def mechanisms(outcome: Outcome) -> list[str]:
    """The mechanisms replayed, in the order of the summary: the order of every table, legend and colour."""
    replayed = outcome.summary.get("mechanisms")
    return [str(name) for name in replayed] if isinstance(replayed, Mapping) else []


def by_mechanism(outcome: Outcome, table: str, columns: tuple[str, ...]) -> Iterator[tuple[str, pa.Table]]:
    """Each mechanism with its rows of `table`, of `columns` only; those without rows are left out."""
    rows = outcome.tables[table]
    if not len(rows):
        return
    codes, names = coded(rows, "mechanism")
    for mechanism in mechanisms(outcome):
        if mechanism in names:
            mine = rows.select(list(columns)).filter(pa.array(codes == names.index(mechanism)))
            if len(mine):
                yield mechanism, mine


def ints(rows: pa.Table, column: str, null: int = 0) -> Ints:
    """A column of integers as int64, with `null` where it is null."""
    return integers(rows[column], null)


def coded(rows: pa.Table, column: str) -> tuple[npt.NDArray[np.int32], list[str]]:
    """A column of text as (codes, the text of each code); null is NOT_KNOWN. No string is made a row."""
    whole: Any = rows[column].unify_dictionaries().combine_chunks()
    names = [NOT_KNOWN if name is None else str(name) for name in whole.dictionary.to_pylist()]
    codes: Any = pc.fill_null(whole.indices, len(names))
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int32), [*names, NOT_KNOWN]


def each_text(rows: pa.Table, column: str) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """The texts of a column that have rows, by name, each with the mask of its rows."""
    codes, names = coded(rows, column)
    for name in sorted(set(names)):
        mask = np.isin(codes, [code for code, each in enumerate(names) if each == name])
        if mask.any():
            yield name, mask


def is_text(rows: pa.Table, column: str, text: str) -> npt.NDArray[np.bool_]:
    """The mask of the rows whose `column` is `text`."""
    return dict(each_text(rows, column)).get(text, np.zeros(len(rows), np.bool_))


def frame(outcome: Outcome, pieces: list[pd.DataFrame], columns: dict[str, str]) -> pd.DataFrame:
    """`pieces` as one table of `columns` (name -> dtype), `mechanism` first.

    `mechanism` is a categorical over all mechanisms of the outcome, drawn here or not: `draw` takes a mechanism's
    style from its code, and so every panel gives it the same.
    """
    order = pd.CategoricalDtype(mechanisms(outcome))
    if pieces:
        table = pd.concat(pieces, ignore_index=True)
    else:
        table = pd.DataFrame({name: pd.Series(dtype="object") for name in ("mechanism", *columns)})
    return table.astype({"mechanism": order, **columns})[["mechanism", *columns]]


def nr_cpus(outcome: Outcome) -> int:
    """CPUs of the platform replayed on, 0 where the summary does not say."""
    platform = outcome.summary.get("platform")
    cpus = platform.get("nr_cpus") if isinstance(platform, Mapping) else None
    return cpus if isinstance(cpus, int) and 0 < cpus <= 8192 else 0


def page_size(outcome: Outcome) -> int:
    """Bytes of a page on the platform replayed on, 4096 where the summary does not say."""
    platform = outcome.summary.get("platform")
    size = platform.get("page_size") if isinstance(platform, Mapping) else None
    return size if isinstance(size, int) and size > 0 else 4096


def span_ns(outcome: Outcome) -> tuple[int, int]:
    """First and last time of the recording: from its provenance, else from the times in the outcome."""
    capture = outcome.summary.get("capture")
    start, end = (capture.get("start_ns"), capture.get("end_ns")) if isinstance(capture, Mapping) else (None, None)
    if isinstance(start, int) and isinstance(end, int) and start <= end:
        return start, end
    stamps = []
    for table, column in (("ipi", "ts_ns"), ("table", "unlinked_ns"), ("batch", "queued_ns"), ("walk", "ts_ns")):
        if len(outcome.tables[table]):
            extremes: Any = pc.min_max(outcome.tables[table][column])
            stamps += [t for t in extremes.as_py().values() if t is not None]
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


def curve(changes_ns: Ints, amounts: Ints, start_ns: int, end_ns: int) -> tuple[npt.NDArray[np.float64], Ints]:
    """The running sum of `amounts` as a thinned curve over the whole recording: (seconds since its start, level).

    It begins at zero with the recording and keeps its last level to the recording's end.
    """
    at, levels = thin(*level(changes_ns, amounts))
    at = np.concatenate([[min(start_ns, at[0])], at, [max(end_ns, at[-1])]])
    return (at - start_ns) / 1e9, np.concatenate([[0], levels, levels[-1:]])


def thinned(table: pd.DataFrame, by: list[str]) -> bool:
    """Whether a curve of `table` (one a mechanism and `by`) has so many points that `thin` was at work."""
    return bool(table.groupby(["mechanism", *by], observed=True).size().max() > POINTS_MAX // 2)


def longest(at_ns: Ints, length_ns: Ints) -> npt.NDArray[np.int64]:
    """Positions of the longest of each of POINTS_MAX equal stretches of time; all where there are no more."""
    if len(at_ns) <= POINTS_MAX:
        return np.arange(len(at_ns))
    width = max(int(at_ns.max() - at_ns.min()) // POINTS_MAX + 1, 1)
    stretch = (at_ns - at_ns.min()) // width
    order = np.lexsort((length_ns, stretch))
    return np.sort(order[np.append(stretch[order][1:] != stretch[order][:-1], True)])


def same_curves(table: pd.DataFrame, values: list[str]) -> list[list[str]]:
    """Groups of two and more mechanisms whose rows in `table` are the same in `values`: their curves coincide."""
    groups: dict[bytes, list[str]] = {}
    for _position, mechanism, rows in each_mechanism(table):
        key = pd.util.hash_pandas_object(rows[values], index=False).to_numpy().tobytes()
        groups.setdefault(key, []).append(mechanism)
    return [names for names in groups.values() if len(names) > 1]
