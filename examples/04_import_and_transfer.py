"""Start from the motion of another tool, and put the result on another body.

    python examples/04_import_and_transfer.py dance.mp4 amass.npz SMPLX_NEUTRAL.npz out 10      # the first 10 seconds

amass.npz may be any file that `--init` reads, such as people/person_00.npz of an earlier result. The default is one
second. An SMPL-X .npz needs `pip install 'closemesh[smplx]'`.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch

from closemesh import preset_config, reconstruct
from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints
from closemesh.body_transfer.transfer import transfer_motion
from closemesh.core.progress import NullProgress


def main(clip: str, init: str, body_file: str, out: str, seconds: float) -> None:
    config = preset_config("fast")
    config = replace(
        config,
        clip=replace(config.clip, end=seconds),
        initialise=replace(config.initialise, init=init),
    )
    result = reconstruct(clip, out, config)

    source, target = load_body(), load_body(body_file)
    transferred = transfer_motion(result.motion, source, target, result.clip.times, torch.device("cpu"), NullProgress())
    valid = result.motion.valid  # [T, P]
    for name, motion in (("copied", transferred.copied), ("fitted", transferred.fitted)):
        distance = np.linalg.norm(motion_joints(motion, target) - motion_joints(result.motion, source), axis=-1)
        print(f"{name} to {target.name}: joints {1000 * distance[valid].mean():.1f} mm from the source body")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:5], seconds=float(sys.argv[5]) if len(sys.argv) > 5 else 1.0)
