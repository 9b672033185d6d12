"""The compiled twin of `lines.parse_lines`: records of one line each to columns, for large recordings.

The same grammar by hand (see `lines.HEAD`), tested equal on every text. A block with a line that only the regular
expression can judge (times of day, -F misc) is left to it. A byte is read only below `end`, every loop goes forward.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgup_trace.compiled import lean
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
    words_of,
)
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans
from fastgup_trace.ingest.perf_script.lines import (
    COMM_MAX,
    INT32_MAX,
    INT64_MAX,
    Header,
    Heads,
    parse_lines,
    split_names,
    task_of,
    who_is_who,
)

_SECONDS_MAX = 9_000_000_000
_NO, _UNDECIDED = -1, -2
_RECORD = np.frombuffer(b"PERF_RECORD_", np.uint8)


@lean
def skip_blanks(text: Bytes, at: int, end: int) -> int:
    while at < end and (text[at] == 32 or text[at] == 9):
        at += 1
    return at


@lean
def is_letter(byte: int) -> bool:
    return 65 <= byte <= 90 or 97 <= byte <= 122


@lean
def number(text: Bytes, at: int, end: int, size: int, most: int) -> tuple[int, int]:
    """A decimal number of at most `size` digits, `most` if it is larger; and its end, `at` if there is none."""
    value, p = 0, at
    while p < end and p - at < size and is_digit(text[p]):
        digit = as_int(text[p]) - 48
        value = most if value > (most - digit) // 10 else value * 10 + digit
        p += 1
    return value, p


@lean
def thread(text: Bytes, at: int, end: int) -> tuple[int, int]:
    """A thread, -1 for a negative one; and its end, `at` if there is none."""
    begin = at + 1 if at < end and text[at] == 45 else at
    value, p = number(text, begin, end, 10, INT32_MAX)
    if p == begin:
        return -1, at
    return (-1 if begin > at and value > 0 else value), p


@lean
def head(text: Bytes, at: int, end: int) -> tuple[int, int, int, int, int]:
    """What follows a comm: (begin of the period or event, or why there is none; thread, end of the task, cpu, ns)."""
    no = (_NO, 0, 0, 0, 0)
    undecided = (_UNDECIDED, 0, 0, 0, 0)
    tid, p = thread(text, at, end)
    if p == at:
        return no
    if p < end and text[p] == 47:
        slash = p + 1
        tid, p = thread(text, slash, end)
        if p == slash:
            return no
    task_end = p
    p = skip_blanks(text, p, end)
    if p == task_end:
        return no
    cpu = -1
    if p < end and text[p] == 91:
        value, q = number(text, p + 1, end, 6, INT32_MAX)
        if q > p + 1 and q + 1 < end and text[q] == 93 and (text[q + 1] == 32 or text[q + 1] == 9):
            cpu, p = value, skip_blanks(text, q + 1, end)
    if p < end and is_letter(text[p]):
        q = p
        while q < end and q - p < 9 and is_letter(text[q]):
            q += 1
        if q - p < 9 and q < end and text[q] == 32:
            q = skip_blanks(text, q, end)
            if q < end and is_digit(text[q]):
                return undecided
        return no
    seconds, q = number(text, p, end, 19, INT64_MAX)
    if q == p or q >= end:
        return no
    if text[q] == 45:
        return undecided
    if text[q] != 46:
        return no
    fraction, p = number(text, q + 1, end, 9, INT64_MAX)
    digits = p - q - 1
    if digits == 0 or (digits > 6 and digits != 9) or p + 1 >= end or text[p] != 58:
        return no
    if digits <= 6:
        fraction *= 1000
    q = skip_blanks(text, p + 1, end)
    if q == p + 1:
        return no
    return q, tid, task_end, cpu, min(seconds, _SECONDS_MAX) * 1_000_000_000 + fraction


@lean
def event(text: Bytes, at: int, end: int, record: Bytes) -> tuple[int, int, int, int]:
    """(period or -1, begin of the name or -1, its end, begin of the body)."""
    period, p = number(text, at, end, 20, INT64_MAX)
    q = skip_blanks(text, p, end)
    if p == at or q == p:
        period, q = -1, at
    name = q
    if starts_with(text, name, end, record):
        p = name + len(record)
        while p < end and is_word(text[p]):
            p += 1
        if p > name + len(record):
            return period, name, p, p
    p = name
    while p < end and not is_space(text[p]):
        if text[p] == 58 and p > name:
            after = p + 1
            if after >= end or text[after] == 32 or text[after] == 9 or text[after] == 13:
                return period, name, p, after + 1 if after < end and text[after] == 32 else after
        p += 1
    return -1, -1, 0, 0


@lean
def scan(
    text: Bytes, words: Any, record: Bytes, columns: Int64s, codes: Int32s, names: Int64s, slots: Int32s, others: Int64s
) -> tuple[int, int, int, int, int]:
    """Fill the columns with the records of `text`: (records or -2, other lines, names, tasks, lines of call chains).

    columns (5 x lines): ts, thread, period, body begin, body end. codes (3 x lines): cpu, name, task.
    names (4 x lines): begin and end of each name, task. slots (2 x a power of two over twice the lines), all -1.
    others (3 x lines): records before it, begin, end.
    """
    lines = columns.shape[1]
    size = len(text)
    if codes.shape[1] < lines or names.shape[1] < lines or others.shape[1] < lines:
        return _UNDECIDED, 0, 0, 0, 0
    count, left, n_names, tasks, chained, at = 0, 0, 0, 0, 0, 0
    for _ in range(lines):
        if at >= size:
            break
        begin = at
        end = line_end(text, words, at, size)
        at = end + 1
        p = begin
        while p < end and is_space(text[p]):
            p += 1
        if p == end:
            continue
        comm = skip_blanks(text, begin, end)
        key, tid, task_end, cpu, ns = head(text, comm, end)
        period, name, name_end, body = -1, -1, 0, 0
        if key >= 0:
            period, name, name_end, body = event(text, key, end, record)
        p = comm + 1
        last = comm if is_space(text[comm]) else min(end, comm + COMM_MAX + 1)
        while name < 0 and key != _UNDECIDED and p < last:
            if (text[p] == 32 or text[p] == 9) and text[p - 1] != 32 and text[p - 1] != 9:
                key, tid, task_end, cpu, ns = head(text, skip_blanks(text, p, end), end)
                if key >= 0:
                    period, name, name_end, body = event(text, key, end, record)
            p += 1
        if key == _UNDECIDED:
            return _UNDECIDED, 0, 0, 0, 0
        if name < 0:
            if is_space(text[begin]):
                chained += 1
            else:
                others[0, left] = count
                others[1, left] = begin
                others[2, left] = end
                left += 1
            continue
        columns[0, count] = ns
        columns[1, count] = tid
        columns[2, count] = period
        columns[3, count] = body
        columns[4, count] = end - 1 if end > body and text[end - 1] == 13 else end
        code = intern(text, name, name_end, hash_of(text, name, name_end), slots[0], names[0], names[1], n_names)
        n_names += code == n_names
        task = intern(text, comm, task_end, hash_of(text, comm, task_end), slots[1], names[2], names[3], tasks)
        tasks += task == tasks
        codes[0, count] = cpu
        codes[1, count] = code
        codes[2, count] = task
        count += 1
    return count, left, n_names, tasks, chained


def scan_lines(text: bytes, header: Header, bare: bool = False) -> Heads:
    """As `lines.parse_lines`."""
    if bare:
        return parse_lines(text, header, bare)
    data = np.frombuffer(text, np.uint8)
    lines = text.count(b"\n") + 1
    columns = np.empty((5, lines), np.int64)
    codes = np.empty((3, lines), np.int32)
    names = np.empty((4, lines), np.int64)
    slots = np.full((2, 1 << (2 * lines).bit_length()), -1, np.int32)
    others = np.empty((3, lines), np.int64)
    words = words_of(text)
    count, left, n_names, tasks, chained = scan(data, words, _RECORD, columns, codes, names, slots, others)
    if count < 0:
        return parse_lines(text, header)

    def strings(row: int, size: int) -> list[bytes]:
        return [text[a:b] for a, b in zip(names[row, :size].tolist(), names[row + 1, :size].tolist(), strict=True)]

    header.chain_lines += chained
    rest = [(n, text[a:b]) for n, a, b in others[:, :left].T.tolist()]
    ts_ns, tid, period, begin, end = (column[:count] for column in columns)
    comms, tgids = who_is_who(task_of(task) for task in strings(2, tasks))
    split, traced = split_names(strings(0, n_names))
    return Heads(
        ts_ns=ts_ns,
        cpu=codes[0, :count].astype(np.int64),
        tid=tid,
        period=period,
        untimed=ts_ns == 0,
        codes=codes[1, :count],
        names=split,
        traced=traced,
        bodies=Spans(text, begin, end),
        others=[(before, line) for before, line in rest if not header.take(line)],
        comms=comms,
        tgids=tgids,
    )
