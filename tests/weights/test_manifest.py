"""The list of downloads that is bundled is sound, and a user's words find what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from file_server import entry, write_manifest

from closemesh.core.errors import InputError
from closemesh.weights.manifest import read_manifest, select_downloads


@pytest.fixture(autouse=True)
def _the_bundled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOSEMESH_MANIFEST", raising=False)


def test_the_bundled_one() -> None:
    files = read_manifest()
    for unique in ([file.name for file in files], [file.file for file in files], [file.sources for file in files]):
        assert len(set(unique)) == len(files)
    for file in files:
        assert file.sources and all(urlsplit(url).scheme == "https" for url in file.sources)
        assert file.accept_licence == (file.licence not in {"MIT", "Apache-2.0"})
    groups = {group for file in files for group in file.groups}
    assert groups == {"detector", "masks", "wholebody", "body"}
    assert not groups & {file.name for file in files}


def test_names_and_groups() -> None:
    files = read_manifest()
    assert {file.name for file in select_downloads(files, ["wholebody", "yolox-m"])} == {"rtmw-l-256", "yolox-m"}
    assert select_downloads(files, ["all", "body"]) == files
    with pytest.raises(InputError, match="there is no download 'yolo26m_pose'; did you mean yolo26m-pose or"):
        select_downloads(files, ["yolo26m_pose"])
    with pytest.raises(InputError, match="--list shows them"):
        select_downloads(files, ["qqq"])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"file": "../a.bin"}, "a lies outside of the models folder"),
        ({"file": "/a.bin"}, "a lies outside of the models folder"),
        ({"archive": {"file": "../a.zip", "member": "a"}}, "a lies outside of the models folder"),
        ({"sha256": "ABC"}, "a has no proper sha256"),
        ({"size": "large"}, "0.size"),
        ({"mirrors": []}, "0.mirrors"),
    ],
)
def test_a_damaged_one(tmp_path: Path, fault: dict[str, Any], expected: str) -> None:
    path = write_manifest(tmp_path / "m.json", entry("a", **fault))
    with pytest.raises(InputError, match=rf"m\.json is damaged: {expected}"):
        read_manifest(path)


def test_one_that_is_not_there_or_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEMESH_MANIFEST", str(tmp_path / "m.json"))
    with pytest.raises(InputError, match=r"cannot read the list of downloads .*m\.json: No such file"):
        read_manifest()
    (tmp_path / "m.json").write_text("[")
    with pytest.raises(InputError, match="is damaged: Invalid JSON"):
        read_manifest()
