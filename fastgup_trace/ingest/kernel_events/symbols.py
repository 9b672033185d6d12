"""What the kernel's own tables say about addresses and pids: kallsyms, printk_formats, saved_cmdlines, saved_tgids."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE

# Names may hold any byte but blanks: assemblers make labels like `.L14472\x021`.
_KALLSYMS = re.compile(rb"(?:[0-9a-fA-F]{8,16} [A-Za-z?-] [^\s\0]+(?:[ \t]+\[[!-~]+\])?[ \t]*\n)*\0?")
_PRINTK = re.compile(rb'^\s*(?:0x)?([0-9a-fA-F]+) : "(.*)"\s*$')


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


class Symbols:
    """Function names by address, from the text of /proc/kallsyms, which is parsed at the first question."""

    def __init__(self, kallsyms: bytes, where: str) -> None:
        """Raises RecordingError unless each line has address, type, name and perhaps a module; 5 MB take 30 ms."""
        if kallsyms and not _KALLSYMS.fullmatch(kallsyms):
            end = _KALLSYMS.match(kallsyms)
            line = kallsyms[end.end() if end else 0 :].split(b"\n")[0][:80]
            raise RecordingError(f"{where}: kallsyms", "address, type and name in each line", repr(line), ADVICE)
        self._kallsyms = kallsyms

    @cached_property
    def _table(self) -> tuple[NDArray[np.uint64], list[bytes]]:
        """Addresses in ascending order and the names that begin there."""
        rows: dict[int, bytes] = {}
        for line in self._kallsyms.split(b"\n"):
            parts = line.split(None, 3)
            # ARM's mapping symbols ($a, $d, $x) and x86's absolute ones (per-CPU offsets) are no functions.
            if len(parts) < 3 or parts[2].startswith(b"$") or parts[1] in b"aA":
                continue
            try:
                rows[int(parts[0], 16) & 0xFFFF_FFFF_FFFF_FFFF] = parts[2]
            except ValueError:
                continue
        rows.pop(0, None)  # kptr_restrict shows every address as 0
        addresses = np.array(sorted(rows), np.uint64)
        return addresses, [rows[int(address)] for address in addresses]

    def names(self, addresses: NDArray[np.uint64]) -> list[str | None]:
        """For each address the symbol that it lies in or behind; None below the first."""
        table, names = self._table
        places = np.searchsorted(table, addresses, side="right") - 1
        return [_text(names[place]) if place >= 0 else None for place in places.tolist()]


def parse_printk_formats(text: bytes) -> dict[int, str]:
    """Strings by their kernel address: lines `0xffffffc0089d3c50 : "End context switch"`."""
    found: dict[int, str] = {}
    for line in text.split(b"\n"):
        if match := _PRINTK.match(line):
            found[int(match[1][:16], 16)] = _text(match[2].replace(b'\\"', b'"').replace(b"\\n", b"\n"))
    return found


def parse_cmdlines(text: bytes) -> dict[int, str]:
    """Comm by pid: lines `28 migration/2`."""
    found: dict[int, str] = {}
    for line in text.rstrip(b"\0").split(b"\n"):
        pid, _, comm = line.strip(b" ").partition(b" ")
        if pid.isdigit() and len(pid) < 11:
            found[int(pid)] = _text(comm)
    return found


def parse_tgids(text: bytes) -> dict[int, int]:
    """Process by thread: lines `231 230`."""
    rows = (line.split() for line in text.rstrip(b"\0").split(b"\n"))
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 2 and all(w.isdigit() and len(w) < 11 for w in row)}
