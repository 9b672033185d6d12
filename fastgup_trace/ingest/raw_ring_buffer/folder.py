"""The files of a folder copied out of /sys/kernel/tracing: pages by CPU and instance, and the kernel's texts."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.trace_dat.container import CPUS_MAX, INSTANCES_MAX, PAGE_BYTES_MAX, PAGE_BYTES_MIN
from fastgup_trace.ingest.trace_dat.metadata import FORMATS_MAX

_FILE_OF_CPU = re.compile(r"cpu(\d{1,4})(?:\.raw)?|(?:.+\.)?cpu(\d{1,4})")
_TEXT_BYTES_MAX = 1 << 26
"""kallsyms of a large kernel has 20 MB; what is longer is left."""
_FORMAT_BYTES_MAX = 1 << 20
_FORMATS_BYTES_MAX = 1 << 27


@dataclass(frozen=True)
class CpuPages:
    """The pages of one CPU of one instance (empty for the top one), mapped."""

    instance: str
    cpu: int
    path: Path
    data: memoryview
    sub_buffer_bytes: int | None
    """As buffer_subbuf_size_kb tells it."""


@dataclass
class Folder:
    """What a folder holds; texts that are not there are empty."""

    cpus: list[CpuPages] = field(default_factory=list)
    stats: list[bytes] = field(default_factory=list)
    """Of each CPU, headed by its number and its instance as trace-cmd's CPUSTAT options are."""
    formats: list[tuple[str, str]] = field(default_factory=list)
    header_page: str = ""
    header_event: str = ""
    saved_cmdlines: bytes = b""
    saved_tgids: bytes = b""
    printk_formats: bytes = b""
    kallsyms: bytes = b""
    clocks: set[str] = field(default_factory=set)

    @property
    def clock(self) -> str | None:
        return next(iter(self.clocks), None)


def has_pages(path: Path) -> bool:
    """Whether any file in the folder is named as the pages of a CPU are."""
    try:
        folders = [path, *(path / "instances").iterdir()] if (path / "instances").is_dir() else [path]
    except OSError:
        folders = [path]
    return any(True for folder in folders[:INSTANCES_MAX] for _ in _page_files(folder))


def is_page_file(path: Path, head: bytes) -> bool:
    """Whether a file is named as the pages of one CPU are, and holds no text."""
    named = path.name == "trace_pipe_raw" or _FILE_OF_CPU.fullmatch(path.name)
    return bool(named) and b"\0" in head[:16]


def read_folder(path: Path) -> Folder:
    """Raises RecordingError for a file that can't be read, or more files than any kernel has."""
    try:
        return _read(path)
    except OSError as error:
        raise unreadable(error.filename or path, error) from None


def _read(path: Path) -> Folder:
    folder = Folder()
    _read_buffer(folder, path, "")
    instances = sorted((path / "instances").iterdir()) if (path / "instances").is_dir() else []
    for instance in instances[:INSTANCES_MAX]:
        if instance.is_dir():
            _read_buffer(folder, instance, instance.name)
    for root in (path / "events", path / "formats"):
        folder.header_page = folder.header_page or _text(root / "header_page").decode("utf-8", "backslashreplace")
        folder.header_event = folder.header_event or _text(root / "header_event").decode("utf-8", "backslashreplace")
        if not folder.formats and root.is_dir():
            folder.formats = list(_formats(root))
    folder.saved_cmdlines, folder.saved_tgids = _text(path / "saved_cmdlines"), _text(path / "saved_tgids")
    folder.printk_formats, folder.kallsyms = _text(path / "printk_formats"), _text(path / "kallsyms")
    if len(folder.clocks) > 1:
        found, advice = ", ".join(sorted(folder.clocks)), "ingest each instance's folder by itself"
        raise RecordingError(str(path), "instances of one clock", found, advice)
    return folder


def _read_buffer(folder: Folder, path: Path, instance: str) -> None:
    kilobytes = _text(path / "buffer_subbuf_size_kb").strip()
    size = int(kilobytes) * 1024 if kilobytes.isdigit() and len(kilobytes) < 8 else 0
    sub_buffer_bytes = size if PAGE_BYTES_MIN <= size <= PAGE_BYTES_MAX else None
    clock = _text(path / "trace_clock").decode("utf-8", "backslashreplace").strip()
    seen = set[int]()
    for cpu, file in _page_files(path):
        if cpu in seen or len(seen) >= CPUS_MAX:
            raise RecordingError(str(file), f"one file for CPU {cpu}", "a second one", "remove all but one")
        seen.add(cpu)
        folder.cpus.append(CpuPages(instance, cpu, file, _mapped(file), sub_buffer_bytes))
        if stats := _text(path / "per_cpu" / f"cpu{cpu}" / "stats"):
            head = f"Buffer: {instance}\nCPU: {cpu}\n" if instance else f"CPU: {cpu}\n"
            folder.stats.append(head.encode() + stats)
    if seen and clock:
        folder.clocks.add(clock.partition("[")[2].partition("]")[0] or clock)


def _page_files(path: Path) -> Iterator[tuple[int, Path]]:
    """CPU and file, by CPU: under per_cpu or traces where there is that folder, else in the folder itself."""
    try:
        root = next((path / name for name in ("per_cpu", "traces") if (path / name).is_dir()), path)
        entries = sorted(root.iterdir())
    except OSError:
        return
    found = list[tuple[int, Path]]()
    for entry in entries:
        if match := _FILE_OF_CPU.fullmatch(entry.name):
            file = entry / "trace_pipe_raw" if entry.is_dir() else entry
            if file.is_file():
                found.append((int(match[1] or match[2]), file))
    yield from sorted(found)


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")


def _text(path: Path, limit: int = _TEXT_BYTES_MAX) -> bytes:
    """A file's contents; nothing where there is no file, or more than `limit` bytes."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    return data if len(data) <= limit else b""


def _formats(root: Path) -> Iterator[tuple[str, str]]:
    """System and text of each SYSTEM/EVENT/format, or of a file SYSTEM/EVENT that holds a format itself."""
    left, count = _FORMATS_BYTES_MAX, 0
    for path in sorted(root.glob("*/*")):
        text = _text(path / "format" if path.is_dir() else path, min(left, _FORMAT_BYTES_MAX))
        left, count = left - len(text), count + 1
        if count > FORMATS_MAX:
            raise RecordingError(str(root), f"at most {FORMATS_MAX} formats", "more", "remove what is none")
        if text.startswith(b"name:"):  # a system's own files enable and filter do not
            yield path.parent.name, text.decode("utf-8", "backslashreplace")
