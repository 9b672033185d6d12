"""What is not in a capture though it happened, in words: how much, on which CPUs, when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastgup_trace.tables import Capture

_ROWS_SHOWN: Final = 16


def lost_line(found: dict[str, Any]) -> str:
    """What the tracer dropped, in one line."""
    from fastgup_trace.cli.text import count

    lost, unknown = found["lost"], found["losses_unknown"]
    if not lost and not unknown:
        return "no events lost"
    more = f", and {count(unknown)} gaps of unknown size" if unknown else ""
    return f"{count(lost)} events lost{more}: the table `lost` says where"


def losses_text(capture: Capture) -> str | None:
    """A table of what is missing by reason and CPU, with when it went; None if nothing is."""
    import pyarrow.compute as pc

    from fastgup_trace.cli.text import duration, table

    lost = capture["lost"]
    if not len(lost):
        return None
    lost = lost.set_column(lost.schema.get_field_index("why"), "why", lost["why"].cast("string"))
    sums = [("count", "sum"), ("count", "count"), ("ts_ns", "count"), ("ts_ns", "min"), ("end_ns", "max")]
    groups = lost.group_by(["why", "cpu"]).aggregate(sums).sort_by([("why", "ascending"), ("cpu", "ascending")])
    start, timed = capture.span_ns[0], capture.provenance.get("clock_unit", "ns") == "ns"

    def moment(value: int) -> str:
        return f"+{duration(max(value - start, 0))}" if timed else str(value)

    rows = [
        (
            row["why"],
            "-" if row["cpu"] is None else str(row["cpu"]),
            row["count_sum"],
            row["ts_ns_count"],
            row["ts_ns_count"] - row["count_count"],
            f"{moment(row['ts_ns_min'])} to {moment(row['end_ns_max'])}",
        )
        for row in groups.slice(0, _ROWS_SHOWN).to_pylist()
    ]
    text = table(("missing", "CPU", "events", "gaps", "of unknown size", "when"), rows, "lrrrrl")
    rest = len(groups) - len(rows)
    total = pc.sum(groups["ts_ns_count"].slice(_ROWS_SHOWN)).as_py()
    return text if rest <= 0 else f"{text}\nand {total} gaps on {rest} more CPUs"
