"""How numbers, texts and plots look: units, escapes, and one style a mechanism, the same over the whole page.

The hues are those that Okabe and Ito ("Color Universal Design", 2008) chose to be told apart by all readers, without
their black and yellow, which vanish on a dark or a white ground, and with a grey. Curves also differ in width, marks
in shape, and after seven mechanisms the colours come again with another dash and hatching.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fastgup_trace.display import BYTES, scaled, visible

if TYPE_CHECKING:
    import pandas as pd

NOT_KNOWN: Final = "not known"

_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
_MARKERS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_PATTERNS: Final = ("", "/", ".", "x", "-")


@dataclass(frozen=True)
class Style:
    """How one mechanism is drawn: a colour, a line's dash, a marker's shape, a bar's hatching."""

    colour: str
    dash: str
    marker: str
    pattern: str


def style(position: int) -> Style:
    """The style of the mechanism at `position` of the outcome: the colours, then again with a new dash and hatching."""
    colour, turn = position % len(_COLOURS), position // len(_COLOURS)
    return Style(
        _COLOURS[colour],
        _DASHES[turn % len(_DASHES)],
        _MARKERS[position % len(_MARKERS)],
        _PATTERNS[turn % len(_PATTERNS)],
    )


def esc(text: object) -> str:
    """`text` for HTML, in element content and in quoted attributes; control characters become visible escapes."""
    return html.escape(visible(text), quote=True)


def plot_text(text: object) -> str:
    """`text` for a plot, where plotly reads a few tags (`<a href>` among them): shown as it is, never as a tag."""
    return html.escape(visible(text), quote=False)


def is_number(value: object) -> bool:
    """Whether `value` can be shown as a number: an int or a finite float, no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count(value: object) -> str:
    """`1,155`, `12.1`; what is not a number is not known."""
    if not is_number(value):
        return NOT_KNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def size(value_bytes: object) -> str:
    """Bytes in decimal units: `512 B`, `1.7 MB`."""
    return _scaled(value_bytes, BYTES)


def duration(value_ns: object) -> str:
    """Nanoseconds in the unit that keeps the number short: `850 ns`, `12.3 ms`, `2.5 s`."""
    return _scaled(value_ns, ("ns", "µs", "ms", "s"))


def _scaled(number: Any, units: tuple[str, ...]) -> str:
    return scaled(number, units) if is_number(number) else NOT_KNOWN


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 broadcast`, `385 broadcasts`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


TIME: Final = "time since the start of the recording (s)"


def layout(rows: int = 1) -> dict[str, Any]:
    """The layout that every figure of `rows` plots starts from. The page sets inks and grid lines, in the browser."""
    height = 400 if rows == 1 else 120 + 250 * rows
    # The legend stands above the titles of the plots and makes room for itself, of however many rows it is.
    above = 1 + (8 if rows == 1 else 26) / (height - 100)
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 70, "r": 44, "t": 40, "b": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 13},
        "hoverlabel": {"font": {"size": 12}, "align": "left"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": above, "yanchor": "bottom"},
        "showlegend": True,
        "modebar": {"orientation": "v", "bgcolor": "rgba(0,0,0,0)", "color": "#8a939c", "activecolor": "#5b6570"},
        "bargap": 0.18,
        "bargroupgap": 0.04,
    }


def stacked(titles: list[str], x_title: str) -> Any:
    """A figure of plots one below the other over one x axis from zero, each with its title at its left edge."""
    rows = len(titles)
    figure = make_subplots(rows=rows, shared_xaxes=True, vertical_spacing=0.2 / rows, subplot_titles=titles)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_layout(**layout(rows))
    figure.update_xaxes(**axis("", rangemode="tozero"))
    figure.update_xaxes(title_text=x_title, row=rows, col=1)
    return figure


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title (name and unit)."""
    look = {"automargin": True, "showline": True, "ticks": "outside", "ticklen": 4, "zeroline": False}
    return {"title": {"text": title, "standoff": 8}, "separatethousands": True, **look, **more}


def count_axis(title: str, most: Any, **more: Any) -> dict[str, Any]:
    """An axis of counts or amounts up to `most`: it starts at zero, and marks whole numbers only."""
    whole = {"dtick": 1} if 0 <= most <= 5 else {}
    return axis(title, rangemode="tozero", **whole, **more)


def each_mechanism(table: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """The mechanisms with rows in `table`: (its position in the outcome, its name, its rows)."""
    for position, name in enumerate(table["mechanism"].cat.categories):
        mine = table[table["mechanism"] == name]
        if len(mine):
            yield position, str(name), mine


def step_line(position: int, name: str, x: Any, y: Any, *, showlegend: bool = True) -> go.Scatter:
    """A curve that keeps its value until the next point, in the mechanism's style.

    Later mechanisms are drawn thinner, over earlier ones: where curves coincide, each still shows.
    """
    look = style(position)
    line = {"shape": "hv", "color": look.colour, "dash": look.dash, "width": max(4.5 - 0.6 * position, 1.25)}
    legend = {"legendgroup": str(position), "legendrank": position + 1, "showlegend": showlegend}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=plot_text(name), **legend)


def marks(position: int, name: str, x: Any, y: Any, *, hollow: bool = False) -> go.Scatter:
    """Points in the mechanism's style."""
    look = style(position)
    marker = {"color": look.colour, "symbol": f"{look.marker}-open" if hollow else look.marker, "size": 8}
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, name=plot_text(name))


def bar(position: int, name: str, x: Any, y: Any) -> go.Bar:
    """Bars in the mechanism's style."""
    look = style(position)
    marker = {"color": look.colour, "pattern": {"shape": look.pattern}}
    return go.Bar(x=x, y=y, marker=marker, name=plot_text(name))
