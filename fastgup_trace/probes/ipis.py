"""ipi: interrupts between CPUs: raised, entered, left, and which function ran for one."""

from __future__ import annotations

from typing import Final

import numpy as np

from fastgup_trace.probes.pairing import match
from fastgup_trace.probes.records import Records
from fastgup_trace.probes.rows import NO_MM, NULL, Ints, Rows, Words, masks_of, stack

HANDLERS: Final = ("tlb_remove_table_smp_sync", "ipi_flush_tlb_a15_erratum", "do_nothing", "flush_tlb_func")
# x86 irq_vectors: event -> the words of /proc/interrupts.
VECTORS: Final = {
    "call_function": "Function call interrupts",
    "call_function_single": "Function call interrupts",
    "reschedule": "Rescheduling interrupts",
}
MAX_CPUS: Final = 8192


def ipis(records: Records) -> Rows:
    """Rows of `ipi`; an interrupt has no mm, so it has none."""
    return stack([_raises(records), _entries(records), _handlers(records)]).having(pointer=NO_MM)


def _raises(records: Records) -> Rows:
    """ipi_raise (ARM), with the caller that ipi_send_cpu or ipi_send_cpumask (6.4) named just before."""
    words = records.words
    rows = records.rows("ipi_raise", fields=("target_cpus", "reason", "mask", "nr"))
    raised = rows.having(
        target_cpus=np.where(rows["target_cpus"] != NULL, rows["target_cpus"], masks_of(rows["mask"], words)),
        reason=np.where(rows["reason"] != NULL, rows["reason"], rows["nr"]),
    )
    one = records.rows("ipi_send_cpu", fields=("cpu", "callsite.sym", "callback.sym"))
    one = one.having(target_cpus=_single(one["its_cpu"], words))
    many = records.rows("ipi_send_cpumask", fields=("cpumask", "callsite.sym", "callback.sym"))
    sent = stack([one, many.having(target_cpus=many["cpumask"])])
    sent = sent.having(callsite=sent["callsite.sym"], callback=sent["callback.sym"])
    # An interrupt may send between the two: the pairs nest. Both are of one CPU.
    raise_of = match(sent["cpu"], sent["seq"], raised["cpu"], raised["seq"])
    twin = np.full(len(raised), -1)
    twin[raise_of[raise_of >= 0]] = np.flatnonzero(raise_of >= 0)
    raised = raised.having(callsite=sent.at("callsite", twin), callback=sent.at("callback", twin))
    rows = stack([raised, sent.take(np.flatnonzero(raise_of < 0))])
    return rows.having(phase=records.code("raise"), nr_targets=words.bits(rows["target_cpus"]))


def _single(cpus: Ints, words: Words) -> Ints:
    """Codes of masks with one CPU each; NULL for a CPU that no kernel has."""
    distinct, inverse = np.unique(cpus, return_inverse=True)
    known = [cpu if 0 <= cpu < MAX_CPUS else None for cpu in distinct.tolist()]
    codes = [NULL if cpu is None else words.mask((*(0,) * (cpu // 64), 1 << cpu % 64)) for cpu in known]
    return np.array(codes, np.int64)[inverse.reshape(-1)] if len(cpus) else cpus


def _entries(records: Records) -> Rows:
    rows = records.rows("ipi_entry", "ipi_exit", fields=("reason", "nr"))
    entry = rows["event"] == records.code("ipi_entry")
    rows = rows.having(
        phase=np.where(entry, records.code("entry"), records.code("exit")),
        reason=np.where(rows["reason"] != NULL, rows["reason"], rows["nr"]),
    )
    vectors = [
        records.rows(f"{name}_{phase}").having(phase=records.code(phase), reason=records.code(reason))
        for name, reason in VECTORS.items()
        for phase in ("entry", "exit")
    ]
    return stack([rows, *vectors])


def _handlers(records: Records) -> Rows:
    """The function that an interrupt ran: csd_function_entry names every one, others only what is probed."""
    traced = records.rows("csd_function_entry", fields=("func.sym",))
    traced = traced.having(callback=traced["func.sym"])
    probed = records.rows(*HANDLERS)
    # Not twice where both saw it: the handlers that csd_function_entry called are its own.
    probed = probed.take(np.flatnonzero(~np.isin(probed["event"], traced["callback"])))
    return stack([traced, probed.having(callback=probed["event"])]).having(phase=records.code("handler"))
