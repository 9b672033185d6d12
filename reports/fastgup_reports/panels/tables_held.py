"""Page-table pages that are out of their tree but not yet free, and the memory that RCU batches hold, over time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme
from fastgup_reports.columns import OPEN, Ints

TITLE: Final = "Tables and bytes held over time"
NOTHING: Final = "No mechanism replayed here frees a page table on this workload, so nothing is held."
tells: Final = ("tables", "freed")
needs: Final = {"table": ("unlinked_ns", "freed_ns", "path"), "batch": ("first_ns", "queued_ns", "freed_ns")}

MEASURES: Final = {
    "tables": "Tables unlinked but not yet free",
    "bytes": "Bytes held for RCU, batch pages included",
}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Level over time: mechanism, measure (tables, bytes), time_s since the start, held; thinned, peaks kept."""
    page = columns.page_size(outcome)
    batches = {
        mechanism: (columns.ints(rows, "first_ns"), columns.ints(rows, "freed_ns", OPEN))
        for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"])
    }
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "table", needs["table"]):
        begun, ended = columns.ints(rows, "unlinked_ns"), columns.ints(rows, "freed_ns", OPEN)
        pieces.append(_curve(outcome, mechanism, "tables", begun, ended, 1))
        if mechanism in batches:
            batched = columns.is_text(rows, "path", "batched")
            first, freed = batches[mechanism]
            begun, ended = np.concatenate([begun[batched], first]), np.concatenate([ended[batched], freed])
            pieces.append(_curve(outcome, mechanism, "bytes", begun, ended, page))
    return columns.frame(outcome, pieces, {"measure": "object", "time_s": "float64", "held": "int64"})


def _curve(outcome: Outcome, mechanism: str, measure: str, begun: Ints, ended: Ints, each: int) -> pd.DataFrame:
    done = ended[ended != OPEN]
    changes = np.concatenate([np.full(len(begun), each, np.int64), np.full(len(done), -each, np.int64)])
    time_s, held = columns.curve(np.concatenate([begun, done]), changes, *columns.span_ns(outcome))
    return pd.DataFrame({"mechanism": mechanism, "measure": measure, "time_s": time_s, "held": held})


def caption(table: pd.DataFrame) -> str:
    words = []
    peaks = table.groupby(["measure", "mechanism"], observed=True)["held"].max()
    for measure, write in (("bytes", theme.size), ("tables", lambda n: theme.plural(n, "table"))):
        if measure in peaks and (most := peaks[measure]).max() > 0:
            names = [str(name) for name in most.index[most == most.max()]]
            words.append(f"{write(int(most.max()))} under {theme.listed(names)}")
    words = [f"Highest peaks: {'; '.join(words)}."] if words else ["Every table is free at the instant it is unlinked."]
    words.append("What is in flight when the recording ends stays held to the right edge.")
    if columns.thinned(table, ["measure"]):
        words.append(columns.THINNED)
    for measure in MEASURES:
        for same in columns.same_curves(table[table["measure"] == measure], ["time_s", "held"]):
            words.append(f"{measure.capitalize()}: {theme.listed(same)} coincide.")
    return " ".join(words)


def draw(table: pd.DataFrame) -> go.Figure:
    measures = [measure for measure in MEASURES if (table["measure"] == measure).any()]
    figure = theme.stacked([MEASURES[measure] for measure in measures], theme.TIME)
    shown: set[int] = set()
    for row, measure in enumerate(measures, 1):
        rows = table[table["measure"] == measure]
        for code, name, mine in theme.each_mechanism(rows):
            line = theme.step_line(code, name, mine["time_s"], mine["held"], showlegend=code not in shown)
            line.hovertemplate = f"%{{fullData.name}}<br>%{{x:.6f}} s<br>%{{y:,}} {measure}<extra></extra>"
            figure.add_trace(line, row=row, col=1)
            shown.add(code)
        suffix = {"tickformat": "~s", "ticksuffix": "B"} if measure == "bytes" else {}
        figure.update_yaxes(**theme.count_axis(f"{measure} held", np.max(rows["held"]), **suffix), row=row, col=1)
    return figure
