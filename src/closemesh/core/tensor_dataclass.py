"""Base class of records of tensors: frames, people, device and concatenation for all fields at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

Array = TypeVar("Array", Tensor, np.ndarray)

_STATIC = "static"
_PEOPLE_AXIS = "people_axis"
_NO_PEOPLE = "no_people"


def static(people_axis: int | None = None) -> Mapping[str, Any]:
    """Metadata of a field without a time axis, such as betas: `field(metadata=static(people_axis=0))`.

    people_axis: its axis of people; None when it has none.
    """
    return {_STATIC: True, _PEOPLE_AXIS: people_axis}


def no_people() -> Mapping[str, Any]:
    """Metadata of a field with a time axis and no axis of people, such as times: `field(metadata=no_people())`."""
    return {_NO_PEOPLE: True}


def axis_names(one: Field) -> tuple[str, ...]:
    """Return what the first axes of a field are, by its metadata: frame and person, if nothing else is stated."""
    if one.metadata.get(_STATIC):
        return ("person",) if one.metadata.get(_PEOPLE_AXIS) == 0 else ()
    return ("frame",) if one.metadata.get(_NO_PEOPLE) else ("frame", "person")


@dataclass(frozen=True)
class TensorDataclass:
    """A frozen dataclass of tensors, numpy arrays, nested records, None and plain values.

    Arrays and records have time on axis TIME_AXIS and people on the next axis, unless the field is `static`. With
    TIME_AXIS None all fields are static. Plain values (strings, numbers, tuples) and None stay unchanged.
    """

    TIME_AXIS: ClassVar[int | None] = 0

    @property
    def time_axis(self) -> int | None:
        """The time axis of this record; one with a varying number of batch axes overrides it."""
        return self.TIME_AXIS

    def frames(self, index: slice | Sequence[int] | Tensor | NDArray) -> Self:
        """The same record at the frames of index [t]; arrays are views where it is a slice."""
        return self._map_fields(
            lambda value, one: value if (axis := self._own_time_axis(one)) is None else _take(value, index, axis),
            lambda record: record.frames(index),
        )

    def people(self, index: Sequence[int]) -> Self:
        """The same record for some of the people, in the order of `index`."""

        def select(value: Any, one: Field) -> Any:
            axis = self._own_people_axis(one)
            return value if axis is None else _take(value, list(index), axis)

        return self._map_fields(select, lambda record: record.people(index))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Self:
        """The same record on another device; `dtype` converts tensors of floats only. Numpy arrays stay as they are."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        return self.map(move)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same record with `function` applied to every tensor."""
        return self._map_fields(
            lambda value, _: function(value) if isinstance(value, Tensor) else value,
            lambda record: record.map(function),
        )

    def map_frames(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same record with `function` applied to every tensor that has a time axis."""
        return self._map_fields(
            lambda value, one: function(value) if isinstance(value, Tensor) and self._has_time(one) else value,
            lambda record: record.map_frames(function),
        )

    def map_people(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same record with `function` applied to every tensor that has axes of time and people."""
        return self._map_fields(
            lambda value, one: (
                function(value)
                if isinstance(value, Tensor) and self._has_time(one) and not one.metadata.get(_NO_PEOPLE)
                else value
            ),
            lambda record: record.map_people(function),
        )

    def zip_frames(self, other: Self, function: Callable[[Tensor, Tensor], Tensor]) -> Self:
        """The same record with `function(own, other's)` in the place of every tensor that has a time axis."""
        changes = {
            one.name: function(value, getattr(other, one.name))
            for one in fields(self)
            if isinstance(value := getattr(self, one.name), Tensor) and self._has_time(one)
        }
        return replace(self, **changes)

    def combine(self, others: Sequence[Self], function: Callable[..., Tensor]) -> Self:
        """The same record with `function(own, *others')` in the place of every tensor, in nested records too."""
        changes: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            rest = [getattr(other, one.name) for other in others]
            if isinstance(value, TensorDataclass):
                changes[one.name] = value.combine(rest, function)
            elif isinstance(value, Tensor):
                changes[one.name] = function(value, *rest)
        return replace(self, **changes)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """One record of consecutive parts of a clip; static fields are those of the first part."""
        return cls._join(parts, cls._time_axis, "concat")

    @classmethod
    def concat_people(cls, parts: Sequence[Self]) -> Self:
        """One record of the people of all parts; fields without people are those of the first part."""
        return cls._join(parts, parts[0]._own_people_axis, "concat_people")

    @classmethod
    def _join(cls, parts: Sequence[Self], axis_of: Callable[[Field], int | None], method: str) -> Self:
        """The parts joined along the axis of each field, nested records by `method`.

        A field without an axis is that of the first part.
        """

        def join(one: Field) -> Any:
            values = [getattr(part, one.name) for part in parts]
            axis = axis_of(one)
            if axis is None or not isinstance(values[0], Tensor | np.ndarray | TensorDataclass):
                return values[0]
            if isinstance(values[0], TensorDataclass):
                return getattr(type(values[0]), method)(values)
            if isinstance(values[0], np.ndarray):
                return np.concatenate(values, axis=axis)
            return torch.cat(values, dim=axis)

        return replace(parts[0], **{one.name: join(one) for one in fields(parts[0])})

    def _own_people_axis(self, one: Field) -> int | None:
        """The axis of people of a field; None when it has none."""
        if one.metadata.get(_NO_PEOPLE):
            return None
        time = self._own_time_axis(one)
        return one.metadata.get(_PEOPLE_AXIS) if time is None else time + 1

    def _map_fields(self, on_value: Callable[[Any, Field], Any], on_record: Callable[[Any], Any]) -> Self:
        """A copy with `on_value(value, field)` for arrays and `on_record(record)` for nested records."""
        changes = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, TensorDataclass):
                changes[one.name] = on_record(value)
            elif isinstance(value, Tensor | np.ndarray):
                changes[one.name] = on_value(value, one)
        return replace(self, **changes)

    @classmethod
    def _time_axis(cls, one: Field) -> int | None:
        """The time axis of a field; None when it has none."""
        return None if one.metadata.get(_STATIC) else cls.TIME_AXIS

    def _own_time_axis(self, one: Field) -> int | None:
        return None if one.metadata.get(_STATIC) else self.time_axis

    def _has_time(self, one: Field) -> bool:
        return self._time_axis(one) is not None


def _take(value: Array, index: Any, axis: int) -> Array:
    return value[(slice(None),) * axis + (index,)]
