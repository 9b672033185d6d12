"""perf.data files that are cut, changed or made to harm: what is whole is read, or one line tells where and why."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from perf_data_files import FAULTS, WAKES, Event, File, Machine, Packer, mixed
from shared_captures import ROOT, needs_shared, shared

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.perf_data import abi, open_perf_data
from fastgup_trace.ingest.perf_data.compiled_walk import CompiledWalk
from fastgup_trace.ingest.perf_data.walk import walk

M = Machine()
EVENT = Event()


def counted(path: Path, *, strict: bool = False) -> tuple[Counter[str], list[RecordingError]]:
    recording, counts = open_perf_data(path, strict=strict), Counter[str]()
    for window in recording.windows:
        counts.update(window.counts)
    return counts, recording.damage


def made(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "perf.data"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", ["file", "pipe", "packed"])
def test_every_cut_keeps_what_is_whole(form: str, tmp_path: Path) -> None:
    """Records before the cut are all there; the longer the rest, the more of them; and the cut is told."""
    whole = mixed(M, form)
    before, unreadable = 0, 0
    for size in range(1, len(whole), 5):
        path = made(tmp_path, whole[:size])
        try:
            counts, damage = counted(path)
        except RecordingError as error:
            assert before == 0, error
            unreadable = size
            continue
        assert damage or form == "pipe"  # a pipe that ends between two records is whole
        # The formats of tracepoints stand behind the data: without them only other records are known.
        known = sum(counts.values())
        assert known >= before
        before = known
        if damage:
            with pytest.raises(RecordingError):
                counted(path, strict=True)
    assert unreadable < len(whole) - 200
    assert before >= 11


def test_a_recording_that_perf_did_not_end(tmp_path: Path) -> None:
    data = bytearray(File(M, (EVENT,), M.sample(EVENT, 5)).file())
    start = int.from_bytes(data[40:48], "little")
    length = int.from_bytes(data[48:56], "little")
    data[48:56] = bytes(8)
    counts, (damage,) = counted(made(tmp_path, bytes(data[: start + length])))
    assert counts == {"page-faults": 1}
    assert "offset 48" in str(damage)
    assert "perf record did not come to its end" in str(damage)


def test_a_record_without_size_ends_the_recording(tmp_path: Path) -> None:
    data = M.sample(EVENT, 5) + bytes(64) + M.sample(EVENT, 6)
    counts, (damage,) = counted(made(tmp_path, File(M, (EVENT,), data).file()))
    assert counts == {"page-faults": 1}
    assert f"offset {104 + 8 + 144 + len(M.sample(EVENT, 5))}: expected a record of 8 bytes or more" in str(damage)


def test_packed_records_that_do_not_unpack(tmp_path: Path) -> None:
    data = M.sample(EVENT, 5) + M.record(abi.COMPRESSED, b"no zstd at all..")
    with pytest.raises(RecordingError, match="packed records that unpack"):
        counted(made(tmp_path, File(M, (EVENT,), data).file()))


def test_packed_records_that_would_fill_the_memory(tmp_path: Path) -> None:
    """60 KB that unpack to a gigabyte of zeros: refused long before."""
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 30))
    data = b"".join(M.record(abi.COMPRESSED, bomb[at : at + 60_000]) for at in range(0, len(bomb), 60_000))
    with pytest.raises(RecordingError, match=r"at most 268435456 bytes|8 bytes or more"):
        counted(made(tmp_path, File(M, (EVENT,), data).file()))


def test_a_packed_record_whose_rest_is_missing(tmp_path: Path) -> None:
    packed = Packer(M).record(M.sample(EVENT, 5) + M.sample(EVENT, 6)[:20])
    counts, (damage,) = counted(made(tmp_path, File(M, (EVENT,), packed).file()))
    assert counts == {"page-faults": 1}
    assert "the rest of a packed record" in str(damage)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (8, 17, "a header of 16"),
        (16, 70, "an event's entry of 80"),
        (24, 1 << 40, "event 0"),
        (32, 1 << 40, "at most 65536 events"),
        (40, 1 << 50, "the data"),
    ],
)
def test_a_header_that_can_not_be(place: int, value: int, message: str, tmp_path: Path) -> None:
    data = bytearray(mixed(M, "file"))
    data[place : place + 8] = value.to_bytes(8, "little")
    path = made(tmp_path, bytes(data))
    with pytest.raises(RecordingError, match=message) as caught:
        counted(path)
    assert str(caught.value).startswith(f"{path}: offset ")


def test_a_feature_outside_the_file_is_left_out(tmp_path: Path) -> None:
    file = File(M, (FAULTS, WAKES), M.sample(FAULTS, 5))
    data = bytearray(file.file())
    table = int.from_bytes(data[40:48], "little") + int.from_bytes(data[48:56], "little")
    data[table + 16 : table + 24] = (1 << 62).to_bytes(8, "little")  # the second: OSRELEASE
    recording = open_perf_data(made(tmp_path, bytes(data)))
    assert recording.kernel_release is None
    assert recording.arch == "arm64"
    assert [str(error).count("feature 4") for error in recording.damage] == [1]


def seeds() -> list[Path]:
    found = sorted((ROOT / "tests" / "data").glob("*.perf.data"))
    folder = shared()
    if folder is not None:
        found += [path for path in sorted((folder / "public").rglob("*")) if path.is_file() and is_perf_data(path)]
    return found


def is_perf_data(path: Path) -> bool:
    return path.read_bytes()[:8] == b"PERFILE2"


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """A cut, some bytes changed, a number overwritten in the first part, or a stretch moved."""
    data, kind = bytearray(whole), rng.randrange(4)
    if kind == 0:
        del data[rng.randrange(len(data)) :]
    elif kind == 1:
        for _ in range(rng.choice((1, 4, 50))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 2:
        place = rng.randrange(min(len(data), rng.choice((104, 2000, len(data)))))
        data[place : place + 8] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8), bytes([0, 0, 1]) + bytes(5)))
    else:
        place, other = rng.randrange(len(data)), rng.randrange(len(data))
        data[place : place + rng.randrange(64)] = data[other : other + rng.randrange(64)]
    return bytes(data)


@needs_shared
@pytest.mark.parametrize("seed", seeds(), ids=lambda path: path.name)
def test_no_mutation_gives_anything_but_records_or_one_line(seed: Path, tmp_path: Path) -> None:
    """Both walks read the same of each, or fail alike."""
    whole, rng, outcomes = seed.read_bytes(), random.Random(seed.name), Counter[str]()
    machine_walk = CompiledWalk()
    for _ in range(40):
        path = made(tmp_path, mutated(whole, rng))
        found = []
        for walker in (walk, machine_walk):
            try:
                recording = open_perf_data(path, walker=walker)
                windows = [(w.counts, w.undecodable) for w in recording.windows]
                found.append((windows, [str(error) for error in recording.damage]))
                outcomes["damage" if recording.damage else "read"] += 1
            except RecordingError as error:
                assert "\n" not in str(error)
                found.append(([], [str(error)]))
                outcomes["error"] += 1
        assert found[0] == found[1]
    assert outcomes["read"] and outcomes["damage"] + outcomes["error"]
