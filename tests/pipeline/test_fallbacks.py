"""A stage that the machine fails is run in another way, with a note, and the next run tries it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.config.schema import Config
from closemesh.core.device import fault_of
from closemesh.core.errors import ClosemeshError, InputError
from closemesh.core.progress import NullProgress
from closemesh.pipeline import stages as pipeline_stages
from closemesh.pipeline.cache import DiskCache
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import Initialise, Observe, Optimise, Refine, run_stages
from closemesh.pipeline.state import PipelineState, attempts_after
from closemesh.structures import AppearanceSummary, BodyMotion

CPU, GPU = torch.device("cpu"), torch.device("cuda")
LOST = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronous")
OUT_OF_MEMORY = (
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)
WRONG_NUMBERS = (
    np.linalg.LinAlgError("SVD did not converge"),
    RuntimeError("linalg.svd: the algorithm failed to converge because the input matrix contained non-finite values."),
    ValueError("cannot convert float NaN to integer"),
    OverflowError("cannot convert float infinity to integer"),
)


class Run:
    """The stages `refine` and `optimise` on the known scene, with functions in their place."""

    def __init__(self, scene: KnownScene, state: PipelineState, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene, self.state, self.out, self._patch = scene, state, out, monkeypatch
        self.notes: list[str] = []
        self.fresh: list[str] = []
        self.devices: list[tuple[str, str]] = []

    def __call__(
        self, refine: Callable[[torch.device], BodyMotion], device: torch.device = CPU, out: bool = True
    ) -> PipelineState:
        def optimise(*given: Any) -> tuple[Any, ...]:
            self.devices.append(("optimise", given[4].type))
            return self.state.camera, moved(given[1], 2.0), AppearanceSummary(float("nan"))

        def refine_on(*given: Any) -> BodyMotion:
            self.devices.append(("refine", given[5].type))
            return refine(given[5])

        self._patch.setattr(pipeline_stages, "refine", refine_on)
        self._patch.setattr(pipeline_stages, "optimise", optimise)
        self._patch.setattr(pipeline_stages, "collect_views", lambda *given: None)
        progress = NullProgress()
        cache = DiskCache(self.out / "stages", resume=True, progress=progress)
        ctx = RunContext(self.scene.clip, self.scene.body, Config(), device, cache, progress, self.out if out else None)
        *_, (_, after) = run_stages(ctx, self.state, (Refine(), Optimise()))
        self.fresh = [report.name for report in cache.reports if not report.from_cache]
        self.notes = [note for report in cache.reports for note in report.notes]
        return after


@pytest.fixture
def run(known_scene: KnownScene, state: PipelineState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(known_scene, state, tmp_path, monkeypatch)


def moved(motion: BodyMotion, meters: float) -> BodyMotion:
    return motion.with_pose(transl=motion.transl + np.float32(meters))


def raising(error: Exception) -> Callable[[torch.device], BodyMotion]:
    def refine(device: torch.device) -> BodyMotion:
        raise error

    return refine


def failing_on_the_gpu(error: Exception, motion: BodyMotion) -> Callable[[torch.device], BodyMotion]:
    def refine(device: torch.device) -> BodyMotion:
        if device.type != "cpu":
            raise error
        return motion

    return refine


@pytest.mark.parametrize("error", [*OUT_OF_MEMORY, *WRONG_NUMBERS], ids=lambda error: str(error)[:20])
def test_a_stage_that_cannot_run_is_left_out_until_it_can(run: Run, error: Exception) -> None:
    initial, better = run.state.motions["initial"], moved(run.state.motions["initial"], 1.0)
    after = run(raising(error))
    assert np.array_equal(after.motions["refined"].transl, initial.transl)
    assert np.array_equal(after.motions["optimised"].transl, moved(initial, 2.0).transl), "the next stage goes on"
    [note] = run.notes
    assert note.startswith("refine: ") and "the stage is left out" in note and "\n" not in note
    run(raising(error))
    assert run.fresh == [] and len(run.notes) == 1, "the same fault again: the same result, with its note"
    after = run(lambda device: better)
    assert run.fresh == ["refine", "optimise"] and run.notes == []
    assert np.array_equal(after.motions["optimised"].transl, moved(better, 2.0).transl)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["transl", "rotations", "betas"])
def test_a_result_that_is_not_finite_is_not_used(run: Run, field: str, wrong: float) -> None:
    initial = run.state.motions["initial"]
    array = getattr(initial, field).copy()
    array[-1, 1] = wrong
    after = run(lambda device: initial.with_pose(**{field: array}))
    assert np.array_equal(after.motions["refined"].transl, initial.transl)
    [note] = run.notes
    assert f"{field} is {wrong}" in note and "person 1" in note
    assert field == "betas" or "frame 11" in note
    assert not list((run.out / "stages" / "refine").glob("*nan*"))


@pytest.mark.parametrize("error", [LOST, *OUT_OF_MEMORY[:1], RuntimeError("cuDNN error: EXECUTION_FAILED")])
def test_a_fault_of_the_gpu_leads_to_the_cpu(run: Run, error: Exception) -> None:
    better = moved(run.state.motions["initial"], 1.0)
    after = run(failing_on_the_gpu(error, better), GPU)
    assert np.array_equal(after.motions["refined"].transl, better.transl)
    [note] = run.notes
    assert "computed again on the CPU" in note
    lost = not isinstance(error, torch.cuda.OutOfMemoryError)
    assert run.devices == [("refine", "cuda"), ("refine", "cpu"), ("optimise", "cpu" if lost else "cuda")]
    run(lambda device: better, GPU)
    assert run.fresh == ["refine", "optimise"] and run.notes == [], "the next run tries the GPU again"


def test_numbers_that_are_wrong_on_the_gpu_only(run: Run) -> None:
    better = moved(run.state.motions["initial"], 1.0)
    wrong = moved(better, float("nan"))
    after = run(lambda device: better if device.type == "cpu" else wrong, GPU)
    assert np.array_equal(after.motions["refined"].transl, better.transl)
    assert run.devices[-1] == ("optimise", "cuda"), "the GPU itself works"


def test_other_errors_are_not_faults_of_the_machine(run: Run) -> None:
    for error in (KeyError("transl"), InputError("no memory of CUDA"), ZeroDivisionError("division by zero")):
        with pytest.raises(type(error)):
            run(raising(error))
    assert fault_of(LOST, on_gpu=False) is None


def test_benchmarks_do_not_measure_fallbacks(run: Run) -> None:
    with pytest.raises(MemoryError):
        run(raising(MemoryError()), out=False)


@pytest.mark.parametrize("stage", [Observe(), Initialise()])
@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "--start and --end"), (np.linalg.LinAlgError("singular"), "--seed"), (LOST, "--device cpu")],
)
def test_the_first_stages_have_nothing_to_fall_back_to(
    run: Run, stage: Any, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline_stages, stage.name, fail)
    monkeypatch.setattr(pipeline_stages, "clip_fingerprint", lambda clip: "")
    cache = DiskCache(run.out / "stages", resume=True, progress=NullProgress())
    ctx = RunContext(run.scene.clip, run.scene.body, Config(), GPU, cache, NullProgress(), run.out)
    with pytest.raises(ClosemeshError, match=rf"^{stage.name}: .*{words}") as raised:
        list(run_stages(ctx, run.state, (stage,)))
    assert "\n" not in str(raised.value)
    assert not (run.out / "stages" / stage.name).exists()


@pytest.mark.parametrize(
    ("stage", "num_frames", "expected"),
    [
        ("initialise", 400, [32, 16]),
        ("optimise", 40, [20]),
        ("optimise", 20, []),
        ("refine", 400, [80, 40]),
        ("refine", 100, [50]),
        ("observe", 400, []),
    ],
)
def test_out_of_memory_leads_to_fewer_frames_at_once(
    known_scene: KnownScene, state: PipelineState, tmp_path: Path, stage: str, num_frames: int, expected: list[int]
) -> None:
    clip = replace(known_scene.clip, frame_indices=np.arange(num_frames))
    cache = DiskCache(tmp_path, resume=True, progress=NullProgress())
    ctx = RunContext(clip, known_scene.body, Config(), GPU, cache, NullProgress(), tmp_path)
    fault = fault_of(MemoryError(), on_gpu=True)
    assert fault is not None
    state = state.with_motion("refined", known_scene.motion)
    attempts = attempts_after(fault, ctx, state, stage)
    names = [f"{frames} frames at once" for frames in expected]
    left_out = ["left out"] if stage in ("refine", "optimise") else []
    assert [attempt.fallback for attempt in attempts] == [*names, "cpu", *left_out]
    for attempt, frames in zip(attempts, expected, strict=False):
        config = attempt.ctx.config
        part = getattr(config, stage)
        assert frames == (part.max_frames if stage == "refine" else part.window)
        assert stage == "refine" or part.overlap < part.window
