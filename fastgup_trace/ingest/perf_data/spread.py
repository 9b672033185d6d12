"""The records of a window spread out by what they are, in one compiled loop: little-endian recordings only.

What numpy does in a pass over each column, one loop does while a record's bytes are in the cache. Nothing is read that
was not checked: a record's raw data lies in the data, an event has a place in each table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.kernel_events.batches import EVENT_IDS, Batch
from fastgup_trace.ingest.perf_data.walk import Records
from fastgup_trace.ingest.unaligned import Int64s

SHORT, UNKNOWN_EVENT, SHORT_SAMPLE = range(3)
"""Places in Spread.tally: raw data too short for a kernel event, samples of no event that is known, samples too short
for their fields."""

_START, _LENGTH, _TS, _CPU, _ID, _SEQ = range(6)
_COLUMNS: Final = 6
_ROWS_MIN: Final = 1 << 10


@compiled
def spread(
    data_bytes: int, seq: int, tracepoints: Any, selected: Any, counts: Any, tgids: Any, tally: Any, out: Any,
    others: Any, place: Any, ts: Any, kind: Any, attr: Any, pid: Any, tid: Any, cpu: Any, raw: Any, raw_bytes: Any,
    raw_id: Any,
) -> Any:  # fmt: skip
    """Put the kernel's own records that are selected into `out`, the rows of all that is none into `others`.

    Counts the kernel's records by their event's id, notes
    the process of each thread. Returns how many there are in `out` and in `others`; -1 where a number is out of its
    range.
    """
    count = len(place)
    if (
        min(len(ts), len(kind), len(attr), len(pid), len(tid), len(cpu), len(raw), len(raw_bytes), len(raw_id)) < count
        or out.shape[0] != 6 or out.shape[1] < count or len(others) < count or len(tally) < 3
        or len(selected) != 65536 or len(counts) != 65536
    ):  # fmt: skip
        return -1, 0
    handed = other = 0
    for row in range(count):
        thread, process = tid[row], pid[row]
        if process > 0 and 0 < thread < len(tgids):
            tgids[thread] = process
        event = attr[row]
        if kind[row] == 9:
            if event < 0:
                tally[1] += event == -1
                tally[2] += event == -2
                continue
            if event < len(tracepoints) and tracepoints[event] and raw[row] > 0:
                length = np.int64(raw_bytes[row])
                if length < 8:
                    tally[0] += 1
                    continue
                start = place[row] + raw[row]
                if start < 0 or start + length > data_bytes:
                    return -1, 0
                number = np.int64(raw_id[row]) & 0xFFFF
                counts[number] += 1
                if selected[number]:
                    out[0, handed] = start
                    out[1, handed] = length
                    out[2, handed] = ts[row]
                    out[3, handed] = cpu[row]
                    out[4, handed] = number
                    out[5, handed] = seq + row
                    handed += 1
                continue
        others[other] = row
        other += 1
    return handed, other


@dataclass(frozen=True)
class Spread:
    """The kernel's own records of a window; `others` are the rows of the rest, without samples of no event."""

    batch: Batch
    others: Int64s
    tally: Int64s


class Spreader:
    """Spreads windows; what it hands out is valid until the next one."""

    def __init__(self) -> None:
        self._out = np.empty((_COLUMNS, _ROWS_MIN), np.int64)
        self._others = np.empty(_ROWS_MIN, np.int64)

    def window(
        self, data: NDArray[np.uint8], records: Records, seq: int, tracepoints: NDArray[np.bool_],
        selected: NDArray[np.bool_], tgids: NDArray[np.int32],
    ) -> Spread:  # fmt: skip
        """Spread records in merged order, the first of all as number `seq`; `tgids` takes the processes of threads.

        `tracepoints` tells for each event of the header whether its samples are the kernel's own records.
        """
        if len(records) > len(self._others):
            self._out = np.empty((_COLUMNS, len(records)), np.int64)
            self._others = np.empty(len(records), np.int64)
        counts, tally = np.zeros(EVENT_IDS, np.int64), np.zeros(3, np.int64)
        handed, other = spread(
            len(data), seq, tracepoints, selected, counts, tgids, tally, self._out, self._others, *records.columns()
        )
        if handed < 0:
            raise ValueError("records that lie outside their data")
        out = self._out[:, :handed]

        def where(row: int) -> str:
            return f"offset {out[_START, row]}"

        batch = Batch(
            data, out[_START], out[_LENGTH], out[_TS], out[_CPU], where, ids=out[_ID], counts=counts, seq=out[_SEQ]
        )
        return Spread(batch, self._others[:other], tally)
