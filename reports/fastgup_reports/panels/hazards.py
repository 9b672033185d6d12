"""When a walk could have used a freed table or raced a split, and for how long."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_reports import columns, theme
from fastgup_reports.columns import POINTS_MAX, Outcome

TITLE: Final = "Hazard windows: when a walk could have met a freed table or a split"
NOTHING: Final = (
    "No hazard window in this replay. That is what this workload shows; it is no proof that a mechanism is sound."
)
needs: Final = {"hazard": ("ts_ns", "end_ns", "kind")}

KINDS: Final = {"table_use_after_free": "use of a freed table", "split_race": "race with a split"}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """One row a window: mechanism, kind, time_s since the start, length_ns, windows (of its mechanism and kind).

    Of more than POINTS_MAX windows of a kind, the longest of each of POINTS_MAX stretches of time are kept.
    """
    start, _ = columns.span_ns(outcome)
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "hazard", needs["hazard"]):
        begun = columns.ints(rows, "ts_ns")
        each = pd.DataFrame(
            {"mechanism": mechanism, "kind": columns.texts(rows, "kind"), "begun_ns": begun,
             "length_ns": np.maximum(columns.ints(rows, "end_ns") - begun, 0)}
        )  # fmt: skip
        for _kind, windows in each.groupby("kind", sort=False):
            windows = windows.assign(time_s=(windows["begun_ns"] - start) / 1e9, windows=len(windows))
            pieces.append(_longest(windows))
    return columns.frame(
        outcome, pieces, {"kind": "object", "time_s": "float64", "length_ns": "int64", "windows": "int64"}
    )


def _longest(windows: pd.DataFrame) -> pd.DataFrame:
    if len(windows) <= POINTS_MAX:
        return windows
    stretch = pd.cut(windows["begun_ns"], POINTS_MAX, labels=False)
    return windows.loc[windows.groupby(stretch)["length_ns"].idxmax()]


def caption(table: pd.DataFrame) -> str:
    totals = table.groupby(["mechanism", "kind"], observed=True)["windows"].first()
    each = [f"{name}: {theme.count(int(n))}, {KINDS.get(str(kind), str(kind))}" for (name, kind), n in totals.items()]
    words = f"{'; '.join(each)}. Each mark is one window, as high as it is long (logarithmic)."
    if totals.max() > POINTS_MAX:
        words += f" Thinned: the longest window of each of {POINTS_MAX:,} stretches of time."
    return words


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout(height=380))
    for code, name, rows in theme.each_mechanism(table):
        for kind, mine in rows.groupby("kind", sort=False):
            look = theme.style(code)
            symbol = look.marker if kind == "table_use_after_free" else f"{look.marker}-open"
            figure.add_trace(
                go.Scatter(
                    x=mine["time_s"], y=np.maximum(mine["length_ns"], 1000) / 1e3, mode="markers",
                    name=f"{theme.plot_text(name)}: {theme.plot_text(KINDS.get(str(kind), kind))}",
                    marker={"color": look.colour, "symbol": symbol, "size": 8},
                )
            )  # fmt: skip
    figure.update_traces(
        hovertemplate="%{fullData.name}<br>at %{x:.6f} s<br>%{y:,.1f} µs long<extra></extra>", showlegend=True
    )
    figure.update_xaxes(**theme.axis("time since the start of the recording (s)", rangemode="tozero"))
    figure.update_yaxes(**theme.axis("length of the window (µs, logarithmic)", type="log", dtick=1))
    return figure
