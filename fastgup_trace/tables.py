"""Folders of Arrow tables with one JSON file beside them: captures and outcomes. Only this code touches their files.

Nothing is ever half-written: a folder is made under a temporary name beside its place and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from fastgup_trace.errors import CaptureError, SchemaError
from fastgup_trace.schema import CAPTURE_VERSION, TABLES, check
from fastgup_trace.table_files import TableFile, read_table

CAPTURE_JSON = "capture.json"


@dataclass(frozen=True)
class Capture:
    """A recording after ingest: its tables (all of `schema.TABLES`, many without rows) and its provenance."""

    provenance: dict[str, Any]
    tables: Mapping[str, pa.Table]

    def __getitem__(self, name: str) -> pa.Table:
        return self.tables[name]

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """First and last time of any record, (0, 0) for a capture without rows."""
        start, end = self.provenance.get("start_ns"), self.provenance.get("end_ns")
        return (int(start), int(end)) if start is not None and end is not None else (0, 0)


class LazyTables(Mapping[str, pa.Table]):
    """The tables of a folder, each read when it is first asked for."""

    def __init__(self, folder: Path, schemas: Mapping[str, pa.Schema]) -> None:
        self._folder, self._schemas, self._read = folder, schemas, dict[str, pa.Table]()

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._schemas:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = _read_table(self._folder / f"{name}.arrow", self._schemas[name])
        return self._read[name]

    def __iter__(self) -> Any:
        return iter(self._schemas)

    def __len__(self) -> int:
        return len(self._schemas)


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    if not path.exists():
        return schema.empty_table()
    try:
        table = read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CaptureError(str(path), "an Arrow file", str(error).splitlines()[0], "make the folder again") from None
    if table.schema != schema:
        raise SchemaError(str(path), f"columns {schema.names}", f"{table.schema.names}", "make the folder again")
    return table


class FolderWriter:
    """A folder of tables and documents that is there whole after `finish`, or not at all.

    It is made under a temporary name beside its place and renamed. Raises CaptureError, at once and again in `finish`,
    if something is there and `force` is not given, or if what is there is not such a folder.
    """

    def __init__(self, folder: Path, documents: Collection[str], *, force: bool = False) -> None:
        self._folder, self._documents, self._force = folder, documents, force
        self._files = dict[str, TableFile]()
        self._refuse()
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))

    def _refuse(self) -> None:
        refuse_existing(self._folder, self._force)
        if self._folder.exists() and not _is_ours(self._folder, self._documents):
            expected, found = "a capture or outcome to replace", "something else"
            raise CaptureError(str(self._folder), expected, found, "choose another name")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            with suppress(OSError, pa.ArrowException):  # a full disk was told before
                file.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def append(self, name: str, table: pa.Table) -> None:
        """More rows of the table `name`; a table without rows has no file."""
        if not len(table):
            return
        if name not in self._files:
            path = self.scratch / f"{name}.arrow"
            path.parent.mkdir(exist_ok=True)
            self._files[name] = TableFile(path, table.schema.metadata)
        self._files[name].append(table)

    def finish(self, documents: Mapping[str, object]) -> None:
        for file in self._files.values():
            file.close()
        for name, document in documents.items():
            text = json.dumps(document, indent=1, allow_nan=False) + "\n"
            (self.scratch / name).write_text(text, encoding="utf-8")
        self._refuse()
        self.scratch.chmod(0o777 & ~_umask())
        _swap(self.scratch, self._folder)


def write_folder(
    folder: Path, tables: Mapping[str, pa.Table], documents: Mapping[str, object], *, force: bool = False
) -> None:
    """Write tables (those with rows) and JSON documents as `folder`, whole or not at all.

    Raises CaptureError if something is there and `force` is not given, or if what is there is not such a folder.
    """
    with FolderWriter(folder, documents, force=force) as writer:
        for name, table in tables.items():
            writer.append(name, table)
        writer.finish(documents)


def _is_ours(folder: Path, documents: Collection[str]) -> bool:
    """Whether a folder is empty or holds what `documents` would replace, so that --force can lose no other."""
    return folder.is_dir() and (not any(folder.iterdir()) or all((folder / name).is_file() for name in documents))


def _swap(scratch: Path, folder: Path) -> None:
    """Put `scratch` in the place of `folder`; what was there goes last, so that one of the two is always whole."""
    old = scratch.with_name(scratch.name + ".old")
    if folder.exists():
        folder.rename(old)
    try:
        scratch.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def refuse_existing(path: Path, force: bool) -> None:
    """Raise CaptureError if `path` is there and may not be replaced: before long work, and again when writing."""
    if path.exists() and not force:
        raise CaptureError(str(path), "a new name", "one that exists", "choose another or add --force")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_file(path: Path, text: str) -> None:
    """Write `text` as the file `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).chmod(0o666 & ~_umask())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def read_document(folder: Path, name: str, kind: str, advice: str) -> dict[str, Any]:
    """The JSON document `name` of a folder. Raises CaptureError if there is none or it is not readable."""
    path = folder / name
    if not path.is_file():
        raise CaptureError(
            str(folder), f"{kind} (a folder with {name})", "none" if not folder.exists() else "no such file", advice
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CaptureError(str(path), "JSON", str(error), advice) from None
    if not isinstance(document, dict):
        raise CaptureError(str(path), "a JSON object", type(document).__name__, advice)
    return document


class CaptureWriter(FolderWriter):
    """Writes a capture as its rows come; tables named `raw/EVENT` may be of any columns."""

    def __init__(self, folder: Path, *, force: bool = False) -> None:
        super().__init__(folder, (CAPTURE_JSON,), force=force)

    def append(self, name: str, table: pa.Table) -> None:
        if not name.startswith("raw/"):
            check(name, table)
        super().append(name, table)

    def finish_capture(self, provenance: Mapping[str, Any]) -> None:
        self.finish({CAPTURE_JSON: {"version": CAPTURE_VERSION, **provenance}})


class Collected:
    """The rows of a capture in memory, as they come."""

    scratch: Path | None = None

    def __init__(self) -> None:
        self._parts = dict[str, list[pa.Table]]()

    def append(self, name: str, table: pa.Table) -> None:
        self._parts.setdefault(name, []).append(table)

    def table(self, name: str) -> pa.Table:
        """All rows; of a capture's table that has none, the empty table. Raises KeyError for any other name."""
        parts = self._parts.get(name) or [TABLES[name].empty_table()]
        return (
            parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
        )

    def capture(self, provenance: dict[str, Any]) -> Capture:
        return Capture(provenance, {name: self.table(name) for name in TABLES})

    @property
    def raw(self) -> dict[str, pa.Table]:
        """The tables `raw/NAME`, by NAME."""
        return {name.removeprefix("raw/"): self.table(name) for name in self._parts if name.startswith("raw/")}


def write_capture(folder: Path, capture: Capture, *, force: bool = False) -> None:
    """Write a capture that is at hand."""
    with CaptureWriter(folder, force=force) as writer:
        for name, table in capture.tables.items():
            writer.append(name, table)
        writer.finish_capture(capture.provenance)


def read_capture(folder: Path) -> Capture:
    """Open a capture; each table is read when it is first used.

    Raises CaptureError for a folder that is none or is of another version.
    """
    provenance = read_document(folder, CAPTURE_JSON, "a capture", "make one with `fastgup-trace ingest`")
    if provenance.pop("version", None) != CAPTURE_VERSION:
        raise CaptureError(
            str(folder), f"a capture of version {CAPTURE_VERSION}", "another", "ingest the recording again"
        )
    return Capture(provenance, LazyTables(folder, TABLES))
