"""How full the RCU batches are: one callback frees few tables or many."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme

TITLE: Final = "How many tables an RCU batch carries"
NOTHING: Final = "No mechanism replayed here hands tables to RCU on this workload."
tells: Final = ("rcu", "batches")
needs: Final = {"batch": ("nr_tables", "flush")}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Batches in bins that double: mechanism, low, high (tables, both included), batches, full (flushed as full)."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"]):
        sizes, full = np.maximum(columns.ints(rows, "nr_tables"), 1), columns.is_text(rows, "flush", "full")
        # Bin b holds 2**(b-1)+1 .. 2**b: 1, 2, 3-4, 5-8, ...
        bins = np.ceil(np.log2(sizes)).astype(np.int64)
        batches, fulls = np.bincount(bins), np.bincount(bins, weights=full)
        high = 2 ** np.arange(len(batches), dtype=np.int64)
        piece = {"mechanism": mechanism, "low": high // 2 + 1, "high": high, "batches": batches, "full": fulls}
        pieces.append(pd.DataFrame(piece)[batches > 0])
    return columns.frame(outcome, pieces, {"low": "int64", "high": "int64", "batches": "int64", "full": "int64"})


def caption(table: pd.DataFrame) -> str:
    words = "Bins double in width. One batch is one RCU callback, and at most one page of memory beside its tables. "
    full = []
    for _code, name, mine in theme.each_mechanism(table):
        if mine["full"].any():
            full.append(
                f"{theme.count(int(mine['full'].sum()))} of {theme.count(int(mine['batches'].sum()))} under {name}"
            )
    if not full:
        return f"{words}No batch page was ever full."
    return f"{words}Handed over because the batch page was full: {'; '.join(full)}."


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout())
    # Bins between the smallest and the largest that no mechanism fills are shown, as gaps.
    first, last = (int(np.log2(high)) for high in (table["high"].min(), table["high"].max()))
    highs = [2**b for b in range(first, last + 1)]
    labels = [str(high) if high <= 2 else f"{high // 2 + 1}–{high}" for high in highs]
    for code, name, mine in theme.each_mechanism(table):
        counts = dict(zip(mine["high"], mine["batches"], strict=True))
        figure.add_trace(theme.bar(code, name, labels, [int(counts.get(high, 0)) for high in highs]))
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x} tables a batch<br>%{y:,} batches<extra></extra>")
    figure.update_xaxes(**theme.axis("tables in the batch (bins double)", type="category", showgrid=False))
    figure.update_yaxes(**theme.count_axis("batches", np.max(table["batches"])))
    return figure
