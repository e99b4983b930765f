"""`python tests/make_demo_clip.py` renders the bundled clip of an embrace and its true motion anew."""

from __future__ import annotations

from pathlib import Path

from closemesh.core.progress import NullProgress
from closemesh.lab.evaluation.demo_truth import write_demo

if __name__ == "__main__":
    write_demo(Path(__file__).resolve().parents[1] / "models" / "demo", NullProgress())
