"""The compiled twin of `lines.parse_lines`: records of one line each to columns, for large recordings.

The same grammar by hand (see `lines.RECORD`), tested equal on every text. A byte is read only below `end`, and every
loop over bytes goes forward.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from fastgup_trace.compiled import lean
from fastgup_trace.ingest.ftrace_text.bytewise import (
    Int32s,
    Words,
    as_int,
    hash_of,
    hash_words,
    intern,
    is_digit,
    line_end,
    mixed,
    same_words,
    word_at,
    words_of,
)
from fastgup_trace.ingest.ftrace_text.line_parts import head, key_end, special_key_end, stamp
from fastgup_trace.ingest.ftrace_text.lines import Header, Records, flag_column, frames_of, sort_others, task_of
from fastgup_trace.ingest.ftrace_text.spans import Bytes, Int64s, Spans
from fastgup_trace.ingest.ftrace_text.stacks import FRAME, Frames

_COMM_MAX = 40
_SECONDS_MAX = 9_000_000_000
_SAMPLE_BYTES = 1 << 16
_SLOTS, _HEADS, _KEYS = 1 << 16, 1 << 10, 1 << 9
"""Powers of two. A name that finds no slot of `intern`, a head or key that no place, costs time only."""
_TRIES = 4


@lean
def known_head(text: Bytes, words: Words, at: int, size: int, limit: int, heads: Int64s) -> int:
    """The slot of `heads` that holds the head (all before the time) of `size` bytes at `at`, or -1.

    Lines of one task, CPU and flags begin with the same bytes, which need no second look.
    """
    if size == 0 or at + size > limit or not is_digit(text[at + size]):
        return -1
    slot: int = as_int(hash_words(words, at, size) & uint64(heads.shape[1] - 1))
    return slot if heads[0, slot] == size and same_words(words, heads[1, slot], at, size) else -1


@lean
def known_key(text: Bytes, words: Words, at: int, end: int, limit: int, known: Int64s) -> int:
    """The slot of `known` that holds the key at `at`, or a free one as -1 - slot, or 0 - their number if there is none.

    A key that ends in a space is told by its bytes alone, if no other space follows.
    """
    size: int = known.shape[1]
    if at + 8 > limit:
        return -1 - size
    hashed = mixed(word_at(words, at), uint64(0))
    for step in range(_TRIES):
        slot: int = as_int((hashed + uint64(step)) & uint64(size - 1))
        length = known[0, slot]
        if length == 0:
            return -1 - slot
        after = at + length
        if after < end and after <= limit and text[after] != 32 and same_words(words, known[1, slot], at, length):
            return slot
    return -1 - size


@lean
def scan(
    text: Bytes,
    words: Words,
    literals: tuple[Bytes, ...],
    columns: Int64s,
    codes: Int32s,
    digits_of: Bytes,
    names: Int64s,
    slots: Int32s,
    heads: Int64s,
    known: Int64s,
    others: Int64s,
) -> tuple[int, int, int, int, int, int]:
    """Fill the columns with the records of `text`: (records, other lines, keys, tasks, spellings of flags, bytes read).

    It ends early where the columns are full.
    columns (4 x lines): ts, pid, body begin, body end. codes (4 x lines): cpu, key, task, flags (-1: none).
    names (6 x lines): begin and end of each key, task, flags. slots (3 x a power of two), all -1.
    heads (6 x a power of two), all 0: size and begin of heads that were seen, cpu, pid, task, flags.
    known (3 x a power of two), all 0: size and begin of keys that were seen, and their codes.
    others (3 x lines): records before it, begin, end.
    """
    lines = columns.shape[1]
    size = len(text)
    if codes.shape[1] < lines or names.shape[1] < lines or others.shape[1] < lines or len(digits_of) < lines:
        return -1, 0, 0, 0, 0, 0
    if 8 * len(words) > size or heads.shape[0] < 6 or known.shape[0] < 3:
        return -1, 0, 0, 0, 0, 0
    limit = 8 * len(words) - 16
    count, left, keys, tasks, flag_names, width = 0, 0, 0, 0, 0, 0
    key_slots, task_slots, flag_slots = slots[0], slots[1], slots[2]
    key_begins, key_ends, task_begins, task_ends, flag_begins, flag_ends = (
        names[0], names[1], names[2], names[3], names[4], names[5],
    )  # fmt: skip
    at = 0
    for _ in range(lines):
        if at >= size:
            break
        begin = at
        key, end, place, cpu, pid, task, flag = -1, -1, -1, 0, 0, 0, 0
        seconds, fraction, digits, body, code = 0, 0, 0, -1, 0
        slot = known_head(text, words, begin, width, limit, heads)
        if slot >= 0:
            end = line_end(text, words, begin + width, size)
            key, seconds, fraction, digits = stamp(text, begin + width, end)
            if key >= 0:
                cpu, pid, task, flag = heads[2, slot], heads[3, slot], heads[4, slot], heads[5, slot]
                place = known_key(text, words, key, end, limit, known)
                if place >= 0:
                    body = key + known[0, place]
                    code = known[2, place]
                else:
                    body = body_of(text, key, end, literals)
        if body < 0:
            slot, key = -1, -1
            while at < size and text[at] == 32:
                at += 1
            comm = at
            dash = at
            time, task_end, flags, flags_end = 0, 0, 0, 0
            last = min(size, comm + _COMM_MAX + 1)
            while dash < last and text[dash] != 10:
                if text[dash] == 45:
                    if end < 0:
                        end = line_end(text, words, dash, size)
                    time, pid, task_end, cpu, flags, flags_end = head(text, dash, end)
                    if time >= 0:
                        key, seconds, fraction, digits = stamp(text, time, end)
                        if key >= 0:
                            body = body_of(text, key, end, literals)
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
        if slot < 0:
            task = intern(
                text, comm, task_end, mixed(uint64(pid), uint64(0)), task_slots, task_begins, task_ends, tasks
            )
            tasks += task == tasks
            flag = -1
            if flags_end > flags:
                hashed = hash_of(text, flags, flags_end)
                flag = intern(text, flags, flags_end, hashed, flag_slots, flag_begins, flag_ends, flag_names)
                flag_names += flag == flag_names
            if text[time - 1] == 32 and time <= limit:
                width = time - begin
                slot = as_int(hash_words(words, begin, width) & uint64(heads.shape[1] - 1))
                heads[0, slot] = width
                heads[1, slot] = begin
                heads[2, slot] = cpu
                heads[3, slot] = pid
                heads[4, slot] = task
                heads[5, slot] = flag
            place = known_key(text, words, key, end, limit, known)
            if place >= 0 and key + known[0, place] != body:
                place = -1 - known.shape[1]
        if place >= 0:
            code = known[2, place]
        else:
            code = intern(text, key, body, hash_of(text, key, body), key_slots, key_begins, key_ends, keys)
            keys += code == keys
            place = -1 - place
            if place < known.shape[1] and text[body - 1] == 32 and body <= limit and not special(text, key):
                known[0, place] = body - key
                known[1, place] = key
                known[2, place] = code
        columns[0, count] = seconds if digits == 0 else min(seconds, _SECONDS_MAX) * 1_000_000_000 + fraction
        columns[1, count] = pid
        columns[2, count] = body
        columns[3, count] = end
        digits_of[count] = digits
        codes[0, count] = cpu
        codes[1, count] = code
        codes[2, count] = task
        codes[3, count] = flag
        count += 1
    return count, left, keys, tasks, flag_names, at


@lean
def special(text: Bytes, key: int) -> bool:
    """Whether a key may be one of `special_key_end`; the caller knows that nine bytes are there."""
    return bool(text[key] == 60 or (text[key] == 102 and text[key + 8] == 58))


@lean
def body_of(text: Bytes, key: int, end: int, literals: tuple[Bytes, ...]) -> int:
    """Where the body begins behind the key at `key`, or -1."""
    if key + 8 < end and special(text, key):
        body = special_key_end(text, key, end, literals)
        if body >= 0:
            return body
    return key_end(text, key, end)


_LITERALS = tuple(
    np.frombuffer(literal, np.uint8)
    for literal in (b"<stack trace", b"<user stack trace", b"function:", b" <-- ", b" parent_ip=")
)


def scan_lines(text: bytes, header: Header) -> Records:
    """As `lines.parse_lines`."""
    data = np.frombuffer(text, np.uint8)
    words, sample = words_of(text), max(min(len(text), _SAMPLE_BYTES), 1)
    for exact in False, True:
        # As dense as the first ones, or a third more.
        lines = text.count(b"\n") + 1 if exact else 4 * text.count(b"\n", 0, sample) * len(text) // (3 * sample) + 64
        columns, codes = np.empty((4, lines), np.int64), np.empty((4, lines), np.int32)
        digits_of, names = np.empty(lines, np.uint8), np.empty((6, lines), np.int64)
        slots, others = np.full((3, _SLOTS), -1, np.int32), np.empty((3, lines), np.int64)
        heads, known = np.zeros((6, _HEADS), np.int64), np.zeros((3, _KEYS), np.int64)
        count, left, keys, tasks, flag_names, size = scan(
            data, words, _LITERALS, columns, codes, digits_of, names, slots, heads, known, others
        )
        if size >= len(text):
            break

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
