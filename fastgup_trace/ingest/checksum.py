"""The sha256 of a recording, computed while it is decoded, so that the disk is read once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

_BLOCK_BYTES: Final = 1 << 20


class Checksum:
    """Hashes a file in a thread of its own; a folder's checksum is that of its files in the order of their names."""

    def __init__(self, path: Path) -> None:
        self._path, self._stop = path, Event()
        self._hash = hashlib.sha256()
        self._error: OSError | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def hex(self) -> str:
        """Waits for the end. Raises OSError where the file could not be read."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def _run(self) -> None:
        try:
            files = [self._path] if not self._path.is_dir() else sorted(p for p in self._path.rglob("*") if p.is_file())
            for file in files:
                self._add(file)
        except OSError as error:
            self._error = error

    def _add(self, path: Path) -> None:
        with path.open("rb") as file:
            while not self._stop.is_set() and (data := file.read(_BLOCK_BYTES)):
                self._hash.update(data)
