"""The training loop: averaged weights, steps that are left out, and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer

CPU = torch.device("cpu")
CONFIG = LoopConfig(steps=100, learning_rate=0.05, warm_up=1, ema_decay=0.5, log_every=10)


def network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def regression(forward: Forward, step: int) -> Losses:
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
    return {"square": (forward(x)[:, 0] - x.sum(1)).square().mean()}


def test_it_learns_and_returns_the_averaged_network(tmp_path: Path) -> None:
    trained = Trainer(network(), CONFIG, tmp_path, CPU).run(regression, NullProgress())
    first, last = (float(regression(net, 1000)["square"].detach()) for net in (network(), trained))
    assert last < 0.1 * first
    assert "square" in (tmp_path / "log.csv").read_text()


def test_a_step_whose_loss_is_no_number_is_left_out(tmp_path: Path) -> None:
    def sometimes(forward: Forward, step: int) -> Losses:
        terms = regression(forward, step)
        return {"square": terms["square"] * torch.nan} if step == 5 else terms

    trained = Trainer(network(), CONFIG, tmp_path, CPU).run(sometimes, NullProgress())
    assert all(parameter.isfinite().all() for parameter in trained.parameters())
    assert float(regression(trained, 1000)["square"].detach()) < 0.1


def test_a_stopped_run_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    def stops(forward: Forward, step: int) -> Losses:
        if step == 25:
            raise KeyboardInterrupt
        return regression(forward, step)

    config = LoopConfig(**{**vars(CONFIG), "save_every": 0.0})
    try:
        Trainer(network(), config, tmp_path / "a", CPU).run(stops, NullProgress())
    except KeyboardInterrupt:
        pass
    resumed = Trainer(network(), config, tmp_path / "a", CPU).run(regression, NullProgress())
    whole = Trainer(network(), config, tmp_path / "b", CPU).run(regression, NullProgress())
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("damage", "message"),
    [("garbage", "cannot be read"), ("truncated", "cannot be read"), ("other", "not the state of this training")],
)
def test_a_damaged_state_is_one_clear_line(tmp_path: Path, damage: str, message: str) -> None:
    path = tmp_path / "state.pt"
    torch.save([1, 2], path)
    if damage != "other":
        path.write_bytes(path.read_bytes()[:100] if damage == "truncated" else b"garbage")
    with pytest.raises(InputError, match=rf"state\.pt .*{message}.*give another folder or --fresh") as caught:
        Trainer(network(), CONFIG, tmp_path, CPU).run(regression, NullProgress())
    assert "\n" not in str(caught.value)
