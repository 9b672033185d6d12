"""Pages of systrace and files of atrace -z: the text within, and where it stands."""

from __future__ import annotations

import gzip
import lzma
import zlib
from pathlib import Path

import pytest
import zstandard
from ftrace_texts import HEAD_3_18
from shared_captures import needs_shared, shared

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import ftrace_text, json_lines, perf_script, systrace_html
from fastgup_trace.ingest.records import Recording, Window

RECORDS = "".join(
    f"          <idle>-0     (-----) [000] d..2   538.{n:06}: cpu_idle: state=0 cpu_id={n}\n" for n in range(9)
)
TEXT = HEAD_3_18.replace("{n}/{n}", "9/9").replace("TASK-PID   CPU#", "TASK-PID    TGID   CPU#") + RECORDS
JSON = '  <script class="trace-data" type="application/text">\n{"traceEvents": []}\n  </script>\n'


def page(text: str, before: str = "", after: str = JSON) -> str:
    return (
        "<!DOCTYPE html>\n<html>\n<body>\n<script>x = '.trace-data';</script>\n" + before
        + '  <script class="trace-data" type="application/text">\n' + text + "  </script>\n" + after
        + "</body>\n</html>\n"
    )  # fmt: skip


def read(folder: Path, content: str | bytes, strict: bool = False) -> tuple[Recording, list[Window]]:
    path = folder / "trace.html"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert systrace_html.sniff(path, path.read_bytes()[: 1 << 16])
    recording = systrace_html.open_systrace_html(path, strict=strict)
    return recording, list(recording.windows)


OLD = (
    '<html>\n<script>\n  var linuxPerfData = "\\\n'
    + "".join(f"{line}\\n\\\n" for line in TEXT.replace('"', '\\"').splitlines())
    + '";\n</script></html>\n'
)
CONTENTS = {
    "page": page(TEXT).encode(),
    "behind other data": page(TEXT, before=JSON).encode(),
    "behind a large viewer": page(TEXT, before="<script>" + "x" * (3 << 20) + "</script>").encode(),
    "in a string": OLD.encode(),
    "in a string that ends in its last line": OLD.replace('\\n\\\n";', '\\n";').encode(),
    "ends in its last line": page(TEXT).replace("\n  </script>", "</script>").encode(),
    "gzip": gzip.compress(page(TEXT).encode()),
    "xz": lzma.compress(page(TEXT).encode()),
    "zstd": zstandard.ZstdCompressor().compress(page(TEXT).encode()),
    "atrace -z": b"capturing trace... done\nTRACE:\n" + zlib.compress(TEXT.encode()),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_text_within(name: str, tmp_path: Path) -> None:
    recording, windows = read(tmp_path, CONTENTS[name])
    assert [window.counts for window in windows if window.counts] == [{"cpu_idle": 9}]
    assert [window.undecodable for window in windows] == [{}] * len(windows)
    assert [row["cpu_id"] for window in windows for row in window.events["cpu_idle"].to_pylist()] == list(range(9))
    assert (recording.path, recording.nr_cpus, recording.damage) == (tmp_path / "trace.html", 4, [])
    assert recording.format == "Android systrace page, ftrace text"
    assert recording.size_bytes == len(CONTENTS[name])


def test_errors_name_the_line_of_the_page(tmp_path: Path) -> None:
    text = page(TEXT + RECORDS * 200 + " \0\n")  # A zero byte near the beginning makes it no text at all.
    line = 1 + text[: text.index("\0")].count("\n")
    with pytest.raises(RecordingError, match=rf"trace\.html:{line}: expected text, found a zero byte"):
        read(tmp_path, text)


@pytest.mark.parametrize("content", [page("hello\n"), "<html></html>\n", page("")])
def test_a_page_without_ftrace_text(content: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="none in this page"):
        read(tmp_path, content)


MANY = TEXT + "".join(RECORDS.replace("538.", f"{539 + n * n % 1009}.") for n in range(300))
CUT = {
    "page": page(MANY).encode(),
    "gzip": gzip.compress(page(MANY).encode()),
    "atrace -z": b"TRACE:\n" + zlib.compress(MANY.encode()),
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_page(name: str, tmp_path: Path) -> None:
    """What stands before the cut is there, and the cut is told."""
    cut = CUT[name][: len(CUT[name]) * 3 // 4]
    recording, windows = read(tmp_path, cut)
    assert 1000 < sum(window.counts.get("cpu_idle", 0) for window in windows) < 2709
    assert len(recording.damage) == 1
    assert str(recording.damage[0]).startswith(f"{tmp_path}/trace.html")
    with pytest.raises(RecordingError, match=r"trace\.html"):
        read(tmp_path, cut, strict=True)


def test_only_pages_are_recognised(tmp_path: Path) -> None:
    for text in (TEXT, "<idle>-0 [000] 1.0: a: b\n", '{"ts": 1, "event": "x"}\n'):
        assert not systrace_html.sniff(tmp_path, text.encode())
    for kind in (ftrace_text, perf_script, json_lines):
        assert not kind.sniff(tmp_path, page(TEXT).encode()[:300])


@needs_shared
def test_the_public_page(tmp_path: Path) -> None:
    """2506 records by the README of shared/public; it ends in a second script with systrace's own JSON."""
    folder = shared()
    assert folder is not None
    path = folder / "public/ARM-software+trappy/tests/trace_surfaceflinger.html"
    assert systrace_html.sniff(path, path.read_bytes()[: 1 << 16])
    recording = systrace_html.open_systrace_html(path)
    counts: dict[str, int] = {}
    for window in recording.windows:
        assert not window.undecodable.get("the line is no record")
        for event, count in window.counts.items():
            counts[event] = counts.get(event, 0) + count
    assert sum(counts.values()) == 2506
    assert [counts[name] for name in ("sched_switch", "cpu_idle", "sched_wakeup", "cpu_frequency")] == [
        715,
        621,
        421,
        104,
    ]
    assert recording.nr_cpus == 8
    assert recording.tgids[7502] == 7459
