"""What becomes of the fast-GUP calls: served by the walk, by the slow path, by both, or never."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from fastgup_reports import columns, theme
from fastgup_reports.columns import Outcome

TITLE: Final = "Fast-GUP calls, by the path that serves them"
NOTHING: Final = "The capture has no fast-GUP call; a probe on get_user_pages_fast records them."
needs: Final = {"walk": ("path",)}

PATHS: Final = ("fast", "mixed", "slow", "failed", "livelocked")


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Calls by path: mechanism, path, walks; a path that any mechanism has is there for all that have walks."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "walk", needs["walk"]):
        walks = pd.Series(columns.texts(rows, "path")).value_counts()
        pieces.append(pd.DataFrame({"mechanism": mechanism, "path": walks.index, "walks": walks.to_numpy()}))
    used = {path for piece in pieces for path in piece["path"]}
    paths = [path for path in PATHS if path in used] + sorted(used - set(PATHS))
    filled = [
        piece.set_index("path")["walks"]
        .reindex(paths, fill_value=0)
        .reset_index()
        .assign(mechanism=piece["mechanism"].iloc[0])
        for piece in pieces
    ]
    return columns.frame(outcome, filled, {"path": "object", "walks": "int64"})


def caption(table: pd.DataFrame) -> str:
    words = (
        "fast: pinned by the walk without mmap_sem; slow: through mmap_sem; mixed: begun by the walk, finished by the slow "
        "path; failed: no page pinned; livelocked: the shared futex on a THP tail whose loop never ends."
    )
    walks = table.pivot_table(index="mechanism", columns="path", values="walks", aggfunc="sum", observed=True)
    none = [str(name) for name, row in walks.iterrows() if not row.get("fast", 0)]
    return f"{words} No call is served by the walk alone under {theme.listed(none)}." if none else words


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout(height=380))
    for code, name, mine in theme.each_mechanism(table):
        bars = theme.bar(code, name, [theme.plot_text(path) for path in mine["path"]], mine["walks"])
        bars.update(text=[f"{n:,}" for n in mine["walks"]], textposition="outside", cliponaxis=False)
        figure.add_trace(bars)
    figure.update_traces(hovertemplate="%{fullData.name}<br>%{x}<br>%{y:,} calls<extra></extra>")
    figure.update_xaxes(**theme.axis("path", type="category"))
    figure.update_yaxes(**theme.count_axis("calls"))
    return figure
