"""When a walk could have used a freed table or raced a split, and for how long."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme
from fastgup_reports.columns import POINTS_MAX

TITLE: Final = "Hazard windows: when a walk could have met a freed table or a split"
NOTHING: Final = "No hazard window on this workload, under any mechanism replayed here. This is no proof of soundness."
tells: Final = ("hazards", "table_use_after_free")
needs: Final = {"hazard": ("ts_ns", "end_ns", "kind")}

KINDS: Final = {"table_use_after_free": "use of a freed table", "split_race": "race with a split"}

_FLOOR_NS: Final = 1000
"""A window without length has no place on a logarithmic axis: what is shorter is drawn here."""


def summarise(outcome: Outcome) -> pd.DataFrame:
    """One row a window: mechanism, kind, time_s since the start, length_ns, windows (of its mechanism and kind).

    Of more than POINTS_MAX windows of a kind, the longest of each of POINTS_MAX stretches of time are kept.
    """
    start, _ = columns.span_ns(outcome)
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "hazard", needs["hazard"]):
        begun = columns.ints(rows, "ts_ns")
        lengths = np.maximum(columns.ints(rows, "end_ns", columns.OPEN) - begun, 0)
        for kind, mine in columns.each_text(rows, "kind"):
            at, length = begun[mine], lengths[mine]
            keep = columns.longest(at, length)
            piece = {
                "mechanism": mechanism,
                "kind": kind,
                "time_s": (at[keep] - start) / 1e9,
                "length_ns": length[keep],
            }
            pieces.append(pd.DataFrame({**piece, "windows": len(at)}))
    dtypes = {"kind": "object", "time_s": "float64", "length_ns": "int64", "windows": "int64"}
    return columns.frame(outcome, pieces, dtypes)


def caption(table: pd.DataFrame) -> str:
    each = []
    for _code, name, rows in theme.each_mechanism(table):
        for kind in sorted(set(rows["kind"])):
            windows = int(rows.loc[rows["kind"] == kind, "windows"].iloc[0])
            each.append(f"{theme.count(windows)} under {name} ({KINDS.get(kind, kind)})")
    words = f"Windows: {'; '.join(each)}. Each mark is one, as high as it is long (logarithmic)."
    if table["length_ns"].min() < _FLOOR_NS:
        words += " Less than 1 µs is drawn at 1 µs."
    if table["windows"].max() > POINTS_MAX:
        words += f" Thinned: the longest window of each of {POINTS_MAX:,} stretches of time."
    return words


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout())
    for code, name, rows in theme.each_mechanism(table):
        for kind in sorted(set(rows["kind"])):
            mine = rows[rows["kind"] == kind]
            length_us = np.maximum(mine["length_ns"].to_numpy(), _FLOOR_NS) / 1e3
            label = f"{name}: {KINDS.get(kind, kind)}"
            figure.add_trace(theme.marks(code, label, mine["time_s"], length_us, hollow=kind == "split_race"))
    figure.update_traces(hovertemplate="%{fullData.name}<br>at %{x:.6f} s<br>%{y:,.1f} µs long<extra></extra>")
    figure.update_xaxes(**theme.axis(theme.TIME, rangemode="tozero"))
    figure.update_yaxes(**theme.axis("window length (µs, logarithmic)", type="log", dtick=1))
    return figure
