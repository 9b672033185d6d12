"""One printed word to one value; what a word is not comes out as None."""

from __future__ import annotations

import re
from collections.abc import Callable

# Since 4.14 (include/linux/sched.h, commit 06eb61844d84): TASK_REPORT_IDLE is 0x80 and `+`, preempted, 0x100.
# Older kernels and trace-cmd's plugin use some letters for other bits; R, S, D, T and t are the same everywhere.
_STATES = {
    b"R": 0, b"S": 1, b"D": 2, b"T": 4, b"t": 8, b"X": 16, b"Z": 32, b"P": 64, b"I": 128, b"W": 128, b"x": 64, b"K": 0,
}  # fmt: skip
_PREEMPTED = 0x100
ERRNO_MAX = 4095
_CPUS_MAX = 8192
"""The largest CONFIG_NR_CPUS."""


def hexadecimal(word: bytes) -> int | None:
    """A hexadecimal number of at most 64 bits, with or without 0x; (nil) and the like are 0."""
    if word.startswith(b"("):
        return 0
    try:
        value = int(word, 16)
    except ValueError:
        return None
    return value if value < 1 << 64 else None


def any_decimal(word: bytes) -> int | None:
    """A decimal number that fits int64 or uint64, maybe with the unit that some events print."""
    try:
        value = int(word.removesuffix(b" [ns]").removesuffix(b"B"))
    except ValueError:
        return None
    return value if -(1 << 63) <= value < 1 << 64 else None


def decimal(word: bytes) -> int | None:
    """As `any_decimal`, if it fits int64."""
    value = any_decimal(word)
    return None if value is None or value >= 1 << 63 else value


def unsigned(word: bytes) -> int | None:
    """A decimal number of an unsigned field, which may be printed signed."""
    value = any_decimal(word)
    return None if value is None else value % (1 << 64)


def integer(word: bytes) -> int | None:
    """A decimal number, or a hexadecimal one that begins with 0x, modulo 2**64."""
    value = hexadecimal(word) if word.startswith(b"0x") else any_decimal(word)
    return None if value is None else value % (1 << 64)


def signed_long(long_bits: int | None) -> Callable[[bytes], int | None]:
    """How to read the hexadecimal digits of a signed long; without `long_bits`, only errors are taken for 32 bits."""

    def signed(word: bytes) -> int | None:
        value = hexadecimal(word)
        if value is None or value >= 1 << 63:
            return None if value is None else value - (1 << 64)
        if value < 1 << 32 and (value >= (1 << 31) if long_bits == 32 else value >= (1 << 32) - ERRNO_MAX):
            return value - (1 << 32)
        return value

    return signed


def word_list(word: bytes) -> list[int]:
    """`b, 1, 0` to numbers; `ARRAY[0b, 00, ...]`, as trace-cmd -R prints it, are the bytes of 64-bit words."""
    if word.startswith(b"ARRAY["):
        return _array_words(word)
    return [hexadecimal(part) or 0 for part in word.replace(b",", b" ").split()]


def mask(word: bytes) -> list[int] | None:
    """A bitmap, 32-bit groups with the most significant first, as 64-bit words with the least significant first."""
    if word.startswith(b"ARRAY["):
        return _array_words(word)
    if b"-" in word:
        return cpu_list(word)
    groups = [int(group or b"0", 16) & 0xFFFFFFFF for group in reversed(word.split(b","))]
    groups += [0] * (len(groups) % 2)
    return [low | high << 32 for low, high in zip(groups[::2], groups[1::2], strict=True)]


def cpu_list(word: bytes) -> list[int] | None:
    """A list of CPUs, `0-1,3`, as 64-bit words; of one that no kernel has (trace-cmd -R shows an offset) null."""
    bits = 0
    for part in word.split(b","):
        first, _, last = part.partition(b"-")
        if not re.match(rb"\d{1,4}(-\d{1,4})?$", part) or max(int(first), int(last or b"0")) >= _CPUS_MAX:
            return None
        for cpu in range(int(first), int(last or first) + 1):
            bits |= 1 << cpu
    return [bits >> shift & 0xFFFFFFFFFFFFFFFF for shift in range(0, max(bits.bit_length(), 1), 64)]


def _array_words(word: bytes) -> list[int]:
    data = bytes(int(part, 16) & 0xFF for part in word[6:-1].replace(b",", b" ").split())
    data += bytes(-len(data) % 8)
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def task_state(word: bytes) -> int:
    """`R+`, `D|W`: the bits of task->state."""
    bits = sum(_STATES.get(letter, 0) for letter in re.findall(rb"[A-Za-z]", word))
    return bits | _PREEMPTED if b"+" in word else bits


_FUTEX_COMMANDS = (
    b"WAIT", b"WAKE", b"FD", b"REQUEUE", b"CMP_REQUEUE", b"WAKE_OP", b"LOCK_PI", b"UNLOCK_PI", b"TRYLOCK_PI",
    b"WAIT_BITSET", b"WAKE_BITSET", b"WAIT_REQUEUE_PI", b"CMP_REQUEUE_PI", b"LOCK_PI2",
)  # fmt: skip
_FUTEX = {name: n for n, name in enumerate(_FUTEX_COMMANDS)} | {b"PRIVATE_FLAG": 128, b"CLOCK_REALTIME": 256}


def futex_operation(word: bytes) -> int | None:
    """`FUTEX_WAIT|FUTEX_PRIVATE_FLAG`, as the plugin of trace-cmd writes it, or the number."""
    if not word.startswith(b"FUTEX_"):
        return hexadecimal(word)
    names = [part.removeprefix(b"FUTEX_") for part in word.split(b"|")]
    return None if set(names) - set(_FUTEX) else sum(_FUTEX[name] for name in names)


def unquoted(word: bytes) -> bytes:
    """A string argument of a kprobe without its quotes."""
    return word[1:-1] if len(word) >= 2 and word[:1] == word[-1:] == b'"' else word


_SYMBOL = re.compile(rb"(?!0x)([A-Za-z_$][\w.$]*)(?:\+0x[0-9a-f]+)?(?:/0x[0-9a-f]+)?(?: \[\w+\])?$")


def symbol(word: bytes) -> str | None:
    """The function's name in `name+0x10/0x80 [module]`."""
    found = _SYMBOL.match(word)
    return found[1].decode() if found else None


_BARE_HEX = re.compile(rb"(?:0x)?[0-9a-f]{8,16}$")


def bare_symbol(word: bytes) -> str | None:
    """As `symbol`, where addresses have no 0x."""
    return None if _BARE_HEX.match(word) else symbol(word)


def address(word: bytes) -> int | None:
    """The number, where a symbol was expected and the writer did not know it."""
    is_number = word.startswith((b"0x", b"(")) or (word[:1].isdigit() and _BARE_HEX.match(word))
    return hexadecimal(word) if is_number else None


def bare_address(word: bytes) -> int | None:
    """As `address`, where addresses have no 0x."""
    return hexadecimal(word) if _BARE_HEX.match(word) else None
