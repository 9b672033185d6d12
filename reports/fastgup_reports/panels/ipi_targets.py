"""Which CPUs are interrupted: what an isolated CPU would notice."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from fastgup_reports import columns, theme
from fastgup_reports.columns import Outcome
from fastgup_reports.panels.ipis_over_time import CAUSES, NOTHING

TITLE: Final = "Interrupts received, by CPU"
needs: Final = {"ipi_target": ("cause", "target_cpu", "interrupts")}

__all__ = ["NOTHING", "TITLE", "caption", "draw", "needs", "summarise"]


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Interrupts of all causes: mechanism, cpu, interrupts, causes (their shares in words)."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "ipi_target", needs["ipi_target"]):
        cpus, hits = columns.ints(rows, "target_cpu"), columns.ints(rows, "interrupts")
        each = pd.DataFrame({"cpu": cpus, "cause": columns.texts(rows, "cause"), "interrupts": hits})
        each = each.groupby(["cpu", "cause"], as_index=False)["interrupts"].sum()
        each["words"] = [f"{n:,} {CAUSES.get(c, c)}" for c, n in zip(each["cause"], each["interrupts"], strict=True)]
        by_cpu = each.groupby("cpu").agg(interrupts=("interrupts", "sum"), causes=("words", ", ".join))
        pieces.append(by_cpu.reset_index().assign(mechanism=mechanism))
    table = columns.frame(outcome, pieces, {"cpu": "int64", "interrupts": "int64", "causes": "object"})
    return table if table["interrupts"].any() else table.iloc[:0]


def caption(table: pd.DataFrame) -> str:
    hits = table.groupby("mechanism", observed=True)["interrupts"].agg(["max", "min", "idxmax"])
    most = hits["max"].idxmax()
    cpu = int(table.loc[hits.loc[most, "idxmax"], "cpu"])
    return (
        f"The CPU interrupted most is CPU {cpu} under {most}: {theme.plural(int(hits.loc[most, 'max']), 'interrupt')}. "
        "A mechanism that is not drawn interrupts no CPU."
    )


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout(height=380))
    for code, name, mine in theme.each_mechanism(table):
        bars = theme.bar(code, name, mine["cpu"], mine["interrupts"])
        bars.update(customdata=[theme.plot_text(words) for words in mine["causes"]])
        figure.add_trace(bars)
    figure.update_traces(
        hovertemplate="%{fullData.name}<br>CPU %{x}<br>%{y:,} interrupts: %{customdata}<extra></extra>"
    )
    few = table["cpu"].nunique() <= 32
    figure.update_xaxes(**theme.axis("CPU", **({"dtick": 1} if few else {})))
    figure.update_yaxes(**theme.count_axis("interrupts received"))
    return figure
