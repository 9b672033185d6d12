"""Several recordings of one capture, in words: how far their clocks are apart, and what both had."""

from __future__ import annotations

from typing import Any


def merge_lines(found: dict[str, Any]) -> list[str]:
    """A line for each recording but the first; none for a capture of one recording."""
    from fastgup_trace.cli.text import count, duration
    from fastgup_trace.display import visible

    if len(found["recordings"]) < 2:
        return []
    details, lines = found["details"], list[str]()
    taken_once = details.get("taken_once") or {}
    for source in found["recordings"][1:]:
        name, offset = source["file"], (details.get("offset_ns") or {}).get(source["file"])
        told = f"{visible(name)} merged by time, clock {visible(str(source.get('clock') or found['clock']))}"
        if offset and offset.get("pairs"):
            away = f"{'-' if offset['median'] < 0 else ''}{duration(abs(offset['median']))}"
            told += f"; {away} from {visible(str(offset['to']))} (median of {count(offset['pairs'])} records of both)"
        else:
            told += "; no records of both to measure an offset by"
        dropped = sum(each["dropped"].get(name, 0) for each in taken_once.values())
        lines.append(f"{told}; {count(dropped)} records taken once" if dropped else told)
    return lines
