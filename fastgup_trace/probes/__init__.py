"""From a recording's event records to the tables of a capture. Knows the kernel, not the file formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from fastgup_trace.probes.assembly import Assembly
from fastgup_trace.probes.catalog import PROBES, Probe, wanted
from fastgup_trace.probes.context import Context
from fastgup_trace.probes.crossings import Crossings
from fastgup_trace.probes.part import Part
from fastgup_trace.probes.records import Names, Records, by_function
from fastgup_trace.probes.rows import Words
from fastgup_trace.probes.sightings import Sightings, sightings, together
from fastgup_trace.probes.spaces import find_spaces

__all__ = ["PROBES", "Context", "Names", "Part", "Probe", "to_tables", "wanted"]


def to_tables(parts: Iterable[Part], context: Context, names: Names | None = None) -> Iterator[dict[str, pa.Table]]:
    """The tables of a capture (all but `lost`) from a recording's parts, which are gone through twice.

    First comes `mm`, whole; then, part after part, the rows of the others in `seq` order. Row numbers (`mm`, `gather`)
    are those of the whole recording. `names` are those of all events, where they are known without another look.
    """
    words = Words()
    names = names or Names(part.events for part in parts)
    probed, recorded = names.probed, names.recorded

    def records(part: Part) -> Records:
        return Records(by_function(part.events, probed), words, recorded)

    crossings, seen = Crossings(recorded), list[Sightings]()
    for part in parts:
        found = records(part)
        seen.append(sightings(part, found, context))
        if not part.is_whole:
            crossings.add(part, found)
    spaces = find_spaces(together(seen), context, words)
    yield {"mm": spaces.table}
    assembly = Assembly(context, words, spaces)
    for part in parts:
        yield assembly.tables(part, crossings.completed(part, records(part)))
