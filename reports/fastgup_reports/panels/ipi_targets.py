"""Which CPUs are interrupted: what an isolated CPU would notice."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fastgup_replay.outcome import Outcome
from fastgup_reports import columns, theme
from fastgup_reports.panels import ipis_over_time

TITLE: Final = "Interrupts received, by CPU"
NOTHING: Final = ipis_over_time.NOTHING
tells: Final = ("ipis", "interrupts")
needs: Final = {"ipi_target": ("cause", "target_cpu", "interrupts")}


def summarise(outcome: Outcome) -> pd.DataFrame:
    """Interrupts of all causes: mechanism, cpu (each of the platform), interrupts, causes (their parts, in words)."""
    pieces = []
    for mechanism, rows in columns.by_mechanism(outcome, "ipi_target", needs["ipi_target"]):
        hits: dict[int, int] = dict.fromkeys(range(columns.nr_cpus(outcome)), 0)
        parts: dict[int, list[str]] = {}
        cpus, numbers = columns.ints(rows, "target_cpu"), columns.ints(rows, "interrupts")
        for cause, mine in columns.each_text(rows, "cause"):
            for cpu, number in zip(cpus[mine].tolist(), numbers[mine].tolist(), strict=True):
                hits[cpu] = hits.get(cpu, 0) + number
                parts.setdefault(cpu, []).append(f"{number:,} {ipis_over_time.CAUSES.get(cause, cause)}")
        words = [", ".join(parts.get(cpu, [])) for cpu in hits]
        piece = {"mechanism": mechanism, "cpu": list(hits), "interrupts": list(hits.values()), "causes": words}
        if any(hits.values()):
            pieces.append(pd.DataFrame(piece).sort_values("cpu"))
    return columns.frame(outcome, pieces, {"cpu": "int64", "interrupts": "int64", "causes": "object"})


def caption(table: pd.DataFrame) -> str:
    most = table.iloc[int(table["interrupts"].argmax())]
    words = (
        f"The most: CPU {most['cpu']} under {most['mechanism']}, {theme.plural(int(most['interrupts']), 'interrupt')}."
    )
    spared = [
        f"{theme.count(int((mine['interrupts'] == 0).sum()))} under {name}"
        for _code, name, mine in theme.each_mechanism(table)
        if (mine["interrupts"] == 0).any()
    ]
    return f"{words} CPUs never interrupted: {'; '.join(spared)}." if spared else words


def draw(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure(layout=theme.layout())
    for code, name, mine in theme.each_mechanism(table):
        bars = theme.bar(code, name, mine["cpu"], mine["interrupts"])
        bars.customdata = [theme.plot_text(words) for words in mine["causes"]]
        figure.add_trace(bars)
    figure.update_traces(
        hovertemplate="%{fullData.name}<br>CPU %{x}<br>%{y:,} interrupts: %{customdata}<extra></extra>"
    )
    every = {"dtick": 1} if table["cpu"].nunique() <= 32 else {}
    figure.update_xaxes(**theme.axis("CPU", showgrid=False, **every))
    figure.update_yaxes(**theme.count_axis("interrupts received", np.max(table["interrupts"])))
    return figure
