"""fastgup-trace: what a page-table-freeing or TLB-shootdown design costs, from real kernel recordings.

    errors, schema, tables, probes    the contract of a capture, and the only code that touches its files
    ingest                            recording -> capture, one file a format
    api                               the functions behind the commands: `import fastgup_trace as fg; fg.replay(...)`
    cli                               one file a command

Beside this package: fastgup_replay (models), fastgup_datasets (recordings), fastgup_reports (pages).
This file imports nothing, so that `fastgup-trace --help` answers at once.
"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`fastgup_trace.NAME`: a module of this package or a public name of its `api`, loaded when first used."""
    from importlib import import_module
    from importlib.util import find_spec

    if not name.startswith("_"):
        if find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        public = import_module(f"{__name__}.api")
        if name in public.__all__:
            value: object = getattr(public, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
