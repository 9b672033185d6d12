"""How full the RCU batches are: one callback frees few tables or many."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_reports import columns, theme
from fastgup_reports.columns import Outcome

TITLE: Final = "How many tables an RCU batch carries"
NOTHING: Final = "No mechanism replayed here hands tables to RCU on this workload."
needs: Final = {"batch": ("nr_tables", "flush")}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Batches in bins that double: mechanism, low, high (tables, both included), batches, full (of them flushed full)."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "batch", needs["batch"]):
        sizes, full = np.maximum(columns.ints(rows, "nr_tables"), 1), columns.texts(rows, "flush") == "full"
        # Bin b holds 2**(b-1)+1 .. 2**b: 1, 2, 3-4, 5-8, ...
        bins = np.ceil(np.log2(sizes)).astype(np.int64)
        batches, fulls = np.bincount(bins), np.bincount(bins, weights=full)
        high = 2 ** np.arange(len(batches), dtype=np.int64)
        piece = pd.DataFrame(
            {"mechanism": mechanism, "low": high // 2 + 1, "high": high, "batches": batches, "full": fulls}
        )
        pieces.append(piece[piece["batches"] > 0])
    return columns.frame(outcome, pieces, {"low": "int64", "high": "int64", "batches": "int64", "full": "int64"})


def caption(table: pd.DataFrame) -> str:
    words = ["Bins double in width. One batch is one RCU callback, and at most one page of memory beside its tables."]
    totals = table.groupby("mechanism", observed=True)[["batches", "full"]].sum()
    full = [
        f"{name} {theme.count(int(row.full))} of {theme.count(int(row.batches))}"
        for name, row in totals.iterrows()
        if row.full
    ]
    words.append(
        f"Handed over because the batch page was full: {'; '.join(full)}." if full else "No batch page was ever full."
    )
    return " ".join(words)


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout(height=380))
    bins = table[["low", "high"]].drop_duplicates().sort_values("low")
    # Bins between the smallest and the largest that no mechanism fills are shown, as gaps.
    highs = [2**b for b in range(int(np.log2(bins["high"].min())), int(np.log2(bins["high"].max())) + 1)]
    labels = {high: str(high) if high <= 2 else f"{high // 2 + 1}–{high}" for high in highs}
    for code, name, mine in theme.each_mechanism(table):
        counts = dict(zip(mine["high"], mine["batches"], strict=True))
        figure.add_trace(theme.bar(code, name, list(labels.values()), [int(counts.get(high, 0)) for high in highs]))
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x} tables a batch<br>%{y:,} batches<extra></extra>")
    figure.update_xaxes(**theme.axis("tables in the batch (bins double)", type="category"))
    figure.update_yaxes(**theme.count_axis("batches"))
    return figure
