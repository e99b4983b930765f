"""TRC: marker positions as text, for OpenSim. Millimeters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from closemesh.core.arrays import Floats
from closemesh.interchange.markers import MarkerTrack, marker_tracks
from closemesh.interchange.scene import ExportedScene


def write_trc(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/person_00.trc and so on, at a constant rate. The folder exists.

    Markers of a person who is not valid in a frame are empty.
    """
    for track in marker_tracks(scene):
        (folder / f"{track.name}.trc").write_text("\n".join(_lines(track)) + "\n", encoding="ascii")


def _lines(track: MarkerTrack) -> Iterator[str]:
    frames, markers = track.positions.shape[:2]
    yield f"PathFileType\t4\t(X/Y/Z)\t{track.name}.trc"
    yield "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
    yield f"{track.rate:.6f}\t{track.rate:.6f}\t{frames}\t{markers}\tmm\t{track.rate:.6f}\t1\t{frames}"
    yield "Frame#\tTime\t" + "\t\t\t".join(track.labels) + "\t\t"
    yield "\t\t" + "\t".join(f"{axis}{k + 1}" for k in range(markers) for axis in "XYZ")
    yield ""
    for t, row in enumerate(track.positions):
        yield f"{t + 1}\t{t / track.rate:.6f}\t{_cells(row)}"


def _cells(row: Floats) -> str:
    return "\t".join("" if np.isnan(value) else f"{value:.4f}" for value in row.flat)
