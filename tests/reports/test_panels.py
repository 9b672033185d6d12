"""Each panel by the rows of its summary and the traces of its plot; every panel over an outcome without rows."""

from __future__ import annotations

import numpy as np
import pytest
import sample_outcome
from sample_outcome import MS

from fastgup_replay.outcome import OUTCOME_TABLES
from fastgup_reports.panels import (
    PANELS,
    Panel,
    batch_sizes,
    hazards,
    ipi_targets,
    ipis_over_time,
    queue_to_free,
    tables_held,
    walk_paths,
)

every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__.rsplit(".", 1)[-1])


@every_panel
def test_no_rows_is_an_empty_table_and_a_reason(panel: Panel) -> None:
    assert panel.summarise(sample_outcome.empty()).empty
    assert panel.NOTHING.endswith(".")


@every_panel
def test_needs_are_columns_of_the_outcome(panel: Panel) -> None:
    for table, needed in panel.needs.items():
        assert set(needed) <= set(OUTCOME_TABLES[table].names)


@every_panel
def test_draws_bounded_points_with_titled_axes_and_a_caption(panel: Panel) -> None:
    table = panel.summarise(sample_outcome.plausible(splits=20_000, gathers=5_000))
    figure = panel.draw(table)
    assert panel.TITLE and panel.caption(table)
    assert sum(len(trace.x) for trace in figure.data) < 50_000
    assert all(len(trace.x) for trace in figure.data)
    assert all(axis.title.text for axis in figure.select_yaxes())
    assert any(axis.title.text for axis in figure.select_xaxes())
    assert figure.layout.height


@every_panel
def test_a_mechanism_has_one_colour_on_the_whole_page(panel: Panel) -> None:
    figure = panel.draw(panel.summarise(sample_outcome.plausible()))
    wanted = {"rfc-v2": "#0072b2", "mainline-6.1": "#e69f00", "naive": "#7f7f7f"}
    for trace in figure.data:
        colour = trace.line.color if trace.type == "scatter" and trace.mode == "lines" else trace.marker.color
        name = trace.name.split(":")[0]
        assert colour == wanted.get(name, colour)


@every_panel
def test_names_from_the_outcome_are_never_tags_in_a_plot(panel: Panel) -> None:
    hostile = '<a href="https://example.org">x</a>'
    outcome = sample_outcome.renamed(sample_outcome.plausible(), "naive", hostile)
    outcome = sample_outcome.renamed(outcome, "x86-3.13", f"{hostile}2")
    table = panel.summarise(outcome)
    names = [trace.name for trace in panel.draw(table).data]
    assert not any("<" in name for name in names)


def test_interrupts_over_time_by_rows() -> None:
    table = ipis_over_time.summarise(sample_outcome.small())
    assert table["cause"].unique().tolist() == ["split"]
    # The recording is 100..200 ms; broadcasts to 3 CPUs at 110 and 150 ms.
    assert table["time_s"].tolist() == pytest.approx([0, 0.010, 0.050, 0.100])
    assert table["interrupts"].tolist() == [0, 3, 6, 6]
    figure = ipis_over_time.draw(table)
    assert [trace.name for trace in figure.data] == ["rfc-v2"]
    assert [note.text for note in figure.layout.annotations] == ["THP splits"]
    assert figure.layout.yaxis.rangemode == "tozero"


def test_interrupts_over_time_has_a_plot_a_cause_and_one_legend_entry_a_mechanism() -> None:
    table = ipis_over_time.summarise(sample_outcome.plausible())
    figure = ipis_over_time.draw(table)
    assert [note.text for note in figure.layout.annotations] == ["THP splits", "TLB shootdown"]
    assert [trace.name for trace in figure.data] == ["rfc-v2", "mainline-3.18", "x86-3.13", "x86-3.13"]
    assert [trace.name for trace in figure.data if trace.showlegend] == ["rfc-v2", "mainline-3.18", "x86-3.13"]
    assert "THP splits: rfc-v2, mainline-3.18 and x86-3.13 coincide." in ipis_over_time.caption(table)


def test_held_by_rows() -> None:
    table = tables_held.summarise(sample_outcome.small())
    tables, held = (table[table["measure"] == measure] for measure in ("tables", "bytes"))
    # Unlinked at 119 (free at 124), 189 (in flight), and at 130 (free at once).
    assert (tables["time_s"] * 1000).tolist() == pytest.approx([0, 19, 24, 30, 89, 100])
    assert tables["held"].tolist() == [0, 1, 0, 0, 1, 1]
    # Two batched tables and three batch pages (first at 119, 121 and 189 ms), 4096 bytes each.
    assert (held["time_s"] * 1000).tolist() == pytest.approx([0, 19, 21, 23, 24, 89, 100])
    assert (held["held"] // 4096).tolist() == [0, 2, 3, 2, 0, 2, 2]
    assert len(tables_held.draw(table).data) == 2
    assert tables_held.caption(table).startswith("Highest peaks: 12.3 kB under rfc-v2; 1 table under rfc-v2.")


def test_batch_sizes_by_rows() -> None:
    table = batch_sizes.summarise(sample_outcome.small())
    assert table[["low", "high", "batches", "full"]].values.tolist() == [[1, 1, 1, 0], [2, 2, 1, 0], [5, 8, 1, 1]]
    (trace,) = batch_sizes.draw(table).data
    assert (trace.name, list(trace.x), list(trace.y)) == ("rfc-v2", ["1", "2", "3–4", "5–8"], [1, 1, 0, 1])
    assert "full: 1 of 3 under rfc-v2." in batch_sizes.caption(table)


def test_a_full_batch_of_4k_pages_lies_in_the_bin_of_257_to_512() -> None:
    rows = [{"mechanism": "rfc-v2", "queued_ns": 0, "nr_tables": n, "flush": "full"} for n in (256, 257, 509, 512)]
    outcome = sample_outcome.outcome(sample_outcome.small().summary, batch=rows)
    table = batch_sizes.summarise(outcome)
    assert table[["low", "high", "batches"]].values.tolist() == [[129, 256, 1], [257, 512, 3]]


def test_queue_to_free_by_rows() -> None:
    table = queue_to_free.summarise(sample_outcome.small())
    assert table["latency_ns"].tolist() == [1 * MS, 4 * MS]
    assert table["share"].tolist() == [0.5, 1.0]
    assert table["in_flight"].tolist() == [1, 1]
    figure = queue_to_free.draw(table)
    assert figure.layout.xaxis.type == "log" and "logarithmic" in figure.layout.xaxis.title.text
    assert (figure.data[0].x[0], figure.data[0].y[0]) == (1.0, 0)
    assert "in flight when the recording ends: 1 under rfc-v2." in queue_to_free.caption(table)


def test_queue_to_free_keeps_both_ends_of_many_batches() -> None:
    rows = [{"mechanism": "rfc-v2", "queued_ns": 0, "freed_ns": n, "nr_tables": 1} for n in range(1, 10_001)]
    table = queue_to_free.summarise(sample_outcome.outcome(sample_outcome.small().summary, batch=rows))
    assert len(table) == queue_to_free.QUANTILES_MAX
    assert (table["latency_ns"].min(), table["latency_ns"].max(), table["share"].max()) == (1, 10_000, 1.0)


def test_targets_by_rows_with_the_cpus_that_were_spared() -> None:
    table = ipi_targets.summarise(sample_outcome.small())
    assert table[["cpu", "interrupts"]].values.tolist() == [[0, 2], [1, 2], [2, 0], [3, 2]]
    (trace,) = ipi_targets.draw(table).data
    assert (trace.name, list(trace.y)) == ("rfc-v2", [2, 2, 0, 2])
    assert "CPUs never interrupted: 1 under rfc-v2." in ipi_targets.caption(table)


def test_targets_add_up_over_causes() -> None:
    table = ipi_targets.summarise(sample_outcome.plausible())
    x86 = table[table["mechanism"] == "x86-3.13"]
    assert x86["interrupts"].sum() == 3 * 385 + 4 * (119 // 2)
    assert all("THP splits" in words and "TLB shootdown" in words for words in x86["causes"])


def test_walks_by_rows() -> None:
    table = walk_paths.summarise(sample_outcome.small())
    assert table[["mechanism", "path", "walks"]].values.tolist() == [
        ["rfc-v2", "fast", 2], ["rfc-v2", "slow", 1], ["quiet", "fast", 0], ["quiet", "slow", 3],
        ["naive", "fast", 3], ["naive", "slow", 0],
    ]  # fmt: skip
    figure = walk_paths.draw(table)
    assert [trace.name for trace in figure.data] == ["rfc-v2", "quiet", "naive"]
    assert "The walk serves nothing under quiet." in walk_paths.caption(table)


def test_hazards_by_rows() -> None:
    table = hazards.summarise(sample_outcome.small())
    assert table[["mechanism", "kind", "length_ns", "windows"]].values.tolist() == [
        ["naive", "table_use_after_free", 2500, 1]
    ]
    assert np.isclose(table["time_s"].iloc[0], 0.030)
    (trace,) = hazards.draw(table).data
    assert (trace.name, list(trace.y)) == ("naive: use of a freed table", [2.5])
    assert hazards.caption(table).startswith("Windows: 1 under naive (use of a freed table).")
