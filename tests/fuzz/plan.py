"""Which damage the Nth input has: all of it follows from the job's seed and N."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import zstandard

from fuzz import mutations, packed, text_mutations
from fuzz.edits import Edit
from fuzz.layouts import Layout
from fuzz.seeds import Seed

_SMALL_BYTES: Final = 200_000
_PAGE_GAIN: Final = 512
"""Records that a damaged page may have more: 4096 bytes of them at 8 bytes each."""


@dataclass(frozen=True)
class Modes:
    """How an input is read."""

    keep_raw: bool
    strict: bool
    compiled: bool
    """With the compiled loops that only large recordings have otherwise."""
    small_windows: bool
    format: str | None


@dataclass(frozen=True)
class Input:
    number: int
    seed: Seed
    files: Mapping[str, bytes]
    damage: str
    modes: Modes
    slack: tuple[int, int] | None
    """How many records fewer and more than the seed's are possible without a word; None: nobody knows."""
    is_cut: bool = False
    """The recording's end is missing, which has to be said."""


def make(seeds: Sequence[Seed], job: int, number: int) -> Input:
    """The input `number` of the job that `job` numbers."""
    random = Random(f"{job}:{number}")
    seed = random.choices(seeds, [seed.share for seed in seeds])[0]
    modes = Modes(
        keep_raw=bool(number & 1),
        strict=bool(number & 2),
        compiled=bool(number & 4),
        small_windows=number % 8 == 5 and sum(map(len, seed.files.values())) < _SMALL_BYTES,
        format=seed.format if random.random() < 0.5 else None,
    )
    if len(seed.files) > 1 and random.random() < 0.15:
        return Input(number, seed, *_of_a_folder(seed, random), modes, None)
    name = random.choice(sorted(seed.files))
    if len(seed.files) > 1 and random.random() < 0.7:
        name = random.choice(sorted(seed.layouts))
    data, layout = seed.files[name], seed.layouts.get(name, Layout())
    damage, edit = _damaged(seed, data, layout, seeds, random)
    is_cut, slack = edit.cut and not seed.text and not name, _slack(seed, data, layout, edit)
    if seed.text and random.random() < 0.1:
        kind, squeeze = random.choice((("gz", gzip.compress), ("xz", lzma.compress), ("zst", zstandard.compress)))
        damage, edit = f"{damage}, {kind}", Edit(squeeze(edit.data), None)
    files = {**seed.files, name: edit.data}
    return Input(number, seed, files, f"{damage} {name}".strip(), modes, slack, is_cut)


def _damaged(seed: Seed, data: bytes, layout: Layout, seeds: Sequence[Seed], random: Random) -> tuple[str, Edit]:
    if seed.text and random.random() < 0.75:
        edit = Edit(data, ())
        names, touched = list[str](), list[tuple[int, int]]()
        for _ in range(random.choice((1, 1, 2, 4))):
            if not edit.data:
                break
            mutation = random.choice(text_mutations.MUTATIONS)
            edit = mutation(edit.data, random)
            names.append(mutation.__name__)
            touched += edit.touched or ()
        return "+".join(names), Edit(edit.data, tuple(touched))
    if packed.can_repack(seed) and random.random() < 0.4:
        return "repacked", packed.repacked(seed, random)
    if not data:
        return "empty", Edit(data, ())
    if random.random() < 0.05:
        other = random.choice(seeds)
        return f"spliced with {other.name}", mutations.spliced(data, random.choice(list(other.files.values())), random)
    edit = mutations.combined(data, layout.hot, random)
    return "cut" if edit.cut else "bytes", edit


def _of_a_folder(seed: Seed, random: Random) -> tuple[dict[str, bytes], str]:
    """A file is missing, empty, or another one's."""
    files, one, other = dict(seed.files), *random.sample(sorted(seed.files), 2)
    match random.randrange(4):
        case 0:
            del files[one]
            return files, f"without {one}"
        case 1:
            files[one] = b""
            return files, f"with {one} empty"
        case 2:
            files[one], files[other] = files[other], files[one]
            return files, f"with {one} and {other} swapped"
    files[other] = files[one]
    return files, f"with {one} as {other}"


def _slack(seed: Seed, data: bytes, layout: Layout, edit: Edit) -> tuple[int, int] | None:
    if edit.touched is None or not seed.checked:
        return None
    if seed.text:
        # A line that is no record any more may take what hangs on it with it, and the graph draws two records a line.
        lines = sum(data[start:end].count(b"\n") + 1 for start, end in edit.touched)
        return 2 * lines + 2, 2 * lines + 2
    hit = [b for b in layout.blocks if any(start < b.end and b.start < end for start, end in edit.touched)]
    fewer = sum(block.records for block in hit)
    return fewer, fewer + _PAGE_GAIN * len(hit)
