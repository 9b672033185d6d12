"""The replay against real kernels that contain the mechanism: the shared recordings, and those that ship with us.

Expected numbers are the issue's, of counters that the tracer does not touch, or of groundtruth.json: an independent
script's counts over `trace-cmd report`.
"""

from __future__ import annotations

import json
from functools import cache

import pyarrow as pa
import pytest
from shared_captures import ROOT, recordings

from fastgup_replay.columns import strings
from fastgup_replay.replay import replay
from fastgup_replay.timeline import TABLE_RCU
from fastgup_replay.validate import Row, validate
from fastgup_trace.api import ingest_recording
from fastgup_trace.tables import Capture

SHIPPED = {path.parent.name: path for path in sorted((ROOT / "datasets" / "captures").glob("*/trace.dat"))}
EVERY = SHIPPED | {folder.name: folder / "trace.dat" for folder in recordings()}


@cache
def capture(name: str) -> Capture:
    return ingest_recording(EVERY[name])


@cache
def rows(name: str, mechanism: str | None = None) -> dict[str, Row]:
    return {row.quantity: row for row in validate(capture(name), mechanism)[1]}


TABLES_AND_BATCHES = ("tables.freed", "tables.at_once", "tables.batched", "tables.by_ipi", "rcu.batches",
                      "rcu.tables_per_batch_max", "rcu.batches_of_other_size")  # fmt: skip
BROADCASTS = tuple(f"ipis.{cause}.broadcasts" for cause in ("split", "table_free", "collapse"))


@pytest.mark.parametrize(
    "name", ["k313-rfcv2-unmap-mt", "k313-rfcv2-thp-split", "k313-rfcv2-unmap-big-mt", "k318-unmap-mt-failn3"]
)
def test_tables_batches_and_broadcasts_are_exact(name: str) -> None:
    found = rows(name)
    assert {quantity: found[quantity].error for quantity in (*TABLES_AND_BATCHES, *BROADCASTS)} == dict.fromkeys(
        (*TABLES_AND_BATCHES, *BROADCASTS), 0
    )
    assert found["ipis.interrupts"].error == 0  # the row of /proc/interrupts


@pytest.mark.parametrize(
    ("name", "quantity", "value"),
    [
        ("k313-rfcv2-unmap-mt", "rcu.batches", 360),
        ("k313-rfcv2-thp-split", "rcu.batches", 119),
        ("k313-rfcv2-thp-split", "ipis.split.broadcasts", 385),
        ("k313-rfcv2-thp-split", "ipis.interrupts", 1155),
        ("k313-rfcv2-unmap-big-mt", "rcu.batches", 13),
        ("k313-rfcv2-unmap-big-mt", "rcu.tables_per_batch_max", 509),
        ("k318-unmap-mt-failn3", "rcu.batches", 178),
        ("k318-unmap-mt-failn3", "tables.by_ipi", 88),
        ("k318-unmap-mt-failn3", "ipis.table_free.interrupts", 264),
        ("k313-unpatched-unmap-mt", "rcu.batches", 0),
        ("k313-unpatched-unmap-mt", "ipis.interrupts", 0),
        ("arm64-collapse", "ipis.collapse.broadcasts", 65),
        ("arm64-collapse", "ipis.collapse.interrupts", 195),
    ],
)
def test_predictions_that_an_independent_count_gave(name: str, quantity: str, value: int) -> None:
    assert rows(name)[quantity].predicted == value


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_count_of_every_recording_is_exact_or_accounted_for(name: str) -> None:
    for row in rows(name).values():
        if row.kind != "count" or row.predicted is None or row.evidence == "inferred":
            continue
        assert row.error is not None
        if row.error:
            assert sum(event.amount for event in row.accounted) == row.error, (row.quantity, row.error)
            assert row.explained


@pytest.mark.parametrize(
    "name", sorted(name for name, path in EVERY.items() if (path.parent / "groundtruth.json").exists())
)
def test_what_is_measured_equals_an_independent_script(name: str) -> None:
    truth = json.loads((EVERY[name].parent / "groundtruth.json").read_text())
    found = rows(name)
    paths = truth.get("by_path") or {}
    if sum(paths.values()):  # the function tracer's recordings have no paths
        assert found["tables.at_once"].measured == paths["immediate"] + paths["gather"]
        assert found["tables.by_ipi"].measured == paths["one_sync"]
    if "rcu.batches" in found and found["rcu.batches"].evidence == "observed" and truth.get("batches"):
        assert found["rcu.batches"].measured == truth["batches"]["flushed"]
        assert found["tables.batched"].measured == paths["batched"]


@pytest.mark.parametrize("name", ["k313-rfcv2-thp-split", "k318-unmap-mt-failn3"])
def test_who_is_interrupted_is_exact_on_each_cpu(name: str) -> None:
    """/proc/interrupts by CPU: which thread split or failed, and where it ran, is all in there."""
    errors = [rows(name)[f"ipis.interrupts.cpu{cpu}"].error for cpu in range(4)]
    assert errors == [0, 0, 0, 0]
    assert all(rows(name)[f"ipis.interrupts.cpu{cpu}"].measured for cpu in range(4))


def test_the_wrong_mechanism_does_not_validate() -> None:
    wrong = rows("k313-rfcv2-unmap-mt", "unpatched-3.13")
    assert wrong["rcu.batches"].error == -360
    assert not wrong["rcu.batches"].exact
    without_shortcut = rows("k313-rfcv2-unmap-mt", "mainline-6.1")
    assert without_shortcut["tables.at_once"].error == -29
    assert not without_shortcut["tables.at_once"].exact


def test_a_prediction_survives_without_what_the_kernel_reports_of_itself() -> None:
    """The replay of a recording is the same when path, batch, freed_ns and the callbacks of batches are taken away."""
    whole = capture("k318-unmap-mt-failn3")
    freed, rcu = whole["table_free"], whole["rcu"]
    direct = [path if path == "direct" else None for path in strings(freed["path"])]
    replaced = {
        "path": pa.array(direct, pa.string()).dictionary_encode(),
        "batch": pa.nulls(len(freed), pa.uint64()),
        "freed_ns": pa.nulls(len(freed), pa.int64()),
    }
    for column, values in replaced.items():
        at = freed.schema.get_field_index(column)
        freed = freed.set_column(at, freed.schema.field(at), values)
    others = pa.array([func != TABLE_RCU for func in strings(rcu["func"])])
    bare = Capture(whole.provenance, {**dict(whole.tables), "table_free": freed, "rcu": rcu.filter(others)})
    before, after = (replay(c, ["mainline-3.18"]).summary["mechanisms"]["mainline-3.18"] for c in (whole, bare))
    assert len(bare["rcu"]) < len(rcu)
    assert before == after


def test_an_endless_futex_call_is_one_call_and_its_laps_are_counted() -> None:
    """k313-unpatched-futex-one: the loop filled the buffer (86,893 calls; groundtruth.json of that recording)."""
    slow = rows("k313-unpatched-futex-one")["walks.slow"]
    assert (slow.measured, slow.predicted) == (86_893, 4)
    assert [event.amount for event in slow.accounted] == [4 - 86_893]
    summary = replay(capture("k313-unpatched-futex-one"), ["unpatched-3.13"]).summary["mechanisms"]["unpatched-3.13"]
    assert summary["walks"]["livelocked"] == 1
