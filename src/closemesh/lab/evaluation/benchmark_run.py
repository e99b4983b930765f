"""One window of the benchmark: filmed, observed, reconstructed stage by stage, scored."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from closemesh.body.loading import load_body
from closemesh.config.schema import Config
from closemesh.core.device import choose_device
from closemesh.core.progress import NullProgress
from closemesh.lab.evaluation.benchmark_scenes import (
    MASKS,
    SceneObservations,
    Source,
    Window,
    in_picture,
    observe_keypoints,
    observe_pixels,
    people_of,
)
from closemesh.lab.evaluation.benchmark_stages import STAGES, Task, run_stage, with_known_focal
from closemesh.lab.evaluation.contact_metrics import MeshMetrics, measure_meshes
from closemesh.lab.evaluation.evaluate import fitting_betas
from closemesh.lab.evaluation.joint_metrics import METRIC, TOUCH, lsp_hidden
from closemesh.lab.evaluation.scores import Groups, group_scores, score_motions
from closemesh.lab.simulation.occlusion import hidden_points
from closemesh.lab.simulation.scene import SimulatedScene, make_scene
from closemesh.structures import BodyMotion


@dataclass(frozen=True)
class WindowResult:
    """What came of one window."""

    name: str
    kind: str
    frames: int
    people: int
    expected: int
    """People in the picture, counted frame by frame."""
    found: int
    """Those of them who were detected; from pixels only they are scored, else also short gaps that are filled."""
    stages: dict[str, Groups]
    """By the name of the stage; empty when nobody was found."""
    truth: Groups
    """What can be told of the truth alone: what the figures of the stages should come near to."""
    seconds: dict[str, float]
    """Of observing, of each stage, and of measuring."""


def run_window(window: Window, config: Config, source: Source, device: str | None) -> WindowResult:
    """Make the scene of a window, run all stages on it and score them.

    The pipeline is given the true focal length. It sees simulated detections (`keypoints`) or a rendered film
    (`pixels`). Raises InputError when the window's file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _run_window(window, config, source, device, Path(folder))


def _run_window(window: Window, config: Config, source: Source, device: str | None, folder: Path) -> WindowResult:
    """The same with a `folder` for what is seen."""
    filmed = build_scene(window, config, source, device, folder)
    estimate = None
    if filmed.task is not None:
        for stage in STAGES:
            with filmed.watch.time(stage):
                estimate = run_stage(stage, filmed.task, estimate, NullProgress())
            filmed.score(stage, estimate.motion)
    return filmed.result()


class BenchmarkScene:
    """A window that was filmed and seen, and the scores of the stages that were run on it."""

    def __init__(
        self,
        window: Window,
        scene: SimulatedScene,
        sighting: SceneObservations | None,
        task: Task | None,
        watch: Timer,
        scorer: Scorer | None = None,
    ) -> None:
        """task: None where nobody was found."""
        self.scene, self.task, self.watch = scene, task, watch
        self._window, self._sighting = window, sighting
        with watch.time("measure"):
            self._scorer = scorer or Scorer(scene, measure_meshes(scene.motion, scene.body))
        self._stages: dict[str, Groups] = {}

    def again(self) -> BenchmarkScene:
        """The same without scores."""
        return BenchmarkScene(self._window, self.scene, self._sighting, self.task, Timer(), self._scorer)

    def score(self, stage: str, motion: BodyMotion) -> None:
        """Keep the scores of the motion that a stage made."""
        assert self._sighting is not None
        with self.watch.time("measure"):
            self._stages[stage] = self._scorer.of_stage(motion, self._sighting)

    def result(self) -> WindowResult:
        """All that was scored."""
        return WindowResult(
            name=self._window.name,
            kind=self._window.kind,
            frames=len(self.scene.clip),
            people=self.scene.motion.num_people,
            expected=int(in_picture(self.scene).sum()),
            found=self._sighting.found if self._sighting else 0,
            stages=self._stages,
            truth=self._scorer.of_truth(),
            seconds=self.watch.seconds,
        )


def build_scene(window: Window, config: Config, source: Source, device: str | None, folder: Path) -> BenchmarkScene:
    """The scene of a window, and what the pipeline gets to see of it; files go to `folder`. Raises InputError."""
    watch, seed = Timer(), seed_of(window, config.seed)
    sequence, body = window.read(), load_body(config.body_model)
    with watch.time("observe"):
        scene = make_scene(sequence, body, seed, fitting_betas(sequence, body))
        from_keypoints = source == "keypoints"
        sighting = (
            observe_keypoints(scene, seed + 1) if from_keypoints else observe_pixels(scene, config, seed + 1, folder)
        )
    task = None
    if sighting is not None:
        known = with_known_focal(config, scene.camera.focal)
        masks = None if from_keypoints else folder / MASKS
        task = Task(sighting.clip, sighting.observations, body, known, choose_device(device), masks)
    return BenchmarkScene(window, scene, sighting, task, watch)


class Scorer:
    """Scores motions of one scene, whose truth is measured once."""

    def __init__(self, scene: SimulatedScene, measured: MeshMetrics) -> None:
        self._scene = scene
        self._measured = measured
        self._hidden = lsp_hidden(hidden_points(scene))
        self._touching = measured.distance < TOUCH  # nan where one is absent: no contact.

    def of_stage(self, motion: BodyMotion, sighting: SceneObservations) -> Groups:
        """The motion of all tracks, of the clip that was seen, against the truth."""
        predicted = people_of(motion.frames(sighting.frames), sighting.people)
        true = sighting.true_frames
        measured = MeshMetrics(**{name: array[true] for name, array in vars(self._measured).items()})
        scores = score_motions(
            predicted,
            self._scene.motion.frames(true),
            self._scene.body,
            self._scene.body,
            self._scene.clip.times[true],
            measured_truth=measured,
        )
        return group_scores(scores, self._hidden[true], self._touching[true])

    def of_truth(self) -> Groups:
        """What the truth does by itself: jitter, crossing, sliding."""
        scene, measured = self._scene, self._measured
        motions, bodies = (scene.motion, scene.motion), (scene.body, scene.body)
        scores = score_motions(
            *motions, *bodies, scene.clip.times, measured_truth=measured, measured_prediction=measured
        )
        own = {name: values for name, values in scores.items() if not METRIC[name].needs_truth}
        return group_scores(own, self._hidden, self._touching)


class Timer:
    """Adds up the seconds of named pieces of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def seed_of(window: Window, seed: int) -> int:
    """A seed of the window's own, so that its scene does not depend on which others are run."""
    return int.from_bytes(hashlib.sha256(f"{seed} {window.name}".encode()).digest()[:4], "big")
