"""Repeated detections of real people: each network on slightly changed copies of the frames of clips and photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from closemesh.body.skeleton import KEYPOINT_MIRROR
from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.core.progress import NullProgress, Progress
from closemesh.core.records import load_record, save_record
from closemesh.lab.simulation.noise_statistics import median_of_known
from closemesh.perception.detectors.multi_scale import union_region, unmirror
from closemesh.perception.detectors.person_detectors import MoveNet
from closemesh.perception.keypoints.left_right import fix_left_right
from closemesh.perception.keypoints.pose_networks import BlazePose
from closemesh.perception.keypoints.selection import AGREEMENT_DISTANCE, KeypointCandidates, fuse_over_time
from closemesh.perception.keypoints.topdown import MediaPipeDetector, with_matching_sides
from closemesh.perception.observe import select_tracks
from closemesh.perception.tracking.similarity import oks
from closemesh.perception.types import CropPose, Detection, Image
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D
from closemesh.video import open_clip, read_frames

NETWORKS = ("movenet", "blazepose_full", "blazepose_heavy", "fused")
"""Axis N of the keypoints: the networks, and the fusion of the first with the third, as in perception."""
_MOVENET, _FULL, _HEAVY, _FUSED = range(len(NETWORKS))
_FULL_RATE = ClipConfig(fps=120.0)
_SAME_PERSON = 0.3  # OKS from which a detection in a changed frame shows the tracked person.
_MIN_CONFIDENCE, _MIN_INSIDE = 0.3, 4  # Keypoints that identify a person in a cut frame.
_NEAR = 0.1  # Fraction of the box diagonal.
_CUT_BELOW, _CUT_LEFT = 0.6, 0.8  # Cumulative probabilities; the rest is cut on the right.
_LONG_SIDES = (256, 320, 384)  # Pixels of the views of MoveNet.


@dataclass(frozen=True)
class View:
    """A slight change of a frame, and of the crop around a person."""

    mirrored: bool = False
    blur: float = 0.0
    """Standard deviation as a fraction of the box diagonal."""
    gain: float = 1.0
    """Factor on brightness."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Fraction of the box diagonal."""
    scale: float = 1.0
    angle: float = 0.0
    """Degrees."""
    long_side: int = _LONG_SIDES[1]
    """Pixels, for MoveNet."""


@dataclass(frozen=True)
class RepeatedKeypoints:
    """Keypoints of one clip: T frames, P people, V views, N networks; nan where nothing is detected."""

    name: str
    keypoints: Floats
    """[T, P, V, N, 23, 3] x, y pixels and confidence; view 0 is the frame as it is."""
    boxes: Floats
    """[T, P, 4] pixels."""
    size: tuple[int, int]
    """Width and height of the frames."""
    fps: float
    cropped: Floats
    """[T, P, N, 23, 3] in the same frames cut by a border through the people; pixels of the whole frame."""
    crops: Floats
    """[T, 4] x0, y0, x1, y1 of what is left of the frame; nan where it was not cut."""

    def people(self, chosen: list[int]) -> RepeatedKeypoints:
        """The chosen people alone."""
        parts = {name: getattr(self, name)[:, chosen] for name in ("keypoints", "boxes", "cropped")}
        return replace(self, **parts)

    @property
    def reference(self) -> Floats:
        """[T, P, 23, 3] median over all views and networks but the fusion."""
        networks = self.keypoints[:, :, :, :_FUSED]
        return median_of_known(networks.reshape(*self.boxes.shape[:2], -1, NUM_KEYPOINTS3D, 3), axis=2)


@dataclass(frozen=True)
class RepetitionConfig:
    """How often frames are changed."""

    views: int = 8
    """Changed copies of a frame."""
    every: int = 8
    """Every so many frames are changed; twice as many are cut by a border."""
    seed: int = 0


def random_views(count: int, seed: int) -> list[View]:
    """The unchanged view and `count` slightly changed ones; every other one is mirrored."""
    rng = np.random.default_rng(seed)
    changed = [
        View(
            mirrored=bool(number % 2),
            blur=float(rng.uniform(0, 0.004)),
            gain=float(rng.uniform(0.8, 1.2)),
            shift=(float(rng.normal(0, 0.02)), float(rng.normal(0, 0.02))),
            scale=float(np.exp(rng.normal(0, 0.06))),
            angle=float(rng.normal(0, 4.0)),
            long_side=_LONG_SIDES[number % len(_LONG_SIDES)],
        )
        for number in range(count)
    ]
    return [View(), *changed]


class RepeatedNetworks:
    """The networks of the bundled detector. Raises ModelFileError when a file is missing or damaged."""

    def __init__(self) -> None:
        self._movenet = MoveNet()
        self._crop_networks = BlazePose("full"), BlazePose("heavy")

    def keypoints(self, image: Image, people: list[Detection], view: View) -> Floats:
        """[P, N, 23, 3] of the people in a changed image; nan where not detected. image: RGB [H, W, 3].

        The unchanged view takes the given detections for MoveNet.
        """
        diagonal = float(np.median([person.diagonal for person in people]))
        changed = _change_colors(image, view, diagonal)
        unchanged = view == View()
        found = [*people] if unchanged else self._detect(changed, people, view, diagonal)
        result = np.full((len(people), len(NETWORKS), NUM_KEYPOINTS3D, 3), np.nan)
        for p, (person, detection) in enumerate(zip(people, found, strict=True)):
            poses = [self._refine(network, changed, person, view) for network in self._crop_networks]
            if detection is not None:
                result[p, 0, :17] = detection.keypoints
            for n, pose in enumerate(poses, start=1):
                if pose is not None:
                    result[p, n] = with_matching_sides(person, pose).keypoints[:NUM_KEYPOINTS3D]
        return np.where(result[..., 2:] > 0, result, np.nan)

    def cropped_keypoints(self, image: Image, people: list[Detection], crop: Floats) -> Floats:
        """[P, N, 23, 3] of the people in the part `crop` [4] of the image, found there anew; nan where not detected.

        image: RGB [H, W, 3]. Each person is the one whose keypoints inside the crop are nearest.
        """
        x0, y0, x1, y1 = crop.astype(int)
        part, corner = np.ascontiguousarray(image[y0:y1, x0:x1]), np.array([x0, y0, 0.0])
        found = [one for side in _LONG_SIDES for one in self._movenet.detect(part, side)]
        found = [one.translated(np.array([x0, y0], float)) for one in found]
        result = np.full((len(people), len(NETWORKS), NUM_KEYPOINTS3D, 3), np.nan)
        for p, person in enumerate(people):
            detection = _nearest_inside(person, found, crop)
            if detection is None:
                continue
            result[p, 0, :17] = detection.keypoints
            local = detection.translated(-np.array([x0, y0], float))
            poses = [network.refine(part, local) for network in self._crop_networks]
            for n, pose in enumerate(poses, start=1):
                if pose is not None:
                    result[p, n] = with_matching_sides(local, pose).keypoints[:NUM_KEYPOINTS3D] + corner
        return np.where(result[..., 2:] > 0, result, np.nan)

    def _detect(self, image: Image, people: list[Detection], view: View, diagonal: float) -> list[Detection | None]:
        """The person of each detection again, found by MoveNet in a warped part of the image."""
        x0, y0, x1, y1 = union_region(people, image)
        center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        T = similarity_about(center, view, diagonal)
        T[:, 2] -= (x0, y0)
        patch = cv2.warpAffine(image, T, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        patch = np.ascontiguousarray(patch[:, ::-1] if view.mirrored else patch, np.uint8)
        found = self._movenet.detect(patch, view.long_side)
        found = [unmirror(one, patch.shape[1]) for one in found] if view.mirrored else found
        back = np.asarray(cv2.invertAffineTransform(T), float)
        found = [_transformed(one, back) for one in found]
        best = [max(found, key=lambda one: oks(person, one), default=None) for person in people]
        return [
            one if one is not None and oks(person, one) > _SAME_PERSON else None
            for person, one in zip(people, best, strict=True)
        ]

    @staticmethod
    def _refine(network: BlazePose, image: Image, person: Detection, view: View) -> CropPose | None:
        """The crop pose in the image, from a crop that is shifted, turned and scaled."""
        hips = person.keypoints[[11, 12], :2].mean(0)
        moved = _transformed(person, similarity_about(hips, view, person.diagonal))
        if not view.mirrored:
            return network.refine(image, moved)
        width = image.shape[1]
        pose = network.refine(np.ascontiguousarray(image[:, ::-1]), unmirror(moved, width))
        if pose is None:
            return None
        keypoints = pose.keypoints.copy()
        keypoints[:, 0] = width - 1 - keypoints[:, 0]
        keypoints[:NUM_KEYPOINTS3D] = keypoints[list(KEYPOINT_MIRROR)]
        return CropPose(**{**vars(pose), "keypoints": keypoints})


def _nearest_inside(person: Detection, found: list[Detection], crop: Floats) -> Detection | None:
    """The found person whose keypoints lie nearest to those of `person` inside the crop [4]; None if all are far."""
    points = person.keypoints[:, :2]
    inside = (points >= crop[:2]).all(1) & (points < crop[2:]).all(1) & (person.keypoints[:, 2] > _MIN_CONFIDENCE)
    if inside.sum() < _MIN_INSIDE:
        return None
    far = [float(np.median(np.linalg.norm(one.keypoints[inside, :2] - points[inside], axis=1))) for one in found]
    best = int(np.argmin(far)) if far else -1
    return found[best] if far and far[best] < _NEAR * person.diagonal else None


def random_crop(people: list[Detection], size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """[4] x0, y0, x1, y1 of a part of a frame whose border cuts through one of the people: mostly their legs."""
    person = people[int(rng.integers(len(people)))]
    x0, y0, x1, y1 = person.box
    crop = np.array([0.0, 0.0, *size])
    side, fraction = rng.random(), rng.uniform(0.25, 0.65)
    if side < _CUT_BELOW:
        crop[3] = y0 + rng.uniform(0.45, 0.9) * (y1 - y0)
    elif side < _CUT_LEFT:
        crop[0] = x0 + fraction * (x1 - x0)
    else:
        crop[2] = x1 - fraction * (x1 - x0)
    return np.clip(np.round(crop), 0, np.tile(size, 2))


def _change_colors(image: Image, view: View, diagonal: float) -> Image:
    if view.gain != 1:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=view.gain), np.uint8)
    sigma = view.blur * diagonal
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image  # type: ignore[return-value]


def similarity_about(center: Floats, view: View, diagonal: float) -> Floats:
    """Affine map [2, 3] that turns and scales about the center [2] and then shifts; diagonal in pixels."""
    T = np.asarray(cv2.getRotationMatrix2D((float(center[0]), float(center[1])), view.angle, view.scale), float)
    T[:, 2] += diagonal * np.asarray(view.shift)
    return T


def _transformed(person: Detection, T: Floats) -> Detection:
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = keypoints[:, :2] @ T[:, :2].T + T[:, 2]
    corners = person.box.reshape(2, 2) @ T[:, :2].T + T[:, 2]
    return Detection(corners.ravel(), keypoints, person.score)


def repeat_clips(
    paths: list[Path], people: dict[str, list[int]], out: Path, config: RepetitionConfig, progress: Progress
) -> list[RepeatedKeypoints]:
    """`repeat_clip` of all clips; the results are kept in the folder `out` and read from there when run again.

    people: by name of a clip the numbers of the people who count, all if not named. Raises InputError when a clip
    cannot be read or shows no person.
    """
    networks, found = None, []
    for path in paths:
        stored = out / f"{path.stem}.npz"
        if not stored.exists():
            networks = networks or RepeatedNetworks()
            out.mkdir(parents=True, exist_ok=True)
            save_record(stored, repeat_clip(path, networks, config, progress))
        clip = load_record(stored, RepeatedKeypoints)
        found.append(clip.people(people[path.stem]) if path.stem in people else clip)
    return found


def repeat_clip(
    path: Path, networks: RepeatedNetworks, config: RepetitionConfig, progress: Progress
) -> RepeatedKeypoints:
    """All networks on a clip: all frames as they are, some frames changed, and some cut by a border.

    Raises InputError when the clip cannot be read or shows no person.
    """
    clip, views, every = open_clip(path, _FULL_RATE), random_views(config.views, config.seed), config.every
    tracks = select_tracks(clip, MediaPipeDetector(), ObserveConfig(masks=False), NullProgress())
    by_frame = [fix_left_right(dict(zip(track.frames, track.detections, strict=True))) for track in tracks]
    with progress.task(path.name, len(clip)) as advance:
        keypoints = np.full((len(clip), len(tracks), len(views), len(NETWORKS), NUM_KEYPOINTS3D, 3), np.nan, np.float32)
        boxes, crops = np.full((len(clip), len(tracks), 4), np.nan), np.full((len(clip), 4), np.nan)
        cropped = np.full((*boxes.shape[:2], len(NETWORKS), NUM_KEYPOINTS3D, 3), np.nan, np.float32)
        rng = np.random.default_rng(len(clip))
        for t, image in enumerate(read_frames(clip)):
            people = [p for p, found in enumerate(by_frame) if t in found]
            detections = [by_frame[p][t] for p in people]
            boxes[t, people] = [one.box for one in detections] if people else boxes[t, people]
            for v, view in enumerate(views if t % every == 0 else views[:1]):
                if people:
                    keypoints[t, people, v] = networks.keypoints(image, detections, view)
            if people and t % every in (0, every // 2):
                crops[t] = random_crop(detections, clip.size, rng)
                cropped[t, people] = networks.cropped_keypoints(image, detections, crops[t])
            advance(1)
    return with_fusion(RepeatedKeypoints(path.stem, keypoints, boxes, clip.size, clip.fps, cropped, crops))


def with_fusion(clip: RepeatedKeypoints) -> RepeatedKeypoints:
    """The clip with the keypoints of MoveNet and BlazePose heavy fused as in perception, over time.

    Changed and cut frames stand alone: those beside them were not changed in the same way.
    """
    diagonal = np.linalg.norm(clip.boxes[..., 2:] - clip.boxes[..., :2], axis=-1)
    keypoints, cropped = clip.keypoints.copy(), clip.cropped.copy()
    keypoints[:, :, 0, _FUSED] = _fused(clip.keypoints[:, :, 0], diagonal, clip.size)
    for t in np.flatnonzero(np.isfinite(clip.keypoints[:, :, 1:]).any((1, 2, 3, 4, 5))):
        for v in range(1, clip.keypoints.shape[2]):
            keypoints[t, :, v, _FUSED] = _fused(clip.keypoints[t : t + 1, :, v], diagonal[t : t + 1], clip.size)[0]
    for t in np.flatnonzero(np.isfinite(clip.crops).all(-1)):
        x0, y0, x1, y1 = (int(edge) for edge in clip.crops[t])
        corner = np.array([x0, y0, 0])
        local = clip.cropped[t : t + 1] - corner
        cropped[t, :, _FUSED] = _fused(local, diagonal[t : t + 1], (x1 - x0, y1 - y0))[0] + corner
    return replace(clip, keypoints=keypoints, cropped=cropped)


def _fused(networks: Floats, diagonal: Floats, size: tuple[int, int]) -> Floats:
    """[T, P, 23, 3] of networks [T, P, N, 23, 3]; nan where nothing is left. diagonal: [T, P] pixels."""
    detected, heavy = (np.nan_to_num(networks[:, :, n].astype(float)) for n in (_MOVENET, _HEAVY))
    crop = np.zeros((*detected.shape[:2], NUM_KEYPOINTS, 3))
    crop[:, :, :NUM_KEYPOINTS3D] = heavy
    distance = np.linalg.norm(detected[:, :, 5:17, :2] - heavy[:, :, 5:17, :2], axis=-1)
    confident = detected[:, :, 5:17, 2] > 0.2
    near = confident & (distance < AGREEMENT_DISTANCE / 2 * diagonal[..., None])
    agreement = near.sum(-1) / np.maximum(confident.sum(-1), 1)
    diagonal = np.maximum(np.nan_to_num(diagonal), 1)
    fused = fuse_over_time(KeypointCandidates(detected[:, :, :17], crop, agreement, diagonal, size)).keypoints
    return np.where(fused[:, :, :NUM_KEYPOINTS3D, 2:] > 0, fused[:, :, :NUM_KEYPOINTS3D], np.nan)
