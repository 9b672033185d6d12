"""rcu: callbacks queued and invoked, grace periods, and what ends one: quiescent states, ticks, the RCU softirq."""

from __future__ import annotations

import numpy as np

from fastgup_trace.probes.catalog import RCU_SOFTIRQ, TICK, TIMER
from fastgup_trace.probes.gathers import BATCH_CALLBACK
from fastgup_trace.probes.pairing import last_before, next_after
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NO_MM, NULL, Rows, stack


def rcu_rows(records: Records) -> Rows:
    """Rows of `rcu`. One row a callback queued and one a callback invoked, whatever saw it."""
    return stack(
        [_queues(records), _invocations(records), _grace_periods(records), _ticks(records), _softirqs(records)]
    )


def _queues(records: Records) -> Rows:
    """call_rcu or rcu_callback; `nr` tables of a batch from the table_batch_flush just before, its head the batch."""
    plain = records.rows("call_rcu", fields=("head", "func.sym"))
    traced = records.rows("rcu_callback", fields=("rcuname", "rhp", "func.sym", "func", "qlen"))
    rows = stack([plain, traced.having(head=traced["rhp"], flavor=traced["rcuname"])])
    rows = rows.having(func=rows["func.sym"])
    batches = records.rows("table_batch_flush", fields=("mm", "batch", "nr"))
    if not records.like("call_rcu", "rcu_callback"):
        return batches.having(
            phase=records.code("queue"), func=records.code(BATCH_CALLBACK), head=batches["batch"], pointer=batches["mm"]
        )
    batch = last_before(batches["batch"], batches["seq"], rows["head"], rows["seq"])
    mine = (batches.at("tid", batch) == rows["tid"]) & (rows["func"] == records.code(BATCH_CALLBACK))
    batch = np.where(mine, batch, -1)
    pointer = np.where(rows["func"] == records.code(BATCH_CALLBACK), batches.at("mm", batch), NO_MM)
    return rows.having(phase=records.code("queue"), nr=batches.at("nr", batch), pointer=pointer)


def _invocations(records: Records) -> Rows:
    """rcu_invoke_callback, else tlb_remove_table_rcu, else table_batch_freed; a callback runs in no mm."""
    invoke, callback = records.code("invoke"), records.code(BATCH_CALLBACK)
    freed = records.rows("table_batch_freed", fields=("batch", "nr"))
    probed = records.rows(BATCH_CALLBACK, fields=("head", "nr"))
    rows = records.rows("rcu_invoke_callback", fields=("rcuname", "rhp", "func.sym"))
    if "rcu_invoke_callback" in records:
        # The callback's own record is the next of that head on the CPU.
        own = stack([freed.having(head=freed["batch"]), probed])
        nr = next_after(own["head"], own["seq"], rows["rhp"], rows["seq"])
        again = next_after(rows["rhp"], rows["seq"], rows["rhp"], rows["seq"])
        mine = (rows["func.sym"] == callback) & (own.at("cpu", nr) == rows["cpu"])
        mine &= (again < 0) | (own.at("seq", nr) < rows.at("seq", again))
        rows = rows.having(
            head=rows["rhp"], func=rows["func.sym"], flavor=rows["rcuname"], nr=np.where(mine, own.at("nr", nr), NULL)
        )
        return rows.having(phase=invoke, pointer=NO_MM)
    if BATCH_CALLBACK in records:
        return probed.having(phase=invoke, func=callback, pointer=NO_MM)
    return freed.having(phase=invoke, func=callback, head=freed["batch"], pointer=NO_MM)


def _grace_periods(records: Records) -> Rows:
    """Start, end and reports of quiescent states, as kprobes or rcu_grace_period have them."""
    code = records.code
    start, end = records.rows("rcu_gp_init"), records.rows("rcu_gp_cleanup")
    report = records.rows("rcu_report_qs_rnp", fields=("gps",))
    traced = records.rows("rcu_grace_period", fields=("rcuname", "gpnum", "gp_seq", "gpevent"))
    phase = np.full(len(traced), NULL)
    for word, name in (("start", "gp_start"), ("end", "gp_end"), ("cpuqs", "qs")):
        phase[traced["gpevent"] == code(word)] = code(name)
    gp_seq = np.where(traced["gp_seq"] != NULL, traced["gp_seq"], traced["gpnum"])
    traced = traced.having(phase=phase, gp_seq=gp_seq, flavor=traced["rcuname"])
    rows = stack(
        [
            start.having(phase=code("gp_start")),
            end.having(phase=code("gp_end")),
            report.having(phase=code("qs"), gp_seq=report["gps"]),
            traced.take(np.flatnonzero(phase != NULL)),
        ]
    )
    return rows.having(pointer=NO_MM)


def _ticks(records: Records) -> Rows:
    """The scheduler's tick: rcu_utilization says so, else the architecture's timer interrupt."""
    # The recording keeps of the first two what tells of ticks only (catalog.ONLY).
    if "rcu_utilization" in records:
        rows = records.rows("rcu_utilization", fields=("s",))
        rows = rows.take(np.flatnonzero(rows["s"] == records.code(TICK)))
    elif "irq_handler_entry" in records:
        rows = records.rows("irq_handler_entry", fields=("name",))
        rows = rows.take(np.flatnonzero(rows["name"] == records.code(TIMER)))
    else:
        rows = records.rows("local_timer_entry")
    return rows.having(phase=records.code("tick"), pointer=NO_MM)


def _softirqs(records: Records) -> Rows:
    rows = records.rows("softirq_entry", "softirq_exit", fields=("vec",))
    rows = rows.take(np.flatnonzero(rows["vec"] == RCU_SOFTIRQ))
    entry = rows["event"] == records.code("softirq_entry")
    return rows.having(phase=np.where(entry, records.code("core_begin"), records.code("core_end")), pointer=NO_MM)
