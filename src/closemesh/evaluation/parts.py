"""The small pieces of work whose speed decides that of the stages, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from closemesh.body.load import load_open_body
from closemesh.body.skinning import skin
from closemesh.config import ClipConfig, RefineConfig
from closemesh.contact.crossings import find_crossings
from closemesh.contact.query_body import query_body
from closemesh.geometry.camera import project
from closemesh.observe.mediapipe import MediaPipeDetector
from closemesh.observe.search import find_people
from closemesh.output.render import BodyPainter
from closemesh.proxemics.pair_clip import PairClip, cut, windows_of
from closemesh.proxemics.refine import load_prior, refine_stretch
from closemesh.proxemics.sampler import sample
from closemesh.proxemics.state import PairSpread, PairState
from closemesh.proxemics.windows import NUM_LIMBS, WINDOW, PairBody, by_window, pose_pair
from closemesh.scene import Camera
from closemesh.video import open_clip, read_frames
from closemesh.weights.known import DEMO_CLIP
from closemesh.weights.search import find_model

Step = Callable[[], object]
_NUM_BODIES = 64
_OVERLAP = 0.25  # Metres between the pelvises of two upright people whose trunks and arms cross.


def skinning(device: torch.device) -> Step:
    """64 posed bodies and the gradient of their vertices."""
    body = load_open_body().to(device)
    betas, rotations, transl = _people(_NUM_BODIES, device)

    def step() -> None:
        pose = rotations.clone().requires_grad_()
        vertices, _ = skin(body, betas, pose, transl)
        vertices.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def crossings(device: torch.device) -> Step:
    """The vertices of two bodies inside one another, in one frame."""
    body = query_body(load_open_body())
    betas, rotations, transl = _people(2, torch.device("cpu"))
    vertices, _ = skin(body, betas, rotations, transl)
    return lambda: find_crossings(vertices[:1], vertices[1:], body.faces)


def drawing(device: torch.device) -> Step:
    """Two bodies over a picture of 1920x1080."""
    body = load_open_body()
    betas, rotations, transl = _people(2, torch.device("cpu"))
    vertices, _ = skin(body, betas, rotations, transl)
    painter = BodyPainter(body, 2)
    image = np.full((1080, 1920, 3), 128, np.uint8)
    camera = Camera(1500.0, (960.0, 540.0), (1920, 1080), "option", np.eye(4)[None])
    vertices_cam = vertices.numpy() * (1, -1, 1) + (0, 0, 3.5)
    return lambda: painter.paint(image, vertices_cam, np.ones(2, dtype=bool), camera)


def detection(device: torch.device) -> Step:
    """Everybody in one frame of the bundled clip, each then looked at closer."""
    clip = open_clip(find_model(DEMO_CLIP), ClipConfig())
    image = next(read_frames(clip))
    detector = MediaPipeDetector()

    def step() -> None:
        for person in find_people(detector, image, [], 0):
            detector.refine(image, person)

    return step


def refining(device: torch.device, guided: bool) -> Step:
    """One window of a pair in an embrace through the sampling of the interaction prior, once."""
    prior = load_prior(load_open_body(), RefineConfig(), device)
    pair = _embrace(prior.sampler.body, device)
    if guided:
        return lambda: refine_stretch(prior, pair)
    windows = windows_of(pair, cut(len(pair), device))
    return lambda: sample(prior.sampler, windows, [])


PARTS: dict[str, Callable[[torch.device], Step]] = {
    f"skin {_NUM_BODIES} bodies, forward and backward": skinning,
    "crossings of two bodies, one frame": crossings,
    "draw two bodies at 1080p, one frame": drawing,
    "detect people at 1080p, one frame": detection,
    f"refine a pair, {WINDOW} frames, without guidance": partial(refining, guided=False),
    f"refine a pair, {WINDOW} frames": partial(refining, guided=True),
}


def _embrace(body: PairBody, device: torch.device) -> PairClip:
    """A window of two people three metres away who stand in each other, seen a little aside of where they are."""
    rotations = torch.eye(3, device=device).repeat(1, WINDOW, 2, 22, 1, 1)
    rotations[:, :, :, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=device))
    pelvis = torch.tensor([[-_OVERLAP / 2, 0.0, 3.0], [_OVERLAP / 2, 0.0, 3.0]], device=device)
    state = PairState(rotations, torch.zeros(1, WINDOW, 2, 10, device=device), pelvis.expand(1, WINDOW, 2, 3))
    points = project(by_window(pose_pair(body, state).keypoints)[0], 1000.0, (500.0, 500.0))
    return PairClip(
        state=state,
        spread=PairSpread(*(torch.full_like(v, 0.1) for v in (rotations[..., 0, 0], state.betas, state.pelvis))),
        points=points + 5.0,
        inverse_sigmas=torch.full_like(points[..., 0], 0.2),
        limbs=torch.zeros(WINDOW, 2, NUM_LIMBS, 4, device=device),
        times=torch.arange(WINDOW, device=device) / 30,
        hidden=torch.zeros(WINDOW, 2, dtype=torch.bool, device=device),
        focal=1000.0,
        centre=(500.0, 500.0),
    )


def _people(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """betas [N, 10], rotations [N, 55, 3, 3] and transl [N, 3] of upright people side by side."""
    betas = torch.zeros(count, 10, device=device)
    rotations = torch.eye(3, device=device).repeat(count, 55, 1, 1)
    transl = torch.zeros(count, 3, device=device)
    transl[:, 0] = _OVERLAP * torch.arange(count, device=device)
    return betas, rotations, transl
