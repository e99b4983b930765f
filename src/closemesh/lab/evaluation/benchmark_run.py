"""One benchmark window: the simulated scene, the stages of the pipeline run on it, and their scores."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from closemesh.body.loading import load_body
from closemesh.config.schema import Config
from closemesh.core.device import choose_device
from closemesh.core.progress import NullProgress
from closemesh.lab.evaluation.benchmark_scenes import (
    Focal,
    SceneObservations,
    Source,
    Window,
    in_image,
    observe_keypoints,
    observe_pixels,
    select_matched,
    with_known_focal,
)
from closemesh.lab.evaluation.contact_metrics import MeshMetrics, measure_meshes
from closemesh.lab.evaluation.evaluate import fitting_betas
from closemesh.lab.evaluation.joint_metrics import METRIC, TOUCH, lsp_hidden
from closemesh.lab.evaluation.scores import Groups, group_scores, score_motions
from closemesh.lab.simulation.occlusion import hidden_points
from closemesh.lab.simulation.scene import SimulatedScene, make_scene
from closemesh.pipeline.cache import MemoryCache
from closemesh.pipeline.context import MASKS, RunContext
from closemesh.pipeline.stages import MOTION_STAGES, run_stages
from closemesh.pipeline.state import PipelineState, Stage
from closemesh.structures import BodyMotion


@dataclass(frozen=True)
class WindowResult:
    """Scores of one window. Reports hold these fields by the same names."""

    name: str
    kind: str
    frames: int
    people: int
    expected: int
    """People in the image, counted frame by frame."""
    found: int
    """Those of them that were detected. From pixels only they are scored; from keypoints also short gaps."""
    stages: dict[str, Groups]
    """Scores by the name of the motion; empty when no people were found."""
    truth: Groups
    """Scores of the true motion, for metrics that need no truth."""
    seconds: dict[str, float]
    """Of `observe`, of the stage that makes each motion, and of `measure`."""
    focal_error: float | None = None
    """Percent by which the focal length of the last motion differs from the true one; None without a motion."""


def run_window(window: Window, config: Config, source: Source, focal: Focal, device: str | None) -> WindowResult:
    """The scores of the motions that the pipeline makes of one window.

    The pipeline gets simulated detections (`keypoints`) or a rendered video (`pixels`).
    Raises InputError when the window's file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        scene = build_scene(window, config, source, device, Path(folder), focal)
        if scene.state.observations is not None:
            scene.run(scene.ctx, scene.state, MOTION_STAGES)
        return scene.result()


class BenchmarkScene:
    """A window as a simulated scene with its observations, and the scores of stages that were run on it."""

    def __init__(
        self,
        window: Window,
        scene: SimulatedScene,
        observed: SceneObservations | None,
        ctx: RunContext,
        timer: Timer,
        scorer: Scorer | None = None,
    ) -> None:
        """observed: None when no people were found. ctx: its clip is the one that was observed."""
        self.scene, self.ctx = scene, ctx
        self.state = PipelineState(observations=observed.observations if observed else None)
        self._window, self._observed, self._timer = window, observed, timer
        with timer.time("measure"):
            self.scorer = scorer or Scorer(scene, measure_meshes(scene.motion, scene.body))
        self._scores: dict[str, Groups] = {}
        self._focal_error: float | None = None

    def without_scores(self) -> BenchmarkScene:
        """The same scene and the same cache of stages, for another row of a benchmark."""
        return BenchmarkScene(self._window, self.scene, self._observed, self.ctx, Timer(), self.scorer)

    def run(self, ctx: RunContext, state: PipelineState, stages: Sequence[Stage]) -> None:
        """Runs stages from `state` on, and scores every motion that they make."""
        for stage, after in run_stages(ctx, state, stages):
            if stage.motion is None:
                continue
            report = ctx.cache.reports[-1]
            if not report.from_cache:
                self._timer.add(stage.motion, report.seconds)
            self.score(stage.motion, after.motions[stage.motion])
            if after.camera is not None:
                self._focal_error = 100 * abs(after.camera.focal / self.scene.camera.focal - 1)

    def score(self, name: str, motion: BodyMotion) -> None:
        """Scores a motion of all tracks over the observed clip under this name. People must have been found."""
        assert self._observed is not None
        with self._timer.time("measure"):
            self._scores[name] = self.scorer.of_motion(motion, self._observed)

    def result(self) -> WindowResult:
        """All scores so far."""
        return WindowResult(
            name=self._window.name,
            kind=self._window.kind,
            frames=len(self.scene.clip),
            people=self.scene.motion.num_people,
            expected=int(in_image(self.scene).sum()),
            found=self._observed.found if self._observed else 0,
            stages=self._scores,
            truth=self.scorer.of_truth(),
            seconds=self._timer.seconds,
            focal_error=self._focal_error,
        )


def build_scene(
    window: Window, config: Config, source: Source, device: str | None, folder: Path, focal: Focal = "known"
) -> BenchmarkScene:
    """The scene of a window with its observations; a rendered video and masks are written to `folder`.

    Its context has a cache in memory, and the true focal length if `focal` is `known`.
    Raises InputError when the file cannot be read.
    """
    timer, seed = Timer(), seed_of(window, config.seed)
    sequence, body = window.read(), load_body(config.body_model)
    with timer.time("observe"):
        scene = make_scene(sequence, body, seed, fitting_betas(sequence, body))
        progress = NullProgress()
        ctx = RunContext(
            clip=scene.clip,
            body=body,
            config=with_known_focal(config, scene.camera.focal) if focal == "known" else config,
            device=choose_device(device),
            cache=MemoryCache(folder, progress),
            progress=progress,
            masks=folder / "observe" / MASKS,
        )
        if source == "keypoints":
            observed = observe_keypoints(scene, seed + 1)
        else:
            observed = observe_pixels(scene, ctx, seed + 1, folder)
    if observed is not None:
        ctx = replace(ctx, clip=observed.clip)
    return BenchmarkScene(window, scene, observed, ctx, timer)


class Scorer:
    """Scores motions of one scene against its truth, which is measured once."""

    def __init__(self, scene: SimulatedScene, measured: MeshMetrics) -> None:
        self._scene = scene
        self._measured = measured
        self.hidden = hidden_points(scene)
        """[T, P, 23] keypoints that the image does not show."""
        self.touching = measured.distance < TOUCH  # False where a person is absent: the distance is nan.
        """[T, pairs] frames in which two people touch."""

    def of_motion(self, motion: BodyMotion, observed: SceneObservations) -> Groups:
        """Scores of the motion of all tracks over the observed clip, camera frame."""
        predicted = select_matched(motion.frames(observed.frames), observed.match)
        true = observed.true_frames
        measured = MeshMetrics(**{name: array[true] for name, array in vars(self._measured).items()})
        scores = score_motions(
            predicted,
            self._scene.motion.frames(true),
            self._scene.body,
            self._scene.body,
            self._scene.clip.times[true],
            measured_truth=measured,
        )
        return group_scores(scores, lsp_hidden(self.hidden[true]), self.touching[true])

    def of_truth(self) -> Groups:
        """Scores of the true motion itself: jitter, penetration, foot skating."""
        scene, measured = self._scene, self._measured
        scores = score_motions(
            scene.motion,
            scene.motion,
            scene.body,
            scene.body,
            scene.clip.times,
            measured_truth=measured,
            measured_prediction=measured,
        )
        own = {name: values for name, values in scores.items() if not METRIC[name].needs_truth}
        return group_scores(own, lsp_hidden(self.hidden), self.touching)


class Timer:
    """Sums the seconds of named pieces of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Adds to what `name` has taken so far."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Adds the seconds that the block takes."""
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started)


def seed_of(window: Window, seed: int) -> int:
    """A seed of the window's own, so that its scene does not depend on which other windows are run."""
    return int.from_bytes(hashlib.sha256(f"{seed} {window.name}".encode()).digest()[:4], "big")
