"""The page holds everything, loads nothing, and shows text of a clip as text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from closemesh.report.page import report_page
from closemesh.report.payload import report_payload
from closemesh.report.records import ReportRecords
from closemesh.report.warnings import ReportWarning
from closemesh.structures import Contact, PairContacts

HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>$payload&amp;.mp4"


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(records: ReportRecords, *warnings: ReportWarning) -> str:
    return report_page(records, report_payload(replace(records, contacts=())), warnings, b"video").decode()


@pytest.fixture(scope="module")
def page(records: ReportRecords) -> str:
    return page_of(records, ReportWarning("Frames 2-5: a doubt.", ((2, 5),)))


def test_text_of_a_clip_cannot_inject_elements(records: ReportRecords, page: str) -> None:
    scene = {**records.scene, "notes": [HOSTILE], "config": {HOSTILE: HOSTILE}, "closemesh": HOSTILE}
    scene["weight_files"] = [{"name": HOSTILE, "licence": HOSTILE, "sha256": HOSTILE}]
    hostile = replace(records, scene=scene, clip=replace(records.clip, path=Path(HOSTILE)))
    found = Elements(page_of(hostile, ReportWarning(HOSTILE, ((2, 5),))))
    assert not [one for one in found.elements if one[0] == "img" or any(name.startswith("on") for name in one[1])]
    scripts = [tag for tag, _ in found.elements].count("script")
    assert scripts == [tag for tag, _ in Elements(page).elements].count("script")
    assert HOSTILE.rsplit("/", maxsplit=1)[-1] in "".join(found.text)


def test_a_name_that_is_not_unicode(records: ReportRecords) -> None:
    assert "caf" in page_of(replace(records, clip=replace(records.clip, path=Path("caf\udce9.mp4"))))


def test_json_cannot_end_its_script(records: ReportRecords) -> None:
    payload = {**report_payload(replace(records, contacts=())), "x": "</script><b>"}
    page = report_page(records, payload, (), b"").decode()
    (text,) = re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page)
    assert json.loads(text)["x"] == "</script><b>"


def test_the_page_loads_nothing(page: str) -> None:
    for tag, attributes in Elements(page).elements:
        assert tag not in {"link", "iframe", "object", "base", "form"}
        assert not {"src", "href", "srcset", "poster"} & set(attributes), (tag, attributes)
    outside_data = re.sub(r'"data:text/javascript;base64,[^"]*"', "", page)
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", outside_data)
    assert "default-src 'none'" in page


def test_the_page_is_small(page: str) -> None:
    assert len(page) < 2_000_000  # three.js is 0.9 MB of it.


def test_warnings_and_contacts_lead_to_their_frames(records: ReportRecords) -> None:
    contacts = tuple(Contact(0, 1, f"left_hand{n}", "chest", n, n + 4, 0.0, 0.012) for n in range(10))
    pair = PairContacts(0, 1, np.zeros(24), np.full(24, 0.012), contacts)
    found = Elements(
        page_of(replace(records, contacts=(pair,)), ReportWarning("Doubt.", ((2, 5),)), ReportWarning("All."))
    )
    jumps = [attributes for _, attributes in found.elements if attributes.get("class") == "jump"]
    assert [one["data-frame"] for one in jumps] == ["2"]
    bars = [attributes for _, attributes in found.elements if attributes.get("class") == "bar"]
    assert [(one["data-frame"], one["data-end"]) for one in bars] == [(str(n), str(n + 4)) for n in range(10)]
    assert "left hand3 of person 0 on chest of person 1, 0.10 to 0.23 seconds, 12 mm deep" in str(bars[3]["aria-label"])
    assert "Show all 10 pairs of body parts" in found.text


def test_papers_and_licenses_are_named(page: str) -> None:
    for words in ("arXiv:2404.11291", "arXiv:2507.02565", "arXiv:2502.03836", "three.js (MIT)", "How to cite"):
        assert words in page


def test_a_single_image_has_no_controls(records: ReportRecords) -> None:
    first = replace(records.clip, frame_indices=records.clip.frame_indices[:1], times=records.clip.times[:1])
    observed = replace(
        records.observations,
        **{
            name: getattr(records.observations, name)[:1]
            for name in ("boxes", "keypoints", "sigmas", "keypoints3d", "detected", "track_confidence")
        },
    )
    one = replace(
        records,
        clip=first,
        motion=records.motion.frames(slice(1)),
        camera=records.camera.frames(slice(1)),
        observations=observed,
        contacts=(),
    )
    page = page_of(one)
    assert '<body class="single">' in page and "One image, 2 people" in page
