"""Recordings that end before their time: what is whole before the cut is saved, and the cut is told.

Files by the tests' own writer, cut at every place; and a real one that trace-cmd's death leaves behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from trace_dat_files import MISSED, MISSED_STORED, File, Machine

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.trace_dat import open_trace_dat

WRITERS: dict[str, Callable[[File], bytes]] = {
    "v6": File.v6,
    "v7": File.v7,
    "v7 zlib": lambda file: file.v7("zlib"),
    "v7 none": lambda file: file.v7("none"),
    "v7 of 3.2": lambda file: replace(file, uncounted=0).v7(),
}


def small(cpus: int = 2) -> File:
    """Four pages a CPU; a record's `cpu` is its number in the CPU, a page begins each 100 ns."""
    m = Machine()
    pages = [m.page(100 * n, m.wake(0, 2 * n) + m.wake(3, 2 * n + 1)) for n in range(4)]
    return File(m, {"": dict.fromkeys(range(cpus), pages)})


def rows(path: Path) -> tuple[dict[int, list[int]], list[RecordingError]]:
    """The numbers of the records of each CPU, in order, and the damage."""
    recording = open_trace_dat(path)
    found: dict[int, list[int]] = {}
    for window in recording.windows:
        for row in window.events["wake"].to_pylist():
            found.setdefault(row["common_cpu"], []).append(row["cpu"])
    return found, recording.damage


@pytest.mark.parametrize("writer", WRITERS)
def test_every_cut_saves_a_beginning_of_each_cpu_or_is_one_line(tmp_path: Path, writer: str) -> None:
    data, path = WRITERS[writer](small()), tmp_path / "trace.dat"
    saved = set[int]()
    for size in {*range(0, min(len(data), 3000), 7), *range(3000, len(data), 197), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(RecordingError) as error:
            open_trace_dat(path, strict=True)
        assert "\n" not in str(error.value)
        try:
            found, damage = rows(path)
        except RecordingError as refused:
            assert "\n" not in str(refused)
            assert "trace.dat" in str(refused)
            continue
        assert damage, size
        for numbers in found.values():
            assert numbers == list(range(len(numbers)))
            assert len(numbers) % 2 == 0 or "none" in writer or writer == "v6"
        saved.add(sum(map(len, found.values())))
    assert 2 in saved or ("none" not in writer and writer != "v6")
    assert max(saved) >= 12


@pytest.mark.parametrize("machine", [Machine(), Machine(long_bytes=4), Machine(True), Machine(True, 4)])
def test_the_page_that_the_file_ends_in_gives_its_whole_records(tmp_path: Path, machine: Machine) -> None:
    """Every cut of a page with a long record, padding, a time extend, and a count of lost events behind its data."""
    m, path = machine, tmp_path / "trace.dat"
    wake = m.pack("HBBii8s", 7, 1, 0, 5, 4, b"long")
    parts = [
        m.wake(0, 0), m.wake(2, 1), m.padding(16), m.extend(1 << 30), m.wake(2, 2), m.stamp(1 << 40), m.wake(1, 3),
        m.event(4, wake.ljust(200, b"\0")), m.wake(0, 5),
    ]  # fmt: skip
    pages = [m.page(100, m.wake(0, -1)), m.page(200, b"".join(parts), MISSED | MISSED_STORED, 7)]
    data = File(m, {"": {0: pages}}).v6()
    start = len(data) - m.page_bytes
    ends, place = list[int](), start + 8 + m.long_bytes
    for part in parts:
        place += len(part)
        ends += [place] if len(part) in (24, 208) else []
    assert len(ends) == 6
    for size in (*range(start, place + 20), len(data) - 1):
        path.write_bytes(data[:size])
        recording = open_trace_dat(path)
        numbers = [row["cpu"] for window in recording.windows for row in window.events["wake"].to_pylist()]
        assert numbers == list(range(-1, sum(end <= size for end in ends)))
        assert [loss.cpu for loss in recording.losses] == [0] * (size >= ends[0])


@pytest.mark.parametrize("writer", ["v7", "v7 zlib", "v7 none"])
def test_the_options_behind_the_pages_are_not_needed_for_the_records(tmp_path: Path, writer: str) -> None:
    """The last section tells where the pages are; without it they are found, and the CPUs by their order."""
    data, path = WRITERS[writer](small(3)), tmp_path / "trace.dat"
    path.write_bytes(data[: int.from_bytes(data[data.index(b"1\0") + 2 :][:8], "little")])
    found, damage = rows(path)
    assert found == {cpu: list(range(8)) for cpu in range(3)}
    assert "CPUs [0, 1, 2] are inferred" in str(damage[-1])


@pytest.mark.parametrize("writer", ["v7", "v7 zlib", "v7 none", "v7 of 3.2"])
def test_a_top_instance_without_cpus_takes_nothing_of_the_others(tmp_path: Path, writer: str) -> None:
    """`trace-cmd record -B` and `extract -B` write an empty section for it before that of the instance."""
    file, path = small(3), tmp_path / "trace.dat"
    data = WRITERS[writer](replace(file, instances={"": {}, "one": file.instances[""]}))
    path.write_bytes(data[: int.from_bytes(data[data.index(b"1\0") + 2 :][:8], "little")])
    found, damage = rows(path)
    assert found == {cpu: list(range(8)) for cpu in range(3)}
    assert "are inferred" in str(damage[-1])


def test_what_is_left_of_a_file_without_pages_is_told(tmp_path: Path) -> None:
    path = tmp_path / "trace.dat"
    data = small().v7()
    path.write_bytes(data[: data.index(b"1\0") + 10 + 200])
    with pytest.raises(RecordingError, match="expected the header info, found the end of the file"):
        open_trace_dat(path)


@pytest.mark.parametrize("writer", ["v6", "v7 none"])
def test_a_file_that_trace_cmd_never_put_pages_in_is_told_what_to_do(tmp_path: Path, writer: str) -> None:
    """As `trace-cmd restore -c` makes it."""
    data, path = WRITERS[writer](File()), tmp_path / "trace.dat"
    path.write_bytes(data if writer != "v6" else data[: data.index(b"options  \0") - 4])
    with pytest.raises(RecordingError, match=r"trace-cmd restore -i.* adds those of the trace.dat.cpuN"):
        open_trace_dat(path)
