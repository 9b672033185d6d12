"""Tables that are written as their rows come are the tables written at once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgup_trace.table_files import Aside, TableFile, read_table

WORDS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d", ""])), max_size=6)


def table(words: list[str | None]) -> pa.Table:
    return pa.table({"n": range(len(words)), "word": pa.array(words, pa.string()).dictionary_encode()})


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_dictionaries_grow_and_rows_stay(batches: list[list[str | None]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.arrow"
        file = TableFile(path)
        for words in batches:
            file.append(table(words))
        file.close()
        rows = [word for words in batches for word in words]
        assert file.rows == len(rows)
        assert (read_table(path)["word"].to_pylist() if rows else []) == rows


def test_a_new_or_wider_column_is_null_or_wider_before(tmp_path: Path) -> None:
    file = TableFile(tmp_path / "t.arrow", {"event": "x"})
    file.append(pa.table({"n": pa.array([1], pa.int32()), "word": pa.array(["a"]).dictionary_encode()}))
    file.append(pa.table({"n": pa.array([1 << 40]), "more": [2]}))
    file.close()
    found = read_table(tmp_path / "t.arrow")
    assert found.to_pylist() == [{"n": 1, "word": "a", "more": None}, {"n": 1 << 40, "word": None, "more": 2}]
    assert found.schema.metadata == {b"event": b"x"}
    assert [path.name for path in tmp_path.iterdir()] == ["t.arrow"]
    with pytest.raises(pa.ArrowTypeError):
        other = TableFile(tmp_path / "u.arrow")
        other.append(pa.table({"n": [1]}))
        other.append(pa.table({"n": ["x"]}))


def test_what_is_put_aside_comes_back(tmp_path: Path) -> None:
    aside = Aside(tmp_path)
    sets = [{"a": table(["x", None]), "b": table([])}, {}, {"a": table(["y"])}]
    for tables in sets:
        aside.put(tables)
    assert [{name: t.to_pylist() for name, t in found.items()} for found in aside] == [
        {name: t.to_pylist() for name, t in tables.items()} for tables in sets
    ]
