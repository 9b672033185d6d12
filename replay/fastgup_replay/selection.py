"""Which part of a capture is replayed: --pid, --comm, --cpu, --from, --to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgup_replay.columns import Rows, is_in
from fastgup_trace.errors import UsageError
from fastgup_trace.tables import Capture

Keeper = Callable[[str], Rows]
"""Name of a capture table -> its rows that are kept."""


@dataclass(frozen=True)
class Selection:
    """The operations to replay: of these processes, on these CPUs, between these times from the recording's start.

    `pids` are processes (every thread of an address space), `comms` their names; None keeps all.
    """

    pids: tuple[int, ...] | None = None
    comms: tuple[str, ...] | None = None
    cpus: tuple[int, ...] | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items() if v is not None}

    def keeper(self, capture: Capture) -> Keeper:
        """A function that yields the kept rows of each table. Raises UsageError for a process that does not exist."""
        spaces = self._spaces(capture)
        start = capture.span_ns[0]

        def keep(name: str) -> Rows:
            table = capture[name]
            mask = np.ones(len(table), bool)
            if spaces is not None:
                mask &= is_in(table["mm"], spaces)
            if self.cpus is not None:
                mask &= is_in(table["cpu"], self.cpus)
            ts = table["ts_ns"].to_numpy()
            if self.from_ns is not None:
                mask &= ts >= start + self.from_ns
            if self.to_ns is not None:
                mask &= ts < start + self.to_ns
            return np.flatnonzero(mask)

        return keep

    def _spaces(self, capture: Capture) -> tuple[int, ...] | None:
        """The rows of the `mm` table that the named processes own."""
        if self.pids is None and self.comms is None:
            return None
        mm = capture["mm"]
        mask = np.zeros(len(mm), bool)
        for option, column, wanted in (
            ("--pid", mm["pid"], self.pids),
            ("--comm", mm["comm"], self.comms),
        ):
            for value in wanted or ():
                found = is_in(column, (value,))
                if not found.any():
                    known = sorted({str(x) for x in column.to_pylist() if x is not None})
                    raise UsageError(
                        option, "a process of the capture", repr(value), f"it has: {', '.join(known[:12])}"
                    )
                mask |= found
        return tuple(np.flatnonzero(mask).tolist())
