"""Outcomes made by hand: plausible ones for the page, and an empty one. No replay engine is involved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from fastgup_replay.outcome import CAUSES, OUTCOME_TABLES, Outcome

MS = 1_000_000


def outcome(summary: Mapping[str, Any], **rows: list[dict[str, Any]]) -> Outcome:
    """An outcome of `rows` (table -> rows; what a row leaves out is null)."""
    tables = {
        name: pa.Table.from_pylist(rows.get(name, []), schema=schema) if rows.get(name) else schema.empty_table()
        for name, schema in OUTCOME_TABLES.items()
    }
    return Outcome(dict(summary), tables)


def numbers(**changed: Any) -> dict[str, Any]:
    """One mechanism's summary: all zero, latencies null; `changed` groups replace keys of theirs."""
    base: dict[str, Any] = {
        "ipis": {
            "broadcasts": 0, "interrupts": 0, "wait_ns_total": 0, "wait_ns_max": 0,
            "by_cause": {cause: {"broadcasts": 0, "interrupts": 0} for cause in CAUSES},
        },
        "rcu": {
            "batches": 0, "tables": 0, "tables_per_batch_mean": 0.0, "tables_per_batch_max": 0,
            "held_bytes_max": 0, "queue_to_free_ns_p50": None, "queue_to_free_ns_p99": None,
        },
        "tables": {"freed": 0, "at_once": 0, "batched": 0, "by_ipi": 0},
        "walks": {"total": 0, "fast": 0, "slow": 0, "mixed": 0, "livelocked": 0},
        "hazards": {"table_use_after_free": 0, "split_race": 0, "free_before_tlbi": 0},
        "evidence": {"tables": "observed", "splits": "observed", "walks": "observed", "quiescent_states": "assumed"},
    }  # fmt: skip
    return {group: {**part, **changed.get(group, {})} for group, part in base.items()}


def summary(mechanisms: Mapping[str, Any], **capture: Any) -> dict[str, Any]:
    """A summary.json: `mechanisms`, and a provenance with `capture` on top."""
    provenance = {
        "recordings": [{"file": "trace.dat", "sha256": "5d" * 32, "bytes": 6_123_456, "format": "trace.dat v6"}],
        "tracer": "trace-cmd 3.1.6", "kernel_release": "3.13.10-rfcv2", "arch": "arm64", "nr_cpus": 4, "hz": 250,
        "page_size": 4096, "clock": "local", "lost": 0, "start_ns": 0, "end_ns": 2000 * MS,
        "evidence": {"hz": "assumed", "nr_cpus": "observed"}, "undecodable": {}, "workload": "thp-split",
        "sidecars": {"meta": {"name": "k313-rfcv2-thp-split", "machine": "qemu virt"}}, **capture,
    }  # fmt: skip
    platform = {"arch": "arm64", "page_size": 4096, "levels": 3, "nr_cpus": 4, "hz": 250, "erratum_798181": False}
    return {"capture": provenance, "platform": platform, "mechanisms": dict(mechanisms)}


def empty() -> Outcome:
    """Two mechanisms, no row in any table."""
    return outcome(summary({"rfc-v2": numbers(), "unpatched-3.13": numbers()}))


def small() -> Outcome:
    """Few rows whose numbers can be reckoned by eye: one mechanism that batches and interrupts, one that is naive."""
    mechanisms = {
        "rfc-v2": numbers(
            ipis={"broadcasts": 2, "interrupts": 6, "wait_ns_total": 9000, "wait_ns_max": 5000,
                  "by_cause": {"split": {"broadcasts": 2, "interrupts": 6}}},
            rcu={"batches": 3, "tables": 8, "tables_per_batch_mean": 8 / 3, "tables_per_batch_max": 5,
                 "held_bytes_max": 36864, "queue_to_free_ns_p50": 4 * MS, "queue_to_free_ns_p99": 4 * MS},
            tables={"freed": 3, "at_once": 1, "batched": 2},
            walks={"total": 3, "fast": 2, "slow": 1},
        ),
        "quiet": numbers(walks={"total": 3, "slow": 3}),
        "naive": numbers(
            walks={"total": 3, "fast": 3},
            hazards={"table_use_after_free": 1, "split_race": 0, "free_before_tlbi": 2},
        ),
    }  # fmt: skip
    ipi = {"mechanism": "rfc-v2", "cause": "split", "nr_targets": 3, "evidence": "observed"}
    batch = {"mechanism": "rfc-v2", "flush": "finish"}
    return outcome(
        summary(mechanisms, start_ns=100 * MS, end_ns=200 * MS),
        ipi=[{**ipi, "ts_ns": 110 * MS}, {**ipi, "ts_ns": 150 * MS}],
        ipi_target=[
            {"mechanism": "rfc-v2", "cause": "split", "target_cpu": cpu, "interrupts": 2} for cpu in (0, 1, 3)
        ],
        batch=[
            {**batch, "first_ns": 119 * MS, "queued_ns": 120 * MS,
             "freed_ns": 124 * MS, "nr_tables": 1, "held_bytes": 8192},
            {**batch, "first_ns": 121 * MS, "queued_ns": 122 * MS,
             "freed_ns": 123 * MS, "nr_tables": 2, "held_bytes": 12288},
            {**batch, "first_ns": 189 * MS, "queued_ns": 190 * MS,
             "nr_tables": 5, "held_bytes": 24576, "flush": "full"},
        ],
        table=[
            {"mechanism": "rfc-v2", "unlinked_ns": 119 * MS, "freed_ns": 124 * MS, "path": "batched"},
            {"mechanism": "rfc-v2", "unlinked_ns": 189 * MS, "path": "batched"},
            {"mechanism": "rfc-v2", "unlinked_ns": 130 * MS, "freed_ns": 130 * MS, "path": "at_once"},
        ],
        walk=[
            *({"mechanism": "rfc-v2", "ts_ns": n, "path": path} for n, path in enumerate(("fast", "fast", "slow"))),
            *({"mechanism": "quiet", "ts_ns": n, "path": "slow"} for n in range(3)),
            *({"mechanism": "naive", "ts_ns": n, "path": "fast"} for n in range(3)),
        ],
        hazard=[
            {"mechanism": "naive", "ts_ns": 130 * MS, "end_ns": 130 * MS + 2500, "kind": "table_use_after_free"},
        ],
    )  # fmt: skip


def renamed(outcome: Outcome, old: str, new: str) -> Outcome:
    """`outcome` with the mechanism `old` under the name `new`."""
    tables = {}
    for name, table in outcome.tables.items():
        names = [new if each == old else each for each in table["mechanism"].to_pylist()]
        column = pa.array(names, pa.string()).dictionary_encode()
        tables[name] = table.set_column(0, table.schema.field(0), column)
    mechanisms = {new if each == old else each: part for each, part in outcome.summary["mechanisms"].items()}
    return Outcome({**outcome.summary, "mechanisms": mechanisms}, tables)


def plausible(splits: int = 385, gathers: int = 119, seed: int = 1) -> Outcome:
    """The shape of a THP-split load under seven mechanisms; numbers drawn from `seed`."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in OUTCOME_TABLES}
    span = 2000 * MS
    split_ns = np.sort(rng.integers(0, span, splits))
    gather_ns = np.sort(
        rng.choice(np.concatenate([rng.integers(0, span // 4, gathers), rng.integers(0, span, gathers)]), gathers)
    )
    tables = rng.integers(1, 34, gathers)
    mechanisms: dict[str, Any] = {}
    for name in ("rfc-v2", "rfc-v1", "unpatched-3.13", "mainline-3.18", "mainline-6.1", "x86-3.13", "naive"):
        rcu, splits_ipi = (
            name in ("rfc-v2", "mainline-3.18", "mainline-6.1"),
            name in ("rfc-v2", "mainline-3.18", "x86-3.13"),
        )
        by_cause = {cause: {"broadcasts": 0, "interrupts": 0} for cause in CAUSES}
        if splits_ipi:
            by_cause["split"] = {"broadcasts": splits, "interrupts": 3 * splits}
            rows["ipi"] += [
                {
                    "mechanism": name,
                    "ts_ns": int(t),
                    "cpu": 0,
                    "cause": "split",
                    "nr_targets": 3,
                    "evidence": "observed",
                }
                for t in split_ns
            ]
            rows["ipi_target"] += [
                {"mechanism": name, "cause": "split", "target_cpu": c, "interrupts": int(n)}
                for c, n in enumerate(rng.multinomial(3 * splits, [0.2, 0.25, 0.25, 0.3]))
            ]
        if name == "x86-3.13":
            by_cause["tlb"] = {"broadcasts": gathers, "interrupts": 2 * gathers}
            rows["ipi"] += [
                {"mechanism": name, "ts_ns": int(t), "cpu": 0, "cause": "tlb", "nr_targets": 2, "evidence": "observed"}
                for t in gather_ns
            ]
            rows["ipi_target"] += [
                {"mechanism": name, "cause": "tlb", "target_cpu": c, "interrupts": gathers // 2} for c in range(4)
            ]
        latencies = []
        for t, n in zip(gather_ns, tables, strict=True):
            late = int(rng.lognormal(np.log(50 * MS), 1)) if rcu else 20_000
            freed = int(t) + late if t + late < span else None
            if rcu:
                latencies.append(late)
                rows["batch"].append(
                    {"mechanism": name, "first_ns": int(t), "queued_ns": int(t), "freed_ns": freed, "nr_tables": int(n),
                     "held_bytes": int(n + 1) * 4096, "flush": "finish", "evidence": "inferred"}
                )  # fmt: skip
            rows["table"] += [
                {"mechanism": name, "unlinked_ns": int(t), "freed_ns": freed, "path": "batched" if rcu else "at_once"}
            ] * int(n)
        walks = {"unpatched-3.13": {"slow": 457}}.get(name, {"fast": 303, "slow": 131, "mixed": 23})
        if name == "unpatched-3.13":
            walks["livelocked"] = 1
        rows["walk"] += [
            {"mechanism": name, "ts_ns": i * MS, "path": path} for path, n in walks.items() for i in range(n)
        ]
        hazards = 4 if name == "naive" else 0
        rows["hazard"] += [
            {"mechanism": name, "ts_ns": int(t), "end_ns": int(t) + 3000 * (i + 1), "kind": "table_use_after_free"}
            for i, t in enumerate(gather_ns[:hazards])
        ]
        total = int(tables.sum())
        mechanisms[name] = numbers(
            ipis={"by_cause": by_cause, "broadcasts": sum(c["broadcasts"] for c in by_cause.values()),
                  "interrupts": sum(c["interrupts"] for c in by_cause.values()),
                  "wait_ns_total": None if splits_ipi else 0, "wait_ns_max": None if splits_ipi else 0},
            rcu={"batches": gathers, "tables": total, "tables_per_batch_mean": total / gathers,
                 "tables_per_batch_max": int(tables.max()), "held_bytes_max": total * 700,
                 "queue_to_free_ns_p50": int(np.percentile(latencies, 50)),
                 "queue_to_free_ns_p99": int(np.percentile(latencies, 99))} if rcu else {},
            tables={"freed": total, "batched": total if rcu else 0, "at_once": 0 if rcu else total},
            walks={"total": sum(walks.values()), **walks},
            hazards={"table_use_after_free": hazards},
        )  # fmt: skip
    return outcome(summary(mechanisms), **rows)
