"""Numbers at any place of a buffer, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def words(data: NDArray[np.uint8], places: Int64s, dtype: str) -> NDArray[np.generic]:
    """The unaligned numbers of `dtype` at `places`, which the caller has bounds-checked."""
    size = np.dtype(dtype).itemsize
    view: NDArray[np.generic] = np.ndarray((max(len(data) - size + 1, 0),), dtype, data.data, strides=(1,))
    return view[places]
