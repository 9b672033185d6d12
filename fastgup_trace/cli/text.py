"""Plain text for the terminal and for mail: numbers with units, and aligned tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastgup_trace.display import BYTES, scaled, visible


def count(number: int | float | None) -> str:
    """A number with thousands separators; `-` where it is not known."""
    if number is None:
        return "-"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"


def size(number_bytes: int | float | None) -> str:
    """Bytes in decimal units: `512 B`, `1.7 MB`."""
    return "-" if number_bytes is None else scaled(number_bytes, BYTES)


def duration(number_ns: int | float | None) -> str:
    """Nanoseconds in the unit that keeps the number short: `850 ns`, `12.3 ms`, `2.5 s`."""
    return "-" if number_ns is None else scaled(number_ns, ("ns", "us", "ms", "s"))


def percent(part: int | float, whole: int | float) -> str:
    """`part` of `whole` as `12.5 %`; `-` where the whole is nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], align: str | None = None, *, markdown: bool = False
) -> str:
    """Rows under headers, in columns, without a final newline.

    Cells are text as it is, integers and floats as `count` writes them, None as `-`. `align` has one letter a column,
    `l` or `r`; without it columns of numbers go right. `markdown` draws the pipes of a GitHub table, which is
    as readable as plain text in a mail.
    """
    raw = [list(row) for row in rows]
    for row in raw:
        if len(row) != len(headers):
            raise ValueError(f"a row of {len(row)} cells under {len(headers)} headers: {row}")
    if align is None:
        align = "".join("r" if raw and all(_is_number(row[i]) for row in raw) else "l" for i in range(len(headers)))
    columns = [[_cell(row[i], markdown) for row in (headers, *raw)] for i in range(len(headers))]
    widths = [max(3 if markdown else 0, *map(len, column)) for column in columns]
    padded = [
        [cell.rjust(width) if a == "r" else cell.ljust(width) for cell in column]
        for column, width, a in zip(columns, widths, align, strict=True)
    ]
    lines = list(zip(*padded, strict=True))
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * (width - 1) + (":" if a == "r" else "-") for width, a in zip(widths, align, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _cell(cell: object, markdown: bool) -> str:
    if cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)):
        return count(cell)
    text = visible(cell)
    return text.replace("|", "\\|") if markdown else text
