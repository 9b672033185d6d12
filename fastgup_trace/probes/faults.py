"""fault: page faults: handle_mm_fault (ARM), `fault` (2014 instrumentation), exceptions:* (x86), page-faults (perf)."""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.context import Context
from fastgup_trace.probes.pairing import match
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NULL, Ints, Rows, stack

FAULT_FLAG_WRITE: Final = 0x01
ESR_EC_INSTRUCTION_ABORT: Final = (0x20, 0x21)
X86_PF_WRITE, X86_PF_INSTR = 0x02, 0x10


def faults(records: Records, context: Context) -> Rows:
    """Rows of `fault` with their own `mm` pointer as `pointer`."""
    return stack([_handled(records, context), _recorded(records), _exceptions(records), _sampled(records)])


def _flag(flags: Ints, bit: int) -> Ints:
    return np.where(flags == NULL, NULL, (flags & bit != 0).astype(np.int64))


def _handled(records: Records, context: Context) -> Rows:
    name = "handle_mm_fault" if "handle_mm_fault" in records else "do_page_fault"
    rows = records.rows(name, fields=("addr", "flags", "mm"))
    ends = records.rows("handle_mm_fault_ret", fields=("duration_ns",))
    end = match(rows.thread, rows["seq"], ends.thread, ends["seq"])
    # Text of the function graph without times has durations nevertheless.
    drawn, between = ends.at("duration_ns", end), ends.at("ts_ns", end) - rows["ts_ns"]
    # enum fault_flag: USER moved from bit 7 to bit 6 and INSTRUCTION came when NONLINEAR left, in 4.0 (9b4bdd2ffab9).
    old = context.kernel < (4, 0)
    return rows.having(
        address=rows["addr"],
        pointer=rows["mm"],
        write=_flag(rows["flags"], FAULT_FLAG_WRITE),
        user=_flag(rows["flags"], 0x80 if old else 0x40),
        exec=NULL if old else _flag(rows["flags"], 0x100),
        duration_ns=np.where(end < 0, NULL, np.where(drawn != NULL, drawn, between)),
    )


def _recorded(records: Records) -> Rows:
    rows = records.rows("fault", fields=("mm", "addr", "esr", "flags", "user"))
    esr_class = (rows["esr"] >> 26) & 0x3F
    return rows.having(
        address=rows["addr"],
        pointer=rows["mm"],
        write=_flag(rows["flags"], FAULT_FLAG_WRITE),
        exec=np.where(rows["esr"] == NULL, NULL, np.isin(esr_class, ESR_EC_INSTRUCTION_ABORT).astype(np.int64)),
    )


def _exceptions(records: Records) -> Rows:
    rows = records.rows("page_fault_user", "page_fault_kernel", fields=("address", "ip", "error_code"))
    return rows.having(
        pointer=NULL,
        write=_flag(rows["error_code"], X86_PF_WRITE),
        exec=_flag(rows["error_code"], X86_PF_INSTR),
        user=(rows["event"] == records.code("page_fault_user")).astype(np.int64),
    )


def _sampled(records: Records) -> Rows:
    """perf's software events, where nothing else tells of faults; page-faults are the minor and the major ones."""
    if records.like("handle_mm_fault", "do_page_fault", "fault", "page_fault_user", "page_fault_kernel"):
        return Rows()
    names = ("page-faults",) if "page-faults" in records else ("minor-faults", "major-faults")
    rows = records.rows(*names, fields=("addr", "ip"))
    return rows.having(address=rows["addr"], pointer=NULL)
