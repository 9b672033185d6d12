"""`fastgup-trace formats` lists what is registered, all of it."""

from __future__ import annotations

import json

import pytest

from fastgup_trace import cli
from fastgup_trace.ingest.formats import FORMATS
from fastgup_trace.probes.catalog import PROBES


def test_every_format_and_every_probe_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["formats"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for known in FORMATS:
        assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(known.name)] == [known.recognised_by]
    rows = [tuple(line.split()[:2]) for line in lines]
    for probe in PROBES:
        assert (probe.table, probe.event) in rows
    (walk,) = (line for line in lines if "gup_fast_fallback_ret" in line)
    assert walk.split(maxsplit=2) == ["walk", "gup_fast_fallback_ret", walk[walk.index("end_ns") :]]
    assert walk.endswith("6.12 kretprobe")


def test_probes_stand_in_columns_under_their_table(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["formats"])
    lines = capsys.readouterr().out.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("table "))
    rows = lines[header + 1 : header + 1 + len(PROBES)]
    tables = [row.split()[0] for row in rows]
    assert tables == sorted(tables, key=list(dict.fromkeys(tables)).index), "each table in one block"
    assert {row.index(row.split()[1], len(row.split()[0])) for row in rows} == {lines[header].index("event")}
    assert max(map(len, lines)) <= 140


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["formats", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["formats"]] == [known.name for known in FORMATS]
    assert all(one["recognised_by"] for one in found["formats"])
    assert len(found["probes"]) == len(PROBES)
    assert {tuple(one) for one in found["probes"]} == {("event", "needs", "table", "tells", "kernels")}
    (switch,) = (one for one in found["probes"] if one["event"] == "sched_switch")
    assert (switch["table"], switch["needs"]) == ("sched", ["prev_pid", "next_pid", "prev_state"])


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["formats", "--help"]) == 0
    assert "example: `fastgup-trace formats" in " ".join(capsys.readouterr().out.split())
