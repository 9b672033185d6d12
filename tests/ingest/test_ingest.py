"""From a file to a capture: formats by content, what lies beside a recording, provenance, errors in one line."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from fastgup_trace.api import ingest_recording
from fastgup_trace.errors import FastgupError, RecordingError, UsageError
from fastgup_trace.ingest import FORMATS, Format, sniff
from fastgup_trace.ingest.reading import RawTables, leaf_calls
from fastgup_trace.ingest.records import Loss, Recording, Window
from fastgup_trace.probes import Part
from fastgup_trace.table_files import read_table
from fastgup_trace.tables import Capture, Collected, read_capture, write_capture

TEXT = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 7/7   #P:4
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
MM = "mm=0xffff5fb7c1458780 users=5"
TLB = "tlb=0xffff800008cab9e8"
HEAD = "0xffff5fb7c094a000"
RECORDS = (
    ("unmapper-411 ", 0, "239.953700", f"tlb_gather_mmu: (tlb_gather_mmu+0x0/0x80) {TLB} {MM}"),
    ("unmapper-411 ", 0, "239.953706", f"tlb_remove_table: (x+0x0/0x80) {TLB} table=0xfffffd7edf0a5b40 {MM} batch=0x0"),
    ("unmapper-411 ", 0, "239.953779", f"tlb_finish_mmu: (x+0x0/0x8) {TLB} {MM} batch={HEAD} bits=0x14"),
    ("unmapper-411 ", 0, "239.954234", f"call_rcu: (call_rcu+0x0/0x4) head={HEAD} func=tlb_remove_table_rcu+0x0/0x60"),
    ("  <idle>-0   ", 1, "239.974234", f"tlb_remove_table_rcu: (x+0x0/0x60) head={HEAD} nr=1"),
    ("  <idle>-0   ", 1, "239.980000", "kmem_cache_odd: x=1 y=2"),
    ("  <idle>-0   ", 1, "239.990000", "kmem_cache_odd: x=1 y=2"),
)
TEXT += "".join(f"        {task}    [{cpu:03}] d....   {when}: {what}\n" for task, cpu, when, what in RECORDS)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text(TEXT)
    return path


def test_a_text_recording_becomes_tables_with_its_provenance(recording: Path, tmp_path: Path) -> None:
    capture = ingest_recording(recording)
    (free,) = capture["table_free"].to_pylist()
    assert (free["table"], free["path"], free["freed_ns"]) == (0xFFFFFD7EDF0A5B40, "batched", 239_974_234_000)
    found = capture.provenance
    assert found["recordings"] == [
        {
            "file": "trace.txt",
            "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
            "bytes": len(TEXT),
            "format": found["recordings"][0]["format"],
        }
    ]
    assert found["events"] == {
        "kmem_cache_odd": 2, "tlb_gather_mmu": 1, "tlb_remove_table": 1, "tlb_finish_mmu": 1, "call_rcu": 1,
        "tlb_remove_table_rcu": 1,
    }  # fmt: skip
    assert found["unwanted"] == {"kmem_cache_odd": 2}
    assert found["tables"]["gather"] == 1
    assert (found["start_ns"], found["lost"], found["mechanism"]) == (239_953_700_000, 0, None)
    assert found["evidence"]["page_size"] == "assumed"
    write_capture(tmp_path / "capture", capture)
    assert read_capture(tmp_path / "capture")["gather"].equals(capture["gather"])


def test_the_name_of_a_file_says_nothing_its_content_does(recording: Path, tmp_path: Path) -> None:
    assert sniff(recording).name == "ftrace-text"
    packed = tmp_path / "trace.dat"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert sniff(packed).name == "ftrace-text"
    assert ingest_recording(packed)["gather"].num_rows == 1


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "an empty file"), (b"\x89PNG\r\n\x1a\n" + bytes(64), "begins with"), (b"hello\n" * 50, "begins with")],
)
def test_what_is_no_recording_is_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=found) as error:
        ingest_recording(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_folders_and_missing_files_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RecordingError, match="expected"):
            ingest_recording(path)


def test_one_recording_at_a_time_and_formats_by_name(recording: Path) -> None:
    with pytest.raises(UsageError, match="one recording"):
        ingest_recording(recording, recording)
    with pytest.raises(UsageError, match="ftrace-text"):
        ingest_recording(recording, format="perf")
    with pytest.raises(RecordingError):
        ingest_recording(recording, format="trace.dat")
    assert len({known.name for known in FORMATS}) == len(FORMATS)


def test_what_lies_beside_a_recording_is_read(recording: Path) -> None:
    folder = recording.parent
    meta = {
        "arch": "arm64", "kernel_release": "6.1.0", "nr_cpus": 4, "page_size": 65536, "config_hz": 100,
        "page_table_levels": 3, "mechanism": "mainline-6.1", "batch_alloc_fail_every": 3, "workload": "unmapstorm",
    }  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))
    for when, calls in (("before", 10), ("after", 17)):
        rows = (
            "           CPU0       CPU1",
            " 11:   1   2   GIC-0  27 Level  arch_timer",
            f"IPI1:   {calls}   5   Function call interrupts",
            "Err:   0",
        )
        (folder / f"interrupts.{when}").write_text("\n".join(rows))
        (folder / f"vmstat.{when}").write_text(f"thp_split_pmd {calls}\nodd line here\n")
        (folder / f"kprobe_profile.{when}").write_text(
            f"  tlb_remove_table_rcu   100   {calls}\n  call_rcu   100   4\n"
        )
    found = ingest_recording(recording).provenance
    assert [found[key] for key in ("page_size", "hz", "levels", "mechanism", "batch_alloc_fail_every", "workload")] == [
        65536, 100, 3, "mainline-6.1", 3, "unmapstorm",
    ]  # fmt: skip
    assert found["evidence"]["hz"] == "observed"
    sidecars = found["sidecars"]
    assert sidecars["interrupts"]["Function call interrupts"] == [7, 0]
    assert sidecars["vmstat"] == {"thp_split_pmd": 7}
    assert sidecars["kprobe_missed"] == {"tlb_remove_table_rcu": 7}
    assert sidecars["meta"] == meta


def test_meta_from_another_folder(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "meta.json").write_text('{"config_hz": 1000}')
    assert ingest_recording(recording, meta=other).provenance["hz"] == 1000
    with pytest.raises(RecordingError, match="no folder"):
        ingest_recording(recording, meta=tmp_path / "none")


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "\x00", "[" * 100_000, '{"x": NaN}', '{"x": -Infinity}'])
def test_a_broken_meta_json_is_one_line(recording: Path, text: str) -> None:
    (recording.parent / "meta.json").write_text(text)
    with pytest.raises(RecordingError, match=r"meta\.json") as error:
        ingest_recording(recording)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0, -4096, 3000, "4096", None, True, 1 << 80])
def test_a_page_size_that_none_has_is_not_believed(recording: Path, value: object) -> None:
    (recording.parent / "meta.json").write_text(json.dumps({"page_size": value}))
    found = ingest_recording(recording).provenance
    assert (found["page_size"], found["evidence"]["page_size"]) == (4096, "assumed")


def test_raw_keeps_all_events_under_names_that_are_files(recording: Path, tmp_path: Path) -> None:
    capture = ingest_recording(recording, folder=tmp_path / "capture", keep_raw=True)
    raw = {path.stem: read_table(path) for path in (tmp_path / "capture" / "raw").iterdir()}
    assert set(raw) == set(capture.provenance["events"])
    assert raw["kmem_cache_odd"]["x"].to_pylist() == [1, 1]
    assert raw["kmem_cache_odd"].schema.metadata == {b"event": b"kmem_cache_odd"}


def test_hostile_event_names_stay_in_the_folder() -> None:
    collected = Collected()
    raw = RawTables("", collected)
    for event in ("../../etc/x", ".hidden", "a/b", "a_b", "é" * 300, ""):
        raw.append(event, pa.table({"x": [1]}))
    names = collected.raw
    assert len(names) == 6
    assert all(name == Path(name).name and not name.startswith(".") and len(name) < 140 for name in names)


def test_a_cut_recording_is_saved_as_far_as_it_goes_or_refused_in_one_line(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2] / "datasets" / "captures"
    recordings = sorted(root.glob("*/trace.dat"))
    if not recordings:
        pytest.skip("the recordings of datasets/captures are not in this checkout")
    data = recordings[0].read_bytes()
    whole = sum(ingest_recording(recordings[0]).provenance["events"].values())
    path, saved = tmp_path / "cut.dat", 0
    for size in (11, 100, 4096, len(data) // 2, len(data) - 4096):
        path.write_bytes(data[:size])
        with pytest.raises(FastgupError) as error:
            ingest_recording(path, strict=True)
        assert "\n" not in str(error.value)
        try:
            found = ingest_recording(path).provenance
        except FastgupError as refused:
            assert "\n" not in str(refused)
        else:
            assert found["damage"]
            assert 0 < sum(found["events"].values()) < whole
            saved += 1
    assert saved >= 1


def test_ticks_become_nanoseconds_at_a_rate_that_the_user_knows(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    line = "        a-100     [000] d....   {}: fault: mm=0x5 addr=0x1000\n"
    path.write_text("# tracer: nop\n#\n" + "".join(line.format(5 * 10**9 + i * 25) for i in range(3)))
    assert ingest_recording(path).provenance["clock_unit"] == "ticks"
    found = ingest_recording(path, ticks_per_second=2_500_000_000).provenance
    assert (found["clock_unit"], found["start_ns"], found["end_ns"]) == ("ns", 2 * 10**9, 2 * 10**9 + 20)
    with pytest.raises(UsageError, match="a rate of"):
        ingest_recording(path, ticks_per_second=1)
    path.write_text(path.read_text().replace(": fault", ".5: fault"))
    with pytest.raises(UsageError, match="in ticks of a counter"):
        ingest_recording(path, ticks_per_second=2_500_000_000)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(b"PERFILE2" + bytes(200)), "gzip of perf.data; unpack it first"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300)), "gzip of a tar archive; unpack it"),
        (gzip.compress(b"\x01\x02 nothing"), "gzip of a file that begins with"),
        (b"PK\x03\x04" + bytes(100), "an archive; unpack it"),
        (b"\x7fELF" + bytes(100), "a file that begins with"),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_recording_is_told_with_what_to_do(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as error:
        ingest_recording(path)
    assert found in str(error.value) and "\n" not in str(error.value)


def windows_of(path: Path, *tables: pa.Table) -> Recording:
    windows = (Window({"odd": table}, {"odd": len(table)}) for table in tables)
    losses = [Loss(1, 5, 9, 7), Loss(0, 2, 4, None)]
    return Recording(path, "fake 1", 1, "local", 2, "arm64", "6.1", 4096, None, {}, {}, losses, windows)


def odd(seq: int, **fields: pa.Array) -> pa.Table:
    head = {"common_seq": [seq], "common_ts_ns": [seq], "common_cpu": [0], "common_pid": [1]}
    return pa.table({**head, **fields})


def read_windows(path: Path, monkeypatch: pytest.MonkeyPatch, *tables: pa.Table) -> tuple[Capture, dict[str, pa.Table]]:
    fake = Format("fake", "nothing", lambda path, head: True, lambda path, **options: windows_of(path, *tables))
    monkeypatch.setattr("fastgup_trace.ingest.formats.FORMATS", (fake,))
    folder = path.parent / "capture"
    capture = ingest_recording(path, folder=folder, keep_raw=True)
    return capture, {path.stem: read_table(path) for path in (folder / "raw").iterdir()}


def test_windows_are_joined_with_one_dictionary_a_column(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [pa.array([word]).dictionary_encode() for word in ("a", "b")]
    capture, raw = read_windows(
        recording, monkeypatch, odd(0, name=words[0]), odd(1, name=words[1], more=pa.array([5]))
    )
    assert raw["odd"]["name"].to_pylist() == ["a", "b"]
    assert raw["odd"]["more"].to_pylist() == [None, 5]
    assert (capture.provenance["start_ns"], capture.provenance["end_ns"]) == (0, 1)


def test_a_field_that_changes_its_type_is_one_line(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordingError, match="one type for each field of odd") as error:
        read_windows(recording, monkeypatch, odd(0, x=pa.array([1])), odd(1, x=pa.array([[1]])))
    assert "\n" not in str(error.value)


def test_losses_are_rows_in_time_order_and_summed(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture, _ = read_windows(recording, monkeypatch, odd(0))
    names = ("ts_ns", "end_ns", "cpu", "count", "why")
    assert [tuple(row[name] for name in names) for row in capture["lost"].to_pylist()] == [
        (2, 4, 0, None, "dropped"), (5, 9, 1, 7, "dropped"),
    ]  # fmt: skip
    assert (capture.provenance["lost"], capture.provenance["losses_unknown"]) == (7, 1)


def test_a_leaf_call_is_the_one_whose_return_is_the_very_next_record() -> None:
    entries = ["0: a", "2: b", "3: c", "8: a"]
    exits = ["1: a", "4: c", "5: b", "9: x"]

    def calls(words: list[str]) -> pa.Table:
        seqs, names = zip(*(word.split(": ") for word in words), strict=True)
        symbols = pa.array(names).dictionary_encode()
        return pa.table({"common_seq": [int(seq) for seq in seqs], "common_pid": [7] * len(seqs), "func.sym": symbols})

    events = {"funcgraph_entry": calls(entries), "funcgraph_exit": calls(exits)}
    assert leaf_calls(Part(events)) == 2, "a at 0 and c at 3; b holds c, and 9 returns from another"
    assert leaf_calls(Part({"funcgraph_entry": calls(entries)})) == 0
