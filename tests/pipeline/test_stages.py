"""The loop over stages: seeds, keys, caching, and the rules that the product and the benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from known_scenes import KnownScene

from closemesh.config.schema import Config, InitialiseConfig, LanguageConfig, ObserveConfig, RefineConfig
from closemesh.core.progress import NullProgress, Progress
from closemesh.pipeline import stages as pipeline_stages
from closemesh.pipeline.cache import MemoryCache
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import (
    STAGES,
    Describe,
    Initialise,
    Observe,
    Optimise,
    Refine,
    run_stages,
)
from closemesh.pipeline.state import PipelineState
from closemesh.structures import AppearanceSummary, BodyMotion
from closemesh.text.statements import Posture, TimedStatement

UPRIGHT = TimedStatement(Posture(0, "upright"), start=0.0, end=0.5)


@pytest.fixture
def ctx(known_scene: KnownScene, tmp_path: Path) -> RunContext:
    cache = MemoryCache(tmp_path, NullProgress())
    return RunContext(known_scene.clip, known_scene.body, Config(), torch.device("cpu"), cache, NullProgress())


@dataclass(frozen=True)
class RandomStage:
    """Draws one number."""

    drawn: list[float] = field(default_factory=list)
    name = "draw"
    version = 1
    motion = None
    reads = ()
    outputs = (float,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        return {"seed": ctx.config.seed, "number": len(self.drawn)}

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[float]:
        return (float(torch.rand(())),)

    def apply(self, state: PipelineState, records: tuple[Any, ...]) -> PipelineState:
        self.drawn.append(records[0])
        return state


def test_every_stage_starts_from_the_same_random_state(ctx: RunContext) -> None:
    stage = RandomStage()
    before = torch.random.get_rng_state()
    for _ in run_stages(ctx, PipelineState(), (stage, stage)):
        pass
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    for seed in (0, 1):
        list(run_stages(replace(ctx, config=Config(seed=seed)), PipelineState(), (stage,)))
    assert stage.drawn[0] == stage.drawn[1] == stage.drawn[2] != stage.drawn[3]


def test_keys_follow_what_a_stage_reads(ctx: RunContext, state: PipelineState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_stages, "refine", lambda *given: state.motions["initial"])
    monkeypatch.setattr(pipeline_stages, "optimise", lambda *given: copy_of_initial(state))
    annotated = Describe(lambda *given: (UPRIGHT,))

    def keys(config: Config, describe: Describe) -> Mapping[str, str]:
        *_, (_, after) = run_stages(replace(ctx, config=config), state, (describe, Refine(), Optimise()))
        return after.keys

    plain, with_text = keys(Config(), Describe()), keys(Config(), annotated)
    assert keys(Config(), Describe()) == plain
    assert all(plain[stage] != with_text[stage] for stage in ("describe", "refine", "optimise"))
    other = keys(Config(refine=RefineConfig(physics=False)), Describe())
    assert other["describe"] == plain["describe"]
    assert other["refine"] != plain["refine"] and other["optimise"] != plain["optimise"]
    fresh = [report.name for report in ctx.cache.reports if not report.from_cache]
    assert fresh == 3 * ["refine", "optimise"], "the second run with the same settings is read from the cache"


def test_observations_of_another_pose_network_are_not_reused(ctx: RunContext) -> None:
    other = replace(ctx, config=replace(ctx.config, observe=ObserveConfig(pose_network="full")))
    assert Observe().fingerprint_inputs(ctx, PipelineState()) != Observe().fingerprint_inputs(other, PipelineState())


@pytest.mark.parametrize("statements", [True, False])
def test_the_setting_statements_holds_in_the_joint_stage_too(
    ctx: RunContext, state: PipelineState, monkeypatch: pytest.MonkeyPatch, statements: bool
) -> None:
    texts: dict[str, tuple[TimedStatement, ...]] = {}

    def refined(*given: Any) -> BodyMotion:
        texts["refine"] = given[-1]
        return state.motions["initial"]

    def optimised(*given: Any) -> tuple[Any, ...]:
        texts["optimise"] = given[-1].text
        return copy_of_initial(state)

    monkeypatch.setattr(pipeline_stages, "refine", refined)
    monkeypatch.setattr(pipeline_stages, "optimise", optimised)
    ctx = replace(ctx, config=Config(language=LanguageConfig(statements=statements)))
    list(run_stages(ctx, state, (Describe(lambda *given: (UPRIGHT,)), Refine(), Optimise())))
    (statement,) = texts["refine"]
    assert statement.statement == UPRIGHT.statement and 0 < statement.confidence <= 1, "calibrated by the stage"
    assert texts["optimise"] == (texts["refine"] if statements else ())


def test_an_imported_first_motion_is_used_by_whoever_runs_the_stage(
    ctx: RunContext, state: PipelineState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.pkl").write_bytes(b"result of another tool")
    imported = (state.camera, state.motions["initial"], state.uncertainty)
    monkeypatch.setattr(pipeline_stages, "import_initial_motion", lambda path, *given: imported)
    monkeypatch.setattr(pipeline_stages, "initialise", lambda *given: pytest.fail("not from the observations"))
    config = Config(initialise=InitialiseConfig(init=str(tmp_path / "result.pkl")))
    start = PipelineState(observations=state.observations)
    [(_, after)] = run_stages(replace(ctx, config=config), start, (Initialise(),))
    assert after.motions["initial"] is state.motions["initial"]


def test_a_missing_result_of_an_earlier_stage_is_named(ctx: RunContext) -> None:
    with pytest.raises(ValueError, match="run the stage observe first"):
        list(run_stages(ctx, PipelineState(), (Initialise(),)))


def test_stages_are_in_order_and_read_only_earlier_ones() -> None:
    names = [stage.name for stage in STAGES]
    assert names[:5] == ["observe", "initialise", "describe", "refine", "optimise"]
    assert [stage.motion for stage in STAGES if stage.motion] == ["initial", "refined", "optimised"]
    for number, stage in enumerate(STAGES):
        assert set(stage.reads) <= set(names[:number])


def copy_of_initial(state: PipelineState) -> tuple[Any, ...]:
    return state.camera, state.motions["initial"], AppearanceSummary(float("nan"))
