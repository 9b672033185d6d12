"""Every error that a user can meet, as one line: where, what was expected, what was found, what to do.

`cli.main` turns a FastgupError into that line on stderr and exit code 2; nothing else catches them.
"""

from __future__ import annotations


class FastgupError(Exception):
    """Base of all errors that are the input's or the user's, never the program's."""

    def __init__(self, where: str, expected: str, found: str, advice: str = "") -> None:
        self.where, self.expected, self.found, self.advice = where, expected, found, advice
        message = f"{where}: expected {expected}, found {found}"
        super().__init__(f"{message}; {advice}" if advice else message)


class RecordingError(FastgupError):
    """A recording that can't be read. `where` is `FILE: offset N` for binary formats, `FILE:LINE` for text."""


def unreadable(path: object, error: OSError) -> RecordingError:
    """That the system does not give a recording's file, in words."""
    return RecordingError(str(path), "a file to read", error.strerror or str(error), "check its name and mode")


class CaptureError(FastgupError):
    """A capture or outcome folder that is missing, incomplete, or of another version."""


class SchemaError(FastgupError):
    """A table that does not fit its schema."""


class ModelError(FastgupError):
    """A question that the capture, the mechanism or the platform can't answer."""


class UsageError(FastgupError):
    """A name or value on the command line that does not exist."""
