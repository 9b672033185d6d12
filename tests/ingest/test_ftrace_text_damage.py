"""Text that is cut, damaged, packed or no ftrace text: rows that are right, or one line that says where and what."""

from __future__ import annotations

import gzip
import lzma
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from ftrace_texts import read_file

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text import sniff

HEADER = b"# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
LINES = [
    b" init-1 [003] d..1. 239.467020: call_rcu: (call_rcu+0x0/0x554) head=0xffff5fb7c5621300 func=file_free_rcu+0x0\n",
    b" <idle>-0 [002] d.... 239.474112: sched_switch: prev_comm=swapper/2 prev_pid=0 prev_prio=120 prev_state=R ==>"
    b" next_comm=rcu_sched next_pid=14 next_prio=120\n",
    b" init-1 [003] ..... 239.476126: sys_clone(clone_flags: 1200011, newsp: 0)\n",
    b" init-1 [003] ..... 239.481266: sys_clone -> 0x197\n",
    b"CPU:2 [LOST 3 EVENTS]\n",
    b" a b-7 [002] d.h.. 239.481394: ipi_raise: target_mask=00000000,00000008 (Function call interrupts)\n",
    b" a b-7 [002] d.h.. 239.481395: do_exit <-do_group_exit\n",
]
TEXT = HEADER + b"".join(LINES)

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:300]) + gzip.compress(data[300:]),
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in two frames": lambda data: zstandard.compress(data[:300]) + zstandard.compress(data[300:]),
}


def read(path: Path, data: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Counts and undecodables of all windows, every table looked through."""
    path.write_bytes(data)
    counts: dict[str, int] = {}
    undecodable: dict[str, int] = {}
    for window in read_file(path).windows:
        for total, part in (counts, window.counts), (undecodable, window.undecodable):
            for key, number in part.items():
                total[key] = total.get(key, 0) + number
        for name, table in window.events.items():
            table.validate(full=True)
            assert len(table) == window.counts[name]
    return counts, undecodable


@pytest.mark.parametrize("packer", PACKERS)
def test_packed(packer: str, tmp_path: Path) -> None:
    packed = PACKERS[packer](TEXT)
    assert sniff(Path(), packed)
    assert read(tmp_path / "trace", packed) == read(tmp_path / "trace", TEXT)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_packed_and_cut(packer: str, keep: float, tmp_path: Path) -> None:
    """Every line that can be unpacked is there, and the recording says where it ends; `strict` refuses."""
    rng = random.Random(2)
    whole = HEADER + b"".join(
        b" init-1 [003] d..1. 2%06d.467020: call_rcu: head=0x%x\n" % (n, rng.getrandbits(64)) for n in range(20_000)
    )
    packed = PACKERS[packer](whole)
    path = tmp_path / "trace"
    path.write_bytes(packed[: int(len(packed) * keep)])
    found = read_file(path)
    rows = found.rows("call_rcu")
    known = [int(line.rpartition(b"=")[2], 16) for line in whole.splitlines()[3:]]
    assert [row["head"] for row in rows] == known[: len(rows)]
    assert len(rows) > (keep - 0.3) * len(known)
    (damage,) = found.recording.damage
    last_line = 3 + len(rows) + 1
    assert re.search(rf"trace:{last_line}: expected more compressed text, found the end of the file", str(damage))
    with pytest.raises(RecordingError, match="expected more compressed text, found the end of the file"):
        read_file(path, strict=True)


def test_packed_and_damaged(tmp_path: Path) -> None:
    """A wrong checksum at the end: what was unpacked is there."""
    packed = bytearray(gzip.compress(TEXT * 50))
    packed[-6] ^= 0xFF
    path = tmp_path / "trace"
    path.write_bytes(bytes(packed))
    found = read_file(path)
    assert sum(found.counts.values()) > 45 * 6
    assert [str(damage) for damage in found.recording.damage if "incorrect data check" in str(damage)]
    with pytest.raises(RecordingError, match=r"trace:\d+: expected more compressed text, found .*incorrect data check"):
        read_file(path, strict=True)


def test_zeros_at_the_end(tmp_path: Path) -> None:
    """A file system that lost power may leave zeros where text was to be written."""
    path = tmp_path / "trace"
    path.write_bytes(TEXT + LINES[0][:40] + bytes(5000))
    found = read_file(path)
    assert sum(found.counts.values()) == 6
    assert found.undecodable == {"the text ends inside a line": 1}
    (damage,) = found.recording.damage
    assert "trace:11: expected text, found a zero byte; zeros up to the file's end" in str(damage)
    with pytest.raises(RecordingError, match="trace:11: expected text, found a zero byte"):
        read_file(path, strict=True)


def test_last_line_cut(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(TEXT + LINES[0][:-9])
    (damage,) = read_file(path).recording.damage
    assert str(damage) == f"{path}:11: expected a whole line, found the end of the text; it is not decoded"
    with pytest.raises(RecordingError, match="trace:11: expected a whole line"):
        read_file(path, strict=True)


def test_lines_of_dos(tmp_path: Path) -> None:
    assert read(tmp_path / "trace", TEXT.replace(b"\n", b"\r\n")) == read(tmp_path / "trace", TEXT)


def test_cut_between_lines(tmp_path: Path) -> None:
    """Each whole line counts, and nothing is invented."""
    for kept in range(1, len(LINES) + 1):
        counts, undecodable = read(tmp_path / "trace", HEADER + b"".join(LINES[:kept]))
        assert sum(counts.values()) == kept - (kept > 4)
        assert undecodable == {}


@pytest.mark.parametrize("number", range(1, len(LINES)))
def test_cut_inside_line(number: int, tmp_path: Path) -> None:
    """However much of the last line is there, it is counted and not decoded: its last number may be cut."""
    whole = HEADER + b"".join(LINES[:number])
    expected = read(tmp_path / "trace", whole)[0]
    for cut in range(1, len(LINES[number])):
        counts, undecodable = read(tmp_path / "trace", whole + LINES[number][:cut])
        assert counts == expected
        assert undecodable == {"the text ends inside a line": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "trace:1: expected ftrace text, found an empty file; record again"),
        (HEADER, "trace:1: expected records as in .*, found none; was the buffer empty, or one of the options raw"),
        (b"cpus=4\n", "trace:1: expected records as in .*, found none; was the buffer empty"),
        (LINES[0].rstrip(), "trace:1: expected records as in .*, found other text"),
        (b"hello\nworld\n", "trace:1: expected records as in .*, found other text"),
        (TEXT + b"\0\n", "trace:11: expected text, found a zero byte; the file is binary or damaged from here on"),
        (TEXT + b"x\n\n\0x", "trace:13: expected text, found a zero byte"),
        (b"\x7fELF\x02\0\0\0" * 9, "trace:1: expected text, found a zero byte"),
    ],
)
def test_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as raised:
        read(tmp_path / "trace", data)
    assert re.search(message, str(raised.value))
    assert "\n" not in str(raised.value)


def test_line_without_end(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"trace:11: expected a line of text, found more than 65536 bytes"):
        read(tmp_path / "trace", TEXT + b"x" * (5 << 20))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x17\x08\x44tracing6\0",
        b"PERFILE2" + bytes(64),
        b"<!DOCTYPE html>\n<html>\n",
        b"            perf 11051 [000]  6477.891806:        csd:csd_function_exit: func=remote_function, csd=(nil)\n",
        b"perf 11051/11052 [000]  6477.891806:     250000 cpu-clock: \n\tffffffff810 native_safe_halt ([kernel])\n\n",
        b"swapper     0 6477.891806: cpu-clock:\n",
        gzip.compress(b"perf 11051 [000]  6477.891806:     csd:csd_function_exit: func=remote_function\n"),
        b"\x1f\x8b damaged",
        b"plain words: with colons [1] 2.0: and more\n",
    ],
)
def test_sniff_leaves_others_alone(head: bytes) -> None:
    assert not sniff(Path(), head)


def test_damage_anywhere(tmp_path: Path) -> None:
    """Bytes changed, dropped and repeated: rows or one line, never another exception."""
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(TEXT)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.choice(b"\xff\n\t (){}[]<>=:;,-+|/.019afx ")
                case 1:
                    del data[at : at + rng.randint(1, 20)]
                case 2:
                    data[at:at] = data[at : at + rng.randint(1, 60)]
                case 3:
                    data[at] ^= 1 << rng.randrange(8)
        try:
            read(tmp_path / "trace", bytes(data))
        except RecordingError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "line",
    [
        b" " * 60_000,
        b"x-1 " * 15_000,
        b" a-1 [000] 1.0: sched_switch: prev_comm=" + b"x prev_pid=0 prev_prio=1 prev_state=R ==> next_comm=" * 1000,
        b" a-1 [000] 1.0: e: b=1 c=2 d=3 e=4 f=5" + b" c= d= e=" * 6000,
        b" a-1 [000] 1.0: e: " + b"=" * 60_000,
        b" a-1 [000] 1.0: sys_x(" + b"a: 1, " * 10_000,
        b" a-1 [000] 1.0: ipi_raise: target_mask=" + b"0," * 30_000 + b" (",
    ],
)
def test_no_line_takes_long(line: bytes, tmp_path: Path) -> None:
    """Twenty lines of 60 KB that nearly match, in less than ten seconds (a second each would be far more)."""
    started = time.process_time()
    read(tmp_path / "trace", b" a-1 [000] 1.0: e: b=1 c=2 d=3 e=4 f=5\n" + (line + b"\n") * 20)
    assert time.process_time() - started < 10
