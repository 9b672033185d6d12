"""Interrupts sent over time, one plot a cause: how many, and whether they come in bursts."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fastgup_reports import columns, theme
from fastgup_reports.columns import Outcome

TITLE: Final = "Interrupts sent to other CPUs over time, by cause"
NOTHING: Final = "No mechanism replayed here sends an IPI on this workload."
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
        causes, times, targets = (
            columns.texts(rows, "cause"),
            columns.ints(rows, "ts_ns"),
            columns.ints(rows, "nr_targets"),
        )
        for cause in sorted(set(causes), key=_order):
            mine = causes == cause
            at, total = columns.level(times[mine], targets[mine])
            at, total = columns.thin(at, total)
            # The curve begins at zero with the recording and stays at its last value to the recording's end.
            at = np.concatenate([[min(start, at[0])], at, [max(end, at[-1])]])
            total = np.concatenate([[0], total, total[-1:]])
            pieces.append(
                pd.DataFrame(
                    {"mechanism": mechanism, "cause": cause, "time_s": (at - start) / 1e9, "interrupts": total}
                )
            )
    return columns.frame(outcome, pieces, {"cause": "object", "time_s": "float64", "interrupts": "int64"})


def _order(cause: str) -> tuple[int, str]:
    known = list(CAUSES)
    return (known.index(cause) if cause in known else len(known), cause)


def caption(table: pd.DataFrame) -> str:
    words = "Cumulative: a steep stretch is a burst, a flat one is quiet. Each cause has its own scale."
    for cause, rows in table.groupby("cause", sort=False):
        for names in columns.same_curves(rows, ["time_s", "interrupts"]):
            words += f" {CAUSES.get(str(cause), str(cause))}: {theme.listed(names)} coincide."
    return words


def draw(table: pd.DataFrame) -> go.Figure:
    causes = sorted(table["cause"].unique(), key=_order)
    titles = [theme.plot_text(CAUSES.get(cause, cause)) for cause in causes]
    figure = make_subplots(
        rows=len(causes), shared_xaxes=True, vertical_spacing=0.24 / (len(causes) + 1), subplot_titles=titles
    )
    figure.update_layout(**theme.layout(rows=len(causes)))
    shown: set[int] = set()
    for row, cause in enumerate(causes, 1):
        for code, name, mine in theme.each_mechanism(table[table["cause"] == cause]):
            figure.add_trace(
                theme.step_line(code, name, mine["time_s"], mine["interrupts"], showlegend=code not in shown),
                row=row,
                col=1,
            )
            shown.add(code)
        figure.update_yaxes(**theme.count_axis("interrupts, cumulative"), row=row, col=1)
        figure.update_xaxes(**theme.axis("", rangemode="tozero"), row=row, col=1)
    figure.update_xaxes(title_text="time since the start of the recording (s)", row=len(causes), col=1)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x:.6f} s<br>%{y:,} interrupts<extra></extra>")
    return figure
