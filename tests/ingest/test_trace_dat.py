"""Real recordings: counts as the recorder's sidecars have them, version 6 equal to 7, damage noticed."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from shared_captures import ROOT, needs_shared, shared

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.records import Recording
from fastgup_trace.ingest.trace_dat import open_trace_dat

SHIPPED = ROOT / "datasets" / "captures"


def decode(path: Path, *, strict: bool = False) -> tuple[Recording, Counter[str], Counter[str]]:
    """A recording with all its windows read: counts and what was undecodable."""
    recording, counts, undecodable = open_trace_dat(path, strict=strict), Counter[str](), Counter[str]()
    for window in recording.windows:
        counts.update(window.counts)
        undecodable.update(window.undecodable)
        unusable = {reason.partition(": its format")[0] for reason in window.undecodable}
        decoded = {name: count for name, count in window.counts.items() if name not in unusable}
        assert {name: len(table) for name, table in window.events.items()} == decoded
    return recording, counts, undecodable


def check_counts(trace: Path, counts_json: Path) -> None:
    _, counts, undecodable = decode(trace)
    expected = json.loads(counts_json.read_text())
    assert not undecodable
    if "funcgraph_entry" in expected:
        # That file counts lines of text, where a leaf's entry and exit are one; the recording has both records.
        assert counts.pop("funcgraph_exit") == expected["funcgraph_entry"]
        assert expected.pop("funcgraph_exit") < expected["funcgraph_entry"]
    assert counts == expected


def shared_pairs() -> list[tuple[Path, Path]]:
    folder = shared()
    if folder is None:
        return []
    captures = folder / "captures"
    pairs = [(path.with_name("trace.dat"), path) for path in sorted(captures.glob("**/counts.json"))]
    x86 = sorted((captures / "x86").glob("*.counts.json"))
    return pairs + [(path.with_name(path.name.replace(".counts.json", ".v7.dat")), path) for path in x86]


@needs_shared
@pytest.mark.parametrize(("trace", "counts_json"), shared_pairs(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_counts_of_shared_recordings(trace: Path, counts_json: Path) -> None:
    check_counts(trace, counts_json)


@pytest.mark.parametrize("trace", sorted(SHIPPED.glob("*/trace.dat")), ids=lambda path: path.parent.name)
def test_counts_of_shipped_recordings(trace: Path) -> None:
    check_counts(trace, trace.with_name("counts.json"))


@needs_shared
def test_version_6_and_7_hold_the_same() -> None:
    folder = shared()
    assert folder is not None
    new = open_trace_dat(folder / "captures" / "armhf-collapse" / "trace.dat")
    old = open_trace_dat(folder / "captures" / "armhf-collapse" / "trace.v6.dat")
    assert (new.format, old.format) == ("trace.dat v7", "trace.dat v6")
    for ours, theirs in zip(new.windows, old.windows, strict=True):
        assert ours.counts == theirs.counts
        assert all(table.equals(theirs.events[name]) for name, table in ours.events.items())
    for name in ("clock", "nr_cpus", "arch", "kernel_release", "page_size", "tracer", "comms", "tgids", "losses"):
        assert getattr(new, name) == getattr(old, name), name


def test_what_the_header_tells() -> None:
    recording = open_trace_dat(SHIPPED / "armhf-a15r2-unmap_mt" / "trace.dat")
    assert (recording.arch, recording.kernel_release) == ("arm", "6.1.0-50-armmp-lpae")
    assert (recording.clock, recording.nr_cpus, recording.tracer) == ("local", 2, "trace-cmd 3.1.6")
    assert recording.details["kernel_long_bytes"] == 4
    assert recording.comms[1] == "init"


def test_events_dropped_when_the_buffer_was_full_are_losses() -> None:
    """meta.json says `overwrite: 0`: no page tells of these 939,977, the statistics of CPU 0 do."""
    recording, _, _ = decode(SHIPPED / "k313-unpatched-futex-one" / "trace.dat")
    (loss,) = recording.losses
    assert (loss.cpu, loss.count) == (0, 939_977)


@pytest.mark.parametrize("name", ["k313-rfcv2-futex-one", "k313-rfcv2-unmap-st"])
def test_flipped_bits_and_cuts_of_a_real_recording(tmp_path: Path, name: str) -> None:
    """Nothing but RecordingError, in one line; every cut is told, and no flip changes counts unnoticed but rarely."""
    source = SHIPPED / name / "trace.dat"
    data, rng, path = source.read_bytes(), random.Random(name), tmp_path / "trace.dat"
    _, right, _ = decode(source)
    outcomes = Counter[str]()
    for turn in range(200):
        damaged = bytearray(data)
        if turn % 4 == 0:
            del damaged[rng.randrange(len(data)) :]
        else:
            bit = rng.randrange(len(data) * 8)
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            recording, counts, undecodable = decode(path, strict=turn % 8 == 0)
        except RecordingError as error:
            outcomes["cut" if turn % 4 == 0 else "flip"] += 1
            assert "\n" not in str(error)
            assert str(error).startswith(str(path))
        else:
            if turn % 4 == 0:
                assert recording.damage
                assert counts <= right
                outcomes["cut and saved"] += 1
            else:
                outcomes["counts differ"] += counts != right and not undecodable and not recording.damage
    assert outcomes["cut"] + outcomes["cut and saved"] == 50
    assert outcomes["cut and saved"] >= 2
    assert outcomes["flip"] > 75
    assert outcomes["counts differ"] <= 3


@pytest.mark.parametrize("lost_bytes", [1, 16, 117, 118, 200, 1000])
def test_a_file_that_lacks_its_last_bytes_is_told(tmp_path: Path, lost_bytes: int) -> None:
    """The last 117 bytes of this recording are the strings section (16 of head, 101 of text), which no record needs."""
    whole = (ROOT / "datasets" / "captures" / "k313-rfcv2-unmap-mt" / "trace.dat").read_bytes()
    path = tmp_path / "trace.dat"
    path.write_bytes(whole[:-lost_bytes])
    with pytest.raises(RecordingError, match=r"offset \d+: expected"):
        open_trace_dat(path, strict=True)
    recording, counts, _ = decode(path)
    assert recording.damage
    right = decode(ROOT / "datasets" / "captures" / "k313-rfcv2-unmap-mt" / "trace.dat")[1]
    # Before the strings lie 139 bytes of options, then the last chunk of pages.
    assert counts == right if lost_bytes < 117 + 139 else counts < right
