"""Page-table pages that are out of their tree but not yet free, and the memory that RCU batches hold, over time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fastgup_reports import columns, theme
from fastgup_reports.columns import OPEN, Ints, Outcome

TITLE: Final = "Tables and bytes held over time"
NOTHING: Final = "No mechanism replayed here frees a page table on this workload, so nothing is held."
needs: Final = {"table": ("unlinked_ns", "freed_ns"), "batch": ("queued_ns", "freed_ns", "held_bytes")}

MEASURES: Final = {
    "tables": "Tables unlinked but not yet free",
    "bytes": "Bytes held by RCU batches, batch pages included",
}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Level over time: mechanism, measure (tables, bytes), time_s since the start, held; thinned, peaks kept."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "table", needs["table"]):
        begun, ended = columns.ints(rows, "unlinked_ns"), columns.ints(rows, "freed_ns", OPEN)
        pieces.append(_curve(outcome, mechanism, "tables", begun, ended, np.ones(len(begun), np.int64)))
    for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"]):
        begun, ended = columns.ints(rows, "queued_ns"), columns.ints(rows, "freed_ns", OPEN)
        pieces.append(_curve(outcome, mechanism, "bytes", begun, ended, columns.ints(rows, "held_bytes")))
    return columns.frame(outcome, pieces, {"measure": "object", "time_s": "float64", "held": "int64"})


def _curve(outcome: Outcome, mechanism: str, measure: str, begun: Ints, ended: Ints, amount: Ints) -> pd.DataFrame:
    start, end = columns.span_ns(outcome)
    done = ended != OPEN
    at, held = columns.level(np.concatenate([begun, ended[done]]), np.concatenate([amount, -amount[done]]))
    at, held = columns.thin(at, held)
    at = np.concatenate([[min(start, at[0])], at, [max(end, at[-1])]])
    held = np.concatenate([[0], held, held[-1:]])
    return pd.DataFrame({"mechanism": mechanism, "measure": measure, "time_s": (at - start) / 1e9, "held": held})


def caption(table: pd.DataFrame) -> str:
    words = []
    peaks = table.groupby(["measure", "mechanism"], observed=True)["held"].max()
    for measure in ("bytes", "tables"):
        if measure in peaks and (most := peaks[measure]).max() > 0:
            names = [str(name) for name in most.index[most == most.max()]]
            amount = theme.size(int(most.max())) if measure == "bytes" else theme.plural(int(most.max()), "table")
            words.append(f"The highest peak is {amount} ({theme.listed(names)}).")
    if not words:
        words.append("Every table is free as soon as it is unlinked, under every mechanism replayed here.")
    words.append("What is in flight when the recording ends stays held to the right edge.")
    if table.groupby(["measure", "mechanism"], observed=True).size().max() > columns.POINTS_MAX // 2:
        words.append("Thinned to what a screen can show; every peak and trough is kept.")
    for measure, rows in table.groupby("measure", sort=False):
        for same in columns.same_curves(rows, ["time_s", "held"]):
            words.append(f"{str(measure).capitalize()}: {theme.listed(same)} coincide.")
    return " ".join(words)


def draw(table: pd.DataFrame) -> go.Figure:
    measures = [measure for measure in MEASURES if (table["measure"] == measure).any()]
    figure = make_subplots(
        rows=len(measures), shared_xaxes=True, vertical_spacing=0.12, subplot_titles=[MEASURES[m] for m in measures]
    )
    figure.update_layout(**theme.layout(rows=len(measures)))
    shown: set[int] = set()
    for row, measure in enumerate(measures, 1):
        for code, name, mine in theme.each_mechanism(table[table["measure"] == measure]):
            line = theme.step_line(code, name, mine["time_s"], mine["held"], showlegend=code not in shown)
            unit = "bytes" if measure == "bytes" else "tables"
            line.hovertemplate = "%{fullData.name}<br>%{x:.6f} s<br>%{y:,} " + unit + "<extra></extra>"
            figure.add_trace(line, row=row, col=1)
            shown.add(code)
        y = (
            theme.count_axis("bytes", tickformat="~s", ticksuffix="B")
            if measure == "bytes"
            else theme.count_axis("tables")
        )
        figure.update_yaxes(**y, row=row, col=1)
        figure.update_xaxes(**theme.axis("", rangemode="tozero"), row=row, col=1)
    figure.update_xaxes(title_text="time since the start of the recording (s)", row=len(measures), col=1)
    return figure
