"""The quick look at quality that ends a run, read from what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

# Figure of scene.json, what it is called here, how it is written.
_FIGURES = (
    ("reprojection_median_px", "reprojection error, median", "{:.1f} px"),
    ("reprojection_median_percent_of_height", "  of a person's height", "{:.2f} %"),
    ("reprojection_p95_percent_of_height", "  worst twentieth of it", "{:.2f} %"),
    ("penetration_max_mm", "penetration, deepest", "{:.0f} mm"),
    ("penetration_mean_mm", "  mean over frames", "{:.1f} mm"),
    ("frames_crossing_percent", "  frames with any", "{:.0f} %"),
    ("contacts", "contact intervals", "{:.0f}"),
    ("jitter_m_s3", "jitter", "{:.0f} m/s³"),
)
_FILES = ("people/", "contacts.json", "meshes/", "overlay.mp4", "scene.json")


def summary(scene: Mapping[str, Any], out: Path) -> RenderableType:
    """What a run found, how good it is and what it cost. scene: the values of scene.json."""
    files = ", ".join(name for name in _FILES if (out / name).exists())
    return Group(
        "",
        _headline(scene),
        _quality(scene["quality"]),
        _costs(scene["stages"]),
        f"results in [title]{escape(str(out))}[/title]: {files}",
    )


def _headline(scene: Mapping[str, Any]) -> str:
    people, clip, camera = scene["people"], scene["input"], scene["camera"]
    who = "one person, so no pair to refine" if len(people) == 1 else f"{len(people)} people"
    seen = ", ".join(str(person["frames_valid"]) for person in people)
    return (
        f"[title]{who}[/title], in {seen} of {clip['frames']} frames at {clip['fps']:.1f} a second; "
        f"focal length {camera['focal_px']:.0f} px ({camera['focal_source']}); body {scene['body_model']['name']}"
    )


def _quality(quality: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table(title="Quality", title_style="title", title_justify="left")
    table.add_column("")
    for motion in quality:
        table.add_column(motion, justify="right")
    for figure, name, form in _FIGURES:
        values = [figures.get(figure) for figures in quality.values()]
        if any(value is not None for value in values):
            table.add_row(name, *("" if value is None else form.format(value) for value in values))
    return table


def _costs(stages: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Cost", title_style="title", title_justify="left")
    for column in ("stage", "seconds", "peak MB until then"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages:
        kept = " [quiet](kept)[/quiet]" if stage["reused"] else ""
        peak = stage["peak_megabytes"]
        table.add_row(stage["name"] + kept, f"{stage['seconds']:.1f}", "" if peak is None else f"{peak:.0f}")
    return table
