"""Real recordings, record by record, against `trace-cmd report`: those shipped, shared, and made by other people."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest
from shared_captures import ROOT, needs_shared, shared
from trace_cmd_reports import check, check_losses, needs_trace_cmd, report

from fastgup_trace.ingest.trace_dat import open_trace_dat

SHARED = [
    "arm64-kp_thpsplit/trace.dat", "arm64-612-unmap_mt/trace.dat",
    "arm64-fn_unmap_mt/trace.dat", "arm64-fg_mixed/trace.dat", "armhf-collapse/trace.dat",
    "armhf-fn_directio/trace.dat", "2014/k313-rfcv2-unmap-mt/trace.dat", "2014/k318-directio/trace.dat",
    "x86/clk_tsc.v7.dat", "x86/stack.v7.dat",
]  # fmt: skip
SMALL = "k313-rfcv2-unmap-mt"
SHIPPED = sorted(path.parent.name for path in (ROOT / "datasets" / "captures").glob("*/trace.dat"))


@needs_trace_cmd
@needs_shared
@pytest.mark.parametrize("name", SHARED)
def test_shared_recording_equals_trace_cmd(name: str) -> None:
    folder = shared()
    assert folder is not None
    check(folder / "captures" / name)


@needs_trace_cmd
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recording_equals_trace_cmd(name: str) -> None:
    check(ROOT / "datasets" / "captures" / name / "trace.dat")


@needs_trace_cmd
@needs_shared
def test_losses_equal_trace_cmd_and_the_tracers_statistics() -> None:
    folder = shared()
    assert folder is not None
    path = folder / "captures" / "x86" / "lossy_b64.v7.dat"
    recording = open_trace_dat(path, wanted={})
    assert sum(sum(window.counts.values()) for window in recording.windows) == 291_820
    check_losses(list(report(path, "-R")), recording)
    lost = [sum(loss.count or 0 for loss in recording.losses if loss.cpu == cpu) for cpu in (0, 1)]
    assert lost == [42_255, 81_484], "the README's, which are `overrun` of the statistics"


PUBLIC = [
    "ARM-software+lisa/tests/assets/sched_load/trace.dat",
    "ARM-software+trappy/tests/trace.dat",
    "wsdias+LabSisOp/t3/qemu_traces/sched_rr_trace.dat",
]


@needs_trace_cmd
@needs_shared
@pytest.mark.parametrize("name", PUBLIC)
def test_recordings_of_other_people_equal_trace_cmd(name: str) -> None:
    folder = shared()
    assert folder is not None
    check(folder / "public" / name)


def made(*command: str | Path) -> None:
    subprocess.run(["trace-cmd", *map(str, command)], capture_output=True, check=True)


@needs_trace_cmd
@pytest.mark.parametrize("options", ["6 none", "7 none", "7 zstd"])
def test_converted_recording_equals_trace_cmd(tmp_path: Path, options: str) -> None:
    version, compression = options.split()
    path, source = tmp_path / "trace.dat", ROOT / "datasets" / "captures" / SMALL / "trace.dat"
    made("convert", "-i", source, "-o", path, "--file-version", version, "--compression", compression)
    check(path)
    assert open_trace_dat(path).format == f"trace.dat v{version}"


@needs_trace_cmd
def test_split_recording_equals_trace_cmd(tmp_path: Path) -> None:
    source = ROOT / "datasets" / "captures" / SMALL / "trace.dat"
    made("split", "-i", source, "-o", tmp_path / "part", "-e", "5000", "-r")
    parts = sorted(tmp_path.glob("part.*"))
    assert len(parts) > 2
    found = Counter[str]()
    for part in parts:
        check(part)
        for window in open_trace_dat(part).windows:
            found.update(window.counts)
    (window,) = open_trace_dat(source).windows
    assert found <= Counter(window.counts)
    assert found.total() > 0.9 * sum(window.counts.values())


@needs_trace_cmd
def test_restored_recording_equals_trace_cmd(tmp_path: Path) -> None:
    """What a recorder that died leaves: raw pages of each CPU, and a folder of the kernel's texts."""
    raw = ROOT / "tests" / "data" / "raw_ring_buffer"
    pages = [raw / "instances" / "one" / "per_cpu" / f"cpu{cpu}" / "trace_pipe_raw" for cpu in range(2)]
    made("restore", "-c", "-t", raw, "-k", raw / "kallsyms", "-o", tmp_path / "texts.dat")
    made("restore", "-i", tmp_path / "texts.dat", "-o", tmp_path / "trace.dat", *pages)
    check(tmp_path / "trace.dat")
    recording = open_trace_dat(tmp_path / "trace.dat", strict=True)
    assert not recording.damage, "that it has no section of strings is no damage"
    (window,) = recording.windows
    assert window.counts == {"sched_switch": 20, "sched_process_exec": 3, "print": 2}
