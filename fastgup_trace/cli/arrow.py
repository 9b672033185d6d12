"""A start without pandas, which no command uses."""

from __future__ import annotations

import sys


class _NoPandas:
    """A finder that finds no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def leave_pandas_out() -> None:
    """Let pyarrow find no pandas in this process.

    pyarrow imports it at the first array that is made of numpy's and at the first that is made of a list, to see
    whether they hold objects of pandas (26.0): 0.2 s of CPU time, a third of what a small recording takes.
    """
    import numpy as np
    import pyarrow as pa

    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array(np.zeros(0)), pa.array([0])  # each looks once
    finally:
        sys.meta_path.remove(_NoPandas)
