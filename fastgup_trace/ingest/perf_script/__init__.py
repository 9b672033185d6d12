"""Text of `perf script`, plain or compressed: tracepoints, probes, page faults, samples, side-band records.

An event has its own name without the system (`sched:sched_switch` is sched_switch), a sample's event its name as perf
prints it (`cycles:u`; software ones without aliases and modifiers, `page-faults`), a side-band record
(--show-task-events and the like) that of its type. Fields of a tracepoint are as in ftrace text; a sample's are
`period`, and `addr`, `ip` with their `.sym`; those of side-band records are as in perf.data.

What the text does not tell is missing: without -F cpu common_cpu is -1, without -F tid common_pid is null. Lines of
call chains are left out (`details["call chain lines"]` counts them). Without -F time a record's position stands for its
time (`details["times"]`); the times of --deltatime can't be told from true ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from fastgup_trace.errors import RecordingError, unreadable
from fastgup_trace.ingest.ftrace_text.decode import Decoder
from fastgup_trace.ingest.ftrace_text.source import BLOCK_BYTES, TextBlock, compression, text_blocks, uncompressed_head
from fastgup_trace.ingest.ftrace_text.spans import Spans
from fastgup_trace.ingest.ftrace_text.values import Dialect
from fastgup_trace.ingest.ftrace_text.window import Gatherer
from fastgup_trace.ingest.perf_script.bodies import Fields, sample_fields
from fastgup_trace.ingest.perf_script.gather import Taker
from fastgup_trace.ingest.perf_script.lines import BARE_HEAD, HEAD, Header, Heads, parse_lines, split_name
from fastgup_trace.ingest.perf_script.untimed import is_untimed, parse_untimed
from fastgup_trace.ingest.records import Loss, Progress, Recording, Wanted, Window
from fastgup_trace.ingest.whole_lines import whole_lines

WINDOW_RECORDS = 500_000
LARGE_BYTES = 24 << 20
"""From here on machine code pays: loading it costs 0.7 s, in which regular expressions read some 20 MB."""
LARGE_BLOCK_BYTES = 8 << 20
_PACKED_RATIO = 8
"""How much longer the text is than its gzip, xz or zstd file, roughly."""

_CAPTURED_ON = b"# captured on"
_HEADER_BYTES = 1 << 16
_SNIFF_LINES = 64
_AHEAD_BLOCKS = 32
"""How far to look for the first time: records that perf made up at its start have none (0.000000)."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file (some KB at least) are text of perf script, maybe compressed."""
    text = uncompressed_head(head)
    if not text or b"\0" in text:
        return False
    if _CAPTURED_ON in text[:200] or HEAD.search(text) or is_untimed(text):
        return True
    return any(split_name(found[9])[1] for found in islice(BARE_HEAD.finditer(text), _SNIFF_LINES) if found[9])


def open_perf_script(
    path: Path,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    kallsyms: bytes = b"",
) -> Recording:
    """Open text of perf script. `wanted` limits what is decoded, never what is counted.

    Raises RecordingError (FILE:LINE), here or while windows are read, for other text, binary data in it, and damaged
    compression; with `strict` also for a last line that is cut.
    """
    damage: list[RecordingError] = []
    try:
        size = path.stat().st_size
        large = _is_large(path, size)
        block_bytes = LARGE_BLOCK_BYTES if large else BLOCK_BYTES
        blocks = text_blocks(path, block_bytes, None if strict else damage)
        ahead = list(_until_a_record(blocks))
    except OSError as error:
        raise unreadable(path, error) from None
    if not ahead and damage:
        raise damage[0]
    header, opening, bare = Header(), Header(), not (ahead and HEAD.search(ahead[-1].text))
    untimed = bool(ahead) and bare and not BARE_HEAD.search(ahead[-1].text)
    if not ahead or (untimed and not is_untimed(ahead[-1].text)):
        raise RecordingError(
            f"{path}:1",
            "records of perf script (COMM TID [CPU] SECONDS: EVENT: ...)",
            "other text" if ahead else "an empty file",
            "print it with perf script -F comm,tid,cpu,time,period,event,trace,addr,ip,sym",
        )
    losses: list[Loss] = []
    comms: dict[int, str] = {}
    tgids: dict[int, int] = {}
    details: dict[str, object] = {}
    # perf prints with libtraceevent, as trace-cmd report does: cpumasks are lists of CPUs.
    dialect = Dialect(is_report=True)
    gatherer = Gatherer(wanted, not untimed, dialect, Decoder(dialect.modern, compiled=large))
    split, samples = _splitters(large)
    for block in ahead:
        if not block.cut:
            parse_lines(block.text[:_HEADER_BYTES], opening, bare)

    def parsed() -> Iterator[Heads]:
        def count(reason: str) -> None:
            gatherer.undecodable[reason] += 1

        for block in whole_lines(chain(ahead, blocks), path, damage, strict=strict, count=count):
            yield parse_untimed(block.text, header) if untimed else split(block.text, header, bare)
            if progress:
                progress(block.read_bytes, size)

    def windows() -> Iterator[Window]:
        taker = Taker(gatherer, losses, samples)
        for heads in parsed() if untimed else _timed(parsed()):
            comms.update({tid: comm.decode("utf-8", "replace") for tid, comm in heads.comms.items()})
            tgids.update(heads.tgids)
            taker.take(heads)
            if gatherer.rows >= WINDOW_RECORDS:
                yield gatherer.flush()
        if header.chain_lines:
            details["call chain lines"] = header.chain_lines
        yield gatherer.flush(last=True)

    details.update(opening.details)
    if untimed:
        details["times"] = "not recorded: common_ts_ns is the record's position"
    return Recording(
        path=path,
        format="perf script text",
        size_bytes=size,
        clock=opening.clock,
        nr_cpus=opening.nr_cpus,
        arch=opening.arch,
        kernel_release=opening.kernel_release,
        page_size=None,
        tracer=None,
        comms=comms,
        tgids=tgids,
        losses=losses,
        windows=windows(),
        unit="positions" if untimed else "ns",
        damage=damage,
        details=details,
    )


def _is_large(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        return size * (_PACKED_RATIO if compression(file.read(8)) else 1) >= LARGE_BYTES


def _splitters(large: bool) -> tuple[Callable[[bytes, Header, bool], Heads], Callable[[Spans], Fields]]:
    """What splits lines, and the bodies of samples."""
    if not large:
        return parse_lines, lambda bodies: sample_fields(bodies.tolist())
    from fastgup_trace.ingest.perf_script.samples import scan_samples  # These load numba.
    from fastgup_trace.ingest.perf_script.scan import scan_lines

    return scan_lines, scan_samples


def _until_a_record(blocks: Iterator[TextBlock]) -> Iterator[TextBlock]:
    """The blocks up to the first that holds a record; not more than some."""
    for _, block in zip(range(_AHEAD_BLOCKS), blocks, strict=False):
        yield block
        if not block.cut and (HEAD.search(block.text) or BARE_HEAD.search(block.text) or is_untimed(block.text)):
            return


def _timed(parts: Iterator[Heads]) -> Iterator[Heads]:
    """The same, records without a time (those of what ran already have 0) with the first that there is."""
    waiting: list[Heads] = []
    first_ns = 0
    for heads in parts:
        waiting.append(heads)
        at = np.flatnonzero(~heads.untimed)
        if not first_ns and not len(at) and len(waiting) < _AHEAD_BLOCKS:
            continue
        first_ns = first_ns or (int(heads.ts_ns[at[0]]) if len(at) else 0)
        for part in waiting:
            part.ts_ns[part.untimed] = first_ns
            yield part
        waiting = []
    yield from waiting


__all__ = ["open_perf_script", "sniff"]
