"""`python -m fuzz`: see the package."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from fuzz import workers
from fuzz.plan import make
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
    for name in ("from", "to", "step"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    args = _parser().parse_args()
    first, behind, step = vars(args)["from"], args.to, args.step
    if args.work == "damaged":
        workers.work(args.seed, first, behind, step, args.shared)
        return 0
    if args.work == "drawn":
        workers.run_drawn(args.seed * 1000 + first, first, behind)
        return 0
    if args.only is not None:
        folder = args.keep / f"{args.seed}-{args.only}"
        folder.mkdir(parents=True, exist_ok=True)
        verdict = workers.again(args.seed, args.only, args.shared, folder)
        sys.stdout.write(f"{verdict}\n")
        return int(verdict.is_failure)
    return _job(args)


def _job(args: argparse.Namespace) -> int:
    started = time.monotonic()
    drawn = int(args.inputs * DRAWN_SHARE)
    damaged = args.inputs - drawn
    common = ["--seed", str(args.seed), *(["--shared"] if args.shared else [])]
    with tempfile.TemporaryDirectory() as logs, ThreadPoolExecutor(WORKERS) as pool:

        def share(worker: int) -> list[dict[str, Any]]:
            log, size = Path(logs) / str(worker), drawn // WORKERS
            found = list(workers.results([*common, "--work", "damaged"], worker, damaged, WORKERS, log))
            begin = damaged + worker * size
            return found + list(workers.results([*common, "--work", "drawn"], begin, begin + size, 1, log))

        found = [result for results in pool.map(share, range(WORKERS)) for result in results]
    sys.stdout.write(_table(found))
    failures = sorted((r for r in found if r["kind"] not in ("capture", "refused")), key=lambda r: int(r["number"]))
    _keep(failures, args, damaged)
    sys.stdout.write(f"{len(found)} inputs, {len(failures)} failures, {time.monotonic() - started:.0f} s\n")
    return int(bool(failures))


def _table(results: list[dict[str, Any]]) -> str:
    """One line a format: inputs, captures, refused ones and their distinct messages, failures."""
    kinds, messages = Counter[tuple[str, str]](), dict[str, set[str]]()
    for result in results:
        kinds[result["format"], result["kind"]] += 1
        if result["kind"] == "refused":
            messages.setdefault(result["format"], set()).add(shape(result["message"]))
    lines = [f"{'format':18}{'inputs':>8}{'captures':>10}{'refused':>9}{'messages':>10}{'failures':>10}"]
    for name in sorted({name for name, _ in kinds}):
        of = {kind: count for (format, kind), count in kinds.items() if format == name}
        inputs, captures, refused = sum(of.values()), of.get("capture", 0), of.get("refused", 0)
        distinct, failures = len(messages.get(name, ())), inputs - captures - refused
        lines.append(f"{name:18}{inputs:8}{captures:10}{refused:9}{distinct:10}{failures:10}")
    return "\n".join(lines) + "\n"


def shape(message: str) -> str:
    """A message without what differs from input to input: numbers, and what was found."""
    return re.sub(r"b?'.*?'|b?\".*?\"|0x[0-9a-f]+|\d+", "_", message)[:80]


def _keep(failures: list[dict[str, Any]], args: argparse.Namespace, damaged: int) -> None:
    """Say which inputs failed and how to have them again; keep the first ones."""
    seeds = all_seeds(with_shared=args.shared) if failures else []
    for result in failures[:KEPT_MAX]:
        number = result["number"]
        again = f"python -m fuzz --seed {args.seed} --only {number}" if number < damaged else "drawn"
        sys.stdout.write(
            f"\nFAILED {result['kind']}: input {number} ({result['seed']}, {result['damage']}): {result['message']}\n"
            f"  again: {again}\n"
        )
        if number < damaged:
            folder = args.keep / f"{args.seed}-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            sys.stdout.write(f"  kept: {workers.put(make(seeds, args.seed, number).files, folder)}\n")


if __name__ == "__main__":
    sys.exit(main())
