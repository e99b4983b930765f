"""The closer look at everybody in one frame; whom a partner hides is looked at again without the partner."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from closemesh.observe.detector import NUM_BODY, Detection, Detector, Image, Refinement
from closemesh.observe.fusion import AGREEMENT
from closemesh.scene import Bools

_TRUSTED = 0.7  # Share of agreeing limb keypoints from which a look shows the person that was meant.
_MIN_CONFIDENCE = 0.2
_SOLID = 0.5


@dataclass(frozen=True)
class Look:
    """One person, seen twice."""

    person: int
    detection: Detection
    refinement: Refinement
    agreement: float
    """0..1 share of the limb keypoints on which detection and refinement agree."""


def look_at_people(detector: Detector, image: Image, people: dict[int, Detection]) -> dict[int, Look]:
    """The best look at each person; people too hidden for any are left out."""
    looks = {person: _look(detector, image, person, detection) for person, detection in people.items()}
    found = {person: look for person, look in looks.items() if look is not None}
    trusted = [look for look in found.values() if look.agreement >= _TRUSTED]
    for person, look in found.items():
        others = [other for other in trusted if other.person != person]
        if look.agreement < _TRUSTED and others:
            again = _look_past(detector, image, look, others)
            if again is not None and again.agreement > look.agreement:
                found[person] = again
    return found


def _look_past(detector: Detector, image: Image, look: Look, others: list[Look]) -> Look | None:
    """A look at a person with the `others` painted over in the mean colour, so that the one behind draws attention."""
    covered = _shown(others, image.shape)
    painted = np.where(covered[..., None], image[::16, ::16].reshape(-1, 3).mean(0).astype(np.uint8), image)
    again = _look(detector, painted, look.person, look.detection)
    if again is None:
        return None
    T = again.refinement.T_image_mask
    size = again.refinement.mask.shape[::-1]
    hidden = cv2.warpAffine(covered.astype(np.float32), T, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return replace(again, refinement=replace(again.refinement, mask=again.refinement.mask * (1 - hidden)))


def _shown(looks: list[Look], shape: tuple[int, ...]) -> Bools:
    """[H, W] where these people are seen."""
    masks = (cv2.warpAffine(look.refinement.mask, look.refinement.T_image_mask, shape[1::-1]) for look in looks)
    return np.any([mask > _SOLID for mask in masks], axis=0)


def _look(detector: Detector, image: Image, person: int, detection: Detection) -> Look | None:
    refinement = detector.refine(image, detection)
    return None if refinement is None else Look(person, detection, refinement, agreement(detection, refinement))


def agreement(detection: Detection, refinement: Refinement) -> float:
    """Share of the confident keypoints from shoulders to ankles that both put in the same place.

    Whichever way round they face: who is seen from behind is the same person still.
    """
    return max(_share_in_place(detection, refinement), _share_in_place(detection.side_swapped(), refinement))


def _share_in_place(detection: Detection, refinement: Refinement) -> float:
    confident = detection.keypoints[5:, 2] > _MIN_CONFIDENCE
    apart = np.linalg.norm(detection.keypoints[5:, :2] - refinement.keypoints[5:NUM_BODY, :2], axis=1)
    return float((apart[confident] < AGREEMENT / 2 * detection.diagonal).mean()) if confident.any() else 0.0
