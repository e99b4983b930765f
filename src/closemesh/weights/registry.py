"""Bundled files and downloadable families.

What each model file adds, under which licence it stands, and how to get it.

Kinds of files that can be downloaded for one purpose, of which the best that is there is used.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from closemesh.core.errors import ModelFileError
from closemesh.weights.locate import find_model, first_existing, model_folders


@dataclass(frozen=True)
class WeightEntry:
    """A model file that closemesh can use."""

    feature: str
    """What it adds."""
    provided_by: str
    name: str
    """Path below a models folder; for a licensed file, what its maker calls it."""
    licence: str
    install_hint: str
    stage: str
    """The stage whose result depends on it; empty for what only training and measuring use."""

    def locate(self) -> Path | None:
        """Where it is, or None when it is not there."""
        if self is SMPLX_BODY:
            chosen = os.environ.get("CLOSEMESH_BODY_MODEL")
            if chosen is None:
                return first_existing(_FETCHED_BODY, model_folders())
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
    WeightEntry(
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
    WeightEntry(
        "people and 17 keypoints",
        "MoveNet MultiPose Lightning (Google)",
        "movenet_multipose/movenet_multipose_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    WeightEntry(
        "feet, hands, 3D cue, masks",
        "BlazePose full (Google)",
        "blazepose/blazepose_full_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    WeightEntry(
        "21 points of each hand",
        "MediaPipe Hands (Google)",
        "hand_landmarks/hand_landmark_full_fp16.onnx",
        "Apache-2.0",
        _COMES_ALONG,
        "observe",
    ),
    WeightEntry(
        "likely poses",
        "closemesh, learned from CMU motion capture",
        "pose_prior/pose_prior.npz",
        "MIT",
        _COMES_ALONG,
        "initialise",
    ),
    WeightEntry(
        "learned first pose",
        "closemesh, learned from CMU motion capture",
        "lifter/lifter.safetensors",
        "MIT",
        _COMES_ALONG,
        "initialise",
    ),
    WeightEntry(
        "how close people move",
        "closemesh, learned from CMU motion capture and generated interactions",
        "prior/denoiser.safetensors",
        "MIT",
        _COMES_ALONG,
        "refine",
    ),
    WeightEntry(
        "book of interactions",
        "closemesh, learned from CMU motion capture and generated interactions",
        "prior/codebook.safetensors",
        "MIT",
        _COMES_ALONG,
        "refine",
    ),
    WeightEntry(
        "likeness as people see it",
        "AlexNet (torchvision), LPIPS (Zhang et al.)",
        "perceptual/alexnet.safetensors",
        "BSD-3-Clause, BSD-2-Clause",
        _COMES_ALONG,
        "optimise",
    ),
    WeightEntry(
        "open body, full mesh",
        _OPEN_BODY,
        "open_body/open_body_std.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "initialise",
    ),
    WeightEntry(
        "open body, mesh for fits",
        _OPEN_BODY,
        "open_body/open_body_light.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "initialise",
    ),
    WeightEntry(
        "open body, mesh for contact",
        _OPEN_BODY,
        "open_body/open_body_mid.npz",
        "CC0, Apache-2.0",
        _COMES_ALONG,
        "contact",
    ),
    *_LANGUAGE_FILES,
)

SMPLX_BODY = WeightEntry(
    "licensed SMPL-X body",
    "Max Planck Institute for Intelligent Systems",
    "SMPLX_NEUTRAL.npz",
    "non-commercial research",
    "account at smpl-x.is.tue.mpg.de, closemesh download-weights body, pip install 'closemesh[smplx]', --body-model",
    "initialise",
)

DETECTOR_ERRORS = WeightEntry(
    "simulated detections",
    "closemesh, measured on rendered films",
    "detector_errors/detector_errors.npz",
    "MIT",
    _COMES_ALONG,
    "",  # No reconstruction depends on it.
)

KNOWN_FILES = (*BUNDLED_FILES, DETECTOR_ERRORS, SMPLX_BODY)


@dataclass(frozen=True)
class ModelFamily:
    """Model files of one kind, in several sizes."""

    option: str
    """How a command asks for it."""
    feature: str
    """What it adds."""
    provided_by: str
    names: tuple[str, ...]
    """Paths below a models folder, the best first."""
    licence: str
    download: str
    """What to give to `closemesh download-weights`."""
    package: str | None = None
    """The package that runs it, when closemesh does not bring it."""
    extra: str | None = None
    """The extra of closemesh that brings the package."""

    def locate(self) -> Path | None:
        """The best that is there, or None."""
        found = (first_existing(name, model_folders()) for name in self.names)
        return next((path for path in found if path), None)

    def has_package(self) -> bool:
        """Whether what runs it is installed; it is not imported."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    def usable(self) -> Path | None:
        """The best that is there, if what runs it is installed too."""
        return self.locate() if self.has_package() else None

    def require(self) -> Path:
        """The best that is there. Raises ModelFileError that tells how to get what is missing."""
        path = self.locate()
        if path is None:
            raise ModelFileError(f"{self.option} has no model file; {self.download_command} fetches {self._first}")
        if not self.has_package():
            raise ModelFileError(f"{self.option} needs the package {self.package}; {self.install_command}")
        return path

    def license_of(self, path: Path) -> str:
        """The licence of one file: ultralytics gives away its copies of others' files under its own."""
        return "AGPL-3.0" if path.parent.name == "ultralytics" else self.licence

    @property
    def name(self) -> str:
        """The file that is used, else the one that the download brings."""
        path = self.locate()
        return f"{path.parent.name}/{path.name}" if path else self._first

    @property
    def download_command(self) -> str:
        """The command that fetches it."""
        accept = " --accept-license" if self.licence.startswith("AGPL") else ""
        return f"closemesh download-weights {self.download}{accept}"

    @property
    def install_hint(self) -> str:
        """Everything that it takes."""
        return f"{self.download_command}, {self.install_command}" if self.package else self.download_command

    @property
    def install_command(self) -> str:
        """The command that installs the package."""
        return f"pip install 'closemesh[{self.extra}]'"

    @property
    def _first(self) -> str:
        """What the download brings is the middle of the sizes: see models/manifest.json."""
        return next(name for name in self.names if PurePosixPath(name).stem in _FETCHED)


_FETCHED = {"yolo26m-pose", "yolo26m-seg", "sam2.1_hiera_small", "rtmw_dw_x_l_256x192", "yolox_m_humanart"}
_SIZES = "xlmsn"

YOLO_POSE = ModelFamily(
    "--detector yolo",
    "better people and 17 keypoints",
    "YOLO pose (Ultralytics)",
    tuple(f"ultralytics/yolo{version}{size}-pose.pt" for version in (26, 11) for size in _SIZES),
    "AGPL-3.0",
    "detector",
    "ultralytics",
    "yolo",
)
RTMW = ModelFamily(
    "--detector rtmw",
    "hands and face, 133 keypoints",
    "RTMW (OpenMMLab)",
    ("rtmw/rtmw_dw_x_l_384x288.onnx", "rtmw/rtmw_dw_x_l_256x192.onnx", "rtmw/rtmw_dw_l_m_256x192.onnx"),
    "Apache-2.0",
    "wholebody",
)
YOLOX = ModelFamily(
    "--detector rtmw",
    "boxes of people for RTMW",
    "YOLOX (OpenMMLab)",
    ("rtmw/yolox_m_humanart.onnx",),
    "Apache-2.0",
    "wholebody",
)
YOLO_MASKS = ModelFamily(
    "--mask-model yolo",
    "masks of whole people",
    "YOLO segmentation (Ultralytics)",
    tuple(f"ultralytics/yolo{version}{size}-seg.pt" for version in (26, 11) for size in _SIZES),
    "AGPL-3.0",
    "yolo26m-seg",
    "ultralytics",
    "yolo",
)
SAM = ModelFamily(
    "--mask-model sam",
    "masks where people touch",
    "SAM 2.1 (Meta)",
    tuple(
        name
        for meta, other in (("large", "l"), ("base_plus", "b"), ("small", "s"), ("tiny", "t"))
        for name in (f"sam2/sam2.1_hiera_{meta}.pt", f"ultralytics/sam2.1_{other}.pt")
    ),
    "Apache-2.0",
    "masks",
    "ultralytics",
    "yolo",
)
FAMILIES = (YOLO_POSE, RTMW, YOLOX, YOLO_MASKS, SAM)
