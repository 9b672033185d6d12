"""The compiled walk and merge (merging.py, gathering.py) against the numpy walk, their oracle.

Both read every shared recording, pages that hypothesis makes, and pages that were damaged: the windows, losses and the
text of the errors are equal.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_captures import needs_shared, shared
from trace_dat_files import MISSED, MISSED_STORED, File, Machine

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.records import Loss, Wanted
from fastgup_trace.ingest.ring_buffer import windows
from fastgup_trace.ingest.trace_dat import open_trace_dat
from fastgup_trace.probes import wanted

Windows = list[tuple[dict[str, pa.Table], dict[str, int], dict[str, int]]]


def _read(path: Path, asked_for: Wanted | None, *, compiled: bool) -> tuple[Windows, list[Loss], str]:
    """All windows, the losses, and the error that ended them."""
    least, windows.COMPILED_BYTES_MIN = windows.COMPILED_BYTES_MIN, 0 if compiled else 1 << 62
    found: Windows = []
    losses: list[Loss] = []
    try:
        recording = open_trace_dat(path, wanted=asked_for)
        losses = recording.losses
        for window in recording.windows:
            tables = {name: _plain(table) for name, table in window.events.items()}
            found.append((tables, window.counts, window.undecodable))
    except RecordingError as error:
        return found, losses, str(error)
    finally:
        windows.COMPILED_BYTES_MIN = least
    return found, losses, ""


def _plain(table: pa.Table) -> pa.Table:
    """The table with strings instead of dictionaries, whose order is not part of the contract."""
    fields = [
        pa.field(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _same(path: Path, asked_for: Wanted | None) -> tuple[int, str]:
    """Check that both walks read the file alike; the number of records, and the error that ended both."""
    plain, losses, error = _read(path, asked_for, compiled=False)
    fast, fast_losses, fast_error = _read(path, asked_for, compiled=True)
    assert fast_error == error
    assert fast_losses == losses
    for (tables, counts, undecodable), (theirs, their_counts, their_undecodable) in zip(fast, plain, strict=False):
        assert counts == their_counts
        assert undecodable == their_undecodable
        assert tables.keys() == theirs.keys()
        for name, table in tables.items():
            assert table.equals(theirs[name]), name
    if not error:
        assert len(fast) == len(plain)
    return sum(sum(counts.values()) for _, counts, _ in fast), error


@needs_shared
@pytest.mark.parametrize("everything", [True, False])
def test_every_shared_recording_reads_alike(everything: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared()
    assert folder is not None
    monkeypatch.setattr(windows, "WINDOW_BYTES", 1 << 20)  # many windows, and pages that lie in two
    records = 0
    for path in sorted(folder.rglob("*.dat")):
        records += _same(path, None if everything else wanted())[0]
    assert records > 1_000_000


LITTLE = Machine(page_bytes=512)


@st.composite
def page_data(draw: st.DrawFn) -> bytes:
    """Events of all kinds, with times that may decrease and lengths that may be wrong."""
    kinds = st.sampled_from(["wake", "wake", "wake", "mask", "other", "extend", "stamp", "padding", "junk"])
    data = b""
    for kind in draw(st.lists(kinds, min_size=1, max_size=14)):
        delta = draw(st.integers(0, 40))
        match kind:
            case "wake":
                data += LITTLE.wake(delta, draw(st.integers(0, 3)))
            case "mask":
                data += LITTLE.event(delta, LITTLE.pack("HBBiIIQQ", 8, 0, 0, 3, 0, 0, 0, 0))
            case "other":
                data += LITTLE.event(delta, LITTLE.pack("HBBi", 9, 0, 0, 3) + bytes(draw(st.integers(0, 120))))
            case "extend":
                data += LITTLE.extend(delta)
            case "stamp":
                data += LITTLE.stamp(draw(st.integers(0, 4000)))
            case "padding":
                data += LITTLE.padding(8 + 4 * draw(st.integers(0, 3)))
            case _:
                data += draw(
                    st.sampled_from([b"", b"", b"\x01\0\0\0", b"\0\0\0\0\3\0\0\0", b"\0\0\0\0\xff\xff\xff\xff"])
                )
    return data[: 512 - 16 - 8]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_made_pages_read_alike(data: st.DataObject, tmp_path: Path) -> None:
    cpus: dict[int, list[bytes]] = {}
    for cpu in range(data.draw(st.integers(1, 4))):
        ts, pages = 0, []
        for _ in range(data.draw(st.integers(0, 4))):
            ts += data.draw(st.integers(0, 1200))
            flags = data.draw(st.sampled_from([0, 0, 0, MISSED, MISSED | MISSED_STORED]))
            pages.append(LITTLE.page(ts, data.draw(page_data()), flags, 7))
        cpus[cpu] = pages
    path = tmp_path / "made.dat"
    path.write_bytes(File(LITTLE, {"": cpus}).v7("zstd"))
    _same(path, data.draw(st.sampled_from([None, {"wake": frozenset({"cpu"})}, {"ma*": frozenset[str]()}])))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 4 * 512 - 1), value=st.integers(0, 255))
def test_damaged_pages_fail_alike(place: int, value: int, tmp_path: Path) -> None:
    pages = [
        LITTLE.page(ts, LITTLE.wake(3, 0) + LITTLE.extend(5) + LITTLE.event(1, LITTLE.pack("HBBi", 7, 0, 0, 3) * 20))
        for ts in (100, 200, 300, 400)
    ]
    image = bytearray(File(LITTLE, {"": {0: pages[:2], 1: pages[2:]}}).v6())
    image[len(image) - 4 * 512 + place] = value
    path = tmp_path / "damaged.dat"
    path.write_bytes(image)
    _same(path, None)
