"""Interrupts sent over time, one plot a cause: how many, and whether they come in bursts."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme

TITLE: Final = "Interrupts sent to other CPUs over time, by cause"
NOTHING: Final = "No mechanism replayed here sends an IPI on this workload."
tells: Final = ("ipis", "interrupts")
needs: Final = {"ipi": ("ts_ns", "cause", "nr_targets")}

CAUSES: Final = {
    "split": "THP splits",
    "table_free": "table frees without a batch page",
    "tlb": "TLB shootdown",
    "collapse": "THP collapse",
    "erratum": "erratum 798181",
}
"""Cause in an outcome -> words of the page."""


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Running sum of interrupts: mechanism, cause, time_s since the start, interrupts; thinned."""
    start, end = columns.span_ns(outcome)
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "ipi", needs["ipi"]):
        at, targets = columns.ints(rows, "ts_ns"), columns.ints(rows, "nr_targets")
        for cause, mine in columns.each_text(rows, "cause"):
            time_s, total = columns.curve(at[mine], targets[mine], start, end)
            piece = {"mechanism": mechanism, "cause": cause, "time_s": time_s, "interrupts": total}
            pieces.append(pd.DataFrame(piece))
    return columns.frame(outcome, pieces, {"cause": "object", "time_s": "float64", "interrupts": "int64"})


def caption(table: pd.DataFrame) -> str:
    words = ["Cumulative: a steep stretch is a burst, a flat one is quiet. Each cause has its own scale."]
    if columns.thinned(table, ["cause"]):
        words.append(columns.THINNED)
    for cause in _causes(table):
        for names in columns.same_curves(table[table["cause"] == cause], ["time_s", "interrupts"]):
            words.append(f"{CAUSES.get(cause, cause)}: {theme.listed(names)} coincide.")
    return " ".join(words)


def _causes(table: pd.DataFrame) -> list[str]:
    used = {str(cause) for cause in table["cause"]}
    return [cause for cause in CAUSES if cause in used] + sorted(used - set(CAUSES))


def draw(table: pd.DataFrame) -> go.Figure:
    causes = _causes(table)
    figure = theme.stacked([theme.plot_text(CAUSES.get(cause, cause)) for cause in causes], theme.TIME)
    shown: set[int] = set()
    for row, cause in enumerate(causes, 1):
        for code, name, mine in theme.each_mechanism(table[table["cause"] == cause]):
            line = theme.step_line(code, name, mine["time_s"], mine["interrupts"], showlegend=code not in shown)
            figure.add_trace(line, row=row, col=1)
            shown.add(code)
        figure.update_yaxes(**theme.count_axis("interrupts, cumulative", np.max(table["interrupts"])), row=row, col=1)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x:.6f} s<br>%{y:,} interrupts<extra></extra>")
    return figure
