"""Run single stages on changed observations, without writing a result.

    python examples/03_single_stages.py dance.mp4 0.5      # the first 0.5 seconds

The script hides the wrists of the first person and reports how far they move. Results of stages stay in memory.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from closemesh import preset_config
from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints
from closemesh.config.schema import ClipConfig
from closemesh.core.progress import NullProgress
from closemesh.pipeline.cache import MemoryCache
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import Describe, Initialise, Observe, PipelineState, Refine, run_stages
from closemesh.video import open_clip
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

WRIST_KEYPOINTS = [9, 10]  # COCO-WholeBody: left and right wrist.
WRIST_JOINTS = [20, 21]  # SMPL-X: left and right wrist.


def main(path: Path, seconds: float, work_dir: Path) -> None:
    progress = NullProgress()
    clip, body = open_clip(path, ClipConfig(end=seconds)), load_body()
    cache = MemoryCache(work_dir, progress)
    ctx = RunContext(clip, body, preset_config("fast"), torch.device("cpu"), cache, progress)

    *_, (_, observed) = run_stages(ctx, PipelineState(), (Observe(),))
    assert observed.observations is not None
    keypoints = observed.observations.keypoints.copy()  # [T, P, 133, 3] x, y, confidence
    keypoints[:, 0, WRIST_KEYPOINTS, 2] = 0
    hidden = PipelineState(observations=replace(observed.observations, keypoints=keypoints))

    wrists = []
    for name, start in (("all keypoints", observed), ("without wrists", hidden)):
        *_, (_, state) = run_stages(ctx, start, (Initialise(), Describe(), Refine()))
        joints = motion_joints(state.motions["refined"], body)  # [T, P, 55, 3] camera frame
        wrists.append(joints[:, 0, WRIST_JOINTS])
        print(f"{name}: left wrist in the first frame at {joints[0, 0, WRIST_JOINTS[0]].round(2)} m")
    distance = np.linalg.norm(wrists[1] - wrists[0], axis=-1).mean()
    print(f"mean distance of the wrists: {100 * distance:.1f} cm")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        main(
            path=Path(arguments[0]) if arguments else find_model(DEMO_CLIP),
            seconds=float(arguments[1]) if len(arguments) > 1 else 0.5,
            work_dir=Path(folder),
        )
