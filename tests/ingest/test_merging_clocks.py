"""Which recordings go together: their clocks, how far those are apart, the machine, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from event_records import by_hand
from fake_recordings import MS, capture_of, read, recording, stamps

from fastgup_trace.errors import RecordingError, UsageError
from fastgup_trace.ingest import FORMATS
from fastgup_trace.ingest.merging import SharedProgress, merged
from fastgup_trace.ingest.records import Loss, Window

PAIR = Path(__file__).resolve().parents[1] / "data" / "pair"


def switches(shift_ns: int, every_ns: int = 3 * MS, count: int = 200) -> dict[str, pa.Table]:
    """A thread's switches, with gaps that are no two the same."""
    times = [n * every_ns + n * n * 1000 + shift_ns for n in range(count)]
    return by_hand("\n".join(f"{ts} 0 7 sched_switch" for ts in times))


@pytest.mark.parametrize("shift_ns", [0, 400, -90_000, 900_000])
def test_the_offset_is_stated_and_not_applied(shift_ns: int) -> None:
    result = merged([recording("one", switches(0)), recording("two", switches(shift_ns))])
    tables, _ = read(result)
    assert len(tables["sched_switch"]) == 200
    assert result.details["offset_ns"] == {
        "two": {"to": "one", "median": shift_ns, "low": shift_ns, "high": shift_ns, "pairs": 200, "sampled": 200}
    }


@pytest.mark.parametrize("shift_ns", [5 * MS, -70 * MS, 150 * MS])
def test_clocks_that_do_not_agree_are_one_line(shift_ns: int) -> None:
    result = merged([recording("one", switches(0, count=2000)), recording("two", switches(shift_ns, count=2000))])
    word = f"{abs(shift_ns) / 1e6:.3f} ms {'later' if shift_ns > 0 else 'earlier'}"
    with pytest.raises(RecordingError, match=word) as error:
        read(result)
    assert str(error.value).startswith("two: expected the events that one has too at the same times")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"clock": "local", "arch": "x86_64"}, "mono in one, local in two"),
        ({"clock": None}, "two: expected a recording that tells its clock.*--clock mono"),
        ({"unit": "ticks", "clock": "x86-tsc"}, "two: expected times in nanoseconds.*ticks of the clock x86-tsc"),
        ({"unit": "positions", "clock": None}, "two: expected times in nanoseconds.*records without times"),
        ({"kernel_release": "6.12"}, r"two: expected .*same machine as one \(kernel_release 6.1\), found .* 6.12"),
        ({"arch": "arm"}, "same machine"),
        ({"page_size": 65536}, "same machine"),
    ],
)
def test_what_does_not_go_together_is_one_line(facts: dict[str, Any], words: str) -> None:
    one = recording("one", by_hand("1 0 7 a"), arch=facts.get("arch") if "clock" in facts else "arm64")
    with pytest.raises(RecordingError, match=words) as error:
        merged([one, recording("two", by_hand("1 0 7 a"), **facts)])
    assert "\n" not in str(error.value)


def test_a_clock_that_no_recording_tells_is_named_by_the_user() -> None:
    both = [recording(name, by_hand("1 0 7 a"), clock=clock) for name, clock in (("one", None), ("two", "local"))]
    assert merged(both, "mono").clock == "mono"


def test_local_and_perf_are_one_clock_on_arm() -> None:
    """sched_clock and local_clock: only machines with an unstable one have two."""
    one, two = recording("one", clock="local", arch=None), recording("two", clock="perf")
    assert merged([one, two]).clock == "local"
    with pytest.raises(RecordingError, match="one clock"):
        merged([replace(one, arch="x86_64"), replace(two, arch=None)])


# The rest of a recording


def test_what_is_known_of_the_machine_is_put_together() -> None:
    damage = RecordingError("two: offset 9", "a page", "the end")
    one = recording(
        "one", by_hand("1 0 7 a"), nr_cpus=4, page_size=None, kernel_release=None, tracer="trace-cmd 3", comms={7: "x"},
        losses=[Loss(0, 50, 60, 3)],
    )  # fmt: skip
    two = recording(
        "two", by_hand("2 0 7 b"), nr_cpus=8, tracer="perf 6", comms={7: "y", 8: "z"}, tgids={8: 7},
        losses=[Loss(1, 5, 6, None)], damage=[damage],
    )  # fmt: skip
    result = merged([one, two])
    read(result)
    assert (result.nr_cpus, result.page_size, result.kernel_release, result.arch) == (8, 4096, "6.1", "arm64")
    assert (result.tracer, result.format, result.size_bytes) == ("trace-cmd 3 + perf 6", "fake + fake", 200)
    assert (result.comms, result.tgids) == ({7: "x", 8: "z"}, {8: 7})
    assert [loss.ts_ns for loss in result.losses] == [5, 50]
    assert result.damage == [damage]


def test_recordings_days_apart_are_merged_and_it_is_said() -> None:
    day = 86_400 * 10**9
    one, two = recording("one", by_hand(f"{3 * day} 0 7 a")), recording("two", by_hand("0 0 7 a\n1000 0 7 a"))
    result = merged([one, two])
    assert stamps(read(result)[0]["a"]) == [0, 1000, 3 * day]
    assert "one begins 3.0 days behind the end of two" in str(result.details["apart"])


def test_a_recording_holds_no_more_than_a_window_of_what_waits() -> None:
    """The windows of two long recordings are asked for in turn."""
    asked = list[str]()

    def long(name: str) -> Iterator[Window]:
        for n in range(50):
            asked.append(name)
            yield Window(by_hand(f"{n * 10 * MS} 0 7 {name}"), {name: 1})

    result = merged([recording(name, windows=long(name)) for name in ("one", "two")])
    given = sum(len(t) for w in result.windows for t in w.events.values() if asked)
    assert given == 100
    ahead = np.cumsum([1 if name == "one" else -1 for name in asked])
    assert np.abs(ahead).max() <= 2


def test_progress_is_of_all_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(bytes(100))
    seen = list[tuple[int, int]]()
    shared_progress = SharedProgress(lambda done, total: seen.append((done, total)), paths)
    shared_progress.of(paths[0])(40, 100)
    shared_progress.of(paths[1])(100, 100)
    assert seen == [(40, 200), (140, 200)]


def test_more_recordings_than_can_be_told_apart_are_refused() -> None:
    many = [recording(f"r{n}", by_hand(f"{n} 0 7 a")) for n in range(64)]
    assert read(merged(many[:63]))[1] == {"a": 63}
    with pytest.raises(UsageError, match="at most 63 recordings, found 64"):
        merged(many)


def test_no_recording_and_one_named_twice_are_refused() -> None:
    for paths in ([], [PAIR / "perf.data"] * 2):
        with pytest.raises(UsageError, match="one recording or several"):
            capture_of(paths)
    assert len(FORMATS) > 1
