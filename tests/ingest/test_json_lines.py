"""JSON lines: keys, kinds of values, what is refused and counted, bpftrace's wrapping, windows, damage."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_captures import ROOT

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest import ftrace_text, json_lines, perf_script
from fastgup_trace.ingest.records import Recording, Wanted, Window
from fastgup_trace.ingest.whole_lines import CUT


def read(
    folder: Path, text: str | bytes, wanted: Wanted | None = None, strict: bool = False
) -> tuple[Recording, list[Window]]:
    path = folder / "events.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    recording = json_lines.open_json_lines(path, wanted=wanted, strict=strict)
    return recording, list(recording.windows)


def lines(*objects: object) -> str:
    return "".join(json.dumps(found) + "\n" for found in objects)


def column(windows: list[Window], event: str, name: str) -> list[Any]:
    return [value for window in windows if event in window.events for value in window.events[event][name].to_pylist()]


def own(window: Window, event: str) -> list[str]:
    return [name for name in window.events[event].schema.names if not name.startswith("common_")]


def test_a_record(tmp_path: Path) -> None:
    text = (
        '{"ts": 1000002003, "event": "tlb_flush", "cpu": 3, "pid": 42, "comm": "a b", "pages": 1, "start": "0x7f00"}\n'
    )
    recording, (window,) = read(tmp_path, text)
    assert window.events["tlb_flush"].to_pylist() == [
        {"common_seq": 0, "common_ts_ns": 1_000_002_003, "common_cpu": 3, "common_pid": 42, "common_flags": None,
         "pages": 1, "start": 0x7F00}
    ]  # fmt: skip
    assert (window.counts, window.undecodable) == ({"tlb_flush": 1}, {})
    assert (recording.comms, recording.tgids, recording.format) == ({42: "a b"}, {}, "JSON lines")


def test_only_time_and_event_are_needed(tmp_path: Path) -> None:
    _, (window,) = read(tmp_path, '\n{"event":"x","ts":-5}\n \n')
    row = window.events["x"].to_pylist()[0]
    assert (row["common_ts_ns"], row["common_cpu"], row["common_pid"]) == (-5, -1, None)


@pytest.mark.parametrize(
    ("keys", "thread", "tgid"),
    [
        ({"pid": 7}, 7, None),
        ({"pid": 7, "tid": 8}, 8, 7),  # as bpftrace's builtins pid and tid
        ({"tid": 8}, 8, None),
        ({"pid": 8, "tgid": 7}, 8, 7),
        ({"pid": "7"}, None, None),
        ({"pid": 2**40}, None, None),
    ],
)
def test_threads(tmp_path: Path, keys: dict[str, Any], thread: int | None, tgid: int | None) -> None:
    recording, windows = read(tmp_path, lines({"ts": 1, "event": "x", **keys}))
    assert column(windows, "x", "common_pid") == [thread]
    assert recording.tgids == ({} if tgid is None else {thread: tgid})


def test_a_field_called_as_a_common_key(tmp_path: Path) -> None:
    """ipi_send_cpu has a `cpu`, sched_wakeup a `comm` and a `pid`: then the common ones are written common_*."""
    text = lines({"ts": 1, "event": "sched_wakeup", "common_cpu": 0, "common_pid": 5, "common_comm": "me",
                  "cpu": 3, "pid": 6, "comm": "other"})  # fmt: skip
    recording, windows = read(tmp_path, text)
    (row,) = windows[0].events["sched_wakeup"].to_pylist()
    assert (row["common_cpu"], row["common_pid"], row["cpu"], row["pid"], row["comm"]) == (0, 5, 3, 6, "other")
    assert recording.comms == {5: "me"}


BIG = 2**64 - 1
KINDS: list[tuple[list[Any], str, list[Any]]] = [
    ([1, None, -3], "int64", [1, None, -3]),
    ([1, 2**63], "uint64", [1, 2**63]),
    ([BIG, -1], "uint64", [BIG, BIG]),
    (["0xff", "0xFFFFFFFFFFFFFFFF"], "uint64", [255, BIG]),
    (["0xff", 3], "uint64", [255, 3]),
    ([3, "0xff"], "int64", [3, 255]),
    ([True, False], "int64", [1, 0]),
    ([1.5, 2], "double", [1.5, 2.0]),
    (["a", None, "0xff"], "dictionary<values=string, indices=int32, ordered=0>", ["a", None, "0xff"]),
    (["a", 5], "dictionary<values=string, indices=int32, ordered=0>", ["a", "5"]),
    (["2024-01-01"], "dictionary<values=string, indices=int32, ordered=0>", ["2024-01-01"]),
    (["\ud800"], "dictionary<values=string, indices=int32, ordered=0>", ["?"]),
    ([[1, BIG], [], None], "list<item: uint64>", [[1, BIG], [], None]),
    ([["0x10", 2]], "list<item: uint64>", [[16, 2]]),
]


@pytest.mark.parametrize(("values", "kind", "expected"), KINDS)
def test_kinds(tmp_path: Path, values: list[Any], kind: str, expected: list[Any]) -> None:
    _, windows = read(tmp_path, lines(*({"ts": n, "event": "x", "v": value} for n, value in enumerate(values))))
    assert str(windows[0].events["x"].schema.field("v").type) == kind
    assert column(windows, "x", "v") == expected
    assert windows[0].undecodable == {}


REFUSED: list[tuple[list[Any], dict[str, Any], dict[str, int]]] = [
    ([1, {"a": 2}], {"v": [1, None]}, {"x.v: a value is an object": 1}),
    ([{"a": 2}], {}, {"x.v: a value is an object": 1}),
    (["a", {"a": 2}], {"v": ["a", None]}, {"x.v: a value is an object": 1}),
    ([[1], ["a"], [-1], [[1]], 5],
     {"v": [[1], None, None, None, None]}, {"x.v: a list of something else than integers of 64 bits": 4}),
    ([1, 2**64, 1.5],
     {"v": [1, None, None]}, {"x.v: an integer that does not fit 64 bits, or a fraction among integers": 2}),
    ([1, "word", 3], {"v": [1, None, 3], "v.text": [None, "word", None]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("values", "columns", "reasons"), REFUSED)
def test_what_does_not_fit_its_column(
    tmp_path: Path, values: list[Any], columns: dict[str, Any], reasons: dict[str, int]
) -> None:
    _, (window,) = read(tmp_path, lines(*({"ts": n, "event": "x", "v": value} for n, value in enumerate(values))))
    assert own(window, "x") == list(columns)
    assert {name: column([window], "x", name) for name in columns} == columns
    assert window.undecodable == reasons
    assert window.counts == {"x": len(values)}


def test_bad_lines_are_counted_with_their_reason(tmp_path: Path) -> None:
    bad = ['{"ts": 1.5, "event": "x"}', '{"ts": "1", "event": "x"}', '{"ts": true, "event": "x"}', '{"event": "x"}',
           '{"ts": 9223372036854775808, "event": "x"}', '{"ts": 1}', '{"ts": 1, "event": 5}', "[1]", "hello",
           '{"ts": 1,', "[" * 5000, '{"ts": 1' + "0" * 5000 + "}",
           '{"ts":1,"event":"x"},{"ts":1,"event":"x"}']  # fmt: skip
    _, (window,) = read(tmp_path, "\n".join(['{"ts": 1, "event": "x"}', *bad, '{"ts": 2, "event": "x"}', ""]))
    assert window.counts == {"x": 2}
    assert window.undecodable == {
        json_lines.NO_TIME: 5, json_lines.NO_EVENT: 2, json_lines.NO_OBJECT: 6
    }  # fmt: skip


DATA = '{\\"ts\\": 1%d, \\"event\\": \\"do_exit\\", \\"pid\\": 5, \\"tid\\": 6, \\"code\\": %d}\\n'
EXIT = '{"type": "printf", "data": "' + DATA + '"}'
BPFTRACE = f"""\
{{"type": "attached_probes", "data": {{"probes": 1}}}}
{EXIT % (1, 0)}
{{"type": "lost_events", "data": {{"events": 12}}}}
{{"type": "printf", "data": "hello\\n"}}
{{"type": "map", "data": {{"@": 5}}}}
{EXIT % (2, 9)}
"""


def test_bpftraces_own_json(tmp_path: Path) -> None:
    """-f json writes each printf as text within an object (src/output.cpp of bpftrace 0.17)."""
    path = tmp_path / "a"
    assert json_lines.sniff(path, BPFTRACE.encode())
    recording, windows = read(tmp_path, BPFTRACE)
    assert windows[0].counts == {"do_exit": 2}
    assert windows[0].undecodable == {json_lines.NO_OBJECT: 1, "bpftrace's 'map' is no record": 1}
    assert column(windows, "do_exit", "code") == [0, 9]
    assert column(windows, "do_exit", "common_pid") == [6, 6]
    assert recording.tgids == {6: 5}
    assert [(loss.cpu, loss.ts_ns, loss.count) for loss in recording.losses] == [(-1, 11, 12)]


def test_bpftraces_first_line_is_no_record(tmp_path: Path) -> None:
    text = "Attaching 2 probes...\n" + lines({"ts": 1, "event": "x"})
    assert json_lines.sniff(tmp_path / "a", text.encode())
    _, (window,) = read(tmp_path, text)
    assert (window.counts, window.undecodable) == ({"x": 1}, {})


def test_the_example_of_the_page_on_formats(tmp_path: Path) -> None:
    """docs/FORMATS.md: the indented lines under `json-lines`, up to the table of keys."""
    page = (ROOT / "docs" / "FORMATS.md").read_text().split("## json-lines\n")[1].split("| key |")[0]
    recording, (window,) = read(tmp_path, "".join(line[4:] for line in page.splitlines(True) if line[:5] == "    {"))
    assert [row for name in ("tlb_flush", "call_rcu") for row in window.events[name].to_pylist()] == [
        {"common_seq": 0, "common_ts_ns": 6477891806123, "common_cpu": 0, "common_pid": 11051, "common_flags": None,
         "pages": 1, "reason": 3},
        {"common_seq": 1, "common_ts_ns": 6477891807200, "common_cpu": 1, "common_pid": 12, "common_flags": None,
         "head": 0xFFFF8881003864B8, "func": "tlb_remove_table_rcu"},
    ]  # fmt: skip
    assert (recording.comms, recording.tgids) == ({11051: "perf"}, {12: 10})


def test_only_wanted(tmp_path: Path) -> None:
    text = lines({"ts": 1, "event": "a", "x": 1, "y": 2}, {"ts": 2, "event": "b", "x": 1})
    _, (window,) = read(tmp_path, text, {"a": frozenset({"y"})})
    assert (list(window.events), own(window, "a"), window.counts) == (["a"], ["y"], {"a": 1, "b": 1})


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 300)
    monkeypatch.setattr(json_lines, "WINDOW_RECORDS", 20)


def test_order_and_types_over_windows(tmp_path: Path, small_windows: None) -> None:
    """Windows follow each other in time; what was a number in the first one stays a number."""
    objects = [
        {"ts": n, "event": "ab"[n % 2], "cpu": 0, "n": n if n < 200 else hex(n), "s": f"s{n % 3}"} for n in range(400)
    ]
    _, windows = read(tmp_path, lines(*objects))
    assert len(windows) > 10
    for event in "ab":
        times = column(windows, event, "common_ts_ns")
        assert times == sorted(times)
        assert column(windows, event, "n") == times
        assert column(windows, event, "s") == [f"s{time % 3}" for time in times]
    seqs = sorted(column(windows, "a", "common_seq") + column(windows, "b", "common_seq"))
    assert seqs == list(range(400))


def test_a_window_before_the_one_before(tmp_path: Path, small_windows: None) -> None:
    _, windows = read(tmp_path, lines(*({"ts": n, "event": "x"} for n in [*range(100, 200), 5, *range(201, 210)])))
    times = column(windows, "x", "common_ts_ns")
    assert times == sorted(times)
    reasons = {reason: count for window in windows for reason, count in window.undecodable.items()}
    assert reasons == {"earlier than the window before: its time is set to that window's end": 1}


def test_zeros_at_the_end_are_told(tmp_path: Path, small_windows: None) -> None:
    text = lines(*({"ts": n, "event": "x"} for n in range(500)))
    recording, windows = read(tmp_path, text + "\0" * 5000)
    assert 480 < sum(window.counts.get("x", 0) for window in windows) <= 500
    assert len(recording.damage) == 1
    with pytest.raises(RecordingError, match="zero"):
        read(tmp_path, text + "\0" * 5000, strict=True)


def test_limits(tmp_path: Path) -> None:
    wide = [{"ts": n, "event": "x", **{f"f{n}_{i}": i for i in range(100)}} for n in range(4)]
    many = [{"ts": 9, "event": f"e{n}"} for n in range(10_100)]
    _, (window,) = read(tmp_path, lines(*wide, *many))
    assert len(own(window, "x")) == 256
    assert len(window.counts) == 10_000
    assert window.undecodable == {"x: more than 256 fields": 2, "more than 10,000 names of events": 101}


def test_a_cut_line(tmp_path: Path) -> None:
    text = lines({"ts": 1, "event": "x"}, {"ts": 2, "event": "x"})
    recording, (window,) = read(tmp_path, text[:-4])
    assert (window.counts, window.undecodable) == ({"x": 1}, {CUT: 1})
    assert [error.where for error in recording.damage] == [f"{tmp_path}/events.jsonl:2"]
    with pytest.raises(RecordingError, match=r"events\.jsonl:2"):
        read(tmp_path, text[:-4], strict=True)
    recording, (window,) = read(tmp_path, text[:-1])  # Only the newline is missing: an object that ends is whole.
    assert (window.counts, recording.damage) == ({"x": 2}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "hello\n",
        "{}\n",
        '{"traceEvents": []}\n',
        "[1]\n",
        '{"ts": 1, "event": "x"',
        "# tracer: nop\n",
        '"a"\n',
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    assert not json_lines.sniff(tmp_path / "a", text.encode())
    with pytest.raises(RecordingError, match="expected lines such as"):
        read(tmp_path, text)


def test_recognised_by_content(tmp_path: Path) -> None:
    head = lines({"ts": 1, "event": "x", "pages": 1}).encode()
    for text in (head, gzip.compress(head), b"\n\n" + head):
        assert [kind.sniff(tmp_path / "a", text) for kind in (json_lines, ftrace_text, perf_script)] == [
            True,
            False,
            False,
        ]
    _, windows = read(tmp_path, gzip.compress(head))
    assert windows[0].counts == {"x": 1}


_VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.lists(st.integers(0, 2**64 - 1), max_size=3), st.none()
)


@given(st.lists(st.fixed_dictionaries({
    "ts": st.integers(-(2**61), 2**61), "event": st.sampled_from(["a", "b c", "é"]), "cpu": st.integers(0, 8191),
    "pid": st.integers(0, 2**22), "i": st.integers(-(2**63), 2**63 - 1), "s": st.text(max_size=9),
    "l": st.lists(st.integers(0, 2**64 - 1), max_size=3),
}), min_size=1, max_size=20))  # fmt: skip
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]) -> None:
    """Python's json writes, the reader reads: each event's records sorted by time, cpu, line."""
    objects = [{**found, "s": "s" + found["s"]} for found in objects]
    _, windows = read(tmp_path_factory.mktemp("json"), lines(*objects))
    order = sorted(range(len(objects)), key=lambda n: (objects[n]["ts"], objects[n]["cpu"], n))
    rows = sorted(
        (row for table in windows[0].events.values() for row in table.to_pylist()), key=lambda r: r["common_seq"]
    )
    assert [
        {"ts": r["common_ts_ns"], "cpu": r["common_cpu"], "pid": r["common_pid"], **{k: r[k] for k in "isl"}}
        for r in rows
    ] == [{k: v for k, v in objects[n].items() if k != "event"} for n in order]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["ts", "event", "cpu", "pid", "comm", "v", "type", "data"]),
            _VALUES | st.floats() | st.booleans(),
        ),
        max_size=9,
    )
)
def test_any_objects(tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]) -> None:
    """Every line is a record or counted, whatever its values are."""
    _, (window,) = read(tmp_path_factory.mktemp("json"), lines({"ts": 0, "event": "x"}, *objects))
    bad = sum(
        window.undecodable.get(reason, 0) for reason in (json_lines.NO_EVENT, json_lines.NO_TIME, json_lines.NO_OBJECT)
    )
    wrapped = [found for found in objects if {"type", "data"} <= found.keys() and not {"ts", "event"} & found.keys()]
    assert sum(window.counts.values()) + bad >= 1 + len(objects) - len(wrapped)


def test_no_mutation_gives_a_traceback(tmp_path: Path) -> None:
    text = (
        BPFTRACE + lines(*({"ts": n, "event": "x", "v": v} for values, *_ in KINDS for n, v in enumerate(values)))
    ).encode()
    chance = random.Random(1)
    read_through = 0
    for _ in range(300):
        mutant = bytearray(text)
        for _ in range(chance.randrange(1, 9)):
            at = chance.randrange(len(mutant))
            if chance.randrange(2):
                mutant[at] = chance.choice(b'\n\t {}[]":,09-e\\\xff')
            else:
                mutant[at : at + chance.randrange(40)] = chance.choice(
                    [b"", b"9" * 30, b"[[[", b'{"a":', b"1e999", b"NaN"]
                )
        try:
            _, windows = read(tmp_path, bytes(mutant))
            read_through += bool(windows[0].counts)
        except RecordingError as error:
            assert "\n" not in str(error)
    assert read_through > 200
