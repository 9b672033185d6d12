"""The recordings that are damaged: every shipped one, the same cut down, and files of each format written by hand."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import perf_data_files
import trace_dat_files
import zstandard
from shared_captures import ROOT, shared
from trace_dat_files import MISSED, MISSED_STORED, File, Machine

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import sniff
from fastgup_trace.ingest.ring_buffer.header import parse_page_header
from fastgup_trace.ingest.trace_dat.opening import read_container
from fuzz import layouts, texts
from fuzz.layouts import Layout

CAPTURES: Final = ROOT / "datasets" / "captures"
VERSIONS: Final = ("v6", "v7-zstd", "v7-zlib", "v7-none")
_PAGES: Final = 2
_LINES: Final = 300


@dataclass(frozen=True)
class Seed:
    """A sound recording: one file, or a folder of several."""

    name: str
    format: str
    """As the registry of formats names it."""
    files: Mapping[str, bytes]
    """Name in the folder -> bytes; of a recording that is one file the name is empty."""
    text: bool = False
    share: float = 1.0
    """How often it is taken."""
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    checked: bool = True
    """Whether it is known how many records a damage may cost."""
    file: File | None = None
    version: str = ""
    """For a trace.dat that `trace_dat_files` writes: what it is written from, and how."""


def _one(name: str, format: str, data: bytes, layout: Layout | None = None, **more: Any) -> Seed:
    return Seed(name, format, {"": data}, layouts={"": layout or Layout()}, **more)


def all_seeds(*, with_shared: bool = False) -> list[Seed]:
    """Every seed, always in the same order. `with_shared` adds the recordings that lie beside the checkout."""
    found = [*_shipped(), *_by_hand(), *_texts(), *_perf_data(), *_folders()]
    return [*found, *_shared()] if with_shared else found


def _shipped() -> Iterator[Seed]:
    for path in sorted(CAPTURES.glob("*/trace.dat")):
        data, name = path.read_bytes(), path.parent.name
        yield _one(f"shipped/{name}", "trace.dat", data, layouts.of_trace_dat(data), share=0.4)
        yield from _written(f"cut-down/{name}", *cut_down(data))
    for path in sorted(CAPTURES.glob("*/ftrace.txt.gz")):
        packed = path.read_bytes()
        text = gzip.decompress(packed)
        yield _one(f"shipped/{path.parent.name}", "ftrace-text", packed, checked=False)
        yield _one(f"cut-down/{path.parent.name}", "ftrace-text", _head(text), text=True, share=3)


def cut_down(data: bytes) -> tuple[File, str]:
    """The first pages of each CPU of a trace.dat as a file to be written, and how: one of VERSIONS."""
    container = read_container(Path("seed"), memoryview(data))
    pages = dict[int, list[bytes]]()
    for stream in container.streams:
        if stream.packed:
            assert container.unpack is not None
            cursor = container.cursor(stream.offset + 4)
            packed, full = cursor.number(4, "size"), cursor.number(4, "size")
            whole = container.unpack(cursor.take(packed, "chunk"), full)
        else:
            whole = data[stream.offset : stream.offset + stream.size]
        if whole := whole[: _PAGES * stream.page_bytes]:
            pages[stream.cpu] = [whole[i : i + stream.page_bytes] for i in range(0, len(whole), stream.page_bytes)]
    commit_bytes = parse_page_header(container.header_page, "seed").commit_bytes
    machine = Machine(container.big_endian, commit_bytes, container.page_bytes)
    file = File(machine, {"": pages}, formats=tuple(text for _, text in container.formats))
    return file, "v7-zstd" if container.version == 7 else "v6"


def _written(name: str, file: File, version: str) -> Iterator[Seed]:
    data = written(file, version)
    yield _one(name, "trace.dat", data, layouts.of_trace_dat(data), file=file, version=version)


def written(file: File, version: str) -> bytes:
    """The file in one of VERSIONS."""
    return file.v6() if version == "v6" else file.v7(version.removeprefix("v7-"))


def _head(text: bytes) -> bytes:
    return b"".join(text.splitlines(keepends=True)[:_LINES])


def _by_hand() -> Iterator[Seed]:
    machines = {
        "le64": Machine(),
        "be64": Machine(True),
        "le32": Machine(long_bytes=4),
        "big": Machine(page_bytes=16384),
    }
    for label, m in machines.items():
        for version in VERSIONS:
            yield from _written(f"by-hand/{label}-{version}", hand_made(m), version)


def hand_made(m: Machine) -> File:
    """Every kind of event header, events that were lost, two instances, the tracer's own statistics."""
    words = "Q" if m.long_bytes == 8 else "I"
    mask = m.pack("HBBiII", 8, 0, 0, 6, 24 + 2 * m.long_bytes - 8 | 8 << 16, 3 << 16 | 8)
    mask += m.pack(2 * words, 0xC090_0000, 0xC010_0004) + m.pack("Q", 5) + b"ab\0"
    first = m.wake(0, 0, b"one") + m.extend(1 << 30) + m.wake(5, 1) + m.padding(16) + m.event(9, mask) * 3
    second = m.stamp(5 << 30) + m.wake(1, 2) * 7 + m.event(1, m.pack("HBBii8s", 7, 0, 0, 5, 2, b"x") + bytes(120))
    pages = [m.page(1000, first), m.page(2 << 30, second, MISSED | MISSED_STORED, 3)]
    pages += [m.page((6 << 30) + i * 10_000, m.wake(3, i) * 20) for i in range(3)]
    stats = ("CPU: 0\nentries: 9\noverrun: 5\ndropped events: 2\n", "Buffer: other\nCPU: 1\noverrun: 0\n")
    others = {1: [m.page(1500, m.wake(1, 1) * 9)]}
    return File(m, {"": {0: pages, **others}, "other": {1: [m.page(1600, m.wake(2, 2) * 5, MISSED)]}}, stats)


def _texts() -> Iterator[Seed]:
    made = {
        "ftrace-6.1": ("ftrace-text", texts.ftrace()),
        "ftrace-3.18-ns": ("ftrace-text", texts.ftrace(old=True, ns=True)),
        "report": ("ftrace-text", texts.report()),
        "graph": ("ftrace-text", texts.graph()),
        "perf-script": ("perf-script", texts.perf_script()),
        "json-lines": ("json-lines", texts.json_lines()),
        "systrace": ("systrace-html", texts.systrace_html()),
    }
    for name, (format, text) in made.items():
        data = text.encode()
        yield _one(f"by-hand/{name}", format, data, text=True, share=4)
        if name in ("ftrace-6.1", "perf-script", "json-lines"):
            packed = {"gz": gzip.compress(data, mtime=0), "xz": lzma.compress(data), "zst": zstandard.compress(data)}
            yield from (_one(f"by-hand/{name}.{kind}", format, d, checked=False) for kind, d in packed.items())


def _perf_data() -> Iterator[Seed]:
    for big_endian in (False, True):
        for form in ("file", "pipe", "packed", "packed2"):
            data = perf_data_files.mixed(perf_data_files.Machine(big_endian), form)
            layout = layouts.of_perf_data(data)
            name = f"by-hand/perf-{'be' if big_endian else 'le'}-{form}"
            yield _one(name, "perf.data", data, layout, share=3, checked="packed" not in form)


def _folders() -> Iterator[Seed]:
    """Copies of trace_pipe_raw with the formats beside them."""
    for label, m in {"le64": Machine(), "be32": Machine(True, 4)}.items():
        files = {
            "events/header_page": m.header_page(), "events/header_event": trace_dat_files.EVENT_HEADER.encode(),
            "events/sys/wake/format": trace_dat_files.WAKE.encode(),
            "events/sys/mask/format": trace_dat_files.mask_format(m.long_bytes).encode(),
            "saved_cmdlines": b"5 five\n6 six\n", "saved_tgids": b"5 5\n6 5\n", "trace_clock": b"[local] global\n",
            "printk_formats": b'0xc0900000 : "why not"\n',
            "kallsyms": b"c0100000 T first\nc0200000 t second\t[module]\n",
        }  # fmt: skip
        places = dict[str, Layout]()
        for cpu, pages in hand_made(m).instances[""].items():
            name = f"per_cpu/cpu{cpu}/trace_pipe_raw"
            files[name], places[name] = b"".join(pages), layouts.of_pages(pages, m.header_page().decode(), m.big_endian)
            files[f"per_cpu/cpu{cpu}/stats"] = b"entries: 9\noverrun: 5\ndropped events: 2\n"
        yield Seed(f"by-hand/raw-{label}", "raw-ring-buffer", files, share=8, layouts=places)


def _shared() -> Iterator[Seed]:
    """What lies beside the checkout, of any format; a recording that is refused as it is is a seed as well."""
    folder = shared()
    if folder is None:
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and re.search(_RECORDING, path.name) and path.stat().st_size < _SHARED_BYTES_MAX:
            with suppress(RecordingError):
                yield _one(f"shared/{path.relative_to(folder)}", sniff(path).name, path.read_bytes(), checked=False)


_RECORDING: Final = r"perf\.|^sleep\.|\.dat$|trace.*\.(txt|html|gz)$|perfscript"
_SHARED_BYTES_MAX: Final = 1 << 22
