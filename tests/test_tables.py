"""Captures and outcomes on disk: what is written is read, whole or not at all, and nothing else is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from handmade import capture, munmap
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgup_trace.errors import CaptureError, SchemaError
from fastgup_trace.schema import TABLES, conform
from fastgup_trace.tables import Capture, read_capture, write_capture, write_file

texts = st.text(st.characters(codec="utf-8"), max_size=12)
operations = st.fixed_dictionaries(
    {
        "address": st.none() | st.integers(0, 2**64 - 1),
        "op": st.none() | texts,
        "result": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(operations, max_size=8))
def test_a_capture_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("captures") / "one"
    made = capture(vma_op=[{"ms": n, **row} for n, row in enumerate(rows)])
    write_capture(folder, made)
    again = read_capture(folder)
    assert again.provenance == made.provenance
    for name in TABLES:
        assert again[name].to_pylist() == made[name].to_pylist()
        assert again[name].schema == TABLES[name]


def test_what_exists_is_replaced_only_by_force_and_only_if_it_is_a_capture(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write_capture(folder, capture())
    with pytest.raises(CaptureError, match="--force"):
        write_capture(folder, capture())
    write_capture(folder, capture(**munmap(1, 3)), force=True)
    assert len(read_capture(folder)["table_free"]) == 3
    other = tmp_path / "home"
    other.mkdir()
    (other / "letters.txt").write_text("dear")
    (other / "package.json").write_text("{}")
    with pytest.raises(CaptureError, match="something else"):
        write_capture(other, capture(), force=True)
    assert (other / "letters.txt").read_text() == "dear"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "one"
    write_capture(folder, capture(**munmap(1, 3)))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastgup_trace.table_files.TableFile.append", full)
    with pytest.raises(OSError, match="No space"):
        write_capture(folder, capture(**munmap(1, 5)), force=True)
    monkeypatch.undo()
    assert len(read_capture(folder)["table_free"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_file(page, "first")
    with pytest.raises(UnicodeEncodeError):
        write_file(page, "second \udc80")
    assert page.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "capture.json").write_text("{"), "JSON"),
        (lambda f: (f / "capture.json").write_text('{"version": 99}'), "version"),
        (lambda f: (f / "capture.json").unlink(), "no such file"),
        (lambda f: (f / "table_free.arrow").write_bytes(b"ARROW1"), "an Arrow file"),
    ],
)
def test_a_damaged_capture_is_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    folder = tmp_path / "one"
    write_capture(folder, capture(**munmap(1, 3)))
    damage(folder)
    with pytest.raises(CaptureError, match=message) as caught:
        read_capture(folder)["table_free"]
    assert "\n" not in str(caught.value)


def test_tables_that_do_not_fit_their_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="colour"):
        conform("thp", {"colour": pa.array(["red"])}, 1)
    made = capture(thp=[{"ms": 1, "kind": "collapse"}, {"ms": 2, "kind": "collapse"}])
    backwards = Capture(made.provenance, {**dict(made.tables), "thp": made["thp"].take(pa.array([1, 0]))})
    with pytest.raises(SchemaError, match="never decrease"):
        write_capture(tmp_path / "one", backwards)
