"""Every record of a trace.dat as `trace-cmd report -R` prints it: time, CPU, pid, comm, event and every field.

trace-cmd reads the same bytes with code of its own (libtraceevent), so a value that both show is right.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from fastgup_trace.ingest.records import Recording
from fastgup_trace.ingest.trace_dat import open_trace_dat
from fastgup_trace.ingest.trace_dat.opening import read_container

needs_trace_cmd = pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")

LINE = re.compile(r"\s*(.*)-(\d+)\s+\[(\d+)\]\s*(\d+)(?:\.(\d{9}))?: (\S+):\s*(.*)")


class Line(NamedTuple):
    comm: str
    pid: int
    cpu: int
    ts: int
    event: str
    fields: str
    lost_before: int


def report(path: Path, *options: str, instances: tuple[str, ...] = ()) -> Iterator[Line]:
    """The records that `trace-cmd report` prints, and how many events it says that a CPU lost before one of them."""
    command = ["trace-cmd", "report", "-t", *options, "-i", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=True)
    lost: dict[int, int] = {}
    for line in run.stdout.splitlines():
        line = next((line.removeprefix(f"{name}:") for name in instances if line.startswith(f"{name}:")), line)
        if match := LINE.fullmatch(line):
            comm, pid, cpu, seconds, fraction, event, fields = match.groups()
            scale = 10 ** (9 - len(fraction)) if fraction else 1
            ts = int(seconds) * 10**9 + int(fraction) * scale if fraction else int(seconds)
            yield Line(comm, int(pid), int(cpu), ts, event, fields, lost.pop(int(cpu), 0))
        elif match := re.fullmatch(r"CPU:(\d+) \[(?:(\d+) )?EVENTS DROPPED\]", line):
            lost[int(match[1])] = int(match[2] or -1)
        else:
            assert re.fullmatch(r"cpus=\d+|CPU \d+ is empty|version = \d+", line), line


def equals(text: str, value: object, kind: Any, long_bytes: int) -> bool:
    """Whether `text` shows `value`: in decimal or hex, as a print fmt or the declared type decides."""
    if isinstance(value, str):
        return bool(text == value.rstrip("\n"))
    if isinstance(value, list):
        size = 8 if kind == pa.list_(pa.uint64()) else kind.value_type.bit_width // 8
        octets: bytes = b"".join(int(word).to_bytes(size, "little") for word in value)
        # A mask of an odd number of 32-bit longs has half a word less than its 64-bit words.
        shown = {
            "ARRAY[" + ", ".join(f"{octet:02x}" for octet in octets[:count]) + "]"
            for count in (len(octets), len(octets) - (8 - long_bytes))
        }
        return text in shown
    assert isinstance(value, int)
    unsigned = value % (1 << kind.bit_width)
    if text == "(nil)":
        return value == 0
    if re.fullmatch(r"0x[0-9a-f]+", text):
        return bool(int(text, 16) == unsigned)
    if re.fullmatch(r"-?\d+", text) and int(text) % (1 << kind.bit_width) == unsigned:
        return True
    return bool(re.fullmatch(r"[0-9a-f]+", text)) and int(text, 16) == unsigned


def aliases(path: Path) -> dict[str, str]:
    """For each further name of an address the first: trace-cmd, which sorts with qsort, shows any of them."""
    first, found = dict[bytes, str](), dict[str, str]()
    for line in read_container(path, memoryview(path.read_bytes())).kallsyms.splitlines():
        address, _, name, *_ = line.split()
        if first.setdefault(address, name.decode()) != name.decode():
            found[name.decode()] = first[address]
    return found


def names(path: Path, lines: list[Line]) -> list[str]:
    """Each line's event; a function-tracer record is called by the function that it saw.

    Where the print fmt shows an address (before 3.19), the function's name is in the report that is not raw.
    """
    if not any(re.match(r"ip=[0-9a-f]{8,16} ", line.fields) for line in lines if line.event == "function"):
        ips = [line.fields for line in lines]
    else:
        ips = [line.fields for line in report(path)]
    first = (re.match(r"(?:ip=)?(\S+)", text) for text in ips)
    alias = aliases(path)
    return [
        f"function:{alias.get(match[1], match[1])}" if line.event == "function" and match else line.event
        for line, match in zip(lines, first, strict=True)
    ]


def check_event(name: str, table: pa.Table, lines: list[Line], recording: Recording, alias: dict[str, str]) -> None:
    columns = {column: table[column].to_pylist() for column in table.column_names}
    own = [
        column
        for column in table.column_names
        if not column.startswith("common_") and not column.endswith((".ptr", ".sym"))
        and column != "of_seq" and (name, column) != ("bprint", "text")
    ]  # fmt: skip
    pattern = re.compile(
        r"\s*".join(rf"{re.escape(column)}=(?P<_{number}>.*?)" for number, column in enumerate(own)) + r"\s*"
    )
    long_bytes = int(str(recording.details["kernel_long_bytes"]))
    known: set[tuple[str, Any, str]] = set()
    assert len(lines) == len(table), name
    for row, (comm, pid, cpu, ts_ns, _, fields, _) in enumerate(lines):
        found = (columns["common_pid"][row], columns["common_cpu"][row], columns["common_ts_ns"][row])
        assert found == (pid, cpu, ts_ns), f"{name} {row}"
        assert comm == ("<idle>" if pid == 0 else recording.comms.get(pid, "<...>")), f"{name} {row}"
        match = pattern.fullmatch(fields)
        assert match is not None, f"{name} {row}: {own} are not the fields of {fields!r}"
        for number, column in enumerate(own):
            text, value = match[f"_{number}"], columns[column][row]
            if name.startswith("function:") and column == "ip":
                assert text == name.removeprefix("function:") or int(text, 16) == value
                continue
            symbol = columns[f"{column}.sym"][row] if f"{column}.sym" in columns else None
            if symbol is not None and alias.get(shown := text.partition("+")[0], shown) == symbol:
                continue
            if (name, column) == ("kernel_stack", "caller"):  # trace-cmd reads on behind the end of a short record
                assert len(value) == columns["size"][row]
                value = value[:8]
                text = text.removesuffix("]")[: 6 + 4 * 8 * len(value) - 2] + "]"
            if (name, column) == ("bprint", "buf"):  # which trace-cmd shows the first word of, or 0
                continue
            if value is None or (name, column) == ("bprint", "fmt"):
                value, column = columns[f"{column}.ptr"][row], f"{column}.ptr"
            key = (column, str(value) if isinstance(value, list) else value, text)
            if key not in known:
                assert equals(text, value, table.schema.field(column).type, long_bytes), (
                    f"{name} {row} {column}: {text!r} is not {value!r}"
                )
                known.add(key)


def check(path: Path) -> None:
    recording = open_trace_dat(path)
    (window,) = recording.windows
    instances = tuple(str(instance["name"]) for instance in recording.details["instances"] if instance["name"])  # type: ignore[attr-defined]
    lines = list(report(path, "-R", instances=instances))
    order, alias = names(path, lines), aliases(path)
    by_name = defaultdict[str, list[Line]](list)
    for name, line in zip(order, lines, strict=True):
        by_name[name].append(line)
    assert {name: len(rows) for name, rows in by_name.items()} == window.counts
    merged = sorted((seq, name) for name, table in window.events.items() for seq in table["common_seq"].to_pylist())
    assert [seq for seq, _ in merged] == list(range(len(order)))
    assert [name for _, name in merged] == order, "the order of records"
    for name, table in window.events.items():
        check_event(name, table, by_name[name], recording, alias)
    check_losses(lines, recording)


def check_losses(lines: list[Line], recording: Recording) -> None:
    """trace-cmd shows a loss before the record behind it; what only the statistics count, it does not show."""
    found = {(loss.cpu, loss.end_ns) for loss in recording.losses}
    counted = {(loss.cpu, loss.end_ns, loss.count) for loss in recording.losses}
    for line in lines:
        if line.lost_before:
            assert (line.cpu, line.ts) in found
            assert line.lost_before == -1 or (line.cpu, line.ts, line.lost_before) in counted
