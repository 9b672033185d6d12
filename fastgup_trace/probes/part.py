"""A stretch of a recording, with what lies around it: what a long recording is worked on by, so that memory is bounded.

A row of a capture is made in the part that its record lies in. What else belongs to it is looked for in the margins
too; an operation's end is found wherever it is (see `crossings`), all else that lies further away is not, as if it had
not been recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from fastgup_trace.probes.rows import Rows

FOREVER: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Part:
    """Records by event name: those of [start_seq, end_seq) and of the margins before and behind."""

    events: Mapping[str, pa.Table]
    start_seq: int = 0
    end_seq: int = FOREVER

    @property
    def is_whole(self) -> bool:
        return self.start_seq == 0 and self.end_seq == FOREVER

    def core(self, rows: Rows) -> Rows:
        """The rows, which are in `seq` order, that are this part's own."""
        if self.is_whole:
            return rows
        first, end = np.searchsorted(rows["seq"], [self.start_seq, self.end_seq]).tolist()
        return Rows({name: column[first:end] for name, column in rows.columns.items()})
