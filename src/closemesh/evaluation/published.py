"""Figures that papers give for data sets, to stand beside measured ones. None of them was measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DatasetName = Literal["hi4d", "chi3d", "3dpw"]

_CLOSEAPP = "CloseApp (Huang et al., CVPR 2025), Table 2, copied from readers' notes"
_CLOSEAPP_ABLATION = "CloseApp (Huang et al., CVPR 2025), Table 3, copied from readers' notes"
_BUDDI = "BUDDI (Müller et al., CVPR 2024), Table 3"
_PROSEPOSE = "ProsePose (Subramanian et al., CVPR 2025); frames and cameras of its own choice"
_PROMPTHMR = "PromptHMR (Wang et al., CVPR 2025), copied from readers' notes; persons not exchanged"


@dataclass(frozen=True)
class PublishedRow:
    """One line of a paper's table."""

    method: str
    figures: dict[str, float]
    """By the names of `names.METRICS`, mm, and of PERSON_PA."""
    source: str


PERSON_PA = ("PA-MPJPE person 0", "PA-MPJPE person 1")
"""BUDDI tells the two people of CHI3D apart: 0 wears markers, 1 does not."""

_COLUMNS = ("MPJPE", "PA-MPJPE", "MPVPE", "Inter", "A-PD")
_CHI3D_COLUMNS = (*PERSON_PA, "Pair-PA-MPJPE-best")


def _row(method: str, columns: tuple[str, ...], figures: tuple[float | None, ...], source: str) -> PublishedRow:
    told = {name: value for name, value in zip(columns, figures, strict=True) if value is not None}
    return PublishedRow(method, told, source)


def _one(name: str, source: str, figures: dict[str, float]) -> tuple[PublishedRow, ...]:
    """Rows of a table with a single column."""
    return tuple(PublishedRow(method, {name: value}, source) for method, value in figures.items())


PUBLISHED: dict[DatasetName, tuple[PublishedRow, ...]] = {
    "hi4d": (
        _row("GroupRec", _COLUMNS, (82.4, 51.6, 88.6, 98.8, None), _CLOSEAPP),
        _row("BUDDI", _COLUMNS, (96.8, 70.6, 116.0, 102.6, None), _CLOSEAPP),
        _row("CloseInt", _COLUMNS, (63.1, 47.5, 76.4, 81.4, None), _CLOSEAPP),
        _row("CloseApp", _COLUMNS, (59.1, 44.3, 72.0, 80.2, None), _CLOSEAPP),
        _row("CloseApp, initial prediction", _COLUMNS, (65.05, 48.54, 78.35, 86.20, 1.16), _CLOSEAPP_ABLATION),
        _row("CloseApp, full", _COLUMNS, (59.06, 44.29, 71.99, 80.18, 0.81), _CLOSEAPP_ABLATION),
        *_one("Pair-PA-MPJPE-best", _PROSEPOSE, {"BEV": 144, "Heuristic contact": 116, "ProsePose": 93, "BUDDI": 89}),
        *_one(
            "Pair-PA-MPJPE",
            _PROMPTHMR,
            {"BEV": 136, "BUDDI": 98, "Multi-HMR (zero-shot)": 80.6, "PromptHMR (zero-shot)": 78.1, "PromptHMR": 39.5},
        ),
    ),
    "chi3d": (
        _row("BEV", _CHI3D_COLUMNS, (50, 52, 96), _BUDDI),
        _row("BUDDI (sampling only)", _CHI3D_COLUMNS, (53, 53, 80), _BUDDI),
        _row("BUDDI", _CHI3D_COLUMNS, (48, 47, 68), _BUDDI),
        *_one("Pair-PA-MPJPE-best", _PROSEPOSE, {"Heuristic contact": 105, "ProsePose": 100}),
        *_one(
            "Pair-PA-MPJPE",
            _PROMPTHMR,
            {"Multi-HMR (zero-shot)": 100.0, "PromptHMR (zero-shot)": 58.5, "PromptHMR": 45.3},
        ),
    ),
    "3dpw": (
        _row("GroupRec", ("MPJPE", "PA-MPJPE"), (73.3, 48.7), _CLOSEAPP),
        _row("BUDDI", ("MPJPE", "PA-MPJPE"), (83.6, 53.6), _CLOSEAPP),
        _row("CloseInt", ("MPJPE", "PA-MPJPE"), (70.6, 51.4), _CLOSEAPP),
        _row("CloseApp", ("MPJPE", "PA-MPJPE"), (64.5, 45.6), _CLOSEAPP),
        *_one(
            "PA-MPJPE",
            _PROMPTHMR,
            {"CLIFF": 43.0, "HMR2.0a": 44.4, "CameraHMR": 35.1, "Multi-HMR": 45.9, "PromptHMR": 36.6},
        ),
    ),
}
