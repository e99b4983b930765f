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


NO_ADDRESSES = ("file:///etc/passwd", "ftp://x/a", "x/a", "http://", "http://x:y/a", "http://[::", "https://x/a b")
NO_NAMES = ("", "-x", "[bad]", "a b", "a\x1b[2J", "a" * 65, "\u00e9")
NO_PATHS = (
    *("", "/", "a//b", "./a", "a/.", "a/..", "..", "a/../b", "\\\\host\\a", "a\\b", "C:/a", "C:a"),
    *("a\x00b", "a\nb", "a\u202eb"),
    *("NUL", "some/con.bin", "COM1.tar.gz", "aux ", "lpt9.x", "a.", "a ", "a?", "a*", "a|b", "a<b", 'a"b', "a" * 121),
    *("downloaded.json", ".download.lock", ".hidden/a", "some/a.part", "a.part.json", "/".join(["a"] * 300)),
)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"file": "../a.bin"}, "a lies outside of the models folder"),
        ({"file": "/a.bin"}, "a lies outside of the models folder"),
        ({"archive": {"file": "../a.zip", "member": "a"}}, "a lies outside of the models folder"),
        ({"sha256": "ABC"}, "a has no proper sha256"),
        ({"sha256": "A" * 64}, "a has no proper sha256"),
        ({"sha256": "\u0661" * 64}, "a has no proper sha256"),
        *(({"size": size}, "a has no proper size") for size in (-1, 0, 1 << 40)),
        *(({"size": size}, "0.size") for size in (True, 1.5, "7", [])),
        ({"name": 7}, "0.name"),
        ({"groups": "abc"}, "0.groups"),
        ({"sources": "http://x/a"}, "0.sources"),
        ({"archive": ["a.zip"]}, "0.archive"),
        ({"archive": {"file": "b/a.zip", "member": "a"}}, "a lies outside of the models folder"),
        ({"archive": {"file": "a.zip", "member": "../a"}}, "a lies outside of the models folder"),
        ({"sources": []}, "a has a source that is no http"),
        *(({"sources": [url]}, "a has a source that is no http") for url in NO_ADDRESSES),
        *(({"name": name}, ".* is no plain name") for name in NO_NAMES),
        ({"groups": ["[/]"]}, "'a' or one of its groups is no plain name"),
        ({"purpose": "\x1b[2J"}, "a has texts that cannot be printed"),
        ({"account": "a\nb"}, "a has texts that cannot be printed"),
        ({"licence": "a" * 500}, "a has texts that cannot be printed"),
        *(({"file": name}, "a lies outside of the models folder or has a name") for name in NO_PATHS),
        ({"size": "large"}, "0.size"),
        ({"mirrors": []}, "0.mirrors"),
    ],
)
def test_a_damaged_one(tmp_path: Path, fault: dict[str, Any], expected: str) -> None:
    path = write_manifest(tmp_path / "m.json", {**entry("a", "http://localhost/a"), **fault})
    with pytest.raises(InputError, match=rf"m\.json is damaged: {expected}"):
        read_manifest(path)


def test_one_that_is_not_there_or_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEMESH_MANIFEST", str(tmp_path / "m.json"))
    with pytest.raises(InputError, match=r"cannot read the list of downloads .*m\.json: No such file"):
        read_manifest()
    (tmp_path / "m.json").write_text("[")
    with pytest.raises(InputError, match="is damaged: Invalid JSON"):
        read_manifest()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {"file": "some/other.bin"}, "a is in it twice"),
        ({}, {"name": "b", "file": "Some/A.bin"}, "a and b have the same place"),
        ({"file": "some/\u00e9"}, {"name": "b", "file": "some/e\u0301"}, "a and b have the same place"),
        ({"file": "some/a"}, {"name": "b", "file": "some/a/b"}, "a and b have the same place"),
        ({"file": "some/a/b"}, {"name": "b", "file": "some/a"}, "a and b have the same place"),
    ],
)
def test_entries_that_exclude_each_other(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], expected: str
) -> None:
    sources = ["http://localhost/a"]
    path = write_manifest(tmp_path / "m.json", entry("a", *sources, **first), {**entry("a", *sources), **second})
    with pytest.raises(InputError, match=rf"m\.json is damaged: {expected}"):
        read_manifest(path)


NO_LISTS = ["", "[" * 100_000, "{}", "7", "null", '[{"name": NaN}]', "[" + "9" * 5000 + "]", "\udcff"]


@pytest.mark.parametrize("text", NO_LISTS)
def test_what_is_no_list_of_downloads(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"m\.json is damaged: ") as fault:
        read_manifest(tmp_path / "m.json")
    assert str(fault.value).isprintable() and len(str(fault.value)) < 400 + len(str(tmp_path))
