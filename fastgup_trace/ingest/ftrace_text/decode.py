"""The bodies of one event's records to the words of their fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.guesses import guess, guess_call, guess_fields, guess_syscall
from fastgup_trace.ingest.ftrace_text.numbers import Numbers
from fastgup_trace.ingest.ftrace_text.patterns import Pattern, known_numbers, known_patterns, pattern
from fastgup_trace.ingest.ftrace_text.program import program
from fastgup_trace.ingest.ftrace_text.spans import Int64s, Spans

_GUESSES_MAX = 8
"""Shapes that the bodies of one event may have beyond the known ones; any other body is its field `text`."""

_REPORTED = re.compile(rb"function: *(?:(ip=)?(\S+?))(?: <-- | parent_ip=)?$")
_BARE_ADDRESS = re.compile(rb"[0-9a-f]{8,16}$")
_SYSCALL = re.compile(rb"sys_(\w+)(\(| -> )$")


@dataclass(frozen=True)
class Event:
    """What a key stands for."""

    name: str
    form: str
    """event, enter or exit (of a system call), function, raw_function, call (a function with its arguments), stack."""


def event_of(key: bytes) -> Event:
    """`call_rcu: ` is call_rcu, `sys_clone(` is sys_enter_clone, `do_exit <-` is function:do_exit."""
    if key.startswith(b"<"):
        return Event("user_stack" if key.startswith(b"<user") else "kernel_stack", "stack")
    if found := _SYSCALL.match(key):
        call = found[1].decode()
        return Event(f"sys_enter_{call}", "enter") if found[2] == b"(" else Event(f"sys_exit_{call}", "exit")
    if found := _REPORTED.match(key):
        address = b"0x" * bool(found[1] and _BARE_ADDRESS.match(found[2]))
        form = "raw_function" if found[1] else "function"
        return Event("function:" + (address + found[2]).decode("utf-8", "replace"), form)
    if key.endswith(b" <-"):
        return Event("function:" + re.split(rb"\+0x| ", key)[0].decode("utf-8", "replace"), "function")
    if key.endswith(b"("):
        return Event("function:" + re.split(rb"\+0x| |\(", key)[0].decode("utf-8", "replace"), "call")
    name = key.removesuffix(b" -> ").rstrip(b" :(").partition(b"+0x")[0].decode("utf-8", "replace")
    for prefix, form in ("sys_enter_", "enter"), ("sys_exit_", "exit"):
        if name.startswith(prefix):
            return Event(name, form)
    return Event(name, "stack" if name in {"kernel_stack", "user_stack"} else "event")


def _guess(event: Event, body: bytes) -> Pattern:
    if event.form == "enter":
        return guess_syscall(event.name, body)
    if event.form == "call":
        return guess_call(body)
    return guess_fields(body, known_numbers(event.name)) or guess(body)


_FORM_PATTERNS: dict[str, tuple[str, ...]] = {
    "exit": ("{ret:long}", "__syscall_nr={__syscall_nr:d} ret={ret:long}"),
    "function": ("{parent_ip:sym}", "ip={ip:x} parent_ip={parent_ip:x}", ""),
    "raw_function": ("{parent_ip:probe}",),
}

Part: TypeAlias = "pa.Array | Numbers"
Words = Iterator[tuple[str, str, Int64s, Part]]
"""(field, kind, the rows that have it, its words)."""


@dataclass
class Decoder:
    """Knows the shapes of each event's bodies, and learns those that `patterns` does not."""

    modern: bool = False
    shapes: dict[Event, list[Pattern]] = field(default_factory=dict)
    guesses: dict[str, int] = field(default_factory=dict)
    compiled: bool = False
    """Whether bodies are matched by machine code, which costs about a second to load."""

    def words(self, event: Event, bodies: Spans, fields: frozenset[str] | None) -> Words:
        """Split `bodies` into words. Only `fields` (NAME or NAME.sym), or all."""
        if event.form == "stack" or not len(bodies):
            return
        known = _FORM_PATTERNS.get(event.form) or known_patterns(event.name, self.modern)
        shapes = self.shapes.setdefault(event, [pattern(text) for text in known])
        rows: Int64s = np.arange(len(bodies))
        tried = 0
        while len(rows):
            if tried == len(shapes):
                shapes.append(self._guessed(event, bodies.take(rows[:1]).tolist()[0]))
            shape = shapes[tried]
            tried += 1
            wanted = [
                i
                for i, name in enumerate(shape.fields)
                if name and (fields is None or name in fields or f"{name}.sym" in fields)
            ]
            rest: list[Int64s] = []
            for fitting, found in self._split(shape, bodies, rows, wanted, rest):
                for i, words in found.items():
                    yield shape.fields[i], shape.kinds[i], fitting, words
            rows = np.sort(np.concatenate(rest)) if rest else rows[:0]

    def _guessed(self, event: Event, body: bytes) -> Pattern:
        """The shape of a body that no known one fits."""
        whole = pattern("{text:s}")
        if self.guesses.get(event.name, 0) == _GUESSES_MAX:
            return whole
        self.guesses[event.name] = self.guesses.get(event.name, 0) + 1
        guessed = _guess(event, body)
        return guessed if guessed.regex.match(body) else whole

    def _split(
        self, shape: Pattern, bodies: Spans, rows: Int64s, wanted: list[int], rest: list[Int64s]
    ) -> Iterator[tuple[Int64s, dict[int, Part]]]:
        """The words of the bodies at `rows` that fit `shape`, as (rows, words of each wanted field); `rest` gets the
        rows of the others.
        """
        whole = len(rows) == len(bodies)
        if self.compiled:
            from fastgup_trace.ingest.ftrace_text.match import FITS, UNDECIDED  # These load numba.
            from fastgup_trace.ingest.ftrace_text.split import match_bodies

            if code := program(shape):
                matched = match_bodies(code, shape.kinds, bodies if whole else bodies.take(rows), wanted)
                fits = matched.status == FITS
                if fits.all():
                    yield rows, matched.fields
                    return
                if fits.any():
                    yield rows[fits], matched.fields
                rest.append(rows[matched.status == 0])
                rows = rows[matched.status == UNDECIDED]
                whole = False
        if not len(rows):
            return
        texts = (bodies if whole else bodies.take(rows)).tolist()
        found = shape.regex.findall(b"\n".join(texts))
        if len(found) != len(texts):
            matches = [shape.regex.match(text) for text in texts]
            found = [match.groups() if len(shape.fields) != 1 else match[1] for match in matches if match]
            fits = np.array([match is not None for match in matches])
            rest.append(rows[~fits])
            rows = rows[fits]
        if found and shape.fields:
            columns = list(zip(*found, strict=True)) if isinstance(found[0], tuple) else [found]
            yield rows, {i: pa.array(columns[i], pa.binary()) for i in wanted}
