"""Recordings that hypothesis draws: pages of any content in a sound file, texts of a reader's own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import hypothesis
import perf_data_files as perf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from trace_dat_files import MISSED, MISSED_STORED, File, Machine

from fuzz.plan import Input, Modes
from fuzz.seeds import VERSIONS, Seed, written

_TEXTS: Final = ("ftrace-text", "perf-script", "json-lines", "systrace-html")
_WORDS: Final = (
    "# tracer: nop\n", "# tracer: function_graph\n", "cpus=4\n", "\n", " ", "  ", "bash-12", "<idle>-0", "<...>-7",
    "[003]", "(  12)", "d..2.", "....", "100.000001:", "7.5:", "12:", "sched_switch:", "sys_read(", "fd: 3", ")", "{",
    "}", "};", " 0)", "0.5 us", "|", "  f();", "prev_comm=a b", "==>", "x=1", "x=0xffffffffffffffffff",
    "CPU:1 [LOST 3 EVENTS]\n", " => do_exit\n", "perf 12/13", "PERF_RECORD_COMM: a:1/2\n", "1 page-faults:",
    "\t ffff f+0x1 (lib)\n",
    '{"ts": 1, "event": "a"', ', "b": ', "[1, 2]", '"0x1"', "null", "1e999", "}\n", '{"type": "printf", "data": "',
    "<html><body><script>", "</script>",
)  # fmt: skip


def run(job: int, count: int, read: Callable[[Input], None]) -> None:
    """Hand `count` drawn inputs to `read`; they follow from the number `job`."""

    @hypothesis.seed(job)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        format, content = data.draw(st.one_of(_trace_dats(), _perf_data(), _texts()))
        modes = data.draw(st.builds(Modes, *[st.booleans()] * 4, st.sampled_from((None, format))))
        read(Input(0, Seed(f"drawn/{format}", format, {"": content}), {"": content}, "drawn", modes, None))

    draw()


def _numbers(bits: int) -> st.SearchStrategy[int]:
    edges = st.sampled_from((0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1))
    return st.one_of(st.integers(0, min(64, 2**bits - 1)), st.integers(0, 2**bits - 1), edges)


@st.composite
def _pages(draw: Any, m: Machine) -> bytes:
    """A page of sound and unsound events: type, time and length of any value, in a page of any commit word."""
    parts = list[bytes]()
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 5))
        if kind == 0:
            parts.append(m.word(draw(st.integers(0, 31)), draw(_numbers(27))) + m.pack("I", draw(_numbers(32))))
        elif kind == 1:
            parts.append(m.event(draw(_numbers(27)), m.pack("H", draw(_numbers(16))) + draw(st.binary(max_size=40))))
        elif kind == 2:
            parts.append(m.stamp(draw(_numbers(59))))
        elif kind == 3:
            parts.append(m.extend(draw(_numbers(59))))
        else:
            parts.append(m.wake(draw(st.integers(0, 50)), draw(st.integers(0, 3)), draw(st.binary(max_size=8))))
    data = b"".join(parts)[: m.page_bytes - 32]
    flags = draw(st.sampled_from((0, 0, 0, MISSED, MISSED | MISSED_STORED, MISSED_STORED)))
    page = m.page(draw(st.one_of(st.integers(0, 10**9), _numbers(64))), data, flags, draw(_numbers(32)))
    if draw(st.integers(0, 5)) == 0:
        page = page[:8] + m.pack("I", draw(_numbers(32))) + page[12:]
    return page


@st.composite
def _trace_dats(draw: Any) -> tuple[str, bytes]:
    m = Machine(draw(st.booleans()), draw(st.sampled_from((4, 8))), draw(st.sampled_from((1024, 4096))))
    cpus = draw(st.dictionaries(st.integers(0, 5), st.lists(_pages(m), max_size=3), min_size=1, max_size=3))
    instances = {"": cpus}
    if draw(st.booleans()):
        instances[draw(st.sampled_from(("one", "x\x1b")))] = {0: draw(st.lists(_pages(m), max_size=2))}
    clock = draw(st.sampled_from((b"local", b"x86-tsc", b"", b"\xff")))
    stats = tuple(
        draw(
            st.lists(
                st.sampled_from(("CPU: 0\noverrun: 5\n", "CPU: 99999999999\n", "Buffer: one\n", "\xff")), max_size=2
            )
        )
    )
    return "trace.dat", written(File(m, instances, stats, clock), draw(st.sampled_from(VERSIONS)))


@st.composite
def _perf_data(draw: Any) -> tuple[str, bytes]:
    m = perf.Machine(draw(st.booleans()))
    bits = draw(st.integers(0, (1 << 20) - 1))
    event = perf.Event(
        draw(st.integers(0, 5)), draw(_numbers(64)), bits, draw(st.integers(0, 31)), draw(_numbers(64)),
        ids=tuple(draw(st.lists(_numbers(64), min_size=1, max_size=2))), name=draw(st.text(max_size=8)),
    )  # fmt: skip
    parts = list[bytes]()
    for _ in range(draw(st.integers(0, 10))):
        if draw(st.booleans()):
            parts.append(m.record(draw(st.integers(0, 90)), draw(st.binary(max_size=80)), draw(_numbers(16))))
        else:
            raw = draw(st.sampled_from((b"", m.wake(1), b"x")))
            parts.append(m.sample(event, draw(_numbers(63)), chain=draw(st.lists(_numbers(64), max_size=2)), raw=raw))
    file = perf.File(m, (event, perf.WAKES), b"".join(parts), draw(st.sampled_from((b"", m.tracing_data()))))
    return "perf.data", file.pipe() if draw(st.booleans()) else file.file()


@st.composite
def _texts(draw: Any) -> tuple[str, bytes]:
    words = draw(st.lists(st.one_of(st.sampled_from(_WORDS), st.text(max_size=6)), min_size=1, max_size=60))
    return draw(st.sampled_from(_TEXTS)), "".join(words).encode("utf-8", "surrogatepass")
