"""Plan of a window: its timing, and the captured motion with which each person approaches and leaves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.lab.synthesis.captured_clips import CapturedClip, ClipFrame, WalkLibrary, skeleton_joints, still_clip
from closemesh.lab.synthesis.key_poses import SourceFrame
from closemesh.lab.synthesis.motion_blending import (
    ClipSegment,
    PersonKeyPose,
    PersonMotion,
    crossfade,
    warp_through_key_pose,
)
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.lab.synthesis.timing import FPS, Timing
from closemesh.structures import NUM_BODY_JOINTS

# Radius in meters of the body around each joint, and around the middle of the bone to its parent.
_RADII = {
    **{"pelvis": 0.13, "hip": 0.09, "spine1": 0.12, "knee": 0.055, "spine2": 0.12, "ankle": 0.045, "spine3": 0.13},
    **{"foot": 0.04, "neck": 0.06, "collar": 0.08, "head": 0.10, "shoulder": 0.06, "elbow": 0.045, "wrist": 0.035},
}
_BONES = [(joint, PARENTS[joint]) for joint in range(1, NUM_BODY_JOINTS)]


def joint_spheres(joints: Tensor) -> Tensor:
    """Centers [..., 43, 3] of spheres at joints [..., 22, 3] and in the middle of the bones."""
    children, parents = zip(*_BONES, strict=True)
    middles = (joints[..., children, :] + joints[..., parents, :]) / 2
    return torch.cat([joints, middles], dim=-2)


def sphere_overlap(spheres_a: Tensor, spheres_b: Tensor) -> Tensor:
    """Largest overlap [...] in meters of spheres_a and spheres_b [..., 43, 3]; negative when they are separate."""
    radii = _sphere_radii().to(spheres_a)
    return (radii[:, None] + radii - torch.cdist(spheres_a, spheres_b)).flatten(-2).amax(-1)


def _sphere_radii() -> Tensor:
    """Radii [43] in meters."""
    names = {index: name.split("_")[-1] for name, index in JOINT_INDEX.items() if index < NUM_BODY_JOINTS}
    at_joints = [_RADII[names[joint]] for joint in range(NUM_BODY_JOINTS)]
    on_bones = [(at_joints[child] + at_joints[parent]) / 2 for child, parent in _BONES]
    return torch.tensor([*at_joints, *on_bones])


SPEEDS = 0.8, 1.25  # Range of factors on the speed of captured motion.
PLANNED_LENGTH = 72  # Frames that a planned window has at least.
_HOLD, _EMBRACE_HOLD, _BRIEF_HOLD = (0.5, 1.6), (0.5, 1.0), (0.1, 0.3)  # Seconds of contact.
_TRANSITION, _CLOSING = (0.5, 0.7), (0.3, 0.45)  # Seconds.
_BRIEF_TRANSITION, _BRIEF_CLOSING = (0.3, 0.5), (0.12, 0.2)
_CAPTURED_ONLY = (0.0, 0.3)  # Seconds of captured motion before and after the blended frames.
_CONTACT_SPEED, _BRIEF_CONTACT_SPEED = 0.02, 0.05
_MAX_DRIFT = 0.12  # m/s of a person who does not walk.
_NUM_WALKS = 4
_EXTRA_OVERLAP = 0.02  # Meters that the spheres may overlap more than in the key pose.
_SEPARATE = -0.03  # Meters of overlap at either end of a window with an approach, at most;
_FAR = -0.15  # if possible, and in an embrace always, at most this.
_EMBRACE_DISTANCE = 0.45  # Meters between the pelvises, below which people must step to separate.
_STEP_DISTANCE = 0.40  # Meters that people step away before their limbs return.
_MAX_HOLD = 24  # Frames.
_MAX_BACKWARD = 0.05  # Meters that a person may approach from the partner's side.


@dataclass(frozen=True)
class PairKeyPose:
    """Key poses of both people, and the captured frames of their poses."""

    template: InteractionTemplate
    people: tuple[PersonKeyPose, PersonKeyPose]
    rest_joints: Tensor  # [2, 22, 3] of their bodies, pelvis at the origin
    sources: tuple[SourceFrame, SourceFrame]


@dataclass(frozen=True)
class WindowPlan:
    """Timing of a window and the blended motion of both people, before contact is enforced."""

    timing: Timing
    motions: tuple[PersonMotion, PersonMotion]


def draw_timing(template: InteractionTemplate, generator: torch.Generator) -> Timing:
    """A random timing: contact lasts for seconds, or for a moment when the template is brief."""

    def draw(limits: tuple[float, float]) -> float:
        return limits[0] + (limits[1] - limits[0]) * float(torch.rand((), generator=generator))

    embrace = _is_embrace(template)
    speed = draw(SPEEDS)
    contact_seconds = draw(_BRIEF_HOLD if template.brief else _EMBRACE_HOLD if embrace else _HOLD)
    spans = (_BRIEF_TRANSITION, _BRIEF_CLOSING) if template.brief else (_TRANSITION, _CLOSING)
    transition, closing = (max(round(draw(span) / speed * FPS), 4) for span in spans)
    contact = max(round(contact_seconds * FPS), 2)
    longest = _MAX_HOLD if embrace else closing
    before, after = (round(draw(_CAPTURED_ONLY) * FPS) + transition + longest for _ in range(2))
    missing = max(PLANNED_LENGTH - before - contact - after, 0)
    before, after = before + missing // 2, after + missing - missing // 2
    return Timing(
        length=before + contact + after,
        first=before,
        last=before + contact - 1,
        closing=closing,
        transition=transition,
        speed=speed,
        contact_speed=_BRIEF_CONTACT_SPEED if template.brief else _CONTACT_SPEED,
        hold=(closing, closing),
    )


def plan_window(
    pair: PairKeyPose, clips: Mapping[str, CapturedClip], walks: WalkLibrary, generator: torch.Generator
) -> WindowPlan:
    """Timing and clip segments with which the two approach and leave without passing through each other.

    Without such captured motion, the window begins or ends in contact.
    """
    timing = draw_timing(pair.template, generator)
    sources = tuple(source_frame(key, source, clips) for key, source in zip(pair.people, pair.sources, strict=True))
    before = after = None
    if not pair.template.carried and any(key.on_feet for key in pair.people):
        before = _choose_segments(_Side(pair, sources, timing, approaching=True), walks, generator)
        after = _choose_segments(_Side(pair, sources, timing, approaching=False), walks, generator)
    if before is None or after is None:
        timing = _with_contact_ends(timing, start=before is None, end=after is None)
        in_place = tuple(_in_place(source, timing) for source in sources)
        before, after = before or in_place, after or in_place
    timing = _with_embrace_hold(timing, pair, before, after)
    a, b = (
        crossfade(warp_through_key_pose(approach, key, timing), warp_through_key_pose(leave, key, timing), timing)
        for key, approach, leave in zip(pair.people, before, after, strict=True)
    )
    if pair.template.carried:
        b = replace(b, pelvis=b.pelvis + a.pelvis - pair.people[0].pelvis)
    return WindowPlan(timing, (a, b))


def _with_embrace_hold(
    timing: Timing, pair: PairKeyPose, before: tuple[ClipSegment, ...], after: tuple[ClipSegment, ...]
) -> Timing:
    """The timing of an embrace, in which limbs return only after the two have stepped away from each other."""
    if not _is_embrace(pair.template):
        return timing
    hold = []
    for segments, frames in (
        (before, range(timing.first, -1, -1)),
        (after, range(timing.last, timing.length)),
    ):
        a, b = (warp_through_key_pose(s, key, timing).pelvis for s, key in zip(segments, pair.people, strict=True))
        distance = (a - b)[list(frames)].norm(dim=-1)
        far = (distance > distance[0] + _STEP_DISTANCE).nonzero()[:, 0]
        hold.append(min(max(int(far[0]) if len(far) else _MAX_HOLD, timing.closing), _MAX_HOLD))
    return replace(timing, hold=(hold[0], hold[1]))


def _is_embrace(template: InteractionTemplate) -> bool:
    return not template.brief and template.distance[1] < _EMBRACE_DISTANCE


def source_frame(key: PersonKeyPose, source: SourceFrame, clips: Mapping[str, CapturedClip]) -> ClipFrame:
    """The captured frame of a pose; a still clip of the key pose when it was not captured."""
    name, frame = source
    if name in clips:
        return ClipFrame(clips[name], frame)
    clip = still_clip(key.rotations, key.leg_length)
    return ClipFrame(clip, len(clip) // 2)


@dataclass(frozen=True)
class _Side:
    """The approach or the leave of a pair."""

    pair: PairKeyPose
    sources: tuple[ClipFrame, ...]
    timing: Timing
    approaching: bool

    @property
    def span(self) -> slice:
        """Frames outside contact, with the first or last one in contact."""
        return slice(0, self.timing.first + 1) if self.approaching else slice(self.timing.last, self.timing.length)


def _choose_segments(
    side: _Side, walks: WalkLibrary, generator: torch.Generator
) -> tuple[ClipSegment, ClipSegment] | None:
    """A random segment for each person among those that keep the two separate; None without any."""
    segments, paths = [], []
    for person in range(2):
        candidates = _candidate_segments(side, person, walks)
        segments.append(candidates)
        paths.append([_sphere_path(segment, side, person) for segment in candidates])
    limit = max(float(sphere_overlap(paths[0][0][-1], paths[1][0][-1])) + _EXTRA_OVERLAP, 0.0)
    embrace = _is_embrace(side.pair.template)
    preferred, possible = [], []
    for i, j in itertools.product(range(len(segments[0])), range(len(segments[1]))):
        a, b = paths[0][i], paths[1][j]
        overlap = sphere_overlap(a, b)  # [t], from far away to contact
        far = bool(overlap[0] < _FAR)
        if overlap.max() <= limit and overlap[0] < _SEPARATE and (far or not embrace):
            (preferred if far and _approach_forward(a, b) else possible).append((segments[0][i], segments[1][j]))
    choices = preferred or possible
    return choices[int(torch.randint(len(choices), (), generator=generator))] if choices else None


def _candidate_segments(side: _Side, person: int, walks: WalkLibrary) -> list[ClipSegment]:
    """Segments for one person: staying in place, the clip of the pose itself, similar walking frames."""
    key, source, timing = side.pair.people[person], side.sources[person], side.timing
    segments = [_in_place(source, timing)]
    if not key.on_feet or side.pair.template.mover not in ("both", "ab"[person]):
        return segments
    moving = [ClipSegment(source.clip, source.frame, direction, 1.0, steps=True) for direction in (1, -1)]
    frames = float((timing.clip_offsets(1.0)[-1 if not side.approaching else 0]).abs()) + 1
    for direction in (1, -1):
        before, after = (frames, 0.0) if (direction == 1) == side.approaching else (0.0, frames)
        similar = walks.nearest(key.rotations, _NUM_WALKS, before, after)
        moving.extend(ClipSegment(walk.clip, walk.frame, direction, 1.0, steps=True) for walk in similar)
    return segments + [segment for segment in moving if _is_captured(segment, side)]


def _in_place(source: ClipFrame, timing: Timing) -> ClipSegment:
    """The clip of the pose, slow enough that a standing person does not slide."""
    clip, frame = source.clip, source.frame
    around = clip.pelvis[max(frame - 15, 0) : frame + 16]
    speed = float((around[1:] - around[:-1]).norm(dim=-1).mean()) * clip.fps
    rate = min(1.0, _MAX_DRIFT / max(speed, 1e-6))
    offsets = timing.clip_offsets(1.0)
    longest = max(float(-offsets[0]), float(offsets[-1]), 1.0)
    first, last = clip.valid_run(frame)
    max_rate = min(last - frame, frame - first) / longest
    return ClipSegment(clip, frame, 1, min(rate, max_rate), steps=False)


def _is_captured(segment: ClipSegment, side: _Side) -> bool:
    """All frames that the segment plays on its side of the window are valid frames of one run."""
    frames = segment.clip_frames(side.timing)
    played = frames[: side.timing.last + 1] if side.approaching else frames[side.timing.first :]
    first, last = segment.clip.valid_run(int(segment.frame))
    return bool(played.min() >= first) and bool(played.max() <= last)


def _sphere_path(segment: ClipSegment, side: _Side, person: int) -> Tensor:
    """Spheres [t, 43, 3] of a person outside contact, from far away to contact."""
    motion = warp_through_key_pose(segment, side.pair.people[person], side.timing)
    rest_joints = side.pair.rest_joints[person]
    path = joint_spheres(skeleton_joints(motion.rotations[side.span], motion.pelvis[side.span], rest_joints))
    return path if side.approaching else path.flip(0)


def _approach_forward(a: Tensor, b: Tensor) -> bool:
    """No person comes from the partner's side; spheres [t, 43, 3], from far away to contact."""
    steps = [path[-1, 0, [0, 2]] - path[0, 0, [0, 2]] for path in (a, b)]
    direction = b[-1, 0, [0, 2]] - a[-1, 0, [0, 2]]
    direction = direction / direction.norm().clamp(min=1e-6)
    return all(float(step @ (sign * direction)) > -_MAX_BACKWARD for step, sign in zip(steps, (1, -1), strict=True))


def _with_contact_ends(timing: Timing, start: bool, end: bool) -> Timing:
    """The timing of a window that starts or ends in contact; contact lasts longer, the length does not change."""
    return replace(
        timing,
        first=0 if start else timing.first,
        last=timing.length - 1 if end else timing.last,
    )
