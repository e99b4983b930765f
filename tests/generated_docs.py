"""Parts of the documentation that are made from the code and from the committed benchmark reports.

`python tests/generated_docs.py` writes them anew; test_docs.py fails when a page differs.
A part stands between `<!-- generated: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from closemesh.lab.datasets.registry import TEST_KINDS
from closemesh.lab.evaluation.report import read_report as report_of

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "tests" / "benchmark"
PACKAGE = ROOT / "src" / "closemesh"
MOTIONS = ("initial", "refined", "optimised")
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

ROWS = (
    ("MPJPE, mm", "all", "MPJPE", 1),
    ("MPJPE of occluded joints, mm", "occluded", "MPJPE", 1),
    ("MPJPE in contact, mm", "contact", "MPJPE", 1),
    ("PA-MPJPE, mm", "all", "PA-MPJPE", 1),
    ("Inter (joint distances between people), mm", "all", "Inter", 0),
    ("Pair-PA-MPJPE in contact, mm", "contact", "Pair-PA-MPJPE", 0),
    ("contact F1 at 5 cm, in contact, %", "contact", "contact-F1@50mm", 0),
    ("PCDR (depth order), %", "all", "PCDR", 0),
    ("A-PD (penetration), mm", "all", "A-PD", 2),
    ("jitter, m/s³", "all", "jitter", 0),
)
SUMMARY = tuple(
    row
    for row in ROWS
    if row[0].split(",")[0].split(" (")[0]
    in {"MPJPE", "MPJPE of occluded joints", "Pair-PA-MPJPE in contact", "contact F1 at 5 cm", "jitter"}
)
EFFECTS = tuple(
    row for row in ROWS if row[2] in {"MPJPE", "Inter", "Pair-PA-MPJPE", "contact-F1@50mm", "A-PD", "jitter"}
)


REAL = (
    ("people found, %", "observed", "people-found", 0),
    ("keypoints, % of diagonal", "observed", "keypoint-distance", 1),
    ("mask IoU, %", "observed", "mask-IoU", 1),
    ("facts, %", "optimised", "facts", 0),
    ("joints, % of diagonal", "optimised", "joint-distance", 1),
    ("body IoU, %", "optimised", "body-IoU", 1),
    ("residual, sigma", "optimised", "residual", 2),
    ("reprojection, % of height", "optimised", "reprojection", 2),
    ("deepest penetration, mm", "optimised", "depth-max", 0),
    ("jitter, m/s³", "optimised", "jitter", 0),
    ("error of the focal length, %", "optimised", "focal-error", 0),
)


def read_report(name: str) -> dict[str, Any]:
    return json.loads((REPORTS / f"{name}.json").read_text())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def stage_table(report: str, rows: Sequence[tuple[str, str, str, int]]) -> str:
    """Mean and half of the 95 % interval of each motion."""
    return motion_table(read_report(report)["stages"], MOTIONS, rows)


def motion_table(
    stages: Mapping[str, Any], motions: Sequence[str], rows: Sequence[tuple[str, str, str, int]], first: str = ""
) -> str:
    """A column for each motion; stages: motion -> group -> metric -> mean, low, high."""

    def cell(motion: str, group: str, metric: str, digits: int) -> str:
        value = stages[motion][group][metric]
        return f"{value['mean']:.{digits}f} ± {(value['high'] - value['low']) / 2:.{digits}f}"

    return table(
        [first, *(f"`{motion}`" for motion in motions)],
        [
            [label, *(cell(motion, group, metric, digits) for motion in motions)]
            for label, group, metric, digits in rows
        ],
    )


def held_out_table() -> str:
    """The means over the windows of kinds of interaction that no network was trained on."""
    report = report_of(REPORTS / "baseline.json")
    windows = tuple(window for window in report.windows if window.kind in TEST_KINDS)
    stages = {
        motion: {
            group: {metric: asdict(mean) for metric, mean in metrics.items()}
            for group, metrics in replace(report, windows=windows).summary(motion).items()
        }
        for motion in MOTIONS
    }
    return motion_table(stages, MOTIONS, ROWS, f"{len(windows)} windows")


def hidden_table() -> str:
    """Errors in the hidden frames without and with the prior, and the 95 % interval of the difference."""
    report = read_report("hidden")
    columns = (("MPJPE of the hidden person, mm", "MPJPE"), ("distances to the other, mm", "Inter"))

    def cell(one: dict[str, Any]) -> str:
        return f"{one['old']:.0f} → {one['new']:.0f} ({one['low']:.0f} .. {one['high']:.0f})"

    return table(
        ["frames hidden", "windows", "motion", *(label for label, _ in columns)],
        [
            [
                gap,
                str(motions[motion]["MPJPE"]["windows"]),
                f"`{motion}`",
                *(cell(motions[motion][m]) for _, m in columns),
            ]
            for gap, motions in report["summary"].items()
            for motion in ("refined", "optimised")
        ],
    )


def importer_table() -> str:
    """The tool's own motion and those that start from it."""
    return "\n".join(
        motion_table(report["stages"], ("imported", *MOTIONS), SUMMARY, f"{variant} tool")
        for variant, report in read_report("importers").items()
    )


def effect_table(report: str) -> str:
    """Difference of motion `optimised` with and without each part; bold where the 95 % interval excludes zero."""
    effects = read_report(report)["with_minus_without"]

    def cell(part: str, group: str, metric: str, digits: int) -> str:
        one = effects[part]["optimised"][group][metric]
        text = f"{one['new'] - one['old']:+.{digits}f} ({one['low']:.{digits}f} .. {one['high']:.{digits}f})"
        return f"**{text}**" if one["low"] > 0 or one["high"] < 0 else text

    return table(
        ["part", *(label for label, *_ in EFFECTS)],
        [[part, *(cell(part, group, metric, digits) for _, group, metric, digits in EFFECTS)] for part in effects],
    )


def text_table() -> str:
    """Each motion with statements, and the 95 % interval of the change against the same motion without."""

    def cell(one: dict[str, Any], relative: bool) -> str:
        scale = 100 / one["old"] if relative else 1.0
        change = (one["new"] - one["old"]) * scale
        return f"{one['new']:.1f} ({change:+.0f}: {one['low'] * scale:.0f} .. {one['high'] * scale:.0f})"

    header = ["statements", "MPJPE of occluded joints, mm (change, %)", "contact F1, in contact, % (change, points)"]
    return table(
        [header[0], "motion", *header[1:]],
        [
            [name, motion, cell(groups["occluded"]["MPJPE"], True), cell(groups["contact"]["contact-F1@50mm"], False)]
            for name, row in read_report("descriptions")["rows"].items()
            for motion, groups in row.items()
        ],
    )


def real_table() -> str:
    """Each clip before and after the calibration on real clips."""
    before, now = ({clip["name"]: clip["values"] for clip in read_report(n)["clips"]} for n in ("real_before", "real"))

    def cell(clip: str, stage: str, metric: str, digits: int) -> str:
        pair = [values.get(clip, {}).get(stage, {}).get(metric) for values in (before, now)]
        return "" if pair[1] is None else " → ".join("-" if one is None else f"{one:.{digits}f}" for one in pair)

    return table(
        ["clip", *(label for label, *_ in REAL)],
        [[clip, *(cell(clip, stage, metric, digits) for _, stage, metric, digits in REAL)] for clip in now],
    )


def camera_table() -> str:
    """Quartiles of the errors of estimated cameras, and of the usual and level camera."""
    found = read_report("cameras")["summary"]
    rows = (("usual camera, level", "prior_error", "level_error"), ("people", "focal_error", "vertical_error"))

    def cell(name: str) -> str:
        low, median, high = found[name]
        return f"{median:.1f} ({low:.1f} .. {high:.1f})"

    return table(
        ["camera from", "error of the focal length, %", "error of the vertical, degrees"],
        [[label, cell(focal), cell(vertical)] for label, focal, vertical in rows],
    )


def identity_table() -> str:
    """Sums over all windows."""
    counts = read_report("identities")["windows"]
    columns = ("detections", "wrong_before", "wrong_after", "injected", "repaired")
    return table(
        ["windows", "detections", "wrong identity before", "after", "inserted switches", "of them fixed"],
        [[str(len(counts)), *(str(sum(one[column] for one in counts)) for column in columns)]],
    )


def commits() -> str:
    """The commit that each report was made at."""
    names = ("real", "baseline", "baseline_pixels", "cameras", "identities")
    names += ("ablation", "ablation_pixels", "descriptions", "hidden", "importers")

    def commit(name: str) -> str:
        report = read_report(name)
        return next(iter(report.values()))["commit"] if name == "importers" else report["commit"]

    return table(
        ["report", "commit"],
        [[f"[{name}.json](../tests/benchmark/{name}.json)", commit(name)[:8]] for name in names],
    )


def tree() -> str:
    """Every module with the first line of its docstring."""
    lines = []
    for folder in sorted({file.parent for file in PACKAGE.rglob("*.py")}):
        name = folder.relative_to(PACKAGE)
        doc = first_line(folder / "__init__.py") if folder != PACKAGE else ""
        lines.append(f"{name}/  {doc}".rstrip() if folder != PACKAGE else "closemesh/")
        for file in sorted(folder.glob("*.py")):
            if file.name not in {"__init__.py", "__main__.py"}:
                lines.append(f"  {file.name:<26}{first_line(file)}".rstrip())
    return "```\n" + "\n".join(lines) + "\n```\n"


def first_line(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    line = " ".join(text.split("\n\n")[0].split())
    end = re.search(r"(?<!\bal)(?<!\bEq)\.(?= [A-Z]|$)", line)
    return line[: end.start()] if end else line


GENERATED: dict[str, Callable[[], str]] = {
    "summary": lambda: stage_table("baseline", SUMMARY),
    "keypoints": lambda: stage_table("baseline", ROWS),
    "pixels": lambda: stage_table("baseline_pixels", ROWS),
    "ablation_keypoints": lambda: effect_table("ablation"),
    "ablation_pixels": lambda: effect_table("ablation_pixels"),
    "real": real_table,
    "cameras": camera_table,
    "identities": identity_table,
    "held_out": held_out_table,
    "hidden": hidden_table,
    "importers": importer_table,
    "text": text_table,
    "commits": commits,
    "tree": tree,
}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def regenerated(page: str) -> str:
    """The text of a page with its generated parts as they are now."""
    return PART.sub(lambda match: match.group(1) + GENERATED[match.group(2)]() + match.group(3), page)


if __name__ == "__main__":
    for path in pages():
        path.write_text(regenerated(path.read_text()))
