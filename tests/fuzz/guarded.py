"""`python -m fuzz.guarded`: compiled loops over arrays that end where memory ends, so that a byte too far is a crash.

numba does not check bounds. Each array that Python hands to a compiled loop is copied to the end of a mapping with a
page behind it that nobody may touch (mprotect(2), PROT_NONE); what the loop wrote is copied back. `--break` plants a
loop that reads one element too far, which has to crash.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import mmap
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from fastgup_trace.compiled import compiled
from fuzz import workers
from fuzz.judge import judge
from fuzz.plan import make
from fuzz.seeds import all_seeds

LOOPS: Final = (
    ("fastgup_trace.ingest.ring_buffer.merging", "heads"),
    ("fastgup_trace.ingest.ring_buffer.merging", "merge"),
    ("fastgup_trace.ingest.kernel_events.gathering", "group"),
    ("fastgup_trace.ingest.kernel_events.gathering", "gather"),
    ("fastgup_trace.ingest.perf_data.compiled_walk", "_loop"),
    ("fastgup_trace.ingest.perf_data.spread", "spread"),
    ("fastgup_trace.ingest.ftrace_text.scan", "scan"),
    ("fastgup_trace.ingest.ftrace_text.split", "intern_all"),
    ("fastgup_trace.ingest.ftrace_text.split", "match_all"),
    ("fastgup_trace.ingest.perf_script.scan", "scan"),
    ("fastgup_trace.ingest.perf_script.samples", "split_all"),
)
"""Every compiled loop that Python calls, as (module, name)."""

PAGE: Final = mmap.PAGESIZE
PROT_NONE: Final = 0


class Guarded:
    """Memory in front of a page that nobody may touch."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // PAGE) * PAGE
        self.map = mmap.mmap(-1, self.size + PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address + self.size), ctypes.c_size_t(PAGE), PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")


class Loop:
    """A compiled loop, on guarded copies of its arrays."""

    def __init__(self, loop: Callable[..., Any]) -> None:
        self._loop, self._memory = loop, dict[int, Guarded]()
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        copies = [self._copy(number, arg) if isinstance(arg, np.ndarray) else arg for number, arg in enumerate(args)]
        result = self._loop(*copies)
        for arg, copy in zip(args, copies, strict=True):
            if isinstance(arg, np.ndarray) and arg.flags.writeable and arg.flags.c_contiguous:
                arg[...] = copy
        return result

    def _copy(self, number: int, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if any(stride < 0 for stride in array.strides):
            return array
        size = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)) + array.itemsize
        size = max(size, 0) if array.size else 0
        if number not in self._memory or self._memory[number].size < size:
            self._memory[number] = Guarded(max(size, 1))
        memory = self._memory[number]
        start = memory.size - size
        memory.map[start : memory.size] = ctypes.string_at(array.ctypes.data, size)
        copy = np.ndarray(array.shape, array.dtype, memory.map, start, array.strides)
        copy.flags.writeable = array.flags.writeable
        return copy


@compiled
def one_too_far(data: Any) -> int:
    """What no loop may do."""
    total = 0
    for place in range(len(data) + 1):
        total += data[place]
    return total


def guard() -> dict[str, Loop]:
    """Put every loop of LOOPS on guarded arrays, wherever a module has it by name."""
    found = dict[str, Loop]()
    for module, name in LOOPS:
        loop = getattr(import_module(module), name)
        found[f"{module}.{name}"] = guarded = Loop(loop)
        for other in [m for m in sys.modules.values() if getattr(m, "__name__", "").startswith("fastgup_trace.")]:
            if getattr(other, name, None) is loop:
                setattr(other, name, guarded)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz.guarded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--break", dest="broken", action="store_true")
    args = parser.parse_args()
    faulthandler.enable()
    if args.broken:
        return int(Loop(one_too_far)(np.zeros(PAGE, np.uint8)))
    seeds = [seed for seed in all_seeds() if not seed.name.startswith("shipped/")]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        folder = Path(name)
        workers.warm(seeds, folder)
        loops = guard()
        workers.warm(seeds, folder)
        for number in range(args.inputs):
            item = make(seeds, args.seed, number)
            item = replace(item, modes=replace(item.modes, compiled=True))
            sys.stderr.write(f"\rinput {number} ")
            verdict = judge(item, workers.put(item.files, folder), None)
            if verdict.is_failure:
                failures += 1
                sys.stdout.write(f"input {number}: {verdict}\n")
    for name, loop in loops.items():
        sys.stdout.write(f"{loop.calls:8} calls of {name}\n")
    sys.stdout.write(f"{args.inputs} inputs, {failures} failures\n")
    return int(bool(failures) or not all(loop.calls for loop in loops.values()))


if __name__ == "__main__":
    sys.exit(main())
