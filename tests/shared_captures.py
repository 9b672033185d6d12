"""Where the shared recordings are: FASTGUP_SHARED, or `shared` beside the checkout; absent on most machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared() -> Path | None:
    """The folder with `captures/` and `public/`, or None."""
    folder = Path(os.environ.get("FASTGUP_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "captures").is_dir() else None


def recordings() -> list[Path]:
    """Every folder of shared/captures that holds a trace.dat and a counts.json."""
    folder = shared()
    if folder is None:
        return []
    return sorted(p.parent for p in (folder / "captures").glob("**/counts.json") if (p.parent / "trace.dat").exists())


needs_shared = pytest.mark.skipif(shared() is None, reason="the shared recordings are not beside the checkout")
