"""The numbers of the system calls that change an address space, for raw_syscalls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# raw_syscalls: number -> name (include/uapi/asm-generic/unistd.h; arch/x86/entry/syscalls/syscall_64.tbl).
NUMBERS: Final[Mapping[str, Mapping[int, str]]] = {
    "arm64": {
        94: "exit_group", 214: "brk", 215: "munmap", 216: "mremap", 221: "execve", 222: "mmap", 226: "mprotect",
        233: "madvise", 281: "execveat",
    },
    "x86_64": {
        9: "mmap", 10: "mprotect", 11: "munmap", 12: "brk", 25: "mremap", 28: "madvise", 59: "execve",
        231: "exit_group", 322: "execveat",
    },
}  # fmt: skip
ALL: Final = tuple(sorted({number for numbers in NUMBERS.values() for number in numbers}))
"""Those of any architecture."""
