"""`fastgup-trace mechanisms [NAME]`: the designs that can be replayed; for one, its policies, steps and sources."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastgup_replay.policies import Mechanism

NAME = "mechanisms"
HELP = "list the mechanisms, or show one with its policies and sources"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mechanism", nargs="?", metavar="NAME", help="the mechanism to show")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from fastgup_replay.mechanisms import MECHANISMS, mechanism

    if args.json:
        import json

        chosen = [mechanism(args.mechanism)] if args.mechanism else list(MECHANISMS)
        print(json.dumps([_as_dict(m) for m in chosen], indent=1))
    elif args.mechanism:
        _show(mechanism(args.mechanism))
    else:
        from fastgup_trace.cli.text import table

        rows = [(m.name, m.walker.value, _frees(m), m.split.value) for m in MECHANISMS]
        print(table(("mechanism", "walker", "frees tables", "on a THP split"), rows))
        print("\n`fastgup-trace mechanisms NAME` shows a mechanism's policies, event sequence and sources.")
    return 0


def _frees(m: Mechanism) -> str:
    from fastgup_replay.policies import Invalidate, TableFree

    if m.table_free is TableFree.AT_ONCE and m.invalidate is Invalidate.IPI:
        return "at once, after the TLB IPI"
    return m.table_free.value + (" (at once with one user)" if m.single_user_shortcut else "")


def _policies(m: Mechanism) -> list[tuple[str, str]]:
    yes = {True: "yes", False: "no"}
    return [
        ("walker protection", m.walker.value),
        ("table free", m.table_free.value),
        ("mm_users < 2 shortcut", yes[m.single_user_shortcut]),
        ("TLB invalidation", m.invalidate.value),
        ("TLBI before hand-over to RCU", yes[m.flush_before_handover]),
        ("THP split", m.split.value),
        ("THP collapse", m.collapse.value),
        ("a free waits for every walker", yes[m.protects_tables]),
        ("a split waits for every walker", yes[m.protects_splits]),
    ]


def _as_dict(m: Mechanism) -> dict[str, object]:
    from fastgup_replay.policies import steps

    return {
        "name": m.name,
        "title": m.title,
        "policies": dict(_policies(m)),
        "steps": {operation: list(sequence) for operation, sequence in steps(m).items()},
        "sources": list(m.sources),
        "notes": list(m.notes),
    }


def _show(m: Mechanism) -> None:
    from fastgup_replay.policies import steps

    print(f"{m.name}: {m.title}\n\nPolicies")
    for label, value in _policies(m):
        print(f"  {label:<32}{value}")
    print("\nEvent sequence")
    for operation, sequence in steps(m).items():
        print(f"  {operation}")
        for number, step in enumerate(sequence, 1):
            print(f"    {number}. {step}")
    print("\nSources")
    for source in m.sources:
        print(f"  {source}")
    if m.notes:
        print("\nNotes")
        for note in m.notes:
            print(f"  {note}")
