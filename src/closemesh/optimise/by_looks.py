"""The motion as the pictures show it: everybody's avatar is drawn over them and moved until it fits (CloseApp 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from closemesh.appearance.avatar import SkinGaussians
from closemesh.appearance.draw import draw_looks
from closemesh.appearance.learn import BACKGROUNDS
from closemesh.appearance.objective import LookWeights, as_seen, look_loss
from closemesh.appearance.pictures import Picture
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.fitting.anchor import anchor_at
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject, frame_energy
from closemesh.fitting.schedule import BY_LOOKS, SIGMAS
from closemesh.optimise.looks import Looks
from closemesh.progress import Advance

MOVED = ("root", "body_pose", "ray", "log_depth")
NEAR = 0.1  # Seconds around a picture in which the motion follows it, or more where pictures lie farther apart.
_FADE = 0.1  # What the motion itself counts beside a picture of the same frame.


def follow_pictures(
    looks: Looks,
    variables: MotionVariables,
    subject: Subject,
    evidence: Evidence,
    pairs: Sequence[tuple[int, int]],
    iterations: int,
    advance: Advance,
    terms: LookWeights,
) -> MotionVariables:
    """The variables moved to where drawn people fit the pictures best by some terms of theirs, near the motion.

    Each picture is fitted by itself; what it changes is carried to the frames around it. Distances from the camera are
    free while a picture is fitted, so that a person of the wrong size need not be bent, but are only kept as far as
    all who are tied by `pairs` share them: how far people are from each other a silhouette does not tell.
    """
    frames = torch.tensor([picture.frame for picture in looks.pictures], device=variables.ray.device)
    before = variables.frames(frames)
    anchor = anchor_at(before, SIGMAS.refined_turn, SIGMAS.refined_depth)
    part = replace(evidence.frames(frames), anchor=anchor)
    with torch.no_grad():
        gaussians = looks.cast.looks([True] * len(looks.cast.avatars))

    def loss(v: MotionVariables, step: int) -> Tensor:
        own = frame_energy(subject, v, pose_variables(subject.body, v), part, BY_LOOKS.weights).sum()
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        return own + BY_LOOKS.weights.appearance * _pull(looks, gaussians, looks.vertices(v), background, terms)

    rate = BY_LOOKS.learning_rate
    after = minimise(before, loss, iterations=iterations, learning_rate=rate, free=MOVED, advance=advance)
    present = looks.present[frames]  # [N, P]
    changes = {name: getattr(after, name) - getattr(before, name) for name in MOVED}
    changes["log_depth"] = shared(changes["log_depth"], present, pairs)
    share = carried(evidence.times, evidence.times[frames], present)
    return variables.with_tensors(
        **{
            name: getattr(variables, name) + torch.einsum("ptn,np...->tp...", share, change)
            for name, change in changes.items()
        }
    )


def _pull(
    looks: Looks, gaussians: Mapping[int, SkinGaussians], vertices: Tensor, background: float, terms: LookWeights
) -> Tensor:
    """A number whose gradient in vertices [N, P, V, 3] is that of all pictures' losses; one is drawn at a time."""
    gradient = torch.zeros_like(vertices)
    for n, picture in enumerate(looks.pictures):
        gradient[n] = _gradient(looks, gaussians, vertices[n].detach(), picture, background, terms)
    return (gradient * vertices).sum()


def _gradient(
    looks: Looks,
    gaussians: Mapping[int, SkinGaussians],
    vertices: Tensor,
    picture: Picture,
    background: float,
    terms: LookWeights,
) -> Tensor:
    """Of one picture's loss in vertices [P, V, 3]."""
    people = {person: gaussians[person] for person, here in enumerate(looks.present_in(picture)) if here}
    if not people:
        return torch.zeros_like(vertices)
    leaf = vertices.requires_grad_()
    drawn = draw_looks(looks.cast, people, leaf, picture.view)
    seen = as_seen(picture, len(looks.cast.avatars), leaf.device)
    return torch.autograd.grad(look_loss(drawn, seen, background, terms), leaf)[0]


def shared(change: Tensor, present: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The mean of a change [N, P] over all who are tied and present [N, P]; 0 for who is tied to nobody."""
    tied = np.zeros((change.shape[1],) * 2)
    for a, b in pairs:
        tied[a, b] = tied[b, a] = 1
    _, group = connected_components(tied, directed=False)
    together = torch.as_tensor(group[:, None] == group, dtype=change.dtype, device=change.device)
    together = together * torch.as_tensor(tied.any(1), dtype=change.dtype, device=change.device)
    return (present * change) @ together / (present @ together).clamp(min=1)


def carried(times: Tensor, pictured: Tensor, present: Tensor) -> Tensor:
    """[P, T, N] how much of each picture's change every frame takes over: a bell around it, and less far from all.

    times [T] of the frames and pictured [N] of the pictures in seconds; present [N, P].
    """
    near = max(NEAR, float(pictured.diff().median().nan_to_num()))
    bell = (-0.5 * ((times[:, None] - pictured) / near).square()).exp() * present.T[:, None]
    return bell / (bell.sum(-1, keepdim=True) + _FADE)
