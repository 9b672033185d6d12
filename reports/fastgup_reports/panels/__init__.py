"""The panels of the page, in its order. A panel is one file with the names of `Panel` below, and one line in PANELS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from fastgup_reports.panels import (
    batch_sizes,
    hazards,
    ipi_targets,
    ipis_over_time,
    queue_to_free,
    tables_held,
    walk_paths,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from fastgup_replay.outcome import Outcome


class Panel(Protocol):
    """One plot with its words. `summarise` is tested by its rows, `draw` by the number and names of its traces."""

    @property
    def __name__(self) -> str:
        """The module's name: its last part is the panel's anchor on the page."""

    @property
    def TITLE(self) -> str:
        """What the plot shows."""

    @property
    def NOTHING(self) -> str:
        """One line that says why there is no plot, where every mechanism has zero of it."""

    @property
    def tells(self) -> tuple[str, ...]:
        """The number of a mechanism's summary that is null where the capture can't tell what the plot shows."""

    @property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Outcome table -> the columns that `summarise` reads."""

    def summarise(self, outcome: Outcome) -> pd.DataFrame:
        """The numbers of the plot: one row a point or bar, without rows where the outcome has none."""

    def caption(self, table: pd.DataFrame) -> str:
        """What to see in the plot, in plain text, from the numbers; `table` has rows."""

    def draw(self, table: pd.DataFrame) -> go.Figure:
        """The plot of `table`, which has rows."""


PANELS: Final[tuple[Panel, ...]] = (
    ipis_over_time,
    tables_held,
    batch_sizes,
    queue_to_free,
    ipi_targets,
    walk_paths,
    hazards,
)
