"""Choice of the networks that observe a clip: those asked for, or the best of those that are installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from closemesh.config.schema import ObserveConfig, PoseNetwork
from closemesh.perception.detectors.person_detectors import MoveNet, YoloPose, YoloxDetector
from closemesh.perception.keypoints.hand_landmarks import HandLandmarks
from closemesh.perception.keypoints.pose_networks import Rtmw
from closemesh.perception.keypoints.topdown import MEDIAPIPE_NAMES, CombinedDetector, MediaPipeDetector, PersonDetector
from closemesh.perception.segmentation.mask_models import SamMasks, YoloMasks
from closemesh.perception.types import Detector, Segmenter
from closemesh.weights.registry import FAMILIES, RTMW, SAM, YOLO_MASKS, YOLO_POSE, YOLOX, ModelFamily


@dataclass(frozen=True)
class ModelSelection:
    """Files of the downloaded networks in use, None for the bundled one, and which BlazePose estimates crops."""

    pose: Path | None = None
    """YOLO pose."""
    whole_body: Path | None = None
    """RTMW."""
    yolox: Path | None = None
    """Detects the boxes for RTMW where there is no YOLO pose."""
    yolo_masks: Path | None = None
    sam: Path | None = None
    pose_network: PoseNetwork = ObserveConfig.pose_network

    def files(self) -> dict[str, tuple[Path, str]]:
        """Path and license of each downloaded file, by its name below a models folder."""
        paths = (self.pose, self.whole_body, self.yolox, self.yolo_masks, self.sam)
        used = zip((YOLO_POSE, RTMW, YOLOX, YOLO_MASKS, SAM), paths, strict=True)
        return {f"{path.parent.name}/{path.name}": (path, family.license_of(path)) for family, path in used if path}

    @property
    def name(self) -> str:
        """Name of the detector in result files."""
        if self.pose is None and self.whole_body is None:
            return MEDIAPIPE_NAMES[self.pose_network]
        boxes = self.pose or self.yolox
        parts = [boxes.stem if boxes else "movenet", self._blazepose]
        return "+".join([*parts, self.whole_body.stem] if self.whole_body else parts)

    @property
    def mask_model(self) -> str:
        """Name of the network that makes the masks."""
        path = self.sam or self.yolo_masks
        return path.stem if path else self._blazepose

    @property
    def _blazepose(self) -> str:
        return "blazepose" if self.pose_network == "full" else f"blazepose-{self.pose_network}"


def select_models(config: ObserveConfig) -> ModelSelection:
    """The networks that `config` asks for. Raises ModelFileError when the file of a named network is missing."""
    detector, mask_model = config.detector, config.mask_model if config.masks else "mediapipe"
    sam = _find(SAM, mask_model, "sam")
    pose = YOLO_POSE.usable() if detector == "rtmw" else _find(YOLO_POSE, detector, "yolo")
    whole_body = _find(RTMW, detector, "rtmw")
    return ModelSelection(
        pose=pose,
        whole_body=whole_body,
        yolox=YOLOX.usable() if whole_body and not pose else None,
        yolo_masks=None if sam else _find(YOLO_MASKS, mask_model, "yolo"),
        sam=sam,
        pose_network=config.pose_network,
    )


def _find(family: ModelFamily, chosen: str, name: str) -> Path | None:
    """File of the family: required when `chosen` names it, optional for "auto"."""
    if chosen == name:
        return family.require()
    return family.usable() if chosen == "auto" else None


def selection_notes(selection: ModelSelection, config: ObserveConfig) -> list[str]:
    """Notes for the user about the selection, one line each."""
    masks = f", masks by {selection.mask_model}" if config.masks else ""
    notes = [f"people found by {selection.name}{masks}"]
    unusable = [f for f in FAMILIES if f.locate() and not f.has_package()]
    if "auto" in (config.detector, config.mask_model) and unusable:
        names = ", ".join(family.name for family in unusable)
        package, install = unusable[0].package, unusable[0].install_command
        notes.append(f"not used because the package {package} is missing: {names}; {install}")
    return notes


def make_detector(selection: ModelSelection, device: torch.device) -> Detector:
    """The selected networks, loaded. Raises ModelFileError when a file is damaged."""
    if selection.pose is None and selection.whole_body is None:
        return MediaPipeDetector(selection.pose_network)
    whole_body = Rtmw(selection.whole_body, device) if selection.whole_body else None
    person_detector: PersonDetector = MoveNet()
    if selection.pose:
        person_detector = YoloPose(selection.pose, device)
    elif selection.yolox and whole_body:
        person_detector = YoloxDetector(selection.yolox, whole_body, device)
    return CombinedDetector(selection.name, person_detector, selection.pose_network, whole_body)


def make_segmenter(selection: ModelSelection, device: torch.device) -> Segmenter | None:
    """The network for masks; None where BlazePose gives them. Raises ModelFileError when a file is damaged."""
    if selection.sam:
        return SamMasks(selection.sam, device)
    return YoloMasks(selection.yolo_masks, device) if selection.yolo_masks else None


def make_hand_landmarks(selection: ModelSelection, config: ObserveConfig) -> HandLandmarks | None:
    """The network for hands; None where RTMW gives them or hands are off.

    Raises ModelFileError when its file is missing or damaged.
    """
    return HandLandmarks() if config.hands and selection.whole_body is None else None
