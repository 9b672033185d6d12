"""Event names as probes and readers ask for them: a name, or a prefix that ends in `*`."""

from __future__ import annotations


def matches(pattern: str, event: str) -> bool:
    """Whether `event` is the name `pattern`, or begins with it where it ends in `*`."""
    return event.startswith(pattern[:-1]) if pattern.endswith("*") else event == pattern
