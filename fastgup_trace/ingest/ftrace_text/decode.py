"""The bodies of one event's records to the words of their fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fastgup_trace.ingest.ftrace_text.lines import Int64s
from fastgup_trace.ingest.ftrace_text.patterns import Pattern, guess, guess_syscall, known_patterns, pattern

_GUESSES_MAX = 8
"""Shapes that the bodies of one event may have beyond the known ones."""

_SYSCALL = re.compile(rb"sys_(\w+)(\(| -> )$")


@dataclass(frozen=True)
class Event:
    """What a key stands for."""

    name: str
    form: str
    """event, enter or exit (of a system call), function, stack."""


def event_of(key: bytes) -> Event:
    """`call_rcu: ` is call_rcu, `sys_clone(` is sys_enter_clone, `do_exit <-` is function:do_exit."""
    if key.startswith(b"<"):
        return Event("user_stack" if key.startswith(b"<user") else "kernel_stack", "stack")
    if found := _SYSCALL.match(key):
        call = found[1].decode()
        return Event(f"sys_enter_{call}", "enter") if found[2] == b"(" else Event(f"sys_exit_{call}", "exit")
    if key.endswith(b" <-"):
        return Event("function:" + re.split(rb"\+0x| ", key)[0].decode("utf-8", "replace"), "function")
    name = key.removesuffix(b" -> ").rstrip(b" :(").decode("utf-8", "replace")
    for prefix, form in ("sys_enter_", "enter"), ("sys_exit_", "exit"):
        if name.startswith(prefix):
            return Event(name, form)
    return Event(name, "stack" if name in {"kernel_stack", "user_stack"} else "event")


_FORM_PATTERNS: dict[str, tuple[str, ...]] = {
    "exit": ("{ret:long}", "__syscall_nr={__syscall_nr:d} ret={ret:long}"),
    "function": ("{parent_ip:sym}", "ip={ip:x} parent_ip={parent_ip:x}", ""),
}

Words = Iterator[tuple[str, str, Int64s, pa.Array]]
"""(field, kind, the rows that have it, its words)."""


@dataclass
class Decoder:
    """Knows the shapes of each event's bodies, and learns those that `patterns` does not."""

    modern: bool = False
    shapes: dict[str, list[Pattern]] = field(default_factory=dict)
    guesses: dict[str, int] = field(default_factory=dict)

    def words(self, event: Event, bodies: list[bytes], fields: frozenset[str] | None, misfits: list[int]) -> Words:
        """Split `bodies` into words. Only `fields` (NAME or NAME.sym), or all; `misfits` gets rows without a shape."""
        if event.form == "stack":
            return
        known = _FORM_PATTERNS.get(event.form) or known_patterns(event.name, self.modern)
        shapes = self.shapes.setdefault(event.name, [pattern(text) for text in known])
        rows: Int64s = np.arange(len(bodies))
        tried = 0
        while bodies:
            if tried == len(shapes):
                if self.guesses.get(event.name, 0) == _GUESSES_MAX:
                    misfits.extend(rows.tolist())
                    return
                self.guesses[event.name] = self.guesses.get(event.name, 0) + 1
                guessed = guess_syscall(event.name, bodies[0]) if event.form == "enter" else guess(bodies[0])
                shapes.append(guessed if guessed.regex.match(bodies[0]) else pattern("{text:s}"))
            shape = shapes[tried]
            tried += 1
            found = shape.regex.findall(b"\n".join(bodies))
            if len(found) == len(bodies):
                fitting, rest = rows, []
            else:
                matches = [shape.regex.match(body) for body in bodies]
                fitting = rows[[match is not None for match in matches]]
                found = [match.groups() for match in matches if match]
                rest = [body for body, match in zip(bodies, matches, strict=True) if not match]
                rows = rows[[match is None for match in matches]]
            if found and shape.fields:
                columns = zip(*found, strict=True) if isinstance(found[0], tuple) else [found]
                for name, kind, column in zip(shape.fields, shape.kinds, columns, strict=True):
                    if name and (fields is None or name in fields or f"{name}.sym" in fields):
                        yield name, kind, fitting, pa.array(column, pa.binary())
            bodies = rest
