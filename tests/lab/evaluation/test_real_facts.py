"""Facts about real clips: what is read, and the one line that names a wrong file and key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from closemesh.core.errors import InputError
from closemesh.lab.evaluation.real_facts import TRUNK, ClipFacts, PersonPoint, read_facts

COMMITTED = Path(__file__).resolve().parents[2] / "facts"
PEOPLE = {"red": {"frame": 0, "xy": [10, 20]}, "blue": {"frame": 3, "xy": [30, 20], "must_be_found": False}}
CONTACT = {"what": "hold", "a": "red", "parts_a": ["left_hand"], "b": "blue", "parts_b": ["trunk"], "frames": [2, 5]}
GOOD: dict[str, Any] = {
    "clip": "a.mp4",
    "focal_px": 500,
    "people": PEOPLE,
    "identity": [{"person": "red", "frame": 5, "xy": [12, 20]}],
    "contacts": [CONTACT],
    "apart": [[0, 1], {"people": ["red", "blue"], "frames": [6, 7]}],
    "never": [["thigh", "foot"]],
    "joints": [{"person": "red", "frame": 2, "joint": "left_wrist", "xy": [1, 2], "hidden": True}],
    "depth_order": [{"nearer": "red", "farther": "blue", "frames": [0, 7]}],
}


def read(folder: Path, values: Any) -> ClipFacts:
    path = folder / "a.facts.json"
    path.write_text(json.dumps(values))
    return read_facts(path)


def test_everything_is_read(tmp_path: Path) -> None:
    facts = read(tmp_path, GOOD)
    assert facts.name == "a"
    assert facts.optional_people == {"blue"}
    assert facts.points == (
        PersonPoint("red", 0, (10, 20)),
        PersonPoint("blue", 3, (30, 20)),
        PersonPoint("red", 5, (12, 20)),
    )
    assert facts.contacts[0].parts_b == TRUNK
    assert [one.people for one in facts.apart] == [None, ("red", "blue")]
    assert facts.joints[0].hidden
    assert facts.never == (("thigh", "foot"),)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"contact": []}, "contact is not known"),
        ({"clip": 3}, "clip must be a text"),
        ({"focal_px": 0}, "focal_px must be above 0"),
        ({"people": {"red": {"frame": 0}}}, "people.red.xy is missing"),
        ({"people": {**PEOPLE, "red": {"frame": -1, "xy": [0, 0]}}}, "people.red.frame must be a frame number"),
        ({"people": {**PEOPLE, "red": {"frame": 0, "xy": [0, 0], "name": 1}}}, "people.red.name is not known"),
        ({"identity": [{"person": "green", "frame": 0, "xy": [0, 0]}]}, "identity[0].person names 'green'"),
        ({"contacts": [CONTACT, {**CONTACT, "parts_a": ["paw"]}]}, "contacts[1].parts_a names 'paw'"),
        ({"contacts": [{**CONTACT, "frames": [5, 2]}]}, "contacts[0].frames must be the first and the last frame"),
        ({"contacts": [{**CONTACT, "part": 1}]}, "contacts[0].part is not known"),
        ({"apart": [[0]]}, "apart[0] must be the first and the last frame"),
        ({"apart": [{"people": ["red"], "frames": [0, 1]}]}, "apart[0].people must be two names"),
        ({"never": [["tail"]]}, "never[0] names 'tail'"),
        ({"joints": [{"person": "red", "frame": 1, "joint": "chin", "xy": [1, 2]}]}, "joints[0].joint names 'chin'"),
        ({"joints": [{"person": "red", "frame": 1, "joint": "nose", "xy": [1]}]}, "joints[0].xy must be x and y"),
        ({"depth_order": [{"nearer": "red", "frames": [0, 1]}]}, "depth_order[0].farther is missing"),
        ({"focal_px": 10**400}, "focal_px must be within 1e+09"),
        ({"joints": [{"person": "red", "frame": 10**30, "joint": "nose", "xy": [1, 2]}]}, "joints[0].frame must be"),
        ({"background": "moving"}, "background names 'moving'"),
        ({"chroma_key": [0, 300, 0]}, "chroma_key must be red, green and blue"),
    ],
)
def test_one_line_names_the_file_and_the_key(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, GOOD | change)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'a.facts.json'}: {key}")
    assert "\n" not in message


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.facts.json"
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_facts(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_facts(tmp_path / "b.facts.json")
    with pytest.raises(InputError, match="must be a JSON object"):
        read(tmp_path, [])


def test_frames_and_pixels_must_be_in_the_clip(tmp_path: Path) -> None:
    facts = read(tmp_path, GOOD)
    facts.check_range(7, (640, 480))
    with pytest.raises(InputError, match=r"a.facts.json: apart\[1\] names frame 7; the last frame is 6"):
        facts.check_range(6, (640, 480))
    with pytest.raises(InputError, match=r"people.blue lies outside the frame of 20x480 pixels"):
        facts.check_range(7, (20, 480))


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (COMMITTED.parents[1] / "docs" / "real-clips.md").read_text()
    facts = read(tmp_path, json.loads(page.split("```json")[1].split("```")[0]))
    assert facts.optional_people == {"passer-by"}
    keys = page.split("## Clips with facts")[0]
    assert set(ClipFacts.__dataclass_fields__) >= set(re.findall(r"^\| `(\w+)` \|", keys, re.MULTILINE))


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.facts.json")), ids=lambda path: path.name)
def test_committed_facts_are_read(path: Path) -> None:
    facts = read_facts(path)
    assert Path(facts.clip).stem == facts.name
    assert facts.points or facts.keypoints
