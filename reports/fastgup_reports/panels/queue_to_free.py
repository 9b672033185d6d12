"""How long tables wait in RCU: from call_rcu to the callback that frees them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme
from fastgup_reports.columns import OPEN

TITLE: Final = "How long a batch waits from call_rcu to free"
NOTHING: Final = "No mechanism replayed here has a batch that RCU freed within the recording."
tells: Final = ("rcu", "batches")
needs: Final = {"batch": ("queued_ns", "freed_ns")}

QUANTILES_MAX: Final = 500

_FLOOR_NS: Final = 1000
"""A latency of zero has no place on a logarithmic axis: what is shorter is drawn here."""


def summarise(outcome: Outcome) -> pd.DataFrame:
    """The distribution: mechanism, latency_ns, share (of freed batches that took no longer), batches, in_flight."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"]):
        queued, freed = columns.ints(rows, "queued_ns", OPEN), columns.ints(rows, "freed_ns", OPEN)
        done = (freed != OPEN) & (queued != OPEN)
        latency = np.sort(freed[done] - queued[done])
        if not len(latency):
            continue
        rank = np.arange(len(latency))
        if len(latency) > QUANTILES_MAX:
            rank = np.unique(np.linspace(0, len(latency) - 1, QUANTILES_MAX).round().astype(np.int64))
        piece = {"mechanism": mechanism, "latency_ns": latency[rank], "share": (rank + 1) / len(latency)}
        pieces.append(pd.DataFrame({**piece, "batches": len(latency), "in_flight": len(done) - len(latency)}))
    dtypes = {"latency_ns": "int64", "share": "float64", "batches": "int64", "in_flight": "int64"}
    return columns.frame(outcome, pieces, dtypes)


def caption(table: pd.DataFrame) -> str:
    words = ["Read across at 50% for the median and at 99% for the tail. The time axis is logarithmic."]
    flying = [
        f"{theme.count(int(mine['in_flight'].iloc[0]))} under {name}"
        for _code, name, mine in theme.each_mechanism(table)
        if mine["in_flight"].any()
    ]
    if flying:
        words.append(f"Left out, because still in flight when the recording ends: {'; '.join(flying)}.")
    if table["batches"].max() > QUANTILES_MAX:
        words.append(f"Drawn at {QUANTILES_MAX} quantiles, the smallest and the largest value among them.")
    if table["latency_ns"].min() < _FLOOR_NS:
        words.append("Less than 1 µs is drawn at 1 µs.")
    words += [f"{theme.listed(names)} coincide." for names in columns.same_curves(table, ["latency_ns", "share"])]
    return " ".join(words)


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout())
    last = max(int(table["latency_ns"].max()), _FLOOR_NS) / 1e6
    for code, name, mine in theme.each_mechanism(table):
        at = np.maximum(mine["latency_ns"].to_numpy(), _FLOOR_NS) / 1e6
        percent = 100 * mine["share"].to_numpy()
        # From zero up at the first latency, and at 100 % from the last one to where the slowest mechanism ends.
        line = theme.step_line(code, name, [at[0], *at, last * 1.05], [0, *percent, 100])
        figure.add_trace(line)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{y:.1f}% within %{x:,.3~f} ms<extra></extra>")
    figure.update_xaxes(**theme.axis("queue to free (ms, logarithmic)", type="log", dtick="D2"))
    figure.update_yaxes(**theme.axis("batches free within that time (%)", range=[0, 103]))
    return figure
