"""Patterns for bodies of events that `patterns` does not know, from the bodies themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fastgup_trace.ingest.ftrace_text.patterns import Pattern, pattern

_KEY = re.compile(rb"(?:(?<=[\s,])|^)([A-Za-z_][\w.]*)(=|: ?)")


def guess(body: bytes) -> Pattern:
    """The pattern that a body of an event without a known one suggests: (kprobe addresses) key=value ...

    A body without keys is one field, `text`; so is what stands before the first key (`clock_set_rate: NAME state=1`).
    """
    text, rest = "", body
    if found := re.match(rb" <[0-9a-f]{8,16}>: (?=.)", rest):  # options/sym-addr: the caller of trace_printk.
        return pattern(" <{ip:x}>: {text:s}", atomic=True)
    if rest.startswith(b"("):
        if found := re.match(rb"\(([^()<]+) <- ([^()<]+)\)", rest):
            # The kernel prints `(return address <- function)`, the event's print fmt and so trace-cmd the reverse.
            by_kernel = b"+0x" in found[1] or found[1].startswith(b"0x")
            names = ("__probe_ret_ip", "__probe_func") if by_kernel else ("__probe_func", "__probe_ret_ip")
            text, rest = f"({{{names[0]}:probe}} <- {{{names[1]}:probe}})", rest[found.end() :]
        elif found := re.match(rb"\(([^()<]+)\)(?: |$)", rest):
            text, rest = "({__probe_ip:probe})", rest[found.end(1) + 1 :]
    keys = list(_KEY.finditer(rest))
    equals = [key for key in keys if key[2] == b"="]
    keys = equals or keys
    if not keys:
        return pattern(text + ("{text:s}" if rest.strip() else ""), atomic=True)
    keys = list({key[1]: key for key in reversed(keys)}.values())[::-1]  # The first of each name.
    end = 0
    for key in keys:
        gap = rest[end : key.start()]
        if end == 0 and re.match(rb" *[A-Za-z_].*[ ,]$", gap) and not any(key[1] == b"text" for key in keys):
            text += " " * gap.startswith(b" ") + "{text:s}" + (", " if gap.endswith(b", ") else gap[-1:].decode())
        elif end == 0:
            text += gap.decode("latin-1").replace("{", "").replace("}", "")
        else:
            text += ", " if gap.endswith(b", ") else " "
        name = key[1].decode()
        text += f"{name}{key[2].decode()}{{{name}:{_kind(name)}}}"
        end = key.end()
    return pattern(text, atomic=True)


_TWICE = re.compile(rb"(?:^| )\w+=(?:0x[0-9a-f]+ \(-?\d+\)|\(0x[0-9a-f]+:)")
_FIELD = re.compile(
    rb"(?:^| )(\w+)=(?:0x([0-9a-f]+) \(-?\d+\)|(?P<sym>\S+) \(-?\d+\)|(?P<short>\(-?\d+\))|(?P<ptr>\(0x[0-9a-f]+:))?"
)


def guess_fields(body: bytes, kinds: Mapping[str, str]) -> Pattern | None:
    """The pattern of a record as options/fields (6.4, commit 80a76994b2d8) prints it: `vec=0x1 (1) s=(0xffff:text)`.

    `kinds` are those of known fields. Of a function's address the number behind it has 32 bits only.
    """
    if not _TWICE.search(body):
        return None
    text = ""
    for found in _FIELD.finditer(body):
        name, digits = found[1].decode(), found[2]
        value = f"{{{name}:s}}"
        if digits:
            is_address = len(digits) == 16 and not digits.startswith(b"ffffffff")
            unsigned = is_address or kinds.get(name) in {"u", "x", "p"}
            value = f"{{{name}:x}} ({{:d}})" if unsigned else f"{{:x}} ({{{name}:d}})"
        elif found["sym"]:
            value = f"{{{name}:sym}} ({{:d}})"
        elif found["short"]:
            value = f"({{{name}:d}})"
        elif found["ptr"]:
            value = f"({{{name}.ptr:x}}:{{{name}:s}})"
        text += f"{' ' * bool(text)}{name}={value}"
    return pattern(text, atomic=True)


_CALL_ARGUMENT = re.compile(rb"(?:^|, )(\w+)=")


def guess_call(body: bytes) -> Pattern:
    """The pattern of a traced function with its arguments (option func-args, 6.15): `a=0x1, b=2) <-CALLER`."""
    names = list(dict.fromkeys(_CALL_ARGUMENT.findall(body.rpartition(b") <-")[0])))
    arguments = ", ".join(f"{name}={{{name}:auto}}" for name in map(bytes.decode, names))
    return pattern(arguments + ") <-{parent_ip:sym}", atomic=True)


_PATHS = {"filename", "pathname", "oldname", "newname"}
_ARGUMENT = re.compile(rb"(?:^|, ?| )([A-Za-z_]\w*)(?:: |=)(?=(?:0x)?[0-9a-f]+(?:[,) ]|$)|FUTEX_)")


def guess_syscall(name: str, body: bytes) -> Pattern:
    """The pattern of a system call's entry: `addr: ffff0000, len: 1000)`; trace-cmd leaves out the parenthesis.

    Every argument is a register, printed in hexadecimal; of a string it is the pointer.
    """
    keys = list({key[1]: key for key in reversed(list(_ARGUMENT.finditer(body)))}.values())[::-1]
    if not keys:
        return pattern(")") if body.strip() in {b")", b""} else guess(body)
    text = ""
    for key in keys:
        argument = key[1].decode()
        kind = "d" if argument == "__syscall_nr" else "futex" if (name, argument) in _FUTEX else "x"
        is_string = argument in _PATHS or (name, argument) in _CONST_BUFFERS
        text += key[0].decode() + f"{{{argument}{'.ptr' if is_string else ''}:{kind}}}"
    return pattern(text + (")" if body.rstrip().endswith(b")") else ""))


_FUTEX = {("sys_enter_futex", "op"), ("sys_enter_futex_time32", "op")}
_CONST_BUFFERS = {("sys_enter_write", "buf"), ("sys_enter_pwrite64", "buf")}


def _kind(name: str) -> str:
    """Fields that hold text even where it looks like a number (a process may be called `1`), and functions."""
    if name.endswith("comm") or name in {"name", "filename"}:
        return "s"
    return "sym" if name in {"ip", "call_site", "callsite", "caller", "callback", "func", "function"} else "auto"
