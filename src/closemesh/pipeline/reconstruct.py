"""The public function: runs all stages on a clip and writes the result."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from closemesh.config.schema import Config, to_dict
from closemesh.core.files import atomic_folder
from closemesh.core.progress import NullProgress, Progress, RecordingProgress
from closemesh.core.records import save_record
from closemesh.output.write import write_results
from closemesh.pipeline.cache import CLIP_FILE
from closemesh.pipeline.context import MASKS, RunContext, open_run
from closemesh.pipeline.fingerprints import selected_weights, weight_files
from closemesh.pipeline.stages import run_stages
from closemesh.pipeline.state import PipelineState
from closemesh.structures import Reconstruction
from closemesh.video import read_frames


def reconstruct(
    path: str | Path,
    out: str | Path,
    config: Config | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Reconstruction:
    """The motion and contacts of the people in a clip; writes them with meshes to the folder `out`.

    path: a video file or a folder of images. config: the preset `balanced` when None. device: a torch device; None
    takes CUDA where it is available. resume: use results of stages that an earlier run left in `out`.

    Raises InputError, ModelFileError, OutputError, DownloadError: all are ClosemeshError.
    """
    recording = RecordingProgress(progress or NullProgress())
    with open_run(Path(path), Path(out), config or Config(), device, recording, resume) as ctx:
        state = PipelineState()
        for _, after in run_stages(ctx, state):
            state = after
        return write_reconstruction(ctx, state, tuple(recording.notes))


def write_reconstruction(ctx: RunContext, state: PipelineState, notes: tuple[str, ...] = ()) -> Reconstruction:
    """The result of all stages; writes its files to `ctx.out`. Raises OutputError when a file cannot be written."""
    assert ctx.out is not None
    observed, appearance = state.observed(ctx.clip), state.appearance
    reconstruction = Reconstruction(
        ctx.clip,
        observed.camera,
        observed.observations,
        state.motions,
        state.contacts,
        appearance=None if appearance is None or math.isnan(appearance.psnr) else appearance,
        weight_files=(*weight_files(ctx.body), *selected_weights(ctx.config)),
        config=to_dict(ctx.config),
        notes=notes,
    )
    save_record(ctx.cache.folder / CLIP_FILE, ctx.clip)
    if ctx.masks is not None and ctx.masks.is_dir():
        with atomic_folder(ctx.out / MASKS) as part:
            shutil.copytree(ctx.masks, part, dirs_exist_ok=True)
    write_results(ctx.out, reconstruction, ctx.body, ctx.cache.reports, read_frames(ctx.clip), ctx.progress)
    return reconstruction
