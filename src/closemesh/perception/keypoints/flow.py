"""Keypoints carried by dense optical flow from frames in which they are clear to frames in which a partner is near."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.perception.keypoints.uncertainty import distance_to_limbs
from closemesh.perception.types import Image
from closemesh.structures import NUM_KEYPOINTS3D, Clip, Observations
from closemesh.video import read_frames

_SIDE = 640  # Pixels, the longer side of the images between which flow is computed.
_CELL = 2  # Pixels of these images per stored flow vector.
_MAX_SECONDS = 0.7  # Longest chain.
_MAX_CHAIN = 24  # Frames; bounds the memory for flow.
_MAX_ERROR = 0.01  # Fraction of the box diagonal: forward-backward error above which a point is covered or lost.
_PATCH = 7  # Pixels of these images around a point that are compared.
_MIN_DIFFERENCE, _MAX_DIFFERENCE = 10.0, 0.6  # Gray levels, and fraction of the contrast: more is another surface.
_DRIFT = 0.002  # Fraction of the box diagonal by which a carried point drifts per frame.

_CLEAR_CONFIDENCE = 0.5
_CLEAR_SIGMA = 0.03  # Fraction of the box diagonal.
_MAX_STEP = 0.02  # Fraction of the box diagonal by which a clear keypoint may move against the flow in one frame.
_NEAR = 0.06  # Fraction of the box diagonal: a keypoint this near to a partner's limb is not clear.
_AGREEMENT = 2.5  # Standard deviations within which the carried and the detected point are the same.
_SHORT = 0.03  # Fraction of the box diagonal: a carried point with a smaller sigma replaces one that disagrees.
_MAX_CONFIDENCE = 0.6  # Of a keypoint that only flow gives.


@dataclass(frozen=True)
class _Flow:
    """Optical flow between two consecutive frames, on a grid of cells."""

    images: tuple[Image, Image]
    """Small gray images [h, w] of the earlier and the later frame."""
    forward: Floats
    """[h, w, 2] pixels of the frame, from the earlier to the later frame."""
    backward: Floats
    """[h, w, 2] from the later to the earlier frame."""
    cell: float
    """Pixels of the frame per cell."""

    def carry(self, points: Floats, to_later: bool) -> tuple[Floats, Floats]:
        """The points [N, 2] in the other frame, and their forward-backward error [N], in pixels.

        The error is infinite where the surroundings of both points differ.
        """
        there, back = (self.forward, self.backward) if to_later else (self.backward, self.forward)
        carried = points + self._sample(there, points)
        error = np.linalg.norm(carried + self._sample(back, carried) - points, axis=-1)
        images = self.images if to_later else self.images[::-1]
        before, after = (self._patches(image, at) for image, at in zip(images, (points, carried), strict=True))
        difference = np.abs(before - after).mean(1)
        same = difference < np.maximum(_MIN_DIFFERENCE, _MAX_DIFFERENCE * before.std(1))
        return carried, np.where(same, error, np.inf)

    def _patches(self, image: Image, points: Floats) -> Floats:
        """[N, n] gray levels of `image` around each of the points [N, 2]."""
        offset = np.arange(-_PATCH, _PATCH + 1)
        x, y = (axis.ravel() for axis in np.meshgrid(offset, offset))
        pixels = points * (_CELL / self.cell)
        columns, rows = ((pixels[:, k, None] + shift).astype(np.float32) for k, shift in enumerate((x, y)))
        sampled = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return sampled.astype(np.float32)

    def _sample(self, field: Floats, points: Floats) -> Floats:
        columns, rows = (points / self.cell).astype(np.float32).T[..., None]
        border = cv2.BORDER_REPLICATE
        sampled = cv2.remap(field.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(sampled, float).reshape(-1, 2)


@dataclass(frozen=True)
class _Chains:
    """Carried keypoints of all people in one frame."""

    points: Floats
    """[P, 23, 2] pixels."""
    sigmas: Floats
    """[P, 23] pixels; infinite where nothing is carried."""
    length: Floats
    """[P, 23] frames since the keypoint was clear."""

    def carry(self, flow: _Flow, to_later: bool, diagonal: Floats, max_length: int) -> _Chains:
        """The chains one frame on. diagonal: [P, 1] of the boxes in the new frame, pixels."""
        points, error = flow.carry(self.points.reshape(-1, 2), to_later)
        error, length = error.reshape(self.sigmas.shape), self.length + 1
        lost = (error > _MAX_ERROR * diagonal) | (length > max_length)
        sigmas = np.sqrt(np.square(self.sigmas + _DRIFT * diagonal) + np.square(error))
        return _Chains(points.reshape(self.points.shape), np.where(lost, np.inf, sigmas), length)

    def only(self, wanted: Bools) -> _Chains:
        """The chains that are wanted [P, 23]; all others end."""
        return replace(self, sigmas=np.where(wanted, self.sigmas, np.inf))

    def agrees(self, points: Floats, sigmas: Floats) -> Bools:
        """[P, 23] the chains are at these points [P, 23, 2] with sigmas [P, 23], or have ended."""
        distance = np.linalg.norm(self.points - points, axis=-1)
        return ~(distance > _AGREEMENT * np.hypot(self.sigmas, sigmas))

    def as_array(self, wanted: Bools) -> Floats:
        """[P, 23, 3] x, y, sigma of the wanted chains [P, 23]; zeros for all others."""
        given = wanted & np.isfinite(self.sigmas)
        return np.where(given[..., None], np.concatenate([self.points, self.sigmas[..., None]], -1), 0)

    def restarted(self, clear: Bools, points: Floats, sigmas: Floats) -> _Chains:
        """New chains where the keypoint is clear [P, 23] in this frame, with its point and sigma."""
        return _Chains(
            np.where(clear[..., None], points, self.points),
            np.where(clear, sigmas, self.sigmas),
            np.where(clear, 0, self.length),
        )


def carry_keypoints(clip: Clip, observations: Observations, progress: Progress) -> Floats:
    """[T, P, 23, 3] x, y pixels and sigma of keypoints near a partner, from clear ones by flow; sigma 0 for none.

    Flow is computed only around frames in which people are near each other, and kept for at most 24 frames.
    """
    T, P = observations.detected.shape
    points, sigmas = observations.keypoints[:, :, :NUM_KEYPOINTS3D, :2], observations.sigmas[:, :, :NUM_KEYPOINTS3D]
    extent = observations.boxes[..., 2:] - observations.boxes[..., :2]
    diagonal = np.maximum(np.linalg.norm(extent, axis=-1), 1.0)[..., None]  # [T, P, 1]
    clear, wanted = clear_keypoints(observations)
    max_length = max(1, min(_MAX_CHAIN, round(_MAX_SECONDS * clip.fps)))
    needed = np.array([wanted[max(t - max_length, 0) : t + max_length + 1].any() for t in range(T)])
    later, earlier = np.zeros((2, T, P, NUM_KEYPOINTS3D, 3))  # Carried from earlier frames, and from later ones.
    if not needed.any():
        return later
    empty = _Chains(np.zeros((P, NUM_KEYPOINTS3D, 2)), np.full(clear.shape[1:], np.inf), np.zeros(clear.shape[1:]))
    chains, before, flows = empty, None, deque(maxlen=max_length + 1)
    with progress.task("optical flow", T) as advance:
        for t, image in enumerate(read_frames(clip)):
            advance(1)
            if not needed[t]:
                chains, before = empty, None
                flows.clear()
                continue
            small = _small_gray(image)
            if before is not None:
                flows.append(_optical_flow(before, small, max(image.shape[:2]) / max(small.shape)))
                follows = clear[t - 1] & _follows(flows[-1], points[t - 1 : t + 1], diagonal[t])
                chains = chains.carry(flows[-1], True, diagonal[t], max_length)
                later[t] = chains.as_array(wanted[t])
                chains = chains.only(~clear[t] | chains.agrees(points[t], sigmas[t]))
                chains = chains.restarted(follows & clear[t], points[t], sigmas[t])
                past = empty.restarted(follows, points[t - 1], sigmas[t - 1])
                for k, flow in enumerate(list(flows)[-2::-1], start=2):
                    past = past.carry(flow, False, diagonal[t - k], max_length).only(wanted[t - k])
                    if not np.isfinite(past.sigmas).any():
                        break
                    earlier[t - k] = np.where(
                        np.isfinite(past.sigmas)[..., None], past.as_array(wanted[t - k]), earlier[t - k]
                    )
            before = small
    return _combined(later, earlier)


def clear_keypoints(observations: Observations) -> tuple[Bools, Bools]:
    """Which keypoints [T, P, 23] are clear, and which are near a partner's limb: these are carried from clear ones."""
    T, P = observations.detected.shape
    keypoints = observations.keypoints
    extent = observations.boxes[..., 2:] - observations.boxes[..., :2]
    diagonal = np.linalg.norm(extent, axis=-1)[..., None]
    near = np.zeros((T, P, NUM_KEYPOINTS3D), bool)
    for p in range(P):
        for q in range(P):
            if p != q:
                both = (observations.detected[:, p] & observations.detected[:, q])[:, None]
                distance = distance_to_limbs(keypoints[:, p, :NUM_KEYPOINTS3D, :2], keypoints[:, q])
                near[:, p] |= both & (distance < _NEAR * diagonal[:, p])
    confident = keypoints[:, :, :NUM_KEYPOINTS3D, 2] > _CLEAR_CONFIDENCE
    certain = observations.sigmas[:, :, :NUM_KEYPOINTS3D] < _CLEAR_SIGMA * diagonal
    inside = observations.detected[..., None]
    if observations.outside is not None:
        inside = inside & ~observations.outside
    return inside & confident & certain & ~near, inside & near


def fuse_carried(observations: Observations, carried: Floats) -> Observations:
    """The observations with the evidence of carried keypoints [T, P, 23, 3].

    Where both points agree, their mean weighted by precision counts. Where they do not, the carried one counts if its
    sigma is small and smaller than that of the detected one.
    """
    keypoints, sigmas = observations.keypoints.copy(), observations.sigmas.copy()
    body, body_sigmas = keypoints[:, :, :NUM_KEYPOINTS3D], sigmas[:, :, :NUM_KEYPOINTS3D]
    extent = observations.boxes[..., 2:] - observations.boxes[..., :2]
    diagonal = np.linalg.norm(extent, axis=-1)[..., None]
    sigma = carried[..., 2]
    given, detected = sigma > 0, body[..., 2] > 0
    weight = np.square(body_sigmas) / np.maximum(
        np.square(body_sigmas) + np.square(sigma), 1e-12
    )  # Of the carried point.
    distance = np.linalg.norm(carried[..., :2] - body[..., :2], axis=-1)
    agree = given & detected & (distance < _AGREEMENT * np.hypot(sigma, body_sigmas))
    replaces = given & ~agree & (sigma < _SHORT * diagonal) & ((sigma < body_sigmas) | ~detected)
    weight = np.where(agree, weight, np.where(replaces, 1.0, 0.0))
    fused = body_sigmas * sigma / np.maximum(np.hypot(body_sigmas, sigma), 1e-12)
    body[..., :2] += weight[..., None] * (carried[..., :2] - body[..., :2])
    body[..., 2] = np.where(replaces, _MAX_CONFIDENCE, body[..., 2])
    body_sigmas[:] = np.where(agree, fused, np.where(replaces, sigma, body_sigmas))
    return replace(observations, keypoints=keypoints, sigmas=sigmas, flow_keypoints=carried)


def _follows(flow: _Flow, points: Floats, diagonal: Floats) -> Bools:
    """[P, 23] the keypoints of two frames, points [2, P, 23, 2], move as the flow between the frames does."""
    carried, error = flow.carry(points[0].reshape(-1, 2), True)
    distance = np.linalg.norm(carried - points[1].reshape(-1, 2), axis=-1) + error
    return distance.reshape(points.shape[1:3]) < _MAX_STEP * diagonal


def _combined(later: Floats, earlier: Floats) -> Floats:
    """[T, P, 23, 3] mean of both, weighted by precision; one where only one is given, none where they disagree."""
    points, sigmas = np.stack([later[..., :2], earlier[..., :2]]), np.stack([later[..., 2], earlier[..., 2]])
    given = sigmas > 0
    weights = np.where(given, 1 / np.square(np.maximum(sigmas, 1e-6)), 0)
    total = np.maximum(weights.sum(0), 1e-12)
    distance = np.linalg.norm(points[0] - points[1], axis=-1)
    disagree = given.all(0) & (distance > _AGREEMENT * np.hypot(sigmas[0], sigmas[1]))
    mean = (weights[..., None] * points).sum(0) / total[..., None]
    combined = np.concatenate([mean, 1 / np.sqrt(total)[..., None]], -1)
    return np.where((given.any(0) & ~disagree)[..., None], combined, 0)


def _optical_flow(before: Image, after: Image, scale: float) -> _Flow:
    """Flow between two gray images that are `scale` times smaller than the frames."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    fields = [estimator.calc(a, b, None)[::_CELL, ::_CELL] for a, b in ((before, after), (after, before))]  # type: ignore[call-overload]
    forward, backward = ((scale * field).astype(np.float16) for field in fields)
    return _Flow((before, after), forward, backward, scale * _CELL)


def _small_gray(image: Image) -> Image:
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    size = [max(16, round(side * scale)) for side in image.shape[1::-1]]
    return np.asarray(cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.uint8)
