"""`python -m fuzz`: see the package."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from fuzz import workers
from fuzz.plan import Input, make
from fuzz.seeds import all_seeds

WORKERS: Final = 2
DRAWN_SHARE: Final = 0.1
KEPT_MAX: Final = 40


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz", description="Damaged recordings of every format: none may do harm.")
    parser.add_argument("--seed", type=int, default=1, help="number of the job: another has other inputs")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--only", type=int, metavar="K", help="read input K alone, in this process")
    parser.add_argument("--shared", action="store_true", help="damage the recordings beside the checkout, too")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where inputs that fail are kept")
    parser.add_argument("--work", choices=("damaged", "drawn"), help=argparse.SUPPRESS)
    parser.add_argument("--plant", choices=workers.PLANTS, help=argparse.SUPPRESS)
    for name in ("from", "to", "step", "drawn-from"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    args = _parser().parse_args()
    first, behind, step = vars(args)["from"], args.to, args.step
    if args.work == "damaged":
        workers.work(args.seed, first, behind, step, args.shared, args.plant)
        return 0
    if args.work == "drawn":
        workers.work_drawn(args.seed, args.drawn_from, first, behind)
        return 0
    if args.only is not None:
        folder = args.keep / f"{args.seed}-{args.only}"
        folder.mkdir(parents=True, exist_ok=True)
        verdict = workers.again(args.seed, _input(args, args.only), folder)
        sys.stdout.write(f"{verdict}\n")
        return int(verdict.is_failure)
    return _job(args)


def _shares(args: argparse.Namespace) -> list[range]:
    """The numbers of the drawn inputs that each worker reads; those below are damaged seeds."""
    drawn = int(args.inputs * DRAWN_SHARE)
    places = [args.inputs - drawn + drawn * worker // WORKERS for worker in range(WORKERS + 1)]
    return [range(first, behind) for first, behind in pairwise(places)]


def _input(args: argparse.Namespace, number: int) -> Input:
    """The input `number` of the job."""
    found = dict[int, Input]()
    for share in _shares(args):
        if number in share:
            workers.for_each_drawn(args.seed, share.start, share.stop, lambda item, n: found.update({n: item}))
            return found[number]
    return make(all_seeds(with_shared=args.shared), args.seed, number)


def _job(args: argparse.Namespace) -> int:
    started = time.monotonic()
    shares = _shares(args)
    common = ["--seed", str(args.seed), *(["--shared"] if args.shared else [])]
    common += ["--plant", args.plant] if args.plant else []
    with tempfile.TemporaryDirectory() as logs, ThreadPoolExecutor(WORKERS) as pool:

        def work(worker: int) -> list[dict[str, Any]]:
            log, share = Path(logs) / str(worker), shares[worker]
            found = list(workers.results([*common, "--work", "damaged"], worker, shares[0].start, WORKERS, log))
            command = [*common, "--work", "drawn", "--drawn-from", str(share.start)]
            return found + list(workers.results(command, share.start, share.stop, 1, log))

        found = [result for results in pool.map(work, range(WORKERS)) for result in results]
    sys.stdout.write(_table(found))
    failures = sorted((r for r in found if r["kind"] not in ("capture", "refused")), key=lambda r: int(r["number"]))
    for result in failures[:KEPT_MAX]:
        _keep(result, args)
    sys.stdout.write(f"{len(found)} inputs, {len(failures)} failures, {time.monotonic() - started:.0f} s\n")
    return int(bool(failures) or len(found) < args.inputs)


def _table(results: list[dict[str, Any]]) -> str:
    """One line a format: inputs, captures, refused ones and their distinct messages, failures."""
    kinds, messages, peaks = Counter[tuple[str, str]](), dict[str, set[str]](), Counter[str]()
    for result in results:
        kinds[result["format"], result["kind"]] += 1
        peaks[result["format"]] = max(peaks[result["format"]], result.get("peak_bytes", 0))
        if result["kind"] == "refused":
            messages.setdefault(result["format"], set()).add(shape(result["message"]))
    lines = [f"{'format':18}{'inputs':>8}{'captures':>10}{'refused':>9}{'messages':>10}{'failures':>10}{'peak MB':>9}"]
    for name in sorted({name for name, _ in kinds}):
        of = {kind: count for (format, kind), count in kinds.items() if format == name}
        inputs, captures, refused = sum(of.values()), of.get("capture", 0), of.get("refused", 0)
        distinct, failures = len(messages.get(name, ())), inputs - captures - refused
        lines.append(f"{name:18}{inputs:8}{captures:10}{refused:9}{distinct:10}{failures:10}{peaks[name] >> 20:9}")
    return "\n".join(lines) + "\n"


def shape(message: str) -> str:
    """A message without what differs from input to input: numbers, and what was found."""
    return re.sub(r"b?'.*?'|b?\".*?\"|0x[0-9a-f]+|\d+", "_", message)[:80]


def _keep(result: dict[str, Any], args: argparse.Namespace) -> None:
    """Say which input failed and how to have it again, and keep it."""
    number = result["number"]
    folder = args.keep / f"{args.seed}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = workers.put(_input(args, number).files, folder)
    options = f"--seed {args.seed} --inputs {args.inputs}{' --shared' if args.shared else ''}"
    sys.stdout.write(
        f"\nFAILED {result['kind']}: input {number} ({result['seed']}, {result['damage']}): {result['message']}\n"
        f"  again: python -m fuzz {options} --only {number}\n"
        f"  kept: {kept}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
