"""The compiled twin of `lines.parse_lines`: records of one line each to columns, for large recordings.

The same grammar by hand (see `lines.RECORD`), tested equal on every text. A byte is read only below `end`, and every
loop over bytes goes forward.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from fastgup_trace.compiled import compiled
from fastgup_trace.ingest.ftrace_text.bytewise import (
    Int32s,
    as_int,
    hash_of,
    intern,
    is_digit,
    is_space,
    is_word,
    line_end,
    starts_with,
)
from fastgup_trace.ingest.ftrace_text.lines import Header, Records, flag_column, frames_of, sort_others, task_of
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans
from fastgup_trace.ingest.ftrace_text.stacks import FRAME, Frames

_COMM_MAX = 40
_SECONDS_MAX = 9_000_000_000
_PID_MAX = (1 << 31) - 1
_INT64_MAX = (1 << 63) - 1


@compiled
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


@compiled
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


@compiled
def head(text: Bytes, dash: int, end: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """What follows a task's name.

    (begin of the key or -1, pid, end of the task, cpu, begin and end of the flags, seconds, fraction in ns, its digits)
    """
    none = (-1, 0, 0, 0, 0, 0, 0, 0, 0)
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
    begin, seconds = p, 0
    while p < end and p - begin < 19 and is_digit(text[p]):
        digit = as_int(text[p]) - 48
        seconds = _INT64_MAX if seconds > (_INT64_MAX - digit) // 10 else seconds * 10 + digit
        p += 1
    if p == begin or p >= end:
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
        for _ in range(9 - digits):
            fraction *= 10
    if text[p] != 58:
        return none
    p += 1
    while p < end and text[p] == 32:
        p += 1
    return p, min(pid, _PID_MAX), task_end, cpu, flags, flags_end, seconds, fraction, digits


@compiled
def scan(
    text: Bytes,
    words: Any,
    literals: tuple[Bytes, ...],
    columns: Int64s,
    codes: Int32s,
    digits_of: Bytes,
    names: Int64s,
    slots: Int32s,
    others: Int64s,
) -> tuple[int, int, int, int, int]:
    """Fill the columns with the records of `text`: (records, other lines, keys, tasks, spellings of flags).

    columns (4 x lines): ts, pid, body begin, body end. codes (4 x lines): cpu, key, task, flags (-1: none).
    names (6 x lines): begin and end of each key, task, flags. slots (3 x a power of two over twice the lines), all -1.
    others (3 x lines): records before it, begin, end.
    """
    lines = columns.shape[1]
    size = len(text)
    if codes.shape[1] < lines or names.shape[1] < lines or others.shape[1] < lines or len(digits_of) < lines:
        return -1, 0, 0, 0, 0
    count, left, keys, tasks, flag_names = 0, 0, 0, 0, 0
    key_slots, task_slots, flag_slots = slots[0], slots[1], slots[2]
    key_begins, key_ends, task_begins, task_ends, flag_begins, flag_ends = (
        names[0], names[1], names[2], names[3], names[4], names[5],
    )  # fmt: skip
    at = 0
    for _ in range(lines):
        if at >= size:
            break
        begin = at
        while at < size and text[at] == 32:
            at += 1
        comm = at
        dash = at
        key = -1
        end = -1
        last = min(size, comm + _COMM_MAX + 1)
        while dash < last and text[dash] != 10:
            if text[dash] == 45:
                if end < 0:
                    end = line_end(text, words, dash, size)
                key, pid, task_end, cpu, flags, flags_end, seconds, fraction, digits = head(text, dash, end)
                if key >= 0:
                    body = -1
                    if key < end and (text[key] == 60 or (key + 8 < end and text[key] == 102 and text[key + 8] == 58)):
                        body = special_key_end(text, key, end, literals)
                    if body < 0:
                        body = key_end(text, key, end)
                    if body >= 0:
                        break
                    key = -1
            dash += 1
        if end < 0:
            end = line_end(text, words, dash, size)
        at = end + 1
        if key < 0:
            if end > begin:
                others[0, left] = count
                others[1, left] = begin
                others[2, left] = end
                left += 1
            continue
        columns[0, count] = seconds if digits == 0 else min(seconds, _SECONDS_MAX) * 1_000_000_000 + fraction
        columns[1, count] = pid
        columns[2, count] = body
        columns[3, count] = end
        digits_of[count] = digits
        codes[0, count] = cpu
        hashed = hash_of(text, key, body)
        code = intern(text, key, body, hashed, key_slots, key_begins, key_ends, keys)
        keys += code == keys
        codes[1, count] = code
        hashed = uint64(pid) * uint64(11400714819323198485)
        code = intern(text, comm, task_end, hashed ^ (hashed >> uint64(32)), task_slots, task_begins, task_ends, tasks)
        tasks += code == tasks
        codes[2, count] = code
        code = -1
        if flags_end > flags:
            hashed = hash_of(text, flags, flags_end)
            code = intern(text, flags, flags_end, hashed, flag_slots, flag_begins, flag_ends, flag_names)
            flag_names += code == flag_names
        codes[3, count] = code
        count += 1
    return count, left, keys, tasks, flag_names


_LITERALS = tuple(
    np.frombuffer(literal, np.uint8)
    for literal in (b"<stack trace", b"<user stack trace", b"function:", b" <-- ", b" parent_ip=")
)


def scan_lines(text: bytes, header: Header) -> Records:
    """As `lines.parse_lines`."""
    data = np.frombuffer(text, np.uint8)
    lines = text.count(b"\n") + 1
    columns = np.empty((4, lines), np.int64)
    codes = np.empty((4, lines), np.int32)
    digits_of = np.empty(lines, np.uint8)
    names = np.empty((6, lines), np.int64)
    slots = np.full((3, 1 << (2 * lines).bit_length()), -1, np.int32)
    others = np.empty((3, lines), np.int64)
    words = np.frombuffer(text, np.uint64, len(text) // 8)
    count, left, keys, tasks, flag_names = scan(data, words, _LITERALS, columns, codes, digits_of, names, slots, others)

    def strings(row: int, size: int) -> list[bytes]:
        return [text[a:b] for a, b in zip(names[row, :size].tolist(), names[row + 1, :size].tolist(), strict=True)]

    frames, left_over = _frames(data, others[:, :left])
    more, rest = sort_others(((n, text[a:b]) for n, a, b in left_over.T.tolist()), header)
    stacks = Frames(frames[0], Spans(text, frames[1], frames[2])) if frames.size else None
    if more:  # Frames of other looks, maybe between those.
        found = ((n, FRAME.match(text[a:b])) for n, a, b in others[:, :left].T.tolist())
        stacks = frames_of([(n, frame[1]) for n, frame in found if frame])
    ts, pid, begin, end = (column[:count] for column in columns)
    cpu, key, _, flags = (column[:count] for column in codes)
    digits_of = digits_of[:count]
    digits = int(digits_of.max()) if count else 0
    if digits and not digits_of.all():
        ts = np.where(digits_of == 0, np.minimum(ts, _SECONDS_MAX) * 1_000_000_000, ts)
    return Records(
        ts_ns=ts,
        cpu=cpu.astype(np.int64),
        pid=pid,
        flags=flag_column(flags, strings(4, flag_names), header),
        codes=key,
        keys=strings(0, keys),
        bodies=Spans(text, begin, end),
        others=rest,
        tasks=list(dict.fromkeys(task_of(name) for name in strings(2, tasks))),
        fraction_digits=digits,
        frames=stacks,
    )


def _frames(data: Bytes, others: Int64s) -> tuple[Int64s, Int64s]:
    """(lines of stacks as the kernel and trace-cmd print them, without their arrows; the other lines)."""
    before, begin, end = others
    arrow = np.zeros(others.shape[1], np.int64)
    for skip in 0, 1:
        long = np.flatnonzero(end - begin > skip + 3)
        at = begin[long] + skip
        found = (data[at] == 61) & (data[at + 1] == 62) & (data[at + 2] == 32) & (data[at + 3] != 32)
        found &= data[end[long] - 1] != 32
        if skip:
            found &= data[at - 1] == 32
        arrow[long[found]] = skip + 3
    is_frame = arrow > 0
    return np.stack([before, begin + arrow, end])[:, is_frame], others[:, ~is_frame]
