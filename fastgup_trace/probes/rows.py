"""Records as plain int64 columns: what the probes compute with, between a recording's events and a capture's tables.

Every column is an int64 array. A null is NULL. An address keeps its 64 bits (it turns negative above 2**63 and is
turned back on the way out). A string or a CPU mask is its code in `Words`, so it compares and sorts like a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fastgup_trace.schema import TABLES, TEXT, conform

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NULL: Final = int(np.iinfo(np.int64).min)
NO_MM: Final = -1
"""As a row's mm pointer: the record belongs to no address space, whoever it interrupted."""
HEAD: Final = ("seq", "ts_ns", "cpu", "tid")
MASK: Final = pa.list_(pa.uint64())


class Words:
    """The strings and CPU masks of one ingest, each with a code; a word that no record has gets one too."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.masks: list[tuple[int, ...]] = []
        self._text_codes: dict[str, int] = {}
        self._mask_codes: dict[tuple[int, ...], int] = {}
        self._bits = np.zeros(0, np.int64)

    def code(self, word: str) -> int:
        if word not in self._text_codes:
            self._text_codes[word] = len(self.texts)
            self.texts.append(word)
        return self._text_codes[word]

    def mask(self, mask: tuple[int, ...]) -> int:
        if mask not in self._mask_codes:
            self._mask_codes[mask] = len(self.masks)
            self.masks.append(mask)
        return self._mask_codes[mask]

    def codes(self, words: Iterable[str]) -> Ints:
        return np.array([self.code(word) for word in words], np.int64)

    def bits(self, codes: Ints) -> Ints:
        """How many CPUs each mask has; NULL for a NULL code."""
        more = [sum(word.bit_count() for word in mask) for mask in self.masks[len(self._bits) :]]
        self._bits = np.append(self._bits, np.array(more, np.int64))
        known = codes != NULL
        counts = np.full(len(codes), NULL)
        counts[known] = self._bits[codes[known]]
        return counts


@dataclass(frozen=True)
class Rows:
    """Rows in `seq` order: seq, ts_ns, cpu, tid and any other columns. A column it does not have reads as NULL."""

    columns: Mapping[str, Ints] = field(default_factory=lambda: {name: np.zeros(0, np.int64) for name in HEAD})

    def __len__(self) -> int:
        return len(self.columns["seq"])

    def __getitem__(self, name: str) -> Ints:
        return self.columns[name] if name in self.columns else np.full(len(self), NULL)

    @property
    def thread(self) -> Ints:
        """A key for the thread: its tid; the idle tasks, which share tid 0, have one key a CPU."""
        return np.where(self["tid"] > 0, self["tid"], -1 - self["cpu"])

    def at(self, name: str, index: Ints) -> Ints:
        """The column's values at `index`, NULL where the index is -1 (none)."""
        if not len(self):
            return np.full(len(index), NULL)
        return np.where(index >= 0, self[name][index], NULL)

    def take(self, index: npt.NDArray[Any]) -> Rows:
        return Rows({name: column[index] for name, column in self.columns.items()})

    def having(self, **columns: Ints | int) -> Rows:
        """The same rows with further or other columns."""
        full = {k: np.full(len(self), v) if isinstance(v, int) else v for k, v in columns.items()}
        return Rows({**self.columns, **full})


def stack(parts: Sequence[Rows]) -> Rows:
    """Rows of several kinds as one, in `seq` order."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Rows()
    names = dict.fromkeys(name for part in parts for name in part.columns)
    rows = Rows({name: np.concatenate([part[name] for part in parts]) for name in names})
    return rows if len(parts) == 1 else rows.take(np.argsort(rows["seq"], kind="stable"))


def to_ints(column: pa.ChunkedArray, words: Words) -> Ints:
    """An event's column as int64; strings and masks become codes of `words`."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column, kind = column.dictionary_encode(), pa.dictionary(pa.int32(), kind)
    if pa.types.is_dictionary(kind):
        array = column.unify_dictionaries().combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], kind)
        codes = np.append(words.codes(str(word) for word in array.dictionary.to_pylist()), NULL)
        found: Ints = codes[array.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)]
        return found
    if pa.types.is_list(kind):
        return _mask_codes(column, words)
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return np.full(len(column), NULL)
    missing = column.null_count
    values = (pc.fill_null(column, False if pa.types.is_boolean(kind) else 0) if missing else column).to_numpy()
    ints: Ints = values.astype(np.int64)
    if missing:
        ints[pc.is_null(column).to_numpy()] = NULL
    return ints


def _mask_codes(column: pa.ChunkedArray, words: Words) -> Ints:
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], column.type)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = int(lengths.max(initial=0))
    if not width:
        return np.full(len(lists), NULL)
    grid = np.zeros((len(lists), width), np.uint64)
    row = np.repeat(np.arange(len(lists)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    grid[row, place] = lists.flatten().to_numpy(zero_copy_only=False).astype(np.uint64)
    distinct, inverse = np.unique(grid, axis=0, return_inverse=True)
    codes = np.array([words.mask(_trim(mask)) for mask in distinct.tolist()], np.int64)[inverse.reshape(-1)]
    return np.where(lengths > 0, codes, NULL)


def elements(column: pa.ChunkedArray, count: int) -> list[Ints]:
    """The first `count` elements of each list, a column each; NULL where a list is shorter."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], column.type)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    start = np.cumsum(lengths) - lengths
    flat = np.append(lists.flatten().to_numpy(zero_copy_only=False).astype(np.uint64).view(np.int64), NULL)
    return [flat[np.where(lengths > place, start + place, -1)] for place in range(count)]


def _trim(mask: Sequence[int]) -> tuple[int, ...]:
    """A mask without its empty high words, of one word at least."""
    end = max((i + 1 for i, word in enumerate(mask) if word), default=1)
    return tuple(mask[:end])


def masks_of(values: Ints, words: Words) -> Ints:
    """Codes of masks that are one 64-bit word each."""
    distinct, inverse = np.unique(values, return_inverse=True)
    codes = np.array(
        [NULL if v == NULL else words.mask((v & 0xFFFF_FFFF_FFFF_FFFF,)) for v in distinct.tolist()], np.int64
    )
    return codes[inverse.reshape(-1)] if len(values) else values


class Dictionaries:
    """The dictionary of each text column of each table, which grows from part to part and never changes."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._codes = dict[tuple[str, str], list[int]]()
        self._places = dict[tuple[str, str], Ints]()

    def encode(self, table: str, column: str, values: Ints) -> pa.Array:
        """Codes of words as a dictionary array."""
        null = values == NULL
        constant = len(values) > 0 and int(values.min()) == int(values.max())
        used = np.unique(values[:1] if constant and not null[0] else values[~null])
        codes = self._codes.setdefault((table, column), [])
        places = self._places.get((table, column), np.zeros(0, np.int64))
        if len(places) < len(self._words.texts):
            places = np.append(places, np.full(len(self._words.texts) - len(places), -1))
        new = used[places[used] < 0]
        places[new] = len(codes) + np.arange(len(new))
        codes.extend(new.tolist())
        self._places[table, column] = places
        indices = np.where(null, 0, values)
        indices = np.where(null, 0, places[indices]) if len(places) else indices
        dictionary = pa.array([self._words.texts[code] for code in codes], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int32), mask=null), dictionary)


def to_table(name: str, rows: Rows, words: Words, dictionaries: Dictionaries | None = None) -> pa.Table:
    """`rows` as the capture table `name`; a row without `evidence` is observed."""
    dictionaries = dictionaries or Dictionaries(words)
    rows = rows.having(evidence=np.where(rows["evidence"] == NULL, words.code("observed"), rows["evidence"]))
    columns = {
        f.name: dictionaries.encode(name, f.name, rows[f.name])
        if f.type == TEXT
        else _from_ints(rows[f.name], f.type, words)
        for f in TABLES[name]
        if f.name in rows.columns or f.type == TEXT
    }
    return conform(name, columns, len(rows))


def _from_ints(values: Ints, kind: pa.DataType, words: Words) -> pa.Array:
    null = values == NULL
    if kind == MASK:
        used, codes = np.unique(values[~null], return_inverse=True)
        indices = np.zeros(len(values), np.int32)
        indices[~null] = codes.reshape(-1)
        return pa.array([words.masks[code] for code in used.tolist()], MASK).take(pa.array(indices, mask=null))
    if pa.types.is_boolean(kind):
        return pa.array(values != 0, mask=null)
    if kind == pa.uint64():
        return pa.array(values.view(np.uint64), mask=null)
    limit = np.iinfo(np.int32) if kind == pa.int32() else np.iinfo(np.int64)
    null = null | (values < limit.min) | (values > limit.max)
    return pa.array(np.where(null, 0, values).astype(kind.to_pandas_dtype()), mask=null)
