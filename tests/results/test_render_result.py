"""Views of a finished result from Python: what they show, where they are written, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from embrace import embrace
from finished_result import write_finished_result
from known_scenes import FPS, SIZE

from closemesh.avatars.model import AvatarConfig, create_avatars
from closemesh.avatars.saved import AvatarRenderer, pack_gaussians
from closemesh.body.loading import load_bundled_body
from closemesh.contact.measure import measure_contacts
from closemesh.core.errors import ClosemeshError, InputError, OutputError
from closemesh.core.progress import NullProgress
from closemesh.core.records import load_record, read_json, save_record, write_json
from closemesh.pipeline.cache import load_saved_appearance, load_saved_contacts
from closemesh.results.render import RenderOptions, render_result
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, Clip
from closemesh.video.video_files import write_video

FRAMES = 3
WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with all stages, contacts, avatars and its clip."""
    folder, body = tmp_path_factory.mktemp("finished"), load_bundled_body()
    out, motion = folder / "out", embrace(body, frames=FRAMES)
    write_finished_result(out, motion, body)
    stages = out / "stages"
    camera = load_record(stages / "optimise" / "0.Camera.npz", Camera)
    farther = replace(motion, transl=motion.transl + np.array([0.1, 0, 0], np.float32))
    save_record(stages / "initialise" / "0.Camera.npz", camera)
    save_record(stages / "initialise" / "1.BodyMotion.npz", farther)
    save_record(stages / "refine" / "0.BodyMotion.npz", motion)
    for index, pair in enumerate(measure_contacts(motion, body, NullProgress())):
        save_record(stages / "contact_optimised" / f"{index}.PairContacts.npz", pair)
    avatars = create_avatars(body, 2, AvatarConfig(num_gaussians=3000), 0, torch.device("cpu"))
    summary = AppearanceSummary(20.0, (), 19.0, pack_gaussians(avatars, 0.004), avatars.surface.side)
    save_record(stages / "optimise" / "2.AppearanceSummary.npz", summary)
    write_video([np.full((HEIGHT, WIDTH, 3), 200, np.uint8)] * FRAMES, folder / "clip.mp4", np.arange(FRAMES) / FPS)
    clip = load_record(stages / "clip.npz", Clip)
    save_record(stages / "clip.npz", replace(clip, path=folder / "clip.mp4"))
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def frames_of(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


VIEWS: dict[str, tuple[RenderOptions, str]] = {
    "overlay": (RenderOptions(size=(160, None), people=(1,)), "overlay_1.mp4"),
    "side": (RenderOptions(size=(160, 90), color="contact"), "side_contact.mp4"),
    "top": (RenderOptions(size=(160, 90), color="depth", stage="initial"), "top_initial_depth.mp4"),
    "turntable": (RenderOptions(size=(160, 90), turn_seconds=0.5), "turntable.mp4"),
    "compare": (RenderOptions(size=(640, None)), "compare.mp4"),
    "avatars": (RenderOptions(size=(160, None), viewpoint="side"), "avatars_side.mp4"),
    "depth": (RenderOptions(size=(160, None)), "depth.mp4"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_a_video_of_the_clip(out: Path, view: str) -> None:
    options, name = VIEWS[view]
    video = render_result(out, view, options)  # type: ignore[arg-type]
    assert video == out / name
    images = frames_of(video)
    assert len(images) == (round(0.5 * FPS) if view == "turntable" else FRAMES)
    assert images[0].std() > 5
    if view != "compare":
        assert images[0].shape[1] == 160
    assert render_result(out, view, options) == video  # type: ignore[arg-type]


def test_avatars_are_seen_from_the_camera_of_the_clip(out: Path) -> None:
    video = render_result(out, "avatars", RenderOptions(size=(WIDTH // 4 * 2, None)))
    overlay = render_result(out, "overlay", RenderOptions(size=(WIDTH // 4 * 2, None)))
    gray, covered = frames_of(video)[0], frames_of(overlay)[0]
    body = np.abs(covered.astype(int) - 200).max(-1) > 40
    avatar = np.abs(gray.astype(int) - gray[0, 0]).max(-1) > 40
    assert (body & avatar).sum() / (body | avatar).sum() > 0.8


def test_all_stages_are_compared_with_their_errors(out: Path) -> None:
    scene = read_json(out / "scene.json", 1)
    assert scene["quality"]["optimised"]["penetration_max_mm"] is not None
    image = frames_of(render_result(out, "compare", RenderOptions(size=(1280, None))))[0]
    panels = np.array_split(image[: image.shape[0] // 2], 4, axis=1)
    assert np.abs(panels[0].astype(int) - 200).max() < 10  # The input.
    colored = [(np.ptp(panel.astype(int), axis=-1) > 60) for panel in panels[1:]]
    assert all(mask.sum() > 500 for mask in colored)
    assert (colored[0] != colored[1][:, : colored[0].shape[1]]).sum() > 100  # The first motion is elsewhere.


def test_a_photo_is_an_image_and_its_turntable_a_video(out: Path) -> None:
    one = [("clip.npz", Clip), ("optimise/1.BodyMotion.npz", BodyMotion), ("optimise/0.Camera.npz", Camera)]
    for file, kind in one:
        record = load_record(out / "stages" / file, kind)
        first = (
            replace(record, frame_indices=record.frame_indices[:1], times=record.times[:1])
            if isinstance(record, Clip)
            else record.frames(slice(0, 1))
        )
        save_record(out / "stages" / file, first)
    image = render_result(out, "top", RenderOptions(size=(320, 180)))
    assert image == out / "top.png"
    pixels = cv2.imread(str(image))
    assert pixels is not None and pixels.shape == (180, 320, 3)
    video = render_result(out, "turntable", RenderOptions(size=(64, 48), turn_seconds=0.4))
    assert len(frames_of(video)) == 10


def test_images_go_to_a_folder(out: Path, tmp_path: Path) -> None:
    folder = render_result(out, "side", RenderOptions(size=(64, 48), format="png"), tmp_path / "images")
    assert sorted(path.name for path in folder.glob("*.png")) == [f"{frame:06d}.png" for frame in range(FRAMES)]


WRONG: dict[str, tuple[str, RenderOptions, str]] = {
    "person": ("side", RenderOptions(people=(0, 2)), "has no person 2; its people are 0, 1"),
    "nothing chosen": ("side", RenderOptions(people=()), "its people are 0, 1"),
    "width": ("side", RenderOptions(size=(0, None)), "size of 0 pixels"),
    "height": ("side", RenderOptions(size=(640, 99999)), "size of 99999 pixels"),
    "clip": ("overlay", RenderOptions(clip=Path("nowhere.mp4")), "nowhere.mp4: the clip is no longer there"),
    "clip of depth": ("depth", RenderOptions(clip=Path("nowhere.mp4")), "--clip FILE"),
    "clip of compare": ("compare", RenderOptions(clip=Path("nowhere.mp4")), "--clip FILE"),
    "color": ("avatars", RenderOptions(color="depth"), "colors of its own"),
    "from": ("side", RenderOptions(viewpoint="top"), "--view top"),
    "seconds": ("side", RenderOptions(turn_seconds=3.0), "does not turn"),
    "long turn": ("turntable", RenderOptions(turn_seconds=float("inf")), "turn of inf s"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_one_line_and_leave_nothing(out: Path, case: str) -> None:
    view, options, message = WRONG[case]
    before = {path for path in out.rglob("*") if path.name != ".lock"}
    with pytest.raises(InputError) as error:
        render_result(out, view, options)  # type: ignore[arg-type]
    assert message in str(error.value) and "\n" not in str(error.value)
    assert {path for path in out.rglob("*") if path.name != ".lock"} == before


@pytest.mark.parametrize("appearance", [None, {"psnr_db": 20.0}])
def test_a_result_without_avatars(out: Path, appearance: dict | None) -> None:
    (out / "stages" / "optimise" / "2.AppearanceSummary.npz").unlink()
    scene = read_json(out / "scene.json", 1)
    write_json(out / "scene.json", 1, {**{k: v for k, v in scene.items() if k != "schema"}, "appearance": appearance})
    expected = "older version" if appearance else "preset fast"
    with pytest.raises(InputError, match=f"has no avatars.*{expected}.*--preset balanced"):
        render_result(out, "avatars")


def test_avatars_of_another_body_are_refused(out: Path) -> None:
    summary = load_saved_appearance(out)
    assert summary is not None and summary.gaussians is not None
    with pytest.raises(InputError, match="not those of body"):
        AvatarRenderer(load_bundled_body(), summary.gaussians[:, :-1], summary.uv_side)


def test_foreign_files_are_not_replaced(out: Path, tmp_path: Path) -> None:
    (out / "side.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"side\.mp4 exists"):
        render_result(out, "side", RenderOptions(size=(64, 48)))
    assert (out / "side.mp4").read_bytes() == b"mine"
    with pytest.raises(ClosemeshError, match="input"):
        clip = load_record(out / "stages" / "clip.npz", Clip).path
        render_result(out, "side", RenderOptions(size=(64, 48), overwrite=True), clip)


def test_saved_contacts_are_those_of_the_motion(out: Path) -> None:
    (pair,) = load_saved_contacts(out, "optimised")
    assert len(pair.distance) == FRAMES
    assert load_saved_contacts(out, "refined") == ()
