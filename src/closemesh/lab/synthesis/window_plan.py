"""Approach and leave.

A rough measure of how far apart two people are: capsule-like bodies made of a few spheres.

How a window goes: its timing, and which captured motion leads each of the two to the key pose and away.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.lab.synthesis.captured_clips import CapturedClip, Moment, WalkLibrary, skeleton_joints, still_clip
from closemesh.lab.synthesis.key_poses import SourceFrame
from closemesh.lab.synthesis.motion_blending import (
    ClipSegment,
    KeyPerson,
    PersonMotion,
    join_motions,
    warp_through_key_pose,
)
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.lab.synthesis.timing import FPS, Timing
from closemesh.structures import NUM_BODY_JOINTS

# Radius in metres of the body around each joint, and around the middle of the bone that leads to it.
_RADII = {
    **{"pelvis": 0.13, "hip": 0.09, "spine1": 0.12, "knee": 0.055, "spine2": 0.12, "ankle": 0.045, "spine3": 0.13},
    **{"foot": 0.04, "neck": 0.06, "collar": 0.08, "head": 0.10, "shoulder": 0.06, "elbow": 0.045, "wrist": 0.035},
}
_BONES = [(joint, PARENTS[joint]) for joint in range(1, NUM_BODY_JOINTS)]


def spheres(joints: Tensor) -> Tensor:
    """Centres [..., 43, 3] on joints [..., 22, 3] and halfway along the bones."""
    children, parents = zip(*_BONES, strict=True)
    middles = (joints[..., children, :] + joints[..., parents, :]) / 2
    return torch.cat([joints, middles], dim=-2)


def overlap(spheres_a: Tensor, spheres_b: Tensor) -> Tensor:
    """How far [...] the spheres [..., 43, 3] of two people reach into each other, metres; negative when apart."""
    radii = _sphere_radii().to(spheres_a)
    return (radii[:, None] + radii - torch.cdist(spheres_a, spheres_b)).flatten(-2).amax(-1)


def _sphere_radii() -> Tensor:
    names = {index: name.split("_")[-1] for name, index in JOINT_INDEX.items() if index < NUM_BODY_JOINTS}
    at_joints = [_RADII[names[joint]] for joint in range(NUM_BODY_JOINTS)]
    between = [(at_joints[child] + at_joints[parent]) / 2 for child, parent in _BONES]
    return torch.tensor([*at_joints, *between])


SPEEDS = 0.8, 1.25  # Of captured motion.
SHORTEST = 72  # Frames of a window as planned.
_HOLD, _EMBRACE_HOLD, _BRIEF_HOLD = (0.5, 1.6), (0.5, 1.0), (0.1, 0.3)  # Seconds of contact.
_REACHING, _CLOSING = (0.5, 0.7), (0.3, 0.45)  # Seconds.
_BRIEF_REACHING, _BRIEF_CLOSING = (0.3, 0.5), (0.12, 0.2)
_ALONE = (0.0, 0.3)  # Seconds before reaching and after letting go.
_CALM, _BRIEF_CALM = 0.02, 0.05
_DRIFT = 0.12  # m/s; somebody who stays where he is moves no faster than this.
_NEAREST_WALKS = 4
_MORE_OVERLAP = 0.02  # Metres that the rough bodies may overlap more than in the key pose.
_CLEAR = -0.03  # Metres; rough bodies overlap less than this at either end of a window with an approach,
_FAR_APART = -0.15  # and less than this where captured motion allows it, or the two embrace.
_EMBRACE = 0.45  # Metres between the pelvises of people who cannot let go without a step.
_ROOM = 0.40  # Metres that they step apart before their limbs come back.
_LONGEST_LINGERING = 24  # Frames.
_ASIDE = 0.05  # Metres that somebody may come from the partner's side.


@dataclass(frozen=True)
class KeyPair:
    """Both people of one key pose, and where their poses were captured."""

    recipe: InteractionTemplate
    people: tuple[KeyPerson, KeyPerson]
    rest_joints: Tensor  # [2, 22, 3] of their bodies, pelvis at the origin
    sources: tuple[SourceFrame, SourceFrame]


@dataclass(frozen=True)
class Plan:
    """Timing and both people's motion as blended, before contact is closed."""

    timing: Timing
    motions: tuple[PersonMotion, PersonMotion]


def draw_timing(recipe: InteractionTemplate, generator: torch.Generator) -> Timing:
    """A timing at random: contact held for seconds, or for a moment when the recipe is brief."""

    def draw(low_high: tuple[float, float]) -> float:
        return low_high[0] + (low_high[1] - low_high[0]) * float(torch.rand((), generator=generator))

    speed = draw(SPEEDS)
    hold = draw(_BRIEF_HOLD if recipe.brief else _EMBRACE_HOLD if _embraces(recipe) else _HOLD)
    spans = (_BRIEF_REACHING, _BRIEF_CLOSING) if recipe.brief else (_REACHING, _CLOSING)
    reaching, closing = (max(round(draw(span) / speed * FPS), 4) for span in spans)
    held = max(round(hold * FPS), 2)
    longest = _LONGEST_LINGERING if _embraces(recipe) else closing
    before, after = (round(draw(_ALONE) * FPS) + reaching + longest for _ in range(2))
    missing = max(SHORTEST - before - held - after, 0)
    before, after = before + missing // 2, after + missing - missing // 2
    return Timing(
        length=before + held + after,
        first=before,
        last=before + held - 1,
        closing=closing,
        reaching=reaching,
        speed=speed,
        calm=_BRIEF_CALM if recipe.brief else _CALM,
        lingering=(closing, closing),
    )


def plan_window(
    pair: KeyPair, clips: Mapping[str, CapturedClip], walks: WalkLibrary, generator: torch.Generator
) -> Plan:
    """Leads such that the two come and go without passing through each other.

    Where no captured motion does that, the window begins or ends in contact; its timing says so.
    """
    timing = draw_timing(pair.recipe, generator)
    moments = tuple(captured_moment(key, source, clips) for key, source in zip(pair.people, pair.sources, strict=True))
    before = after = None
    if not pair.recipe.carried and any(key.on_feet for key in pair.people):
        before = _choose(pair, moments, timing, walks, generator, approaching=True)
        after = _choose(pair, moments, timing, walks, generator, approaching=False)
    if before is None or after is None:
        timing = _without(timing, approach=before is None, leave=after is None)
        staying = tuple(_staying(moment, timing) for moment in moments)
        before, after = before or staying, after or staying
    timing = _with_room(timing, pair, before, after)
    a, b = (
        join_motions(warp_through_key_pose(lead, key, timing), warp_through_key_pose(away, key, timing), timing)
        for key, lead, away in zip(pair.people, before, after, strict=True)
    )
    if pair.recipe.carried:
        b = replace(b, pelvis=b.pelvis + a.pelvis - pair.people[0].pelvis)
    return Plan(timing, (a, b))


def _with_room(
    timing: Timing, pair: KeyPair, before: tuple[ClipSegment, ...], after: tuple[ClipSegment, ...]
) -> Timing:
    """The timing of an embrace whose limbs come back only when the two have stepped apart."""
    if not _embraces(pair.recipe):
        return timing
    lingering = []
    for leads, frames in (
        (before, range(timing.first, -1, -1)),
        (after, range(timing.last, timing.length)),
    ):
        a, b = (warp_through_key_pose(lead, key, timing).pelvis for lead, key in zip(leads, pair.people, strict=True))
        distance = (a - b)[list(frames)].norm(dim=-1)
        far = (distance > distance[0] + _ROOM).nonzero()[:, 0]
        lingering.append(min(max(int(far[0]) if len(far) else _LONGEST_LINGERING, timing.closing), _LONGEST_LINGERING))
    return replace(timing, lingering=(lingering[0], lingering[1]))


def _embraces(recipe: InteractionTemplate) -> bool:
    return not recipe.brief and recipe.distance[1] < _EMBRACE


def captured_moment(key: KeyPerson, source: SourceFrame, clips: Mapping[str, CapturedClip]) -> Moment:
    """Where the pose of a person was captured; a pose that was not is taken to be held still."""
    name, frame = source
    if name in clips:
        return Moment(clips[name], frame)
    clip = still_clip(key.rotations, key.leg_length)
    return Moment(clip, len(clip) // 2)


def _choose(
    pair: KeyPair,
    moments: tuple[Moment, ...],
    timing: Timing,
    walks: WalkLibrary,
    generator: torch.Generator,
    approaching: bool,
) -> tuple[ClipSegment, ...] | None:
    """One lead for each person, at random among those that keep the two apart; None where nothing does."""
    span = slice(0, timing.first + 1) if approaching else slice(timing.last, timing.length)
    leads, paths = [], []
    for person, (key, moment) in enumerate(zip(pair.people, moments, strict=True)):
        own = leads_of_person(pair.recipe, person, key, moment, walks, timing, approaching)
        leads.append(own)
        spheres_of = [_path(warp_through_key_pose(lead, key, timing), pair.rest_joints[person], span) for lead in own]
        paths.append([path if approaching else path.flip(0) for path in spheres_of])
    limit = max(float(overlap(paths[0][0][-1], paths[1][0][-1])) + _MORE_OVERLAP, 0.0)
    embrace = _embraces(pair.recipe)
    fitting: dict[bool, list[tuple[ClipSegment, ...]]] = {True: [], False: []}
    for i, j in itertools.product(range(len(leads[0])), range(len(leads[1]))):
        a, b = paths[0][i], paths[1][j]
        apart = overlap(a, b)  # [t], from far away to contact
        if apart.max() <= limit and apart[0] < _CLEAR and (apart[0] < _FAR_APART or not embrace):
            fitting[bool(apart[0] < _FAR_APART) and _come_together(a, b)].append((leads[0][i], leads[1][j]))
    choice = fitting[True] or fitting[False]
    return choice[int(torch.randint(len(choice), (), generator=generator))] if choice else None


def leads_of_person(
    recipe: InteractionTemplate,
    person: int,
    key: KeyPerson,
    moment: Moment,
    walks: WalkLibrary,
    timing: Timing,
    approaching: bool,
) -> list[ClipSegment]:
    """What could lead this person to the key pose (or away): staying, the clip of the pose itself, nearby walks."""
    leads = [_staying(moment, timing)]
    if not key.on_feet or recipe.mover not in ("both", "ab"[person]):
        return leads
    own = [ClipSegment(moment.clip, moment.frame, direction, 1.0, steps=True) for direction in (1, -1)]
    reach = float((timing.played(1.0)[-1 if not approaching else 0]).abs()) + 1
    for ahead in (1, -1):
        span = (reach, 0.0) if (ahead == 1) == approaching else (0.0, reach)
        near = walks.nearest(key.rotations, _NEAREST_WALKS, *span)
        own.extend(ClipSegment(m.clip, m.frame, ahead, 1.0, steps=True) for m in near)
    return leads + [lead for lead in own if _is_captured(lead, timing, approaching)]


def _staying(moment: Moment, timing: Timing) -> ClipSegment:
    """The clip of the pose, so slow that nobody who stands slides."""
    clip, frame = moment.clip, moment.frame
    near = clip.pelvis[max(frame - 15, 0) : frame + 16]
    speed = float((near[1:] - near[:-1]).norm(dim=-1).mean()) * clip.fps
    rate = min(1.0, _DRIFT / max(speed, 1e-6))
    span = timing.played(1.0)
    longest = max(float(-span[0]), float(span[-1]), 1.0)
    first, last = clip.captured_around(frame)
    room = min(last - frame, frame - first) / longest
    return ClipSegment(clip, frame, 1, min(rate, room), steps=False)


def _is_captured(lead: ClipSegment, timing: Timing, approaching: bool) -> bool:
    frames = lead.captured_frames(timing)
    shown = frames[: timing.last + 1] if approaching else frames[timing.first :]
    first, last = lead.clip.captured_around(int(lead.frame))
    return bool(shown.min() >= first) and bool(shown.max() <= last)


def _path(motion: PersonMotion, rest_joints: Tensor, span: slice) -> Tensor:
    return spheres(skeleton_joints(motion.rotations[span], motion.pelvis[span], rest_joints))


def _come_together(a: Tensor, b: Tensor) -> bool:
    """Whoever walks comes from the far side of where he ends: spheres [t, 43, 3], from far away to contact."""
    ways = [path[-1, 0, [0, 2]] - path[0, 0, [0, 2]] for path in (a, b)]
    towards = b[-1, 0, [0, 2]] - a[-1, 0, [0, 2]]
    towards = towards / towards.norm().clamp(min=1e-6)
    return all(float(way @ (sign * towards)) > -_ASIDE for way, sign in zip(ways, (1, -1), strict=True))


def _without(timing: Timing, approach: bool, leave: bool) -> Timing:
    """The part of a timing that is left without approach or leave: the window starts or ends in contact.

    Contact is held longer, so that the window keeps its length.
    """
    return replace(
        timing,
        first=0 if approach else timing.first,
        last=timing.length - 1 if leave else timing.last,
    )
