"""Whether ingest did with an input what it must: a capture that tells what is missing, or one line that refuses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from unittest import mock

from fastgup_trace.errors import FastgupError, RecordingError
from fuzz.plan import Input, Modes

RSS_BYTES_MAX: Final = 1 << 30
MESSAGE_CHARS_MAX: Final = 2000

COMPILED_FROM: Final = (
    ("fastgup_trace.ingest.ring_buffer.windows", "COMPILED_BYTES_MIN"),
    ("fastgup_trace.ingest.perf_data.stream", "COMPILED_BYTES"),
    ("fastgup_trace.ingest.ftrace_text", "LARGE_BYTES"),
    ("fastgup_trace.ingest.perf_script", "LARGE_BYTES"),
)
"""Where each reader says from which size on it uses compiled loops."""

_TEXT_BLOCK_BYTES: Final = 2500

SMALL_WINDOWS: Final = (
    ("fastgup_trace.ingest.ring_buffer.windows", "WINDOW_BYTES", 1 << 14),
    ("fastgup_trace.ingest.perf_data.stream", "STRETCH_BYTES", 1 << 10),
    *(
        (f"fastgup_trace.ingest.{module}", name, _TEXT_BLOCK_BYTES)
        for module in ("ftrace_text", "perf_script")
        for name in ("BLOCK_BYTES", "LARGE_BLOCK_BYTES")
    ),
    ("fastgup_trace.ingest.ftrace_text", "WINDOW_RECORDS", 20),
    ("fastgup_trace.ingest.perf_script", "WINDOW_RECORDS", 20),
    ("fastgup_trace.ingest.json_lines", "WINDOW_RECORDS", 20),
    ("fastgup_trace.ingest.parts", "PART_RECORDS", 50),
)


@dataclass(frozen=True)
class Counts:
    """What a capture says of its recording."""

    records: int
    lost: int
    unknown: int
    undecodable: int
    damage: int

    def tells_more_than(self, other: Counts) -> bool:
        """Whether it tells of something missing that `other` does not."""
        return (self.lost, self.unknown, self.undecodable, self.damage) != (
            other.lost, other.unknown, other.undecodable, other.damage
        )  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    kind: str
    """`capture`, `refused`, or a failure: `traceback`, `silent`, `long message` (and `workers`' own)."""
    message: str = ""
    counts: Counts | None = None

    @property
    def is_failure(self) -> bool:
        return self.kind not in ("capture", "refused")


@contextmanager
def reading(modes: Modes) -> Iterator[None]:
    """While it lasts, readers use the loops that the modes ask for, or the others."""
    patches: list[Any] = [
        mock.patch.object(import_module(module), name, 0 if modes.compiled else 1 << 62)
        for module, name in COMPILED_FROM
    ]
    if modes.small_windows:
        patches += [mock.patch.object(import_module(module), name, value) for module, name, value in SMALL_WINDOWS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()


def read(path: Path, modes: Modes) -> Counts:
    """Ingest a recording into memory."""
    from fastgup_trace import api

    with reading(modes), warnings.catch_warnings():
        warnings.simplefilter("error")
        capture = api.ingest_recording(path, format=modes.format, keep_raw=modes.keep_raw, strict=modes.strict)
    told = capture.provenance
    return Counts(
        sum(told["events"].values()) + told["leaf_calls"],
        told["lost"],
        told["losses_unknown"],
        sum(told["undecodable"].values()),
        len(told["damage"]),
    )


def judge(item: Input, path: Path, sound: Counts | None) -> Verdict:
    """Read the input, which lies at `path`; `sound` is what its seed gives."""
    try:
        counts = read(path, item.modes)
    except RecordingError as error:
        if len(str(error)) > MESSAGE_CHARS_MAX:
            return Verdict("long message", str(error)[:MESSAGE_CHARS_MAX])
        return Verdict("refused", str(error))
    except (FastgupError, Exception) as error:
        return Verdict("traceback", f"{type(error).__name__}: {error}"[:MESSAGE_CHARS_MAX])
    silence = _silence(item, counts, sound)
    return Verdict("silent", silence, counts) if silence else Verdict("capture", counts=counts)


def forget_peak() -> None:
    """Let the most memory that was in use be what is in use now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory in use since `forget_peak`; the process's own, with seeds and libraries, is in it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _silence(item: Input, counts: Counts, sound: Counts | None) -> str:
    """What is missing without a word; empty if nothing is."""
    if sound is None or counts.tells_more_than(sound):
        return ""
    if item.is_cut and item.seed.checked:
        return f"the end of the recording is missing, and {counts.records} of {sound.records} records are a capture"
    if item.slack is None or -item.slack[0] <= counts.records - sound.records <= item.slack[1]:
        return ""
    return f"{counts.records} records where the seed has {sound.records}; -{item.slack[0]} to +{item.slack[1]} could be"
