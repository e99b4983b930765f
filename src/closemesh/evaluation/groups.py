"""The scores of a window, averaged over all of it, over hidden joints and over frames of contact."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from closemesh.evaluation.compare import Scores
from closemesh.evaluation.metrics import person_pairs
from closemesh.evaluation.names import METRIC, Metric
from closemesh.scene import Bools, Floats


class Mean(TypedDict):
    """A mean and over how many values it was taken."""

    mean: float
    n: int


Groups = dict[str, dict[str, Mean]]
"""Group -> metric -> mean, in the metric's unit."""

ALL, OCCLUDED, CONTACT = "all", "occluded", "contact"


def group_scores(scores: Scores, hidden: Bools, touching: Bools) -> Groups:
    """Means over all values; over the joints that are hidden; over the people and pairs in contact.

    hidden [T, P, 14]: LSP joints. touching [T, pairs]: the truth's surfaces touch; a person is in contact with anybody.
    Metrics that are not told joint by joint do not know the group `occluded`.
    """
    in_contact = _people_in_contact(touching, hidden.shape[1])
    groups: Groups = {ALL: {}, OCCLUDED: {}, CONTACT: {}}
    for name, values in scores.items():
        metric = METRIC[name]
        _add(groups[ALL], metric, values)
        _add(groups[CONTACT], metric, values[touching if metric.of_pair else in_contact])
        if metric.by_joint:
            _add(groups[OCCLUDED], metric, values[hidden])
    return groups


def _add(group: dict[str, Mean], metric: Metric, values: Floats) -> None:
    """The mean of what is defined; nothing when nothing is."""
    defined = values[np.isfinite(values)]
    if len(defined):
        group[metric.name] = Mean(mean=metric.scale * float(defined.mean()), n=len(defined))


def _people_in_contact(touching: Bools, num_people: int) -> Bools:
    """[T, P] of [T, pairs]."""
    columns = np.zeros((len(touching), num_people), bool)
    for column, pair in enumerate(person_pairs(num_people)):
        columns[:, list(pair)] |= touching[:, [column]]
    return columns
