"""Numbers with the unit that keeps them short, for the terminal and the report alike."""

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
