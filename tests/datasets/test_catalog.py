"""The catalogue against the recordings' own sidecars, which other tools wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from shared_captures import ROOT

from fastgup_datasets import catalog
from fastgup_datasets.catalog import Entry, entries, find
from fastgup_trace.errors import CaptureError, UsageError

CAPTURES = ROOT / "datasets" / "captures"

each = pytest.mark.parametrize("known", entries(), ids=lambda known: known.name)


def sidecar(known: Entry, name: str) -> dict[str, object]:
    path = CAPTURES / known.name / name
    document: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return document


def numbers(value: object) -> Iterator[float]:
    """Every number in a JSON document, as value or as key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (float(n) for n in re.findall(r"\d+", key))
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    elif isinstance(value, str):
        yield from (float(n) for n in re.findall(r"\d+", value))


def counter(folder: Path, name: str, when: str) -> int:
    """A row of /proc/interrupts summed over CPUs, or one of /proc/vmstat."""
    for line in (folder / f"vmstat.{when}").read_text().splitlines():
        if line.split()[0] == name:
            return int(line.split()[1])
    for line in (folder / f"interrupts.{when}").read_text().splitlines():
        if row := re.fullmatch(rf"\s*IPI\d+:((?:\s+\d+)+)\s+{re.escape(name)}\s*", line):
            return sum(int(n) for n in row[1].split())
    raise AssertionError(f"no counter {name} in {folder.name}")


def test_at_least_ten_recordings_of_the_kernels_that_matter() -> None:
    assert len(entries()) >= 10
    assert {known.mechanism for known in entries()} >= {
        "rfc-v2",
        "rfc-v1",
        "unpatched-3.13",
        "mainline-3.18",
        "mainline-6.1",
    }
    assert {known.arch for known in entries()} == {"arm64", "arm"}


def test_the_folders_are_the_catalogue_and_stay_small() -> None:
    assert {folder.name for folder in CAPTURES.iterdir()} == {known.name for known in entries()}
    assert sum(path.stat().st_size for path in CAPTURES.rglob("*") if path.is_file()) < 12_000_000


@each
def test_find_gives_the_recording_that_the_catalogue_describes(known: Entry) -> None:
    path = find(known.name)
    assert path == CAPTURES / known.name / known.file
    assert (sha256(path.read_bytes()).hexdigest(), path.stat().st_size) == (known.sha256, known.size_bytes)


@each
def test_the_catalogue_agrees_with_the_sidecars(known: Entry) -> None:
    meta = sidecar(known, "meta.json")
    assert known.kernel_release == meta["kernel_release"]
    assert known.arch == meta["arch"]
    assert known.mechanism == meta["mechanism"]
    assert known.command == meta.get("command", meta["workload"])
    assert f"{meta['nr_cpus']} CPUs" in known.machine
    assert f"HZ={meta['config_hz']}" in known.machine
    lost = meta["lost_events"]
    assert known.lost == (sum(lost.values()) if isinstance(lost, dict) else lost)
    assert known.events == sum(numbers(list(sidecar(known, "counts.json").values())))


@each
def test_the_counters_are_those_around_the_recording(known: Entry) -> None:
    folder = CAPTURES / known.name
    assert known.counters
    for name, (before, after) in known.counters.items():
        assert (before, after) == (counter(folder, name, "before"), counter(folder, name, "after")), name


@each
def test_every_number_in_what_it_shows_is_in_a_sidecar(known: Entry) -> None:
    """Numbers of two digits and more; those of versions and of words such as 32-bit are no measurements."""
    documents = [sidecar(known, name) for name in ("meta.json", "counts.json", "groundtruth.json", "analysis.json")]
    measured = {n for document in documents for n in numbers(document)}
    measured |= {float(after - before) for before, after in known.counters.values()}
    stated = [float(n) for n in re.findall(r"(?<![\w.])\d{2,}(?![\w.-]*\w)", known.shows)]
    assert [n for n in stated if n not in measured] == []


@each
def test_the_events_that_the_tracer_is_said_to_record_are_in_it(known: Entry) -> None:
    counts = sidecar(known, "counts.json")
    assert ("function tracer" in known.tracer) == any(name.startswith("function:") for name in counts)
    assert ("fastgup" in known.tracer) == ("table_free" in counts)
    assert ("kprobes" in known.tracer) == ("handle_mm_fault_ret" in counts)
    assert "sched_switch" in counts


def test_a_mistyped_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean dataset:k313-rfcv2-thp-split\?"):
        find("k313-rfcv2-thpsplit")
    with pytest.raises(UsageError, match=r"there are k313-rfcv2-thp-split, "):
        find("/etc/passwd")


def test_an_installed_package_says_where_the_recordings_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages" / "fastgup_datasets" / "catalog.py"
    monkeypatch.setattr(catalog, "__file__", str(installed))
    with pytest.raises(CaptureError) as caught:
        find("arm64-unmap_mt")
    assert str(caught.value) == (
        "dataset:arm64-unmap_mt: expected a checkout of the project's repository, "
        "found an installed package, which has the catalogue but not the recordings; "
        "ingest datasets/captures/arm64-unmap_mt/trace.dat of a checkout"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "found no file; restore it"), (b"version https://git-lfs", "expected sha256 .*, found .*; restore it")],
)
def test_a_missing_or_damaged_recording_is_one_line(
    content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "arm64-unmap_mt").mkdir()
    if content is not None:
        (tmp_path / "arm64-unmap_mt" / "trace.dat").write_bytes(content)
    monkeypatch.setattr(catalog, "captures", lambda: tmp_path)
    with pytest.raises(CaptureError, match=message):
        find("arm64-unmap_mt")
