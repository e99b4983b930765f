"""From key poses to windows of motion in which the touches are approached, held and left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.captured_clips import CapturedClip, WalkLibrary, leg_length
from closemesh.lab.synthesis.contact_solver import contact_point_pairs, enforce_contact, release_contact
from closemesh.lab.synthesis.key_poses import KeyPoses
from closemesh.lab.synthesis.least_squares import touching_legs
from closemesh.lab.synthesis.motion_blending import KeyPerson, common_sway, living_turns
from closemesh.lab.synthesis.pair_motion import (
    HeldContact,
    PairMotion,
    mirror,
    mirror_held,
    mirror_standing,
    played_at,
    settle_on_floor,
    sole_body,
    swap,
    swap_held,
    turn,
)
from closemesh.lab.synthesis.quality_checks import (
    DEFAULT_TOLERANCES,
    FrameErrors,
    Tolerances,
    longest_good,
    measure_frames,
    sliding_speed,
)
from closemesh.lab.synthesis.templates.schema import POSTURES, InteractionTemplate
from closemesh.lab.synthesis.timing import BlendedMotion
from closemesh.lab.synthesis.window_plan import KeyPair, plan_window
from closemesh.structures import NUM_BODY_JOINTS

SHORTEST = 60  # Frames of a window.
_LIVELIER = 2.5  # Times that people who only hold each other move more.
_FASTER, _SLOWER = (1.2, 1.4), (0.7, 0.85)  # Speeds at which a good window of many, of few frames is played again.
_MANY = 90  # Frames.


@dataclass(frozen=True)
class Bodies:
    """The open body in the variants that windows need."""

    light: BodyModel
    fine: BodyModel
    soles: BodyModel


@dataclass(frozen=True)
class Window:
    """Two people over T frames at 30 a second, and what they hold meanwhile. World: y up, floor y = 0, metres."""

    kind: str
    motion: PairMotion
    contact: Tensor  # [T] bool: all touches are held
    held: HeldContact
    errors: FrameErrors
    faults: tuple[str, ...]
    """What is out of range; such a window is of no use."""

    @property
    def mean_contact_error(self) -> float:
        """Metres, over the frames in which touches are held; 0 when none is."""
        return float(self.errors.contact_error[self.contact].mean()) if self.contact.any() else 0.0


def load_bodies() -> Bodies:
    """The bundled open body."""
    light = load_bundled_body("light")
    return Bodies(light, load_bundled_body("mid"), sole_body(light))


def make_windows(
    key_poses: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: Bodies,
    generator: torch.Generator,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    each: int = 1,
) -> Iterator[Window]:
    """`each` windows for each key pose, good or not (`faults` says what is out of range), good ones at two speeds.

    Where only the approach or only the way apart is bad, the window begins later or ends earlier, perhaps in contact.
    Clips hold the captured motion that the key poses began from, by name. Each window goes its own way: timing, clips,
    speed, side, heading and the order of the two are drawn from the generator.
    """
    for index in range(len(key_poses)):
        chosen = torch.zeros(len(key_poses), dtype=torch.bool)
        chosen[index] = True
        for _ in range(each):
            made = _solve_window(key_poses.where(chosen), clips, walks, bodies, generator)
            window = _finish(made, bodies, generator, tolerances)
            yield window
            if not window.faults:
                low, high = _FASTER if len(window.motion) > _MANY else _SLOWER
                speed = low + (high - low) * float(torch.rand((), generator=generator))
                yield _finish(_played_at(made, speed), bodies, generator, tolerances)


@dataclass(frozen=True)
class _Solved:
    """A window before it is measured."""

    recipe: InteractionTemplate
    motion: PairMotion
    contact: Tensor  # [T] bool
    standing: Tensor  # [T, 2, 2] bool, person and foot
    held: HeldContact
    key: int
    """The frame of the key pose."""


def _solve_window(
    key_pose: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: Bodies,
    generator: torch.Generator,
) -> _Solved:
    """The window of the only one of `key_pose`."""
    blended = _blend(key_pose, clips, walks, bodies, generator)
    opened = release_contact(blended, _as_frames(key_pose), bodies.light)
    return _Solved(
        recipe=key_pose.recipe,
        motion=enforce_contact(opened, bodies.light),
        contact=opened.timing.contact(),
        standing=opened.standing,
        held=HeldContact(key_pose.anchors[0], key_pose.recipe.touches),
        key=int(opened.timing.key),
    )


def _played_at(made: _Solved, speed: float) -> _Solved:
    """The same at another speed, 1 as it is."""
    last = len(made.motion) - 1
    frames = torch.linspace(0, last, round(last / speed) + 1)
    nearest = frames.round().long()
    return replace(
        made,
        motion=played_at(made.motion, frames),
        contact=made.contact[nearest],
        standing=made.standing[nearest],
        key=int((frames - made.key).abs().argmin()),
    )


def _finish(made: _Solved, bodies: Bodies, generator: torch.Generator, tolerances: Tolerances) -> Window:
    """The window, perhaps mirrored, measured, then turned and perhaps with the two exchanged."""
    motion, contact, standing, held = made.motion, made.contact, made.standing, made.held
    mirrored, swapped = (torch.rand(2, generator=generator) < 0.5).tolist()
    if mirrored:
        motion, standing, held = mirror(motion), mirror_standing(standing), mirror_held(held, bodies.light)
    recipe = replace(made.recipe, touches=held.touches)
    errors = measure_frames(motion, contact, bodies.fine, bodies.soles, recipe)
    span = longest_good(errors.good(tolerances), made.key)
    faults = errors.faults(tolerances) if span.stop - span.start < SHORTEST else ()
    if faults:
        span = slice(0, len(motion))
    motion, contact, errors = motion.frames(span), contact[span], errors.frames(span)
    if sliding_speed(motion.skin(bodies.soles)[0], standing[span]) > tolerances.sliding:
        faults = (*faults, "sliding")
    if swapped:
        motion, held = swap(motion), swap_held(held)
    yaw = 2 * math.pi * torch.rand((), generator=generator)
    motion = turn(motion, yaw, torch.rand(2, generator=generator) - 0.5)
    return Window(recipe.name, motion, contact, held, errors, faults)


def _blend(
    key_pose: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: Bodies,
    generator: torch.Generator,
) -> BlendedMotion:
    """Captured motion bent through the key pose, with small movements, on the floor; contact is not yet closed."""
    pair = _key_pair(key_pose, bodies.light)
    plan = plan_window(pair, clips, walks, generator)
    a, b = plan.motions
    length = plan.timing.length
    hands, relaxed = key_pose.hand_pose[0], bodies.light.hand_mean.flatten(0, 1)
    motion = PairMotion(
        betas=key_pose.betas[0].expand(length, -1, -1),
        rotations=torch.stack([a.rotations, b.rotations], dim=1),
        hand_pose=relaxed + plan.timing.grip()[:, None, None, None] * (hands - relaxed),
        pelvis=torch.stack([a.pelvis, b.pelvis], dim=1),
    )
    on_feet = torch.tensor([person.on_feet for person in pair.people])
    standing = torch.stack([a.standing, b.standing], dim=1) & on_feet[:, None]
    settled = settle_on_floor(motion, standing, bodies.soles)
    still = plan.timing.starts_in_contact and plan.timing.ends_in_contact
    turns = living_turns(length, generator) * (_LIVELIER if still else 1.0)
    alive = settled.moved(turns, common_sway(length, generator) * bool(on_feet.any()))
    firm = torch.tensor([touch.firm for touch in pair.recipe.touches])
    anchors, gaps = contact_point_pairs(_as_frames(key_pose), key_pose.anchors[0, firm], bodies.light)
    return BlendedMotion(plan.timing, alive, standing, anchors, gaps)


def _key_pair(key_pose: KeyPoses, body: BodyModel) -> KeyPair:
    recipe = key_pose.recipe
    rest = rest_joints(body, key_pose.betas[0])[:, :NUM_BODY_JOINTS]
    rotations = _as_frames(key_pose).rotations[0]
    firm = torch.tensor([touch.firm for touch in recipe.touches])
    legs = touching_legs(body, key_pose.anchors[0, firm])
    a, b = (
        KeyPerson(
            rotations=rotations[person],
            pelvis=key_pose.pelvis[0, person],
            leg_length=float(leg_length(rest[person])),
            on_feet=POSTURES[role.stance].captured,
            touching_legs=legs[person],
        )
        for person, role in enumerate((recipe.a, recipe.b))
    )
    return KeyPair(recipe, (a, b), rest - rest[:, :1], key_pose.sources[0])


def _as_frames(key_poses: KeyPoses) -> PairMotion:
    """Each key pose as a frame."""
    axis_angle = torch.cat([key_poses.root[:, :, None], key_poses.body_pose], dim=2)
    return PairMotion(key_poses.betas, axis_angle_to_matrix(axis_angle), key_poses.hand_pose, key_poses.pelvis)
