"""What becomes of the fast-GUP calls: served by the walk, by the slow path, by both, or never."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme

TITLE: Final = "Fast-GUP calls, by the path that serves them"
NOTHING: Final = "The capture has no fast-GUP call."
tells: Final = ("walks", "total")
needs: Final = {"walk": ("path",)}

PATHS: Final = {
    "fast": "all pages by the walk, without mmap_sem",
    "mixed": "begun by the walk, finished by the slow path",
    "slow": "through mmap_sem",
    "failed": "no page",
    "livelocked": "the shared futex on a THP tail, whose loop never ends",
}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Calls by path: mechanism, path, walks; a path that any mechanism has is there for all that have walks."""
    counts = {
        mechanism: {path: int(mine.sum()) for path, mine in columns.each_text(rows, "path")}
        for mechanism, rows in columns.by_mechanism(outcome, "walk", needs["walk"])
    }
    used = {path for each in counts.values() for path in each}
    paths = [path for path in PATHS if path in used] + sorted(used - set(PATHS))
    pieces = [
        pd.DataFrame({"mechanism": mechanism, "path": paths, "walks": [each.get(path, 0) for path in paths]})
        for mechanism, each in counts.items()
    ]
    return columns.frame(outcome, pieces, {"path": "object", "walks": "int64"})


def caption(table: pd.DataFrame) -> str:
    used = set(table["path"])
    words = "; ".join(f"{path}: {meaning}" for path, meaning in PATHS.items() if path in used) + "."
    none = [
        name
        for _code, name, mine in theme.each_mechanism(table)
        if not mine.loc[mine["path"].isin(["fast", "mixed"]), "walks"].any()
    ]
    return f"{words} The walk serves nothing under {theme.listed(none)}." if none else words


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout())
    for code, name, mine in theme.each_mechanism(table):
        bars = theme.bar(code, name, [theme.plot_text(path) for path in mine["path"]], mine["walks"])
        # A bar of one beside bars of thousands can't be seen: its number can.
        bars.update(text=[f"{n:,}" for n in mine["walks"]], textposition="outside", cliponaxis=False)
        bars.update(constraintext="none", textangle=-90 if len(table) > 20 else 0, textfont={"size": 11})
        figure.add_trace(bars)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x}<br>%{y:,} calls<extra></extra>")
    figure.update_xaxes(**theme.axis("path", type="category", showgrid=False))
    most = int(np.max(table["walks"]))
    figure.update_yaxes(**theme.count_axis("calls", most, range=[0, 1.25 * most]))
    return figure
