"""Numbers and names as people read them, on the terminal and in the report alike."""

from __future__ import annotations

from typing import Final

BYTES: Final = ("B", "kB", "MB", "GB", "TB")


def scaled(number: float, units: tuple[str, ...]) -> str:
    """`number` of the first unit in the largest of `units`, each a thousand of the one before: `12.3 ms`, `850 ns`."""
    value = float(number)
    for unit in units[:-1]:
        # 999.95 would be shown as 1000.0
        if abs(value) < (999.5 if unit == units[0] else 999.95):
            return f"{value:.0f} {unit}" if unit == units[0] else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} {units[-1]}"


def visible(text: object) -> str:
    """`text` with every character that a terminal or a browser would act on, or break a line at, as its escape.

    Names in a recording are chosen by whoever ran the process: they may hold escape sequences and bidirectional
    overrides.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
