"""Time and memory of every stage and of the most expensive operations, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.skinning import skin
from closemesh.config.schema import ClipConfig, Config
from closemesh.contact.vertex_contacts import find_penetrations
from closemesh.contact.watertight import watertight_body
from closemesh.core.device import peak_rss_mb
from closemesh.core.progress import NullProgress, Progress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.geometry.camera import project
from closemesh.interaction_prior.diffusion import sample
from closemesh.interaction_prior.refine import load_prior, refine_interval
from closemesh.interaction_prior.state import PairState, PairUncertainty
from closemesh.interaction_prior.windows import (
    NUM_LIMBS,
    WINDOW,
    PairBody,
    PairClip,
    cut_windows,
    pose_pair,
    unfold_windows,
    window_layout,
)
from closemesh.perception.detectors.multi_scale import detect_multi_scale
from closemesh.perception.detectors.person_detectors import MoveNet
from closemesh.perception.keypoints.hand_landmarks import HandLandmarks, crop_from_pose
from closemesh.perception.keypoints.pose_networks import BlazePose
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.types import NUM_BODY_KEYPOINTS, Detection
from closemesh.pipeline.context import RunContext, open_run
from closemesh.pipeline.reconstruct import write_reconstruction
from closemesh.pipeline.stages import run_stages
from closemesh.pipeline.state import PipelineState
from closemesh.rendering.bodies import BodyRenderer
from closemesh.structures import Camera, Observations
from closemesh.video import open_clip, read_frames
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

Step = Callable[[], object]
_NUM_BODIES = 64
_DETECTION_SIDE = 320  # Pixels: the side at which tracked people are detected.
_OVERLAP = 0.25  # Meters between the pelvises of two upright people whose trunks and arms penetrate.


def skinning(device: torch.device) -> Step:
    """Skinning of 64 posed bodies, and the gradient of the vertices."""
    body = load_bundled_body().to(device)
    betas, rotations, transl = _people(_NUM_BODIES, device)

    def step() -> None:
        pose = rotations.clone().requires_grad_()
        vertices, _ = skin(body, betas, pose, transl)
        vertices.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def penetrations(device: torch.device) -> Step:
    """The vertices of two bodies inside each other, in one frame."""
    body = watertight_body(load_bundled_body())
    betas, rotations, transl = _people(2, torch.device("cpu"))
    vertices, _ = skin(body, betas, rotations, transl)
    return lambda: find_penetrations(vertices[:1], vertices[1:], body.faces)


def drawing(device: torch.device) -> Step:
    """Two bodies drawn over an image of 1920x1080 pixels."""
    body = load_bundled_body()
    betas, rotations, transl = _people(2, torch.device("cpu"))
    vertices, _ = skin(body, betas, rotations, transl)
    renderer = BodyRenderer(body, 2)
    image = np.full((1080, 1920, 3), 128, np.uint8)
    camera = Camera(1500.0, (960.0, 540.0), (1920, 1080), "option", np.eye(4)[None])
    vertices_cam = vertices.numpy() * (1, -1, 1) + (0, 0, 3.5)
    return lambda: renderer.render(image, vertices_cam, np.ones(2, dtype=bool), camera)


def detection(device: torch.device) -> Step:
    """Detection of all people in one frame of the bundled clip, then the keypoints of each."""
    clip = open_clip(find_model(DEMO_CLIP), ClipConfig())
    image = next(read_frames(clip))
    detector = MediaPipeDetector()

    def step() -> None:
        for person in detect_multi_scale(detector, image, [], 0):
            detector.refine(image, person)

    return step


def refining(device: torch.device, guided: bool) -> Step:
    """The interaction prior sampled once for one window of an embracing pair, with or without guidance."""
    prior = load_prior(load_bundled_body(), Config(), device)
    pair = _embrace(prior.sampler.body, device)
    if guided:
        return lambda: refine_interval(prior, pair)
    windows = cut_windows(pair, window_layout(len(pair), device))
    return lambda: sample(prior.sampler, windows, [])


PARTS: dict[str, Callable[[torch.device], Step]] = {
    f"skin {_NUM_BODIES} bodies, forward and backward": skinning,
    "penetrations of two bodies, one frame": penetrations,
    "draw two bodies at 1080p, one frame": drawing,
    "detect people at 1080p, one frame": detection,
    f"refine a pair, {WINDOW} frames, without guidance": partial(refining, guided=False),
    f"refine a pair, {WINDOW} frames": partial(refining, guided=True),
}


def _embrace(body: PairBody, device: torch.device) -> PairClip:
    """A window of two people who penetrate, three meters from the camera, with keypoints 5 pixels off their bodies."""
    rotations = torch.eye(3, device=device).repeat(1, WINDOW, 2, 22, 1, 1)
    rotations[:, :, :, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=device))
    pelvis = torch.tensor([[-_OVERLAP / 2, 0.0, 3.0], [_OVERLAP / 2, 0.0, 3.0]], device=device)
    state = PairState(rotations, torch.zeros(1, WINDOW, 2, 10, device=device), pelvis.expand(1, WINDOW, 2, 3))
    points = project(unfold_windows(pose_pair(body, state).keypoints)[0], 1000.0, (500.0, 500.0))
    std = PairUncertainty(
        torch.full_like(rotations[..., 0, 0], 0.1),
        torch.full_like(state.betas, 0.1),
        torch.full_like(state.pelvis, 0.1),
    )
    present = torch.ones(WINDOW, 2, dtype=torch.bool, device=device)
    tracks = KeypointTracks(
        points2d=points + 5.0,
        inv_sigma=torch.full_like(points[..., 0], 0.2),
        points3d=None,
        limb_directions=torch.zeros(WINDOW, 2, NUM_LIMBS, 3, device=device),
        limb_weights=torch.zeros(WINDOW, 2, NUM_LIMBS, device=device),
        detected=present,
        present=present,
        times=torch.arange(WINDOW, device=device) / 30,
        focal=torch.tensor(1000.0, device=device),
        principal_point=torch.tensor((500.0, 500.0), device=device),
    )
    return PairClip(state, std, tracks, masked=~present)


def _people(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Betas [N, 10], rotations [N, 55, 3, 3] and transl [N, 3] of upright people side by side."""
    betas = torch.zeros(count, 10, device=device)
    rotations = torch.eye(3, device=device).repeat(count, 55, 1, 1)
    transl = torch.zeros(count, 3, device=device)
    transl[:, 0] = _OVERLAP * torch.arange(count, device=device)
    return betas, rotations, transl


def bare_networks(ctx: RunContext, observations: Observations) -> Step:
    """One pass of MoveNet, BlazePose and the hand network over the frames, one call after the other on all cores.

    What stage `observe` with these networks takes beyond it is search, tracking, masks and repeated estimates.
    """
    movenet, blazepose = MoveNet(), BlazePose(ctx.config.observe.pose_network, threads=0)
    hands = HandLandmarks(threads=0)

    def step() -> None:
        for frame, image in enumerate(read_frames(ctx.clip)):
            movenet.detect(image, _DETECTION_SIDE)
            for person in np.flatnonzero(observations.detected[frame]):
                keypoints = observations.keypoints[frame, person, :NUM_BODY_KEYPOINTS]
                pose = blazepose.refine(image, Detection(observations.boxes[frame, person], keypoints, 1.0))
                crops = [crop_from_pose(pose.keypoints, side) for side in ("left", "right")] if pose else []
                for crop in crops:
                    if crop is not None:
                        hands.estimate(image, crop)

    return step


def run_isolated(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of the function called in a new process, so that its peak memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


BARE = "networks of observe alone"
"""Measured beside the stages, so that the cost of the rest of stage `observe` can be read off."""
STAGES = ("observe", BARE, "initialise", "refine", "optimise", "contact", "write")


@dataclass(frozen=True)
class SpeedMeasurement:
    """Cost of a stage or of an operation. The JSON file has these fields."""

    name: str
    milliseconds: float
    """Median over the runs."""
    runs: int
    peak_megabytes: float | None
    """Peak resident memory of the process, MiB; None where the system does not report it."""


def measure_speed(
    clip: Path, config: Config, device: str | None, loop: int, runs: int, progress: Progress
) -> list[SpeedMeasurement]:
    """Measurements of the stages on `clip`, of the stages on the clip repeated `loop` times if above 1, and of PARTS.

    runs: repetitions of each part. Raises InputError when the clip cannot be read.
    """
    loops = (1,) if loop == 1 else (1, loop)
    measurements = []
    with progress.task("benchmark", len(loops) * len(STAGES) + len(PARTS)) as advance:
        for times in loops:
            with tempfile.TemporaryDirectory() as folder:
                repeated = loop_clip(clip, times, Path(folder)) if times > 1 else clip
                for stage in STAGES:
                    measurements.append(
                        run_isolated(_measure_stage, stage, repeated, Path(folder) / "out", config, device)
                    )
                    advance(1)
        for part in PARTS:
            measurements.append(run_isolated(_measure_part, part, runs, device))
            advance(1)
    return measurements


def loop_clip(clip: Path, times: int, folder: Path) -> Path:
    """A video that repeats `clip`, with copied packets. Raises InputError when it is no video file."""
    import av
    import av.error

    from closemesh.core.errors import InputError

    target = folder / f"looped{clip.suffix}"
    try:
        with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
            stream = sink.add_stream_from_template(source.streams.video[0])
            for repetition in range(times):
                source.seek(0)
                _copy_packets(source, sink, stream, repetition)
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"{clip} cannot be looped ({error}); give a video file") from error
    return target


def _copy_packets(source: Any, sink: Any, stream: Any, repetition: int) -> None:
    video = source.streams.video[0]
    for packet in source.demux(video):
        if packet.dts is not None:  # The last packet is empty and only flushes decoders.
            packet.pts += repetition * video.duration
            packet.dts += repetition * video.duration
            packet.stream = stream
            sink.mux(packet)


def _measure_stage(stage: str, clip: Path, out: Path, config: Config, device: str | None) -> SpeedMeasurement:
    """One stage; earlier stages come from the cache that earlier processes left in `out`."""
    with open_run(clip, out, config, device, NullProgress()) as ctx:
        seconds = _stage_seconds(stage, ctx)
    return SpeedMeasurement(f"{stage}, {len(ctx.clip)} frames", 1000 * seconds, 1, peak_rss_mb())


def _stage_seconds(name: str, ctx: RunContext) -> float:
    """Seconds of one of STAGES."""
    state = PipelineState()
    for stage, after in run_stages(ctx, state):
        state = after
        if name == BARE and state.observations is not None:
            return _seconds(bare_networks(ctx, state.observations))
        if stage.name == name:
            return ctx.cache.reports[-1].seconds
    if name == "contact":
        return sum(report.seconds for report in ctx.cache.reports if report.name.startswith("contact_"))
    return _seconds(partial(write_reconstruction, ctx, state))


def _seconds(function: Step) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _measure_part(name: str, runs: int, device: str | None) -> SpeedMeasurement:
    from closemesh.core.device import choose_device

    step = PARTS[name](choose_device(device))
    step()  # Compiles and fills caches.
    seconds = [_seconds(step) for _ in range(runs)]
    return SpeedMeasurement(name, 1000 * statistics.median(seconds), runs, peak_rss_mb())
