"""Records of tensors: frames, people, combination, and fields without axes of time or people."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from closemesh.core.tensor_dataclass import TensorDataclass, no_people, static


@dataclass(frozen=True)
class Inner(TensorDataclass):
    values: Tensor  # [T, P]


@dataclass(frozen=True)
class Outer(TensorDataclass):
    points: Tensor  # [T, P, 2]
    times: Tensor = field(metadata=no_people())  # [T]
    betas: Tensor = field(metadata=static(people_axis=0))  # [P, 3]
    inner: Inner
    name: str = "a"


def record() -> Outer:
    return Outer(torch.arange(24.0).reshape(4, 3, 2), torch.arange(4.0), torch.ones(3, 3), Inner(torch.ones(4, 3)))


def test_people_leave_fields_without_people_alone() -> None:
    part = record().people([2, 0])
    assert part.points.shape == (4, 2, 2) and part.times.shape == (4,)
    assert part.betas.shape == (2, 3) and part.inner.values.shape == (4, 2)
    assert torch.equal(part.points[:, 0], record().points[:, 2])


def test_map_people_leaves_times_and_static_fields_alone() -> None:
    flipped = record().map_people(lambda tensor: tensor.flip(1))
    assert torch.equal(flipped.points[:, 0], record().points[:, 2])
    assert torch.equal(flipped.times, record().times)


def test_combine_takes_every_tensor_of_all_records() -> None:
    joined = record().combine([record(), record()], lambda *tensors: torch.cat(tensors))
    assert joined.points.shape == (12, 3, 2) and joined.betas.shape == (9, 3) and joined.inner.values.shape == (12, 3)
    assert joined.name == "a"


def test_concat_people_keeps_what_has_no_people() -> None:
    both = Outer.concat_people([record(), record().people([0])])
    assert both.points.shape == (4, 4, 2) and both.betas.shape == (4, 3) and both.inner.values.shape == (4, 4)
    assert torch.equal(both.times, record().times) and both.name == "a"
    assert torch.equal(both.points[:, 3], record().points[:, 0])
