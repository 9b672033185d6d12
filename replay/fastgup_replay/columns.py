"""Arrow columns as numpy arrays and lists, as the replay reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

UNKNOWN: Final = -1
"""In place of a null cpu, tid, mm, gather or time."""


def integers(column: Any, missing: int = UNKNOWN) -> Int64s:
    """A column of integers below 2**63 as int64, `missing` where it is null."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), missing).to_numpy(), dtype=np.int64)


def addresses(column: Any) -> NDArray[np.uint64]:
    """A column of addresses, 0 where it is null."""
    return np.asarray(pc.fill_null(column, 0).to_numpy(), dtype=np.uint64)


def flags(column: Any) -> Bools:
    """A boolean column, false where it is null."""
    return np.asarray(pc.fill_null(column, False).to_numpy(), dtype=bool)


def nulls(column: Any) -> Bools:
    return np.asarray(column.is_null().to_numpy(), dtype=bool)


def strings(column: Any) -> list[str | None]:
    """A text column as a list."""
    return list(column.cast(pa.string()).to_pylist())


def is_in(column: Any, values: Sequence[Any]) -> Bools:
    """Where a column has one of `values`. Text is compared once a distinct word, not once a row."""
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        if not len(whole):
            return np.zeros(0, bool)
        mask = pc.take(_is_in_plain(whole.dictionary, values), whole.indices)
    else:
        mask = _is_in_plain(column, values)
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)


def _is_in_plain(column: Any, values: Sequence[Any]) -> Any:
    return pc.is_in(column, value_set=pa.array(values, column.type))


def where(table: pa.Table, column: str, *values: str) -> Rows:
    """Rows of `table` whose text `column` is one of `values`."""
    return np.flatnonzero(is_in(table[column], values))
