"""How long tables wait in RCU: from call_rcu to the callback that frees them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_reports import columns, theme
from fastgup_reports.columns import OPEN, Outcome

TITLE: Final = "How long a batch waits from call_rcu to free"
NOTHING: Final = "No mechanism replayed here has a batch that RCU freed within the recording."
needs: Final = {"batch": ("queued_ns", "freed_ns")}

_QUANTILES_MAX: Final = 500


def summarise(outcome: Outcome) -> pd.DataFrame:
    """The distribution: mechanism, latency_ns, share (of freed batches that took no longer), batches freed, in_flight."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"]):
        queued, freed = columns.ints(rows, "queued_ns"), columns.ints(rows, "freed_ns", OPEN)
        done = freed != OPEN
        latency = np.sort(freed[done] - queued[done])
        if not len(latency):
            continue
        rank = np.arange(len(latency))
        if len(latency) > _QUANTILES_MAX:
            rank = np.unique(np.linspace(0, len(latency) - 1, _QUANTILES_MAX).round().astype(np.int64))
        share = (rank + 1) / len(latency)
        pieces.append(
            pd.DataFrame(
                {"mechanism": mechanism, "latency_ns": latency[rank], "share": share, "batches": len(latency),
                 "in_flight": int((~done).sum())}
            )
        )  # fmt: skip
    dtypes = {"latency_ns": "int64", "share": "float64", "batches": "int64", "in_flight": "int64"}
    return columns.frame(outcome, pieces, dtypes)


def caption(table: pd.DataFrame) -> str:
    words = ["Read across at 50 % for the median and at 99 % for the tail. The time axis is logarithmic."]
    flying = table.groupby("mechanism", observed=True)["in_flight"].first()
    if flying.any():
        each = "; ".join(f"{name} {theme.count(int(n))}" for name, n in flying.items() if n)
        words.append(f"Left out, because still in flight when the recording ends: {each}.")
    if table["batches"].max() > _QUANTILES_MAX:
        words.append(f"Drawn at {_QUANTILES_MAX} quantiles, the smallest and the largest value among them.")
    for names in columns.same_curves(table, ["latency_ns", "share"]):
        words.append(f"{theme.listed(names)} coincide.")
    return " ".join(words)


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout(height=380))
    for code, name, mine in theme.each_mechanism(table):
        # A latency of zero has no place on a logarithmic axis: below 1 µs is drawn at 1 µs.
        milliseconds = np.maximum(mine["latency_ns"].to_numpy(), 1000) / 1e6
        line = theme.step_line(code, name, milliseconds, 100 * mine["share"])
        if len(mine) == 1:
            line.update(mode="markers", marker={"symbol": theme.style(code).marker, "size": 9})
        figure.add_trace(line)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{y:.1f} % within %{x:,.3~f} ms<extra></extra>")
    figure.update_xaxes(
        **theme.axis("queue to free (ms, logarithmic)", type="log", dtick="D1", minor={"ticks": "outside"})
    )
    figure.update_yaxes(**theme.axis("batches freed within that time (%)", range=[0, 103]))
    return figure
