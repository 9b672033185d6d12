"""What a capture says of where it comes from: the machine, the tracer, what was lost, and how each fact is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastgup_trace.ingest.records import Recording
from fastgup_trace.ingest.sidecars import Sidecars
from fastgup_trace.probes import Context

# Where neither the recording nor meta.json tells: what Debian's kernels of the architecture have.
_LEVELS: Final = {"arm64": 4, "arm": 3, "x86_64": 4}
_HZ: Final = 250
_PAGE_SIZE: Final = 4096
_PAGE_SIZES: Final = (1 << 12, 1 << 18)
_NR_CPUS_MAX: Final = 1 << 16
_ARCH_OF_RELEASE: Final = (("arm64", "arm64"), ("armmp", "arm"), ("amd64", "x86_64"))

T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """The recorded machine, HZ, and for each fact its evidence: observed, inferred, assumed."""

    context: Context
    hz: int
    evidence: dict[str, str]


def find_machine(recording: Recording, sidecars: Sidecars) -> Machine:
    """The machine as the recording tells it, else meta.json, else as such machines mostly are (assumed)."""
    release, found = _known(recording.kernel_release, sidecars.text("kernel_release"), None)
    evidence = {"kernel_release": found}
    arch, evidence["arch"] = _known(recording.arch, sidecars.text("arch"), None)
    if arch is None:
        arch = next((arch for mark, arch in _ARCH_OF_RELEASE if mark in (release or "")), None)
        evidence["arch"] = "inferred" if arch else "assumed"
    arch = arch or "arm64"
    told, noted = recording.page_size, sidecars.number("page_size", *_PAGE_SIZES)
    page_size, evidence["page_size"] = _known(_power_of_two(told), _power_of_two(noted), None)
    nr_cpus, evidence["nr_cpus"] = _known(recording.nr_cpus, sidecars.number("nr_cpus", 1, _NR_CPUS_MAX), None)
    levels, evidence["levels"] = _known(None, sidecars.number("page_table_levels", 2, 5), _LEVELS.get(arch))
    hz, evidence["hz"] = _known(None, sidecars.number("config_hz", 10, 10_000), _HZ)
    context = Context(
        arch=arch,
        page_size=page_size or _PAGE_SIZE,
        nr_cpus=nr_cpus,
        levels=levels,
        kernel_release=release,
        mechanism=sidecars.text("mechanism"),
        tgids={**sidecars.tgids, **recording.tgids},
        comms=recording.comms,
    )
    return Machine(context, hz or _HZ, evidence)


def _power_of_two(size: int | None) -> int | None:
    return size if size is not None and _PAGE_SIZES[0] <= size <= _PAGE_SIZES[1] and size & (size - 1) == 0 else None


def _known(told: T | None, noted: T | None, default: T | None) -> tuple[T | None, str]:
    """The first of the recording's, meta.json's and the default, and how it is known."""
    if told is not None:
        return told, "observed"
    if noted is not None:
        return noted, "observed"
    return default, "assumed"


def describe(recording: Recording, sidecars: Sidecars, machine: Machine) -> dict[str, Any]:
    """The keys of capture.json that tell of the machine, the tracer and what lay beside the recording."""
    context, counts = machine.context, [loss.count for loss in recording.losses]
    return {
        "tracer": recording.tracer or sidecars.text("style"),
        "clock": recording.clock or _clock(sidecars.text("clock")),
        "kernel_release": context.kernel_release,
        "arch": context.arch,
        "nr_cpus": context.nr_cpus,
        "page_size": context.page_size,
        "levels": context.levels,
        "hz": machine.hz,
        "mechanism": context.mechanism,
        "batch_alloc_fail_every": sidecars.number("batch_alloc_fail_every", 0, 1 << 31),
        "workload": sidecars.text("command") or sidecars.text("workload"),
        "lost": sum(count for count in counts if count is not None),
        "losses_unknown": sum(count is None for count in counts),
        "evidence": machine.evidence,
        "clock_unit": recording.unit,
        "details": recording.details,
        "sidecars": {
            "meta": sidecars.meta,
            "interrupts": sidecars.interrupts,
            "vmstat": sidecars.vmstat,
            "kprobe_missed": sidecars.kprobe_missed,
        },
    }


def _clock(line: str | None) -> str | None:
    """The chosen one of /sys/kernel/tracing/trace_clock: `[local] global counter ...`."""
    if line is None or "[" not in line:
        return line
    return line.partition("[")[2].partition("]")[0]
