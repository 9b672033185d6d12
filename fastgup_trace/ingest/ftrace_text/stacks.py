"""Stacks in text: a record `<stack trace>`, then a line for each function, ` => NAME`, `=> NAME (ADDRESS)` or
` => NAME <ADDRESS>` (options/sym-addr)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.source import TextBlock
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans

STACKS = ("kernel_stack", "user_stack")
FRAME = re.compile(rb" *=> +(.*?) *$", re.DOTALL)
_WORD = re.compile(
    rb"(?:<?(?:0x)?([0-9a-f]{8,16})>?"
    rb"|(.+?)(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?(?: \[\w+\])?(?: [(<]([0-9a-f]{8,16})[)>])?)$",
    re.DOTALL,
)
_TAIL_BYTES = 1 << 16
_NEAR_END = re.compile(
    rb"(?:[^\n]*stack trace ?>|[^\n]*kernel_stack:[^\n]*|[^\n]*user_stack:[^\n]*)\n(?: *=> [^\n]*\n)*\Z"
)


@dataclass(frozen=True)
class Frames:
    """The lines of stacks in a block: of each the number of records before it, and its text behind the arrow."""

    before: Int64s
    spans: Spans


def whole_stacks(blocks: Iterator[TextBlock]) -> Iterator[TextBlock]:
    """The same lines, but that a stack at a block's end comes in the next one, whole."""
    held: TextBlock | None = None
    for block in blocks:
        if held:
            if block.cut:
                yield held
            else:
                block = replace(block, text=held.text + block.text, first_line=held.first_line)
            held = None
        found = None
        if not block.cut and b"stack" in block.text[-_TAIL_BYTES:]:
            start = max(block.text.rfind(b"stack trace"), block.text.rfind(b"_stack:"))
            start = block.text.rfind(b"\n", 0, max(start, 0)) + 1
            if len(block.text) - start < _TAIL_BYTES:
                found = _NEAR_END.match(block.text, start)
        if found and start:
            held = replace(
                block, text=block.text[start:], first_line=block.first_line + block.text.count(b"\n", 0, start)
            )
            block = replace(block, text=block.text[:start])
        if found and not start:
            held = block
        else:
            yield block
    if held:
        yield held


def stack_columns(rows: Int64s, frames: Frames | None) -> dict[str, pa.Array]:
    """`caller.sym` and, where every line of them has one, `caller`, of the stacks at `rows` of a block."""
    if frames is None:
        return {}
    owners = frames.before - 1
    begin, end = np.searchsorted(owners, rows, "left"), np.searchsorted(owners, rows, "right")
    offsets = np.concatenate([[0], np.cumsum(end - begin)])
    picked = np.repeat(begin - offsets[:-1], end - begin) + np.arange(offsets[-1])
    words = pa.array(frames.spans.take(picked).tolist(), pa.binary()).dictionary_encode()
    read = [_frame(word) for word in words.dictionary.to_pylist()]
    names = pa.array([name for name, _ in read], pa.string()).take(words.indices)
    columns = {"caller.sym": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names)}
    addresses = pa.array([address for _, address in read], pa.uint64()).take(words.indices)
    if not addresses.null_count and len(addresses):
        columns["caller"] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), addresses)
    return columns


def _frame(word: bytes) -> tuple[str | None, int | None]:
    """(function, address) of `try_to_wake_up+0x10/0x80 (ffffffff810ba1f5)`."""
    found = _WORD.match(word)
    if not found:
        return None, None
    address = found[1] or found[3]
    name = found[2].decode("utf-8", "replace") if found[2] else None
    return name, int(address, 16) if address else None


@dataclass
class Owners:
    """Finds the record that each stack belongs to: the one before it on its CPU, or that one's, of the other kind."""

    last: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """CPU -> (seq, kind, owner) of its last record of the windows before; kinds are 0 and, of STACKS, 1 and 2."""

    def find(
        self, stacks: dict[str, Int64s], seq: Int64s, cpu: Int64s, of_lines: npt.NDArray[np.bool_]
    ) -> dict[str, Int64s]:
        """`of_seq` of the stacks at rows of a window, -1 where it is not known; `of_lines` are the rows of text lines,
        in their order.
        """
        kinds = np.zeros(len(seq), np.int8)
        for code, name in enumerate(STACKS, 1):
            kinds[stacks.get(name, [])] = code
        owner = np.full(len(seq), -1, np.int64)
        for number in np.unique(cpu).tolist():
            rows = np.flatnonzero((cpu == number) & of_lines)
            if not len(rows):
                continue
            before = self.last.get(number, (-1, 0, -1))
            kind = np.concatenate([[before[1]], kinds[rows]])
            number_of = np.concatenate([[before[0]], seq[rows]])
            owners: Int64s = np.where((kind[1:] > 0) & (kind[:-1] == 0), number_of[:-1], -1)
            held: Int64s = np.concatenate([[before[2]], owners])
            other = np.flatnonzero((kind[1:] > 0) & (kind[:-1] > 0) & (kind[1:] != kind[:-1]))
            held[other + 1] = held[other]
            owner[rows] = held[1:]
            self.last[number] = int(seq[rows[-1]]), int(kinds[rows[-1]]), int(held[-1])
        return {name: owner[rows] for name, rows in stacks.items()}
