"""The parts of a line in compiled steps: its head (who, where, when) and its key, as `lines.RECORD` has them."""

from __future__ import annotations

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import as_int, is_digit, is_space, is_word, starts_with
from fastgup_trace.ingest.ftrace_text.spans import Bytes

_PID_MAX = (1 << 31) - 1
_INT64_MAX = (1 << 63) - 1


@lean
def special_key_end(text: Bytes, at: int, end: int, literals: tuple[Bytes, ...]) -> int:
    """The end of `<stack trace>`, `function:  FUNCTION <-- ` or `function:  ip=FUNCTION parent_ip=`, or -1."""
    for literal in literals[:2]:
        if starts_with(text, at, end, literal):
            p = at + len(literal)
            if p < end and text[p] == 32:
                p += 1
            return p + 1 if p < end and text[p] == 62 else -1
    if not starts_with(text, at, end, literals[2]):
        return -1
    p = at + len(literals[2])
    while p < end and text[p] == 32:
        p += 1
    name = p
    while p < end and not is_space(text[p]) and text[p] != 40 and text[p] != 60:
        p += 1
    if p == name:
        return -1
    for literal in literals[3:]:
        if starts_with(text, p, end, literal):
            return p + len(literal)
    rest = p
    while rest < end and text[rest] == 32:
        rest += 1
    return p if rest == end else -1


@lean
def key_end(text: Bytes, at: int, end: int) -> int:
    """The end of any other key (lines.KEY) at `at`, or -1."""
    p = at
    while p < end and not is_space(text[p]) and text[p] != 58 and text[p] != 40:
        p += 1
    if p == at:
        return -1
    if p + 3 < end and text[p] == 32 and text[p + 1] == 91:  # FUNCTION [module]
        q = p + 2
        while q < end and is_word(text[q]):
            q += 1
        if q > p + 2 and q < end and text[q] == 93:
            p = q + 1
    if p < end and text[p] == 58:
        p += 1
        while p < end and text[p] == 32:
            p += 1
    elif p < end and text[p] == 40:
        p += 1
    elif p + 2 < end and text[p] == 32 and text[p + 1] == 60 and text[p + 2] == 45:  # <-
        p += 3
    elif p + 3 < end and text[p] == 32 and text[p + 1] == 45 and text[p + 2] == 62 and text[p + 3] == 32:  # ->
        p += 4
    return p


@lean
def head(text: Bytes, dash: int, end: int) -> tuple[int, int, int, int, int, int]:
    """What follows a task's name: (begin of the time or -1, pid, end of the task, cpu, begin and end of the flags)."""
    none = (-1, 0, 0, 0, 0, 0)
    p = dash + 1
    begin, pid = p, 0
    while p < end and p - begin < 10 and is_digit(text[p]):
        pid = pid * 10 + as_int(text[p]) - 48
        p += 1
    task_end = p
    if p == begin or p >= end or text[p] != 32:
        return none
    while p < end and text[p] == 32:
        p += 1
    if p < end and text[p] == 40:  # (TGID)
        p += 1
        while p < end and text[p] == 32:
            p += 1
        begin = p
        if p < end and text[p] == 45:
            while p < end and text[p] == 45:
                p += 1
        else:
            while p < end and p - begin < 10 and is_digit(text[p]):
                p += 1
        if p == begin or p + 1 >= end or text[p] != 41 or text[p + 1] != 32:
            return none
        task_end = p + 1
        p += 1
        while p < end and text[p] == 32:
            p += 1
    bracket = p < end and text[p] == 91
    if bracket:
        p += 1
    begin, cpu = p, 0
    while p < end and p - begin < 6 and is_digit(text[p]):
        cpu = cpu * 10 + as_int(text[p]) - 48
        p += 1
    if p == begin or p >= end:
        return none
    flags = flags_end = p
    if bracket:
        if text[p] != 93:
            return none
        p += 1
        while p < end and text[p] == 32:
            p += 1
    elif is_digit(text[p]):
        return none
    if p < end and not is_digit(text[p]):
        flags = p
        while p < end and p - flags < 9 and not is_space(text[p]) and text[p] != 58:
            p += 1
        flags_end = p
        size = p - flags
        if size < (3 if bracket else 4) or size > 8 or p >= end or text[p] != 32:
            return none
        while p < end and text[p] == 32:
            p += 1
    elif not bracket:
        return none
    return p, min(pid, _PID_MAX), task_end, cpu, flags, flags_end


@lean
def stamp(text: Bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """The time at `at`: (begin of the key or -1, seconds, fraction in ns, its digits)."""
    none = (-1, 0, 0, 0)
    p, seconds = at, 0
    while p < end and p - at < 18 and is_digit(text[p]):
        seconds = seconds * 10 + as_int(text[p]) - 48
        p += 1
    if p - at == 18 and p < end and is_digit(text[p]):
        digit = as_int(text[p]) - 48
        seconds = _INT64_MAX if seconds > (_INT64_MAX - digit) // 10 else seconds * 10 + digit
        p += 1
    if p == at or p >= end:
        return none
    fraction, digits = 0, 0
    if text[p] == 46:
        p += 1
        while p < end and digits < 9 and is_digit(text[p]):
            fraction = fraction * 10 + as_int(text[p]) - 48
            digits += 1
            p += 1
        if digits == 0 or p >= end:
            return none
        if digits == 6:
            fraction *= 1000
        else:
            for _ in range(9 - digits):
                fraction *= 10
    if text[p] != 58:
        return none
    p += 1
    while p < end and text[p] == 32:
        p += 1
    return p, seconds, fraction, digits
