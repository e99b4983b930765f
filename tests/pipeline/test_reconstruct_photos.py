"""Several photos: their folders, what an error in one of them stops, what is refused before the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from closemesh import reconstruct_photos
from closemesh.config.schema import ClipConfig, Config, InitialiseConfig, LanguageConfig
from closemesh.core.errors import ClosemeshError, InputError, ModelFileError, OutputError
from closemesh.core.progress import NullProgress, Progress, RecordingProgress
from closemesh.pipeline import reconstruct as module


@dataclass
class Runs:
    """A stand-in for `reconstruct` that keeps what it was given, and raises the errors of `errors`."""

    errors: dict[str, Exception] = field(default_factory=dict)
    given: dict[str, Path] = field(default_factory=dict)

    def __call__(
        self, path: Path, out: Path, config: Config, device: str | None, progress: Progress, resume: bool
    ) -> str:
        self.given[path.name] = out
        progress.note("seen")
        if path.name in self.errors:
            raise self.errors[path.name]
        return f"result of {path.name}"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    stand_in = Runs()
    monkeypatch.setattr(module, "reconstruct", stand_in)
    return stand_in


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with files of these names; nothing reads them here."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"photo")
        return tmp_path / "photos"

    return make


def test_each_photo_gets_a_folder_of_its_name(runs: Runs, photos: Callable[..., Path], tmp_path: Path) -> None:
    folder = photos("10.jpg", "9.JPG", "notes.txt", ".9.jpg", "album/inner.jpg", "album.png/inner.jpg")
    done = reconstruct_photos(folder, tmp_path / "out")
    assert [(one.photo.name, one.out.name) for one in done] == [("9.JPG", "9"), ("10.jpg", "10")]
    assert [one.reconstruction for one in done] == ["result of 9.JPG", "result of 10.jpg"]
    assert runs.given == {"9.JPG": tmp_path / "out" / "9", "10.jpg": tmp_path / "out" / "10"}
    (alone,) = reconstruct_photos(folder / "10.jpg", tmp_path / "out")
    assert alone.out == tmp_path / "out" / "10"


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["a.jpg", "a.png", "b.png"], ["a.jpg", "a.png", "b"]),
        (["a.png", "B.jpg", "b.png"], ["a", "B.jpg", "b.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg", "a.jpg.png", "a.png"]),
        (["a.jpg", "a.jpg.png"], ["a", "a.jpg.png"]),
    ],
)
def test_no_two_photos_have_the_same_folder(
    runs: Runs, photos: Callable[..., Path], tmp_path: Path, names: list[str], folders: list[str]
) -> None:
    done = reconstruct_photos(photos(*names), tmp_path / "out")
    assert {one.photo.name: one.out.name for one in done} == dict(zip(names, folders, strict=True))


def test_an_error_in_one_photo_does_not_stop_the_others(
    runs: Runs, photos: Callable[..., Path], tmp_path: Path
) -> None:
    runs.errors = {"a.jpg": InputError("no person"), "c.jpg": ZeroDivisionError("by zero")}
    done = reconstruct_photos(photos("a.jpg", "b.jpg", "c.jpg", "d.jpg"), tmp_path / "out")
    assert [one.error for one in done] == [runs.errors["a.jpg"], None, runs.errors["c.jpg"], None]
    assert [one.reconstruction is None for one in done] == [True, False, True, False]


@pytest.mark.parametrize("error", [ModelFileError("no body"), OutputError("disk full"), KeyboardInterrupt()])
def test_what_would_stop_every_photo_stops_the_first(
    runs: Runs, photos: Callable[..., Path], tmp_path: Path, error: BaseException
) -> None:
    runs.errors = {"a.jpg": error}  # type: ignore[dict-item]
    with pytest.raises(type(error)):
        reconstruct_photos(photos("a.jpg", "b.jpg"), tmp_path / "out")
    assert list(runs.given) == ["a.jpg"]


def test_progress_names_the_photo(runs: Runs, photos: Callable[..., Path], tmp_path: Path) -> None:
    progress = RecordingProgress(NullProgress())
    reconstruct_photos(photos("a.jpg", "b.jpg"), tmp_path / "out", progress=progress)
    assert progress.notes == ["a.jpg: seen", "b.jpg: seen"]


@pytest.mark.parametrize(
    ("config", "device", "expected"),
    [
        (Config(clip=ClipConfig(start=1.0)), None, "--start"),
        (Config(initialise=InitialiseConfig(init="result.pkl")), None, "--init"),
        (Config(language=LanguageConfig(descriptions="mine.json")), None, "--descriptions"),
        (Config(), "quantum", "quantum"),
    ],
)
def test_what_fits_no_photo_is_refused_before_the_first(
    runs: Runs, photos: Callable[..., Path], tmp_path: Path, config: Config, device: str | None, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        reconstruct_photos(photos("a.jpg"), tmp_path / "out", config, device)
    assert not runs.given


def test_what_is_no_photo_is_one_error(runs: Runs, photos: Callable[..., Path], tmp_path: Path) -> None:
    folder = photos("dance.mp4", "album/inner.jpg")
    for path, expected in (
        (folder / "dance.mp4", "leave it out for a video"),
        (folder / "none.jpg", "no such file"),
        (folder, "holds no images"),
    ):
        with pytest.raises(ClosemeshError, match=expected):
            reconstruct_photos(path, tmp_path / "out")
    assert not runs.given
