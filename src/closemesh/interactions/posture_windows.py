"""Windows of single people as no captured clip shows them: they sit, kneel, lie, crouch, crawl or reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.liveliness import living_turns
from closemesh.interactions.measure_window import Tolerances, measure_frames
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.posture import POSTURES
from closemesh.interactions.postures import Postures, random_betas, solve_postures
from closemesh.interactions.sources import SourcePoses
from closemesh.interactions.timing import smooth_step
from closemesh.interactions.vary import Held
from closemesh.interactions.windows import Bodies, Window

KINDS = tuple(name for name in POSTURES if name not in ("standing", "standing_on_left_foot", "carried"))
_LENGTHS = 60, 105  # Frames.
_CHANGE = 0.4, 0.9  # Share of the window in which one pose becomes the other.
_SMOOTH = 3.0  # Frames, over which the height above the floor is evened.


def make_posture_windows(
    kind: str, count: int, sources: SourcePoses, bodies: Bodies, generator: torch.Generator, tolerances: Tolerances
) -> tuple[int, Iterator[Window]]:
    """How many of `count` pairs of key poses were found, and a window that goes from one to the other for each.

    kind: one of KINDS. `faults` of a window says what is out of range.
    """
    betas = random_betas(count, bodies.light.num_betas, generator).repeat_interleave(2, dim=0)
    solved = solve_postures(kind, 2 * count, generator, sources, betas, bodies.light)
    found = [k for k in range(count) if solved.accepted[2 * k : 2 * k + 2].all()]
    return len(found), (_window(solved, 2 * k, bodies, generator, tolerances) for k in found)


def _window(solved: Postures, first: int, bodies: Bodies, generator: torch.Generator, tolerances: Tolerances) -> Window:
    length = int(torch.randint(*_LENGTHS, (), generator=generator))
    # Captured stances differ in where the feet stand: somebody on his feet keeps the one that he has.
    share = torch.zeros(length) if POSTURES[solved.kind].captured else _share(length, generator)
    motion = _between(solved, first, share)
    motion = motion.moved(living_turns(length, generator)[:, :1], torch.zeros(length, 1, 3))
    motion = _rest_on_floor(motion, bodies)
    nothing = torch.zeros(length, dtype=torch.bool)
    errors = measure_frames(motion, nothing, bodies.fine, bodies.soles)
    held = Held(torch.zeros(0, 2, dtype=torch.int64), ())
    return Window(solved.kind, motion, nothing, held, errors, errors.faults(tolerances))


def _share(length: int, generator: torch.Generator) -> Tensor:
    """[length] from 0 to 1, smoothly, over a part of the window."""
    part, place = torch.rand(2, generator=generator).tolist()
    span = (_CHANGE[0] + (_CHANGE[1] - _CHANGE[0]) * part) * length
    return smooth_step((torch.arange(length) - place * (length - span)) / span)


def _between(solved: Postures, first: int, share: Tensor) -> PairMotion:
    """From pose `first` to the next one; one person in the place of two."""
    pose = torch.cat([solved.root[:, None], solved.body_pose], dim=1)[first : first + 2]  # [2, 22, 3]
    now, then = axis_angle_to_matrix(pose)
    hands, pelvis = (value[first : first + 2] for value in (solved.hand_pose, solved.pelvis))
    turn = matrix_to_axis_angle(now.mT @ then)
    return PairMotion(
        betas=solved.betas[first].expand(len(share), 1, -1),
        rotations=(now @ axis_angle_to_matrix(share[:, None, None] * turn))[:, None],
        hand_pose=torch.lerp(hands[0], hands[1], share[:, None, None])[:, None],
        pelvis=torch.lerp(pelvis[0], pelvis[1], share[:, None])[:, None],
    )


def _rest_on_floor(motion: PairMotion, bodies: Bodies) -> PairMotion:
    """Raised or lowered so that the lowest point of the body is on the floor."""
    height = motion.skin(bodies.light)[0][..., 1].amin((1, 2))  # [T]
    rise = torch.as_tensor(gaussian_filter1d(height.numpy(), _SMOOTH, mode="nearest"))
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= rise[:, None]
    return replace(motion, pelvis=pelvis)
