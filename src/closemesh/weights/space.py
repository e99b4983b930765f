"""Whether a file still fits."""

from __future__ import annotations

import shutil
from pathlib import Path

from closemesh.errors import OutputError

_KEPT_FREE = 16 << 20  # A system without a free byte fails in worse places.


def require_space(folder: Path, needed: int, name: str) -> None:
    """Raises OutputError when `folder` has no room for `needed` bytes more."""
    free = shutil.disk_usage(folder).free
    if needed + _KEPT_FREE > free:
        raise OutputError(
            f"{name} needs {megabytes(needed)} more and {folder} has {megabytes(free)} free; free some space or choose "
            "another folder with --to"
        )


def megabytes(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
