"""Machine code and regular expressions on drawn text: the same records, columns and complaints."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ftrace_texts import read
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.ftrace_text.decode import Decoder, event_of
from fastgup_trace.ingest.ftrace_text.lines import Header, parse_lines
from fastgup_trace.ingest.ftrace_text.patterns import EVENT_PATTERNS
from fastgup_trace.ingest.ftrace_text.scan import scan_lines
from fastgup_trace.ingest.ftrace_text.spans import spans_of

PIECES = st.sampled_from(
    [
        b" ", b"  ", b"-", b"a", b"bash", b"<...>", b"<idle>", b"12", b"0", b"[001]", b"(  7)", b"(---)", b"d..1.",
        b"1.000002", b"99999999999", b".", b":", b": ", b"sched_switch: ", b"do_exit <-", b"sys_clone -> ", b"sys_x(",
        b"<stack trace>", b"<user stack trace >", b" => f\n", b"=> g (ffffffff81000000)\n", b"function: f <-- g",
        b"function:  ip=a parent_ip=", b"f [mod] <-", b"CPU:1 [LOST 3 EVENTS]", b"# tracer: nop", b"\n", b"\xff", b"\t",
        b"9223372036854775808", b"2147483648", b"3d..1.", b" x-12 [001] d..1. 1.000002: ",
    ]
)  # fmt: skip
LINES = st.sampled_from(
    [
        b"  bash-12 [001] d..1. 1.000002: ", b"  bash-12 [001] d..1. 10.000002: ", b"  bash-12 [001] d..1. 2.3: ",
        b"  a-1 x-22 3d..1. 5: ", b"  bash-12 [001] d..1. 1-2: ", b"bash-12 (  7) [001] 1.000002: ", b"\nsome words ",
        b"  bash-12 [001] d..1. : ", b"  bash-7 [001] d..1. 1.000002: ",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        b"sched_switch: a\n", b"sched_switch:  a\n", b"sched_switch: \n", b"function:  f <-- g\n", b"function: (x\n",
        b"ipi_exit: (x)\n", b"function:  f <--  g\n", b"f [mod]: x\n", b"sys_clone -> 0x1\n", b"sys_clone ->  1\n",
        b"<stack trace>\n", b"<stack: x\n", b"sched_switch_and_more: a\n", b"sched_switch\n",
    ]
)  # fmt: skip
SIMILAR = st.lists(st.tuples(LINES, KEYS).map(b"".join), max_size=12).map(lambda lines: b"".join(lines) + b"\n" * 20)
TEXTS = st.lists(PIECES, max_size=40).map(lambda parts: b"".join(parts) + b"\n")


@given(st.one_of(TEXTS, SIMILAR))
@settings(deadline=None, max_examples=600)
def test_lines(text: bytes) -> None:
    one, other = Header(), Header()
    expected, found = parse_lines(text, one), scan_lines(text, other)
    assert other == one
    for column in ("ts_ns", "cpu", "pid", "flags"):
        assert getattr(found, column).tolist() == getattr(expected, column).tolist(), column
    assert [found.keys[code] for code in found.codes] == [expected.keys[code] for code in expected.codes]
    assert found.bodies.tolist() == expected.bodies.tolist()
    assert (found.others, found.tasks, found.fraction_digits) == (
        expected.others, expected.tasks, expected.fraction_digits,
    )  # fmt: skip
    assert (found.frames is None) == (expected.frames is None)
    if found.frames and expected.frames:
        assert found.frames.before.tolist() == expected.frames.before.tolist()
        assert found.frames.spans.tolist() == expected.frames.spans.tolist()


def test_more_lines_than_bytes_let_expect() -> None:
    text = b"\n" * 5000 + b" x-12 [001] d..1. 1.000002: e: x=1\n" + b"a\n" * 300
    found = scan_lines(text, Header())
    assert (len(found), len(found.others)) == (1, 300)


WORDS = st.sampled_from(
    [
        "1", "-1", "0", "-0", "00000000000000ff", "00000000deadbeef", "deadbeef", "0x1f", "0x", "(nil)", "(null)",
        "(____ptrval____)", "true", "false", "12 [ns]", "8B", "do_exit", "do_exit+0x10/0x80", "f+0x1 [mod]", "a b",
        "18446744073709551615", "18446744073709551616", "-9223372036854775808", "9" * 20, "f" * 17, "", " ", '"x y"',
        "ARRAY[01, 02]", "00000000,0000000f", "R+", "pte", "x=1", "b=2 a=", "1,2", "0-3", "(f+0x0/0x8)", "(a <- b+0x1)",
    ]
)  # fmt: skip
EVENTS = st.sampled_from(["e", "k", "sys_enter_mmap", *EVENT_PATTERNS])


@given(EVENTS, st.lists(st.lists(st.tuples(st.sampled_from(["a", "b", "comm", "ip"]), WORDS), max_size=4), max_size=6))
@settings(deadline=None, max_examples=300)
def test_bodies_that_are_guessed(event: str, records: list[list[tuple[str, str]]]) -> None:
    bodies = [" ".join(f"{name}={word}" for name, word in record) for record in records]
    _same([f" x-1 [000] ..... 1.{n:06}: {event}: {body}" for n, body in enumerate(bodies)])


@given(EVENTS, st.data())
@settings(deadline=None, max_examples=300)
def test_bodies_of_known_events(event: str, data: st.DataObject) -> None:
    """The pattern's own text with drawn words in its fields."""
    lines = []
    for n in range(data.draw(st.integers(1, 4))):
        shape = data.draw(st.sampled_from(EVENT_PATTERNS.get(event, ("a={a:d} b={b:s}",))))
        parts = [part.rpartition("}") for part in shape.split("{")]
        body = "".join((data.draw(WORDS) if brace else "") + rest for _, brace, rest in parts)
        lines.append(f" x-1 [000] ..... 1.{n:06}: {event}: {body}")
    _same(lines)


def _same(lines: list[str]) -> None:
    """`ftrace_texts.read` compares all that the two ways give."""
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(line.replace("\n", " ") + "\n" for line in [*lines, " x-1 [000] ..... 2.000000: last: x=1"])
        result = read(Path(folder), text)
        assert sum(result.counts.values()) == len(lines) + 1


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=300)
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = b" x-1 [000] ..... 1.000000: e: x=1\n" + data
        try:
            read(Path(folder), text)
        except RecordingError as error:
            assert "\n" not in str(error)


def test_a_body_that_takes_too_long_is_left_to_the_regular_expression() -> None:
    """Thousands of places where a name could end: both say that it fits no known shape, and how they guess."""
    body = b"prev_comm=" + b"x prev_pid=1 prev_prio=1 prev_state=R ==> next_comm=" * 300
    found = []
    for compiled in (False, True):
        words = Decoder(compiled=compiled).words(event_of(b"sched_switch: "), spans_of([body]), None)
        found.append([(name, kind, np.asarray(rows).tolist(), len(part)) for name, kind, rows, part in words])
    assert found[0] == found[1] != []
