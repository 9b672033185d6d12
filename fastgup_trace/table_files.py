"""Arrow files that grow batch by batch, and tables put aside on disk: what lets a recording be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather

BATCH_ROWS: Final = 1 << 19


class TableFile:
    """One table, written as its rows come. Its dictionaries grow; a column that is new or wider rewrites the file."""

    def __init__(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        self._path, self._metadata = path, metadata
        self._schema: pa.Schema | None = None
        self._dictionaries = dict[str, pa.Array]()
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self.rows = 0

    def append(self, table: pa.Table) -> None:
        """Write rows. Raises ArrowInvalid or ArrowTypeError where a column's types have nothing in common."""
        if not len(table):
            return
        if self._schema is None:
            self._open(table.schema)
        elif table.schema != self._schema:
            self._widen(pa.unify_schemas([self._schema, table.schema.remove_metadata()], promote_options="permissive"))
        assert self._schema is not None and self._writer is not None
        missing = [field for field in self._schema if field.name not in table.schema.names]
        for field in missing:
            table = table.append_column(field, pa.nulls(len(table), field.type))
        table = table.select(self._schema.names).cast(self._schema).unify_dictionaries().combine_chunks()
        columns = [self._encoded(field, table[field.name]) for field in self._schema]
        self._writer.write_table(pa.table(columns, schema=self._schema), max_chunksize=BATCH_ROWS)
        self.rows += len(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, schema: pa.Schema) -> None:
        self._schema = schema.remove_metadata()
        # Equal types, so that a dictionary that grew is still the one before and more.
        options = pa.ipc.IpcWriteOptions(compression="lz4", emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_file(self._path, self._schema.with_metadata(self._metadata), options=options)
        self._dictionaries = {
            field.name: pa.array([], field.type.value_type) for field in schema if pa.types.is_dictionary(field.type)
        }

    def _encoded(self, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A dictionary column with the file's dictionary, which its new words join."""
        if field.name not in self._dictionaries:
            return column
        array = column.chunk(0) if column.num_chunks else pa.array([], field.type)
        ours, theirs = self._dictionaries[field.name], array.dictionary
        if not theirs.slice(0, len(ours)).equals(ours):
            new = theirs.filter(pc.invert(pc.is_in(theirs, ours)))
            joined = pa.concat_arrays([ours, new])
            indices = pc.take(pc.index_in(theirs, joined), array.indices).cast(pa.int32())
            ours, array = joined, pa.DictionaryArray.from_arrays(indices, joined)
        else:
            ours = theirs
        if not len(ours):
            # pyarrow takes words that join an empty dictionary for another dictionary (26.0).
            ours = pa.array([""], ours.type)
            array = pa.DictionaryArray.from_arrays(array.indices, ours)
        self._dictionaries[field.name] = ours
        return pa.chunked_array([array])

    def _widen(self, schema: pa.Schema) -> None:
        if schema == self._schema:
            return
        self.close()
        before = self._path.with_name(self._path.name + ".narrow")
        self._path.rename(before)
        self.rows = 0
        with pa.memory_map(str(before)) as file:
            reader = pa.ipc.open_file(file)
            self._open(schema)
            for number in range(reader.num_record_batches):
                self.append(pa.Table.from_batches([reader.get_batch(number)]))
        before.unlink()


class Aside:
    """Sets of tables put aside in a folder, one file a set, uncompressed so that reading them is a look at the map."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places = list[dict[str, tuple[int, int]]]()

    def __len__(self) -> int:
        return len(self._places)

    def put(self, tables: Mapping[str, pa.Table]) -> None:
        places = dict[str, tuple[int, int]]()
        with pa.OSFile(str(self._path(len(self))), "wb") as file:
            for name, table in tables.items():
                start = file.tell()
                with pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(table.combine_chunks())
                places[name] = (start, file.tell())
        self._places.append(places)

    def get(self, number: int) -> dict[str, pa.Table]:
        with pa.memory_map(str(self._path(number))) as file:
            data = file.read_buffer()
        return {
            name: pa.ipc.open_stream(data.slice(start, end - start)).read_all()
            for name, (start, end) in self._places[number].items()
        }

    def __iter__(self) -> Iterator[dict[str, pa.Table]]:
        return (self.get(number) for number in range(len(self)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.arrows"


def read_table(path: Path) -> pa.Table:
    """The table of a file, mapped. Raises ArrowInvalid or OSError where it is none."""
    return feather.read_table(path, memory_map=True)
