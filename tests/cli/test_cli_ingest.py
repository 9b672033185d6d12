"""The commands ingest and info, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastgup_trace.cli import main

LINE = "        a-100     [000] d....   239.9537{:02d}: {}\n"
EVENTS = (
    "handle_mm_fault: (handle_mm_fault+0x0/0x4) vma=0x5 addr=0x1000 flags=0x255 mm=0xffff5fb7c1458780",
    "handle_mm_fault_ret: (do_page_fault+0x0/0x4 <- handle_mm_fault) ret=0x0",
    "odd_event: x=1",
)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text("# tracer: nop\n#\n" + "".join(LINE.format(i, event) for i, event in enumerate(EVENTS)))
    return path


def test_ingest_prints_tables_unwanted_events_losses_and_the_rate(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(recording), "-o", str(tmp_path / "capture")]) == 0
    out, err = capsys.readouterr()
    assert "fault" in out
    assert "1 records that no table wants: odd_event 1" in out
    assert "no events lost" in out
    assert "3 records" in out
    assert "MB/s" in out
    assert err == "", "no progress bar without a terminal"
    assert (tmp_path / "capture" / "fault.arrow").is_file()


def test_json_counts_every_record_by_its_name(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(recording), "-o", str(tmp_path / "capture"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["events"] == {"handle_mm_fault": 1, "handle_mm_fault_ret": 1, "odd_event": 1}
    assert said["tables"]["fault"] == 1
    assert (said["lost"], said["bytes"]) == (0, recording.stat().st_size)
    assert said["seconds"] > 0


def test_a_capture_is_replaced_only_when_forced(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ingest", str(recording), "-o", str(tmp_path / "capture")]
    assert main(command) == 0
    assert main(command) == 2
    assert "add --force" in capsys.readouterr().err
    assert main([*command, "--force", "--keep-raw"]) == 0
    assert (tmp_path / "capture" / "raw" / "odd_event.arrow").is_file()


def test_a_bad_file_is_one_line_exit_code_2_and_no_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, content in enumerate((b"", b"not a recording", b"\x17\x08\x44tracing")):
        bad = tmp_path / f"bad{number}"
        bad.write_bytes(content)
        assert main(["ingest", str(bad), "-o", str(tmp_path / "capture")]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert str(bad) in err
        assert not (tmp_path / "capture").exists()


def test_an_unknown_dataset_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", "dataset:none-such", "-o", str(tmp_path / "capture")]) == 2
    assert "none-such" in capsys.readouterr().err


def test_info_says_what_is_there_and_which_probe_to_add(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "meta.json").write_text('{"workload": "evil\\u001b[31m", "mechanism": "mainline-6.1"}')
    assert main(["ingest", str(recording), "-o", str(tmp_path / "capture")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "capture")]) == 0
    out = capsys.readouterr().out
    assert "mechanism mainline-6.1" in out
    assert "\x1b" not in out
    can, cannot = out.split("it cannot answer")
    assert "page faults, from which page tables can be inferred" in can
    assert "kprobe pmdp_collapse_flush" in cannot
    assert "pages of 4096 (assumed) bytes" in out


def test_info_as_json(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", str(recording), "-o", str(tmp_path / "capture")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "capture"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tables"]["fault"] == {"rows": 1, "evidence": {"observed": 1}}
    can = {question["name"]: question["can"] for question in said["questions"]}
    assert (can["faults"], can["tables"]) == ("yes", "no")


def test_info_of_no_capture_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_losses_are_shown_by_cpu_and_time_and_may_fail_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "trace.txt"
    lines = [LINE.format(i, event) for i, event in enumerate(EVENTS)]
    recording.write_text("# tracer: nop\n#\n" + lines[0] + "CPU:0 [LOST 7 EVENTS]\n" + lines[1] + lines[2])
    command = ["ingest", str(recording), "-o", str(tmp_path / "capture"), "--force"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "7 events lost" in out
    row = next(line for line in out.splitlines() if line.startswith("dropped"))
    assert row.split()[1:5] == ["0", "7", "1", "0"]
    assert main([*command, "--fail-on-loss"]) == 1
    recording.write_text("# tracer: nop\n#\n" + "".join(lines))
    assert main([*command, "--fail-on-loss"]) == 0


def test_several_recordings_say_how_far_their_clocks_are_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, folder = Path(__file__).resolve().parents[1] / "data" / "pair", tmp_path / "capture"
    assert main(["ingest", str(pair / "ftrace"), str(pair / "perf.data"), "-o", str(folder)]) == 0
    told = (
        "perf.data merged by time, clock mono; 320 ns from ftrace (median of 41 records of both); 41 records taken once"
    )
    assert told in capsys.readouterr().out
    assert main(["info", str(folder)]) == 0
    assert told in capsys.readouterr().out
    assert main(["ingest", str(pair / "trace.txt.gz"), str(pair / "perf.data"), "-o", str(folder), "--force"]) == 2
    assert "--clock mono" in capsys.readouterr().err
    text = ["ingest", str(pair / "trace.txt.gz"), str(pair / "perf.data"), "-o", str(folder), "--force"]
    assert main([*text, "--clock", "mono"]) == 0
    assert "records taken once" in capsys.readouterr().out


def test_a_cut_recording_is_a_warning_or_with_strict_an_error(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_text(recording.read_text()[:-5])
    command = ["ingest", str(recording), "-o", str(tmp_path / "capture"), "--force"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "cut: " in out
    assert err.startswith("fastgup-trace: warning: ") and err.count("\n") == 1
    assert main([*command, "--fail-on-loss"]) == 1
    assert main([*command, "--strict"]) == 2
