"""Windows of motion in which a pair approaches, holds the contacts of its key pose, and leaves."""

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
from closemesh.lab.synthesis.contact_solver import contact_points, enforce_contact, release_contact
from closemesh.lab.synthesis.key_poses import KeyPoses
from closemesh.lab.synthesis.least_squares import legs_in_contact
from closemesh.lab.synthesis.motion_blending import BlendedMotion, PersonKeyPose, idle_motion, idle_sway
from closemesh.lab.synthesis.pair_motion import (
    HeldContact,
    PairMotion,
    align_feet_to_floor,
    mirror,
    mirror_contact,
    mirror_feet,
    place,
    resample,
    sole_body,
    swap_contact,
    swap_people,
)
from closemesh.lab.synthesis.quality_checks import (
    DEFAULT_TOLERANCES,
    FrameErrors,
    Tolerances,
    foot_skating_speed,
    measure_frames,
    true_run,
)
from closemesh.lab.synthesis.templates.schema import POSTURES, InteractionTemplate
from closemesh.lab.synthesis.window_plan import PairKeyPose, plan_window
from closemesh.structures import NUM_BODY_JOINTS

MIN_LENGTH = 60  # Frames of a window.
LENGTHS = 60, 105  # Range of frames of windows without contact.
_STILL_IDLE = 2.5  # Factor on the idle motion of people who only hold each other.
_FASTER, _SLOWER = (1.2, 1.4), (0.7, 0.85)  # Speeds at which a long and a short good window are repeated.
_LONG = 90  # Frames.


@dataclass(frozen=True)
class BodyVariants:
    """The bundled body in the variants that windows need."""

    light: BodyModel
    fine: BodyModel
    soles: BodyModel


@dataclass(frozen=True)
class Window:
    """Two people over T frames at 30 fps, and their contacts. World: y up, floor y = 0, meters."""

    kind: str
    motion: PairMotion
    contact: Tensor  # [T] bool: all contacts are held
    held: HeldContact
    errors: FrameErrors
    faults: tuple[str, ...]
    """Names of the errors beyond tolerance; a window with faults is rejected."""

    @property
    def mean_contact_error(self) -> float:
        """Meters, over the frames in contact; 0 without any."""
        return float(self.errors.contact_error[self.contact].mean()) if self.contact.any() else 0.0


def load_bodies() -> BodyVariants:
    """The variants of the bundled body."""
    light = load_bundled_body("light")
    return BodyVariants(light, load_bundled_body("mid"), sole_body(light))


def make_windows(
    key_poses: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: BodyVariants,
    generator: torch.Generator,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    each: int = 1,
) -> Iterator[Window]:
    """`each` windows for each key pose, including rejected ones (see `Window.faults`); good ones at two speeds.

    clips: the captured motion that the key poses started from, by name. Where only the approach or the leave has
    faults, the window is cut there and may start or end in contact. Timing, clips, speed, side, heading and order of
    the two people are random for each window.
    """
    for index in range(len(key_poses)):
        mask = torch.zeros(len(key_poses), dtype=torch.bool)
        mask[index] = True
        for _ in range(each):
            solved = _solve_window(key_poses.where(mask), clips, walks, bodies, generator)
            window = _finish(solved, bodies, generator, tolerances)
            yield window
            if not window.faults:
                low, high = _FASTER if len(window.motion) > _LONG else _SLOWER
                speed = low + (high - low) * float(torch.rand((), generator=generator))
                yield _finish(_at_speed(solved, speed), bodies, generator, tolerances)


@dataclass(frozen=True)
class _SolvedWindow:
    """A window before it is augmented and measured."""

    template: InteractionTemplate
    motion: PairMotion
    contact: Tensor  # [T] bool
    foot_contact: Tensor  # [T, 2, 2] bool, person and foot
    held: HeldContact
    key: int
    """The frame of the key pose."""


def _solve_window(
    key_pose: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: BodyVariants,
    generator: torch.Generator,
) -> _SolvedWindow:
    """The window of one key pose."""
    blended = _blend(key_pose, clips, walks, bodies, generator)
    released = release_contact(blended, _as_motion(key_pose), bodies.light)
    return _SolvedWindow(
        template=key_pose.template,
        motion=enforce_contact(released, bodies.light),
        contact=released.timing.contact(),
        foot_contact=released.foot_contact,
        held=HeldContact(key_pose.anchors[0], key_pose.template.contacts),
        key=int(released.timing.key),
    )


def _at_speed(solved: _SolvedWindow, speed: float) -> _SolvedWindow:
    """The window at another speed, 1 as it is."""
    last = len(solved.motion) - 1
    frames = torch.linspace(0, last, round(last / speed) + 1)
    nearest = frames.round().long()
    return replace(
        solved,
        motion=resample(solved.motion, frames),
        contact=solved.contact[nearest],
        foot_contact=solved.foot_contact[nearest],
        key=int((frames - solved.key).abs().argmin()),
    )


def _finish(solved: _SolvedWindow, bodies: BodyVariants, generator: torch.Generator, tolerances: Tolerances) -> Window:
    """The window after random augmentation (mirror image, order, placement), cut to its good frames and measured."""
    motion, contact, foot_contact, held = solved.motion, solved.contact, solved.foot_contact, solved.held
    mirrored, swapped = (torch.rand(2, generator=generator) < 0.5).tolist()
    if mirrored:
        motion, foot_contact, held = mirror(motion), mirror_feet(foot_contact), mirror_contact(held, bodies.light)
    template = replace(solved.template, contacts=held.constraints)
    errors = measure_frames(motion, contact, bodies.fine, bodies.soles, template)
    span = true_run(errors.within(tolerances), solved.key)
    faults = errors.faults(tolerances) if span.stop - span.start < MIN_LENGTH else ()
    if faults:
        span = slice(0, len(motion))
    motion, contact, errors = motion.frames(span), contact[span], errors.frames(span)
    if foot_skating_speed(motion.skin(bodies.soles)[0], foot_contact[span]) > tolerances.sliding:
        faults = (*faults, "sliding")
    if swapped:
        motion, held = swap_people(motion), swap_contact(held)
    yaw = 2 * math.pi * torch.rand((), generator=generator)
    motion = place(motion, yaw, torch.rand(2, generator=generator) - 0.5)
    return Window(template.name, motion, contact, held, errors, faults)


def _blend(
    key_pose: KeyPoses,
    clips: Mapping[str, CapturedClip],
    walks: WalkLibrary,
    bodies: BodyVariants,
    generator: torch.Generator,
) -> BlendedMotion:
    """Captured motion warped through one key pose, with idle motion, on the floor; contact is not yet enforced."""
    pair = _pair_key_pose(key_pose, bodies.light)
    plan = plan_window(pair, clips, walks, generator)
    a, b = plan.motions
    length = plan.timing.length
    hands, relaxed = key_pose.hand_pose[0], bodies.light.hand_mean.flatten(0, 1)
    motion = PairMotion(
        betas=key_pose.betas[0].expand(length, -1, -1),
        rotations=torch.stack([a.rotations, b.rotations], dim=1),
        hand_pose=relaxed + plan.timing.hand_weight()[:, None, None, None] * (hands - relaxed),
        pelvis=torch.stack([a.pelvis, b.pelvis], dim=1),
    )
    on_feet = torch.tensor([person.on_feet for person in pair.people])
    foot_contact = torch.stack([a.foot_contact, b.foot_contact], dim=1) & on_feet[:, None]
    motion = align_feet_to_floor(motion, foot_contact, bodies.soles)
    still = plan.timing.starts_in_contact and plan.timing.ends_in_contact
    rotvecs = idle_motion(length, generator) * (_STILL_IDLE if still else 1.0)
    motion = motion.corrected(rotvecs, idle_sway(length, generator) * bool(on_feet.any()))
    points = contact_points(_as_motion(key_pose), key_pose.anchors[0, _required(key_pose)], bodies.light)
    return BlendedMotion(plan.timing, motion, foot_contact, points)


def _pair_key_pose(key_pose: KeyPoses, body: BodyModel) -> PairKeyPose:
    template = key_pose.template
    rest = rest_joints(body, key_pose.betas[0])[:, :NUM_BODY_JOINTS]
    rotations = _as_motion(key_pose).rotations[0]
    legs = legs_in_contact(body, key_pose.anchors[0, _required(key_pose)])
    a, b = (
        PersonKeyPose(
            rotations=rotations[person],
            pelvis=key_pose.pelvis[0, person],
            leg_length=float(leg_length(rest[person])),
            on_feet=POSTURES[one.posture].captured,
            legs_in_contact=legs[person],
        )
        for person, one in enumerate((template.a, template.b))
    )
    return PairKeyPose(template, (a, b), rest - rest[:, :1], key_pose.sources[0])


def _required(key_poses: KeyPoses) -> Tensor:
    """[K] bool: the contacts that must be closed."""
    return torch.tensor([contact.required for contact in key_poses.template.contacts])


def _as_motion(key_poses: KeyPoses) -> PairMotion:
    """A motion of N frames, one for each key pose."""
    axis_angle = torch.cat([key_poses.root[:, :, None], key_poses.body_pose], dim=2)
    return PairMotion(key_poses.betas, axis_angle_to_matrix(axis_angle), key_poses.hand_pose, key_poses.pelvis)
