"""What the kernel's own tables say about addresses and pids: kallsyms, printk_formats, saved_cmdlines, saved_tgids."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastgup_trace.errors import RecordingError
from fastgup_trace.ingest.cursor import ADVICE
from fastgup_trace.ingest.unaligned import Int64s

# Names may hold any byte but blanks: assemblers make labels like `.L14472\x021`.
_KALLSYMS = re.compile(rb"(?:[0-9a-fA-F]{8,16} [A-Za-z?-] [^\s\0]+(?:[ \t]+\[[!-~]+\])?[ \t]*\n)*\0?")
_NAME = re.compile(rb"[^\s\0]+")
_PRINTK = re.compile(rb'^\s*(?:0x)?([0-9a-fA-F]+) : "(.*)"\s*$')

# Each character as a hexadecimal digit; of others nothing is asked.
_HEX = np.zeros(256, np.uint64)
for _digit, _characters in enumerate(
    ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "aA", "bB", "cC", "dD", "eE", "fF")
):
    _HEX[[ord(character) for character in _characters]] = _digit


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
    def _table(self) -> tuple[NDArray[np.uint64], Int64s]:
        """Addresses in ascending order and where in the text the names that begin there are."""
        data = np.frombuffer(self._kallsyms, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
        is_blank = np.flatnonzero(data == ord(" "))
        digits = is_blank[np.searchsorted(is_blank, starts)] - starts
        addresses = np.zeros(len(starts), np.uint64)
        for width in np.unique(digits).tolist():
            mine = np.flatnonzero(digits == width)
            for digit in range(width):
                addresses[mine] = addresses[mine] << np.uint64(4) | _HEX[data[starts[mine] + digit]]
        names = starts + digits + 3
        # ARM's mapping symbols ($a, $d, $x) and x86's absolute ones (per-CPU offsets) are no functions; under
        # kptr_restrict every address shows as 0.
        is_absolute = (data[names - 2] | 0x20) == ord("a")
        keep = np.flatnonzero(~is_absolute & (data[names] != ord("$")) & (addresses != 0))
        keep = keep[np.argsort(addresses[keep], kind="stable")]
        # Of names of one address the kernel shows the first (kernel/kallsyms.c: get_symbol_pos), as does trace-cmd.
        first = np.append(True, addresses[keep][1:] != addresses[keep][:-1])[: len(keep)]
        return addresses[keep[first]], names[keep[first]]

    def names(self, addresses: NDArray[np.uint64]) -> list[str | None]:
        """For each address the symbol that it lies in or behind; None below the first."""
        return self.at(self.places(addresses))

    def places(self, addresses: NDArray[np.uint64]) -> Int64s:
        """For each address the number of the symbol that it lies in or behind; -1 below the first."""
        found: Int64s = np.searchsorted(self._table[0], addresses, side="right") - 1
        return found

    def at(self, places: Int64s) -> list[str | None]:
        """The names of symbols by their numbers; None for -1."""
        names = self._table[1]
        return [self._name(int(names[place])) if place >= 0 else None for place in places.tolist()]

    def _name(self, start: int) -> str:
        match = _NAME.match(self._kallsyms, start)
        return _text(match[0]) if match else ""


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
