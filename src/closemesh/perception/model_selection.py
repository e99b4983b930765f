"""Which networks look at a clip: those that are asked for, else the best of those that are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from closemesh.config.schema import ObserveConfig
from closemesh.perception.detectors.person_detectors import MoveNet, YoloPose, YoloxFinder
from closemesh.perception.keypoints.hand_landmarks import HandLandmarks
from closemesh.perception.keypoints.pose_networks import Rtmw
from closemesh.perception.keypoints.topdown import CombinedDetector, MediaPipeDetector, PersonDetector
from closemesh.perception.segmentation.mask_models import SamMasks, YoloMasks
from closemesh.perception.types import Detector, Segmenter
from closemesh.weights.registry import FAMILIES, RTMW, SAM, YOLO_MASKS, YOLO_POSE, YOLOX, ModelFamily


@dataclass(frozen=True)
class ModelSelection:
    """The downloaded files that are used; None stands for the networks that come along."""

    pose: Path | None = None
    """YOLO pose."""
    whole_body: Path | None = None
    """RTMW."""
    yolox: Path | None = None
    """Finds the boxes for RTMW where there is no YOLO pose."""
    yolo_masks: Path | None = None
    sam: Path | None = None

    def files(self) -> dict[str, tuple[Path, str]]:
        """Path and licence of each downloaded file by its name below a models folder."""
        used = zip((YOLO_POSE, RTMW, YOLOX, YOLO_MASKS, SAM), vars(self).values(), strict=True)
        return {f"{path.parent.name}/{path.name}": (path, family.license_of(path)) for family, path in used if path}

    @property
    def name(self) -> str:
        """Of the detector, as it stands in the results."""
        if self.pose is None and self.whole_body is None:
            return MediaPipeDetector.name
        finder = self.pose or self.yolox
        parts = [finder.stem if finder else "movenet", "blazepose"]
        return "+".join([*parts, self.whole_body.stem] if self.whole_body else parts)

    @property
    def masks_by(self) -> str:
        """Who makes the masks."""
        path = self.sam or self.yolo_masks
        return path.stem if path else "blazepose"


def select_models(config: ObserveConfig) -> ModelSelection:
    """What `config` asks for. Raises ModelFileError when something that is named is not there."""
    named, masks = config.detector, config.mask_model if config.masks else "mediapipe"
    sam = _asked(SAM, masks, "sam")
    pose = YOLO_POSE.usable() if named == "rtmw" else _asked(YOLO_POSE, named, "yolo")
    whole_body = _asked(RTMW, named, "rtmw")
    return ModelSelection(
        pose=pose,
        whole_body=whole_body,
        yolox=YOLOX.usable() if whole_body and not pose else None,
        yolo_masks=None if sam else _asked(YOLO_MASKS, masks, "yolo"),
        sam=sam,
    )


def _asked(family: ModelFamily, chosen: str, name: str) -> Path | None:
    """The family's file when it is named (it must be there) or when the best is wanted."""
    if chosen == name:
        return family.require()
    return family.usable() if chosen == "auto" else None


def notes_on(choice: ModelSelection, config: ObserveConfig) -> list[str]:
    """What the user is told of the choice, one line each."""
    masks = f", masks by {choice.masks_by}" if config.masks else ""
    told = [f"people found by {choice.name}{masks}"]
    lacking = [f for f in FAMILIES if f.locate() and not f.has_package()]
    if "auto" in (config.detector, config.mask_model) and lacking:
        names = ", ".join(family.name for family in lacking)
        told.append(f"not used, for want of the package {lacking[0].package}: {names}; {lacking[0].install_command}")
    return told


def make_detector(choice: ModelSelection, device: torch.device) -> Detector:
    """The networks of a choice, ready to run. Raises ModelFileError when a file is damaged."""
    if choice.pose is None and choice.whole_body is None:
        return MediaPipeDetector()
    whole_body = Rtmw(choice.whole_body, device) if choice.whole_body else None
    finder: PersonDetector = MoveNet()
    if choice.pose:
        finder = YoloPose(choice.pose, device)
    elif choice.yolox and whole_body:
        finder = YoloxFinder(choice.yolox, whole_body, device)
    return CombinedDetector(choice.name, finder, whole_body)


def make_mask_maker(choice: ModelSelection, device: torch.device) -> Segmenter | None:
    """Who makes the masks; None leaves them to the closer look. Raises ModelFileError when a file is damaged."""
    if choice.sam:
        return SamMasks(choice.sam, device)
    return YoloMasks(choice.yolo_masks, device) if choice.yolo_masks else None


def make_hand_reader(choice: ModelSelection, config: ObserveConfig) -> HandLandmarks | None:
    """Who looks at the hands; None where RTMW gives them, or nobody shall. Raises ModelFileError."""
    return HandLandmarks() if config.hands and choice.whole_body is None else None
