"""Damage below the packing: what a file's packed parts hold is damaged first and packed then, so that it unpacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final, Literal

import perf_data_files as perf
import trace_dat_files

from fastgup_trace.ingest.perf_data import abi
from fuzz.edits import Edit
from fuzz.mutations import IN_PLACE, combined
from fuzz.seeds import Seed, written

_METADATA: Final = 6
"""Sections of version 7 that are packed before any pages: headers, formats, kallsyms, printk, cmdlines."""


def can_repack(seed: Seed) -> bool:
    return seed.version.startswith("v7-z") or (seed.format == "perf.data" and seed.name.endswith(("packed", "packed2")))


def repacked(seed: Seed, random: Random) -> Edit:
    """The seed made again with damage inside something that is packed."""
    return _perf_data(seed.name, random) if seed.file is None else _trace_dat(seed, random)


def _trace_dat(seed: Seed, random: Random) -> Edit:
    assert seed.file is not None
    with _counting(seed.version, random, None) as bodies:
        written(seed.file, seed.version)
    chosen = random.randrange(len(bodies)) if random.random() < 0.7 else random.randrange(min(_METADATA, len(bodies)))
    with _counting(seed.version, random, chosen):
        data = written(seed.file, seed.version)
    return Edit(data, () if chosen < _METADATA else None)


@contextmanager
def _counting(version: str, random: Random, chosen: int | None) -> Iterator[list[int]]:
    """While it lasts, what is packed as number `chosen` is damaged; gives the sizes of all that was packed."""
    name, bodies = version.removeprefix("v7-"), list[int]()
    squeeze = trace_dat_files.SQUEEZE[name]

    def damaging(body: bytes) -> bytes:
        if len(bodies) == chosen and body:
            body = (
                combined(body, (0,), random).data
                if random.random() < 0.3
                else random.choice(IN_PLACE)(body, (), random).data
            )
        bodies.append(len(body))
        return squeeze(body)

    trace_dat_files.SQUEEZE[name] = damaging
    try:
        yield bodies
    finally:
        trace_dat_files.SQUEEZE[name] = squeeze


def _perf_data(name: str, random: Random) -> Edit:
    m = perf.Machine("-be-" in name)
    plain = perf.mixed(m, "file")
    order: Literal["big", "little"] = "big" if m.big_endian else "little"
    start, size = (int.from_bytes(plain[at : at + 8], order) for at in (40, 48))
    records = combined(plain[start : start + size], tuple(range(0, size, 8)), random).data
    packer = perf.Packer(m, abi.COMPRESSED2 if name.endswith("2") else abi.COMPRESSED)
    at = sorted(random.randrange(len(records) + 1) for _ in range(2))
    data = b"".join(
        packer.record(part) for part in (records[: at[0]], records[at[0] : at[1]], records[at[1] :]) if part
    )
    return Edit(perf.File(m, (perf.FAULTS, perf.WAKES, perf.CYCLES), data, m.tracing_data(), packed=True).file(), None)
