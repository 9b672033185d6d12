"""A trace.dat that holds the text of a latency tracer (`trace-cmd record -p irqsoff`) in place of pages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text import open_ftrace_text
from fastgup_trace.ingest.records import Progress, Recording, Wanted, Window
from fastgup_trace.ingest.trace_dat.container import Container


def open_latency_text(
    container: Container, wanted: Wanted | None, progress: Progress | None, strict: bool, kallsyms: bytes
) -> Recording:
    """The recording that the text is, as `ingest.ftrace_text` reads it. Raises RecordingError where that does."""
    kept, *others = container.latency
    for other in others:
        container.note(f"one tracer's text, that of instance {kept.instance!r}", f"another's, {other.instance!r}")
    try:
        with tempfile.NamedTemporaryFile(suffix=".txt") as file:
            file.write(kept.text)
            file.flush()
            recording = open_ftrace_text(
                Path(file.name),
                wanted=wanted,
                progress=progress,
                strict=strict,
                kallsyms=container.kallsyms or kallsyms,
            )
    except RecordingError as error:
        raise _of(container, error) from None
    return replace(recording, path=container.path, windows=_windows(container, recording))


def _windows(container: Container, recording: Recording) -> Iterator[Window]:
    try:
        yield from recording.windows
    except RecordingError as error:
        raise _of(container, error) from None


def _of(container: Container, error: RecordingError) -> RecordingError:
    line = error.where.rpartition(":")[2]
    return RecordingError(
        f"{container.path}: the tracer's text, line {line}", error.expected, error.found, error.advice
    )
