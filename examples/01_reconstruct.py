"""Reconstruct a clip and print the shapes of the result.

    python examples/01_reconstruct.py dance.mp4 out 10      # the first 10 seconds; default 1

Without arguments the bundled clip is reconstructed into `closemesh-example/`.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from closemesh import preset_config, reconstruct
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP


def main(clip: str, out: str, seconds: float) -> None:
    config = preset_config("fast")
    config = replace(config, clip=replace(config.clip, end=seconds))
    result = reconstruct(clip, out, config)

    motion = result.motion
    print("people         ", motion.num_people)
    print("translation    ", motion.transl.shape, "[T, P, 3] meters, camera frame")
    print("joint rotations", motion.rotations.shape, "[T, P, 55, 3, 3]")
    print("focal length   ", round(result.camera.focal), "pixels,", result.camera.focal_source)
    for pair in result.contacts["optimised"]:
        print(f"people {pair.person_a} and {pair.person_b}: {len(pair.contacts)} contact intervals")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        clip=arguments[0] if arguments else str(find_model(DEMO_CLIP)),
        out=arguments[1] if len(arguments) > 1 else "closemesh-example",
        seconds=float(arguments[2]) if len(arguments) > 2 else 1.0,
    )
