"""`python -m fastgup_trace`: the same as the `fastgup-trace` command."""

from fastgup_trace.cli import entry

if __name__ == "__main__":
    entry()
