"""Tables against what independent scripts counted in the same recordings: analysis.json, groundtruth.json, /proc."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_captures import needs_shared, recordings, shared

from fastgup_trace.api import ingest_recording
from fastgup_trace.schema import check
from fastgup_trace.tables import Capture

pytestmark = needs_shared
ALL = recordings()
KPROBES = [
    folder for folder in ALL if json.loads((folder / "meta.json").read_text()).get("style") in ("kprobes", "record")
]
TRACED = [folder for folder in ALL if json.loads((folder / "meta.json").read_text()).get("style") == "function"]
INSTRUMENTED = [folder for folder in ALL if (folder / "groundtruth.json").exists() and "stock" not in folder.name]
MAX_TABLE_BATCH = 509


@cache
def capture(folder: Path) -> Capture:
    return ingest_recording(folder / "trace.dat")


def read(folder: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / name).read_text())
    return document


def counted(table: Any, *columns: str) -> dict[Any, int]:
    lists = [table[name].to_pylist() for name in columns]
    return dict(Counter(lists[0] if len(columns) == 1 else zip(*lists, strict=True)))


def names(folder: Path) -> str:
    return folder.name


@pytest.mark.parametrize("folder", ALL, ids=names)
def test_tables_are_in_order_and_refer_to_rows_that_are_there(folder: Path) -> None:
    found = capture(folder)
    for name, table in found.tables.items():
        check(name, table)
        if "seq" in table.schema.names and name != "lost":
            assert (np.diff(table["seq"].to_numpy()) >= 0).all(), name
        if "mm" in table.schema.names and len(table):
            assert max((mm for mm in table["mm"].unique().to_pylist() if mm is not None), default=-1) < len(found["mm"])
        assert table["evidence"].null_count == 0, name
    gathers, frees = found["gather"], found["table_free"]
    told = Counter(g for g in frees["gather"].to_pylist() if g is not None)
    assert [told[row] for row in range(len(gathers))] == gathers["nr_tables"].to_pylist()
    inside = [row for row in frees["path"].to_pylist() if row != "direct"]
    assert len(inside) == sum(told.values()), "every table but a direct one belongs to a gather"


@pytest.mark.parametrize("folder", INSTRUMENTED, ids=names)
def test_paths_levels_batches_and_walks_of_2014(folder: Path) -> None:
    truth, found = read(folder, "groundtruth.json"), capture(folder)
    path, level = counted(found["table_free"], "path"), counted(found["table_free"], "level")
    theirs = truth["by_path"]
    assert path.get("at_once", 0) == theirs["immediate"] + theirs["gather"]
    assert [path.get(ours, 0) for ours in ("batched", "by_ipi", "direct")] == [
        theirs[name] for name in ("batched", "one_sync", "direct")
    ]
    assert {name: level.get(name, 0) for name in ("pte", "pmd", "pud")} == truth["by_level"]

    rcu = found["rcu"].to_pylist()
    queued = [row["nr"] for row in rcu if row["phase"] == "queue" and row["func"] == "tlb_remove_table_rcu"]
    freed = [row["nr"] for row in rcu if row["phase"] == "invoke" and row["func"] == "tlb_remove_table_rcu"]
    assert (len(queued), len(freed)) == (truth["batches"]["flushed"], truth["batches"]["freed"])
    assert Counter(queued) == {int(size): number for size, number in truth["batches"]["fill_hist"].items()}

    calls = [row for row in found["walk"].to_pylist() if row["entry"] == "get_user_pages_fast"]
    fast = truth["gup_fast"]
    if fast:
        assert len(calls) == fast["calls"]
        assert sum(row["nr_pages"] for row in calls) == fast["asked"]
        assert sum(row["nr_pinned"] for row in calls) == fast["fast_pages"]
        assert sum(row["path"] == "failed" for row in calls) == fast["errors"]
    if truth["gup_walk"]:
        tails = [row for row in found["walk"].to_pylist() if row["entry"] == "__get_user_pages_fast"]
        walked = sum(row["irq_on_ns"] is not None for row in calls)
        assert walked + len(tails) == truth["gup_walk"]["calls"]


@pytest.mark.parametrize("folder", INSTRUMENTED, ids=names)
def test_splits_syncs_flushes_and_interrupts_of_2014(folder: Path) -> None:
    truth, found = read(folder, "groundtruth.json"), capture(folder)
    syncs = found["sync"].to_pylist()
    splits = {kind: number for kind, number in truth["thp_split_flush"]["kind"].items() if kind != "tlbflush"}
    assert Counter(row["function"] for row in syncs if row["cause"] == "split") == splits
    assert sum(row["kind"] == "broadcast" and row["cause"] == "table_free" for row in syncs) == truth["one_sync"]["n"]
    assert sum(row["kind"] == "spin" for row in syncs) == truth["readers_wait"]["n"]
    assert len(found["thp"]) == truth["thp_split_flush"]["n"]
    gather = [row["fullmm"] for row in found["tlb_flush"].to_pylist() if row["reason"] == "gather"]
    assert [gather.count(True), gather.count(False)] == [truth["tlb_flush"].get(kind, 0) for kind in ("full", "part")]

    words = {"reschedule": "Rescheduling interrupts", "call_func": "Function call interrupts"}
    raised: Counter[str] = Counter()
    for row in found["ipi"].to_pylist():
        if row["phase"] == "raise":
            raised[row["reason"]] += row["nr_targets"]
    assert raised == Counter({words.get(name, name): n for name, n in truth["ipi_raised_targets"].items()})
    for row in syncs:
        if row["kind"] == "broadcast":
            assert row["nr_targets"] == (3 if raised else None), "four CPUs, none of them offline"


@needs_shared
@pytest.mark.parametrize(
    ("name", "batches"),
    [
        ("k313-rfcv2-unmap-mt", 360), ("k313-rfcv2-thp-split", 119), ("k313-rfcv2-unmap-big-mt", 13),
        ("k318-unmap-mt-failn3", 178), ("k318-thp-split", 119),
    ],
)  # fmt: skip
def test_the_rule_for_gathers_of_2014_gives_the_batches_of_the_readme(name: str, batches: int) -> None:
    folder = shared()
    assert folder is not None
    found = capture(folder / "captures" / "2014" / name)
    sizes = Counter(row["gather"] for row in found["table_free"].to_pylist() if row["path"] == "batched")
    assert sum(ceil(size / MAX_TABLE_BATCH) for size in sizes.values()) == batches


@pytest.mark.parametrize("folder", KPROBES, ids=names)
def test_kprobe_recordings_agree_with_the_analysis_of_their_text(folder: Path) -> None:
    truth, found = read(folder, "analysis.json"), capture(folder)
    rcu = found["rcu"].to_pylist()
    sizes = [row["nr"] for row in rcu if row["phase"] == "invoke" and row["func"] == "tlb_remove_table_rcu"]
    if truth.get("batch_nr"):
        assert (len(sizes), sum(sizes)) == (truth["batch_nr"]["n"], truth["tables_freed_via_batches"])
        assert max(sizes) == truth["batch_nr"]["max"]
    users = {str(users): number for users, number in counted(found["table_free"], "mm_users").items()}
    assert users == (truth.get("tlb_remove_table_users") or {})
    queued = Counter(row["func"] for row in rcu if row["phase"] == "queue")
    assert queued == (truth.get("call_rcu_func") or {})

    walks = Counter(row["path"] for row in found["walk"].to_pylist())
    told = Counter(truth.get("gup_fast") or {})
    if told:
        assert walks["fast"] == told["fast:full"]
        assert walks["slow"] + walks["mixed"] == told["fallback:full"] + told["fallback:partial"]
        assert walks["failed"] == told["fallback:error"]
    window = truth.get("gup_irqs_off_window_us")
    if window:
        spans = [r["irq_on_ns"] - r["irq_off_ns"] for r in found["walk"].to_pylist() if r["irq_off_ns"] is not None]
        assert len(spans) == window["n"]
        assert max(spans) / 1000 == pytest.approx(window["max"], abs=1)

    raised = Counter(
        f"{row['reason']} | targets={row['nr_targets']}" for row in found["ipi"].to_pylist() if row["phase"] == "raise"
    )
    assert raised == Counter(truth.get("ipi_raise") or {})
    for reason, seen in (truth.get("ipi_check") or {}).items():
        entries = Counter(
            row["cpu"] for row in found["ipi"].to_pylist() if row["phase"] == "entry" and row["reason"] == reason
        )
        assert [entries[cpu] for cpu in range(len(seen["traced_ipi_entry"]))] == seen["traced_ipi_entry"]
        assert found.provenance["sidecars"]["interrupts"][reason] == seen["proc_interrupts_delta"]

    splits = Counter((row["kind"], row["result"]) for row in found["thp"].to_pylist())
    for result, number in (truth.get("split_huge_page_ret") or {}).items():
        assert splits["split_page", int(result)] == number
    calls = truth.get("span_calls") or {}
    assert len([row for row in found["thp"].to_pylist() if row["kind"] == "collapse"]) == calls.get(
        "pmdp_collapse_flush", 0
    )
    collapses = [row for row in found["sync"].to_pylist() if row["cause"] == "collapse"]
    assert len(collapses) == calls.get("tlb_remove_table_sync_one", 0)


@pytest.mark.parametrize("folder", KPROBES, ids=names)
def test_every_gather_of_6_x_begins_ends_and_has_a_cause(folder: Path) -> None:
    found = capture(folder)
    gathers = found["gather"].to_pylist()
    events = found.provenance["events"]
    assert len(gathers) == events["tlb_finish_mmu"]
    assert Counter(row["evidence"] for row in gathers) == {"observed": events["tlb_finish_mmu"]}
    assert sum(row["cause"] == "exit" for row in gathers) + sum(
        row["cause"] == "exec" and row["fullmm"] for row in gathers
    ) == events.get("tlb_gather_mmu_fullmm", 0)
    if "sys_enter_mmap" in events:  # 32-bit ARM's recordings have no mmap events
        assert not any(row["cause"] == "unknown" for row in gathers)


@pytest.mark.parametrize("folder", KPROBES, ids=names)
def test_a_mm_for_every_process_and_every_exec(folder: Path) -> None:
    found = capture(folder)
    died = sum(row["died_ns"] is not None for row in found["mm"].to_pylist())
    assert died == found.provenance["events"].get("exit_mmap", 0)
    forked = {row["child_tid"] for row in found["task"].to_pylist() if row["op"] == "fork"}
    owners = [row["pid"] for row in found["mm"].to_pylist()]
    for row in found["task"].to_pylist():
        if row["op"] == "exec" and row["tid"] in forked:
            assert owners.count(row["tid"]) == 2, "the mm it was forked with and the one of its exec"


@pytest.mark.parametrize("folder", TRACED, ids=names)
def test_function_traces_have_a_row_a_call_and_a_mm_a_process(folder: Path) -> None:
    found = capture(folder)
    calls = found.provenance["events"]
    assert len(found["table_free"]) == calls["function:tlb_remove_table"]
    assert len(found["gather"]) == calls["function:tlb_finish_mmu"]
    assert len(found["fault"]) == calls["function:handle_mm_fault"]
    assert len(found["walk"]) == calls["function:internal_get_user_pages_fast"]
    told = {row["evidence"] for row in found["mm"].to_pylist() if row["pid"] is not None}
    assert told == {"inferred"}
    owners = found["mm"]["pid"].to_pylist()
    for row in found["task"].to_pylist():
        if row["op"] == "exec":
            assert row["tid"] in owners


def test_erratum_798181_broadcasts_to_whoever_runs_the_mm() -> None:
    folder = shared()
    assert folder is not None
    found = capture(folder / "captures" / "armhf-a15r2-unmap_mt")
    asked = [row["nr_targets"] for row in found["sync"].to_pylist() if row["cause"] == "erratum"]
    ran = [row for row in found["ipi"].to_pylist() if row["callback"] == "ipi_flush_tlb_a15_erratum"]
    assert (len(asked), sum(asked), len(ran)) == (357, 318, 318)


def test_6_12_names_the_caller_of_every_interrupt() -> None:
    folder = shared()
    assert folder is not None
    raises = [
        row for row in capture(folder / "captures" / "arm64-612-thpsplit")["ipi"].to_pylist() if row["phase"] == "raise"
    ]
    calls = [row for row in raises if row["reason"] == "Function call interrupts"]
    assert len(calls) == 2113
    assert {row["callback"] for row in calls} == {"generic_smp_call_function_single_interrupt"}
    assert all(row["callsite"] for row in raises)


def test_text_and_binary_of_one_ring_buffer_give_the_same_tables() -> None:
    folder = shared()
    assert folder is not None
    for name in ("armhf-smoke", "arm64-exec"):
        recorded = folder / "captures" / name
        binary, text = capture(recorded), ingest_recording(recorded / "ftrace.txt.gz")
        assert text.provenance["events"] == binary.provenance["events"]
        for table, rows in binary.tables.items():
            for column in rows.schema.names:
                ours, theirs = rows[column].to_pylist(), text[table][column].to_pylist()
                if column.endswith("_ns"):  # text has microseconds
                    ours = [None if v is None else v // 1000 for v in ours]
                    theirs = [None if v is None else v // 1000 for v in theirs]
                    close = [
                        (a is None) == (b is None) and (a is None or abs(a - b) <= 1)
                        for a, b in zip(ours, theirs, strict=True)
                    ]
                    assert all(close), (name, table, column)
                else:
                    assert ours == theirs, (name, table, column)


@pytest.mark.parametrize("folder", ALL, ids=names)
def test_every_record_is_counted_under_its_name(folder: Path) -> None:
    assert capture(folder).provenance["events"] == read(folder, "counts.json")
