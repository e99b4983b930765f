"""The table of readers that are fuzzed."""

from __future__ import annotations

from .motion_targets import MOTION_TARGETS, Target
from .other_targets import OTHER_TARGETS

TARGETS: dict[str, Target] = {target.name: target for target in (*MOTION_TARGETS, *OTHER_TARGETS)}
"""Name -> reader."""
