"""What each model file adds, under which licence it stands, and how to get it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from closemesh.errors import ModelFileError
from closemesh.weights.search import find_model, first_with, model_folders


@dataclass(frozen=True)
class KnownFile:
    """A model file that closemesh can use."""

    feature: str
    """What it adds."""
    provided_by: str
    name: str
    """Path below a models folder; for a licensed file, what its maker calls it."""
    licence: str
    how_to_get: str
    stage: str
    """The stage whose result depends on it; empty for what only training and measuring use."""

    def locate(self) -> Path | None:
        """Where it is, or None when it is not there."""
        if self is LICENSED_BODY:
            chosen = os.environ.get("CLOSEMESH_BODY_MODEL")
            if chosen is None:
                return first_with(_FETCHED_BODY, model_folders())
            return Path(chosen).expanduser() if Path(chosen).expanduser().is_file() else None
        try:
            return find_model(self.name)
        except ModelFileError:
            return None


_COMES_ALONG = "comes along"
_FETCHED_BODY = "smplx/SMPLX_NEUTRAL.npz"  # Where the download puts it.
_OPEN_BODY = "Anny (NAVER) and MakeHuman"
DEMO_CLIP = "demo/two_people_01.mp4"

_LANGUAGE_FILES = tuple(
    KnownFile(
        feature,
        "closemesh, learned from CMU motion capture and generated interactions" + begun,
        f"language/{name}",
        "Apache-2.0",
        _COMES_ALONG,
        "refine",
    )
    for feature, name, begun in (
        ("poses in the space of texts", "poses.safetensors", ""),
        ("texts in the space of poses", "text.safetensors", "; begun from all-MiniLM-L6-v2"),
        ("pieces of words", "pieces.txt", "; those of all-MiniLM-L6-v2"),
    )
)

BUNDLED_FILES = (
    KnownFile(
        "people and 17 keypoints",
        "MoveNet MultiPose Lightning (Google)",
        "movenet_multipose/movenet_multipose_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    KnownFile(
        "feet, hands, 3D cue, masks",
        "BlazePose full (Google)",
        "blazepose/blazepose_full_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    KnownFile(
        "21 points of each hand",
        "MediaPipe Hands (Google)",
        "hand_landmarks/hand_landmark_full_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    KnownFile(
        "likely poses",
        "closemesh, learned from CMU motion capture",
        "pose_prior/pose_prior.npz",
        "MIT",
        _COMES_ALONG,
        "initialise",
    ),
    KnownFile(
        "learned first pose",
        "closemesh, learned from CMU motion capture",
        "lifter/lifter.safetensors",
        "MIT",
        _COMES_ALONG,
        "initialise",
    ),
    KnownFile(
        "how close people move",
        "closemesh, learned from CMU motion capture and generated interactions",
        "prior/denoiser.safetensors",
        "MIT",
        _COMES_ALONG,
        "refine",
    ),
    KnownFile(
        "book of interactions",
        "closemesh, learned from CMU motion capture and generated interactions",
        "prior/codebook.safetensors",
        "MIT",
        _COMES_ALONG,
        "refine",
    ),
    KnownFile(
        "likeness as people see it",
        "AlexNet (torchvision), LPIPS (Zhang et al.)",
        "perceptual/alexnet.safetensors",
        "BSD-3-Clause, BSD-2-Clause",
        _COMES_ALONG,
        "optimise",
    ),
    KnownFile(
        "open body, full mesh",
        _OPEN_BODY,
        "open_body/open_body_std.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "initialise",
    ),
    KnownFile(
        "open body, mesh for fits",
        _OPEN_BODY,
        "open_body/open_body_light.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "initialise",
    ),
    KnownFile(
        "open body, mesh for contact",
        _OPEN_BODY,
        "open_body/open_body_mid.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "contact",
    ),
    *_LANGUAGE_FILES,
)

LICENSED_BODY = KnownFile(
    "licensed SMPL-X body",
    "Max Planck Institute for Intelligent Systems",
    "SMPLX_NEUTRAL.npz",
    "non-commercial research",
    "account at smpl-x.is.tue.mpg.de, closemesh download-weights body, pip install 'closemesh[smplx]', --body-model",
    "initialise",
)

DETECTOR_ERRORS = KnownFile(
    "simulated detections",
    "closemesh, measured on rendered films",
    "detector_errors/detector_errors.npz",
    "MIT",
    _COMES_ALONG,
    "",  # No reconstruction depends on it.
)

KNOWN_FILES = (*BUNDLED_FILES, DETECTOR_ERRORS, LICENSED_BODY)
