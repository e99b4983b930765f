"""All motion that there is to learn from, apart from what is held out, and what training checks itself on."""

from __future__ import annotations

from pathlib import Path

from closemesh.errors import InputError
from closemesh.motion_data.held_out import split_motion_files
from closemesh.motion_data.read import find_motions, read_motion
from closemesh.motion_data.sequence import MotionSequence
from closemesh.progress import Progress
from closemesh.training.bank import make_bank
from closemesh.training.lifter_loss import Banks

CHECK_EVERY = 12  # Of the files to learn from, each so-and-so-many-th is kept back to watch and calibrate training.
BODY_MODEL = "closemesh_open/light"  # All variants of the open body share its betas.


def load_banks(data: Path, interactions: Path | None, progress: Progress) -> tuple[Banks, Banks]:
    """Motion to learn from and motion to check on: captured files below `data`, generated ones below `interactions`.

    Nothing that is held out for the benchmark is in either. Raises InputError when there is nothing to learn from.
    """
    files, _ = split_motion_files(data)
    generated = find_motions(interactions) if interactions else []
    with progress.task("reading motion", len(files) + len(generated)) as advance:
        captured = [_read(file, advance) for file in files]
        made = [_read(file, advance) for file in generated]
    if not captured:
        raise InputError(f"no motion found below {data}; README.md tells which files can be read")
    return _banks(captured, made, check=False), _banks(captured, made, check=True)


def _read(file: Path, advance) -> MotionSequence:
    advance(1)
    return read_motion(file)


def _banks(captured: list[MotionSequence], made: list[MotionSequence], check: bool) -> Banks:
    def chosen(sequences: list[MotionSequence], people: int) -> list[MotionSequence]:
        of_people = [s for s in sequences if s.num_people == people]
        # At least one of each to check on, however few there are.
        kept = [k % min(CHECK_EVERY, max(len(of_people), 2)) == 1 for k in range(len(of_people))]
        return [s for s, is_check in zip(of_people, kept, strict=True) if is_check == check]

    return Banks(
        singles=make_bank(chosen(captured, 1) + chosen(made, 1), 1, BODY_MODEL),
        pairs=make_bank(chosen(captured, 2), 2, BODY_MODEL),
        interactions=make_bank(chosen(made, 2), 2, BODY_MODEL),
    )
