"""What a recording tells beside its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Context:
    """The machine and the tasks of a recording; what is not known has the default and is marked so by the caller."""

    arch: str = "arm64"
    page_size: int = 4096
    nr_cpus: int | None = None
    levels: int | None = None
    kernel_release: str | None = None
    mechanism: str | None = None
    tgids: Mapping[int, int] = field(default_factory=dict)
    comms: Mapping[int, str] = field(default_factory=dict)

    @property
    def kernel(self) -> tuple[int, int]:
        """Major and minor version; a modern kernel where the release is not known."""
        parts = (self.kernel_release or "6.1").split(".")
        digits = ["".join(ch for ch in part if ch.isdigit()) for part in parts[:2]]
        if len(digits) < 2 or not all(digits) or max(map(len, digits)) > 4:
            return (6, 1)
        return (int(digits[0]), int(digits[1]))
