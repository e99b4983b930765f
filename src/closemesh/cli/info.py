"""The command `info`: versions, the device, and which model files are installed or missing."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from closemesh.cli.console import exit_codes, results

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "av",
    "opencv-python-headless",
    "onnxruntime",
    "numba",
    "trimesh",
    "smplx",
    "ultralytics",
)


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show versions, the device, and which weights and bodies are installed."""
    with exit_codes():
        found = gather()
        if as_json:
            results.print_json(data=found)
            return
        results.print(_system_table(found))
        results.print(_files_table(found["files"]))


def gather() -> dict[str, Any]:
    """Return everything that `closemesh info` shows, as plain values."""
    import os
    import platform

    import torch

    from closemesh import __version__
    from closemesh.core.device import choose_device
    from closemesh.weights.locate import model_folders
    from closemesh.weights.registry import FAMILIES, KNOWN_FILES

    device = choose_device()
    return {
        "closemesh": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "packages": {name: _version_of(name) for name in _PACKAGES},
        "model_folders": [str(folder) for folder in model_folders()],
        "files": [_file_facts(known) for known in (*KNOWN_FILES, *FAMILIES)],
    }


def _version_of(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _file_facts(known: Any) -> dict[str, Any]:
    path = known.locate()
    return {
        "feature": known.feature,
        "provided_by": known.provided_by,
        "name": known.name,
        "path": str(path) if path else None,
        "megabytes": round(path.stat().st_size / 1e6, 1) if path else None,
        "licence": known.licence,
        "how_to_get": known.install_hint,
    }


def _system_table(found: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    for name in ("closemesh", "python", "system", "device"):
        table.add_row(name, str(found[name]))
    versions = (f"{name} {version}" if version else f"no {name}" for name, version in found["packages"].items())
    table.add_row("packages", ", ".join(versions))
    table.add_row("models in", "\n".join(found["model_folders"]))
    return table


def _files_table(files: list[dict[str, Any]]) -> Table:
    table = Table(title="Weights and bodies", title_style="title")
    table.caption = "closemesh download-weights --list shows all downloads"
    for column in ("feature", "provided by", "status", "MB", "license", "how to install"):
        table.add_column(column, overflow="fold")
    for file in files:
        installed = file["path"] is not None
        table.add_row(
            file["feature"],
            file["provided_by"],
            "[good]installed[/good]" if installed else "[doubtful]missing[/doubtful]",
            str(file["megabytes"]) if installed else "",
            file["licence"],
            escape(file["how_to_get"]),
        )
    return table
