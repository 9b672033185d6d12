"""Numbers at any place of a buffer, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def unaligned(data: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Element i is the number of `dtype` at byte i."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(data) - size + 1, 0),), dtype, data.data, strides=(1,))


def words(data: NDArray[np.uint8], places: Int64s, dtype: str) -> NDArray[np.generic]:
    """The unaligned numbers of `dtype` at `places`, which the caller has bounds-checked."""
    found: NDArray[np.generic] = unaligned(data, dtype)[places]
    return found
