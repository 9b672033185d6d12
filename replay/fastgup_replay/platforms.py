"""The machine that a mechanism runs on: what its kernel's constants depend on.

In this version the machine is the recorded one (`recorded`), with the evidence of each fact beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.errors import ModelError
from fastgup_trace.tables import Capture

NR_CPUS_MAX: Final = 8192
"""The largest NR_CPUS of any architecture (x86 with MAXSMP)."""

_HEADER_BYTES: Final = {4: 12, 8: 24}
"""sizeof(struct mmu_table_batch) by pointer size: rcu_head and unsigned int nr (v3.13 include/asm-generic/tlb.h)."""


@dataclass(frozen=True)
class Platform:
    """One machine. `erratum`, Cortex-A15 erratum 798181: off, partial (an extra TLBI) or broadcast (IPIs)."""

    name: str
    arch: str
    page_size: int
    pointer_bytes: int
    nr_cpus: int
    hz: int
    erratum: str = "off"
    batch_alloc_fail_every: int = 0
    """Every how many allocations of a batch page fail; 0: none (88 of 88 real failures seen were injected)."""

    @property
    def max_table_batch(self) -> int:
        """MAX_TABLE_BATCH: tables in one batch page (v3.13 include/asm-generic/tlb.h; unchanged in v6.12)."""
        return (self.page_size - _HEADER_BYTES[self.pointer_bytes]) // self.pointer_bytes

    @property
    def jiffy_ns(self) -> int:
        return 1_000_000_000 // self.hz

    @property
    def fqs_ns(self) -> int:
        """Time from a grace period's start to each scan for idle CPUs: RCU_JIFFIES_TILL_FORCE_QS plus one jiffy
        for every 256 CPUs (v3.13 kernel/rcu/tree.h, tree.c)."""
        jiffies = 1 + (self.hz > 250) + (self.hz > 500) + self.nr_cpus // 256
        return jiffies * self.jiffy_ns

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "max_table_batch": self.max_table_batch}


def recorded(capture: Capture) -> tuple[Platform, dict[str, str]]:
    """The machine that made the capture, and the evidence of each of its facts.

    What the recording does not tell is assumed: 4 KiB pages, HZ 250 (Debian's and most arm64 defconfigs).
    """
    provenance = capture.provenance
    evidence = {str(k): str(v) for k, v in dict(provenance.get("evidence") or {}).items()}

    def fact(key: str, default: int) -> int:
        value = provenance.get(key)
        if value is None:
            evidence[key] = "assumed"
            return default
        evidence.setdefault(key, "observed")
        return int(value)

    arch = str(provenance.get("arch") or "arm64")
    evidence.setdefault("arch", "observed" if provenance.get("arch") else "assumed")
    meta = dict((provenance.get("sidecars") or {}).get("meta") or {})
    platform = Platform(
        name="recorded",
        arch=arch,
        page_size=fact("page_size", 4096),
        pointer_bytes=4 if arch in ("arm", "armhf") else 8,
        nr_cpus=_nr_cpus(capture, evidence),
        hz=fact("hz", 250),
        erratum=_erratum(meta),
        batch_alloc_fail_every=int(provenance.get("batch_alloc_fail_every") or 0),
    )
    return platform, evidence


def _nr_cpus(capture: Capture, evidence: dict[str, str]) -> int:
    """The machine's CPUs, at least as many as records come from."""
    seen = 1 + max((int(pc.max(table["cpu"]).as_py() or 0) for table in _on_cpus(capture)), default=0)
    if seen > NR_CPUS_MAX:
        raise ModelError(
            "capture", f"records of at most {NR_CPUS_MAX} CPUs", f"one of CPU {seen - 1}", "check its source"
        )
    told = capture.provenance.get("nr_cpus")
    if told is None or int(told) < seen:
        evidence["nr_cpus"] = "inferred"
        return seen
    evidence.setdefault("nr_cpus", "observed")
    return int(told)


def _on_cpus(capture: Capture) -> Iterator[pa.Table]:
    return (table for table in capture.tables.values() if "cpu" in table.schema.names and len(table))


def _erratum(meta: dict[str, Any]) -> str:
    """The sidecar's word on erratum 798181, `off` where it says nothing."""
    told = str(meta.get("erratum_798181", "off"))
    return told if told in ("partial", "broadcast") else "off"
