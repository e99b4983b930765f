"""A result folder as `reconstruct` writes it, from a known motion and without running a stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from known_scenes import FOCAL, FPS, SIZE, observe_exactly

from closemesh.body.model import BodyModel
from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.contact.measure import measure_contacts
from closemesh.core.output_folder import OutputFolder
from closemesh.core.progress import NullProgress
from closemesh.core.records import save_record
from closemesh.output.write import write_results
from closemesh.structures import BodyMotion, Camera, Clip, Reconstruction


def write_finished_result(out: Path, motion: BodyMotion, body: BodyModel) -> None:
    """Write the files of a result with this camera-frame motion; no overlay."""
    frames = len(motion.transl)
    clip = Clip(Path("embrace.mp4"), "ab" * 32, np.arange(frames), np.arange(frames) / FPS, SIZE, FPS)
    T_cam_world = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (frames, 1, 1))
    camera = Camera(FOCAL, (SIZE[0] / 2, SIZE[1] / 2), SIZE, "option", T_cam_world)
    observations = observe_exactly(motion, camera, body)
    config = to_dict(Config()) | {"output": {"overlay": False}}
    contacts = {"optimised": measure_contacts(motion, body, NullProgress())}
    result = Reconstruction(clip, camera, observations, {"optimised": motion}, contacts, config=config)
    output = OutputFolder(out)
    with output.staging() as staged:
        save_record(staged / "stages" / "clip.npz", clip)
        save_record(staged / "stages" / "optimise" / "0.Camera.npz", camera)
        save_record(staged / "stages" / "optimise" / "1.BodyMotion.npz", motion)
        write_results(staged, result, body, (), (), NullProgress())
        output.publish(staged)
