"""The HTML page of a report: text, tables and the contact strip as HTML, and the scripts and data that animate it.

The page loads nothing: scripts, styles, three.js and the video are inside it, and its content security policy forbids
everything else. All text of a clip is escaped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Any

import numpy as np

from closemesh.core.arrays import Floats
from closemesh.rendering.shading import person_color
from closemesh.report.payload import Json
from closemesh.report.records import ReportRecords
from closemesh.report.warnings import ReportWarning
from closemesh.structures import Contact, PairContacts

_MODULES = {
    "three": "three/three.module.min.js",
    "three/orbit-controls": "three/OrbitControls.js",
    **{f"report/{name}": f"{name}.js" for name in ("arrays", "charts", "playback", "scene", "page")},
}
"""Name that scripts import -> file below assets/."""

_STAGES = {
    "initial": ("Each person alone", "the first motion"),
    "refined": ("As pairs", "under the interaction prior"),
    "optimised": ("All together", "the result"),
}
_METRICS: tuple[tuple[str, str, str], ...] = (
    (
        "reprojection_median_percent_of_height",
        "Distance of the body from detected keypoints, median",
        "{:.2f} %",
    ),
    ("reprojection_p95_percent_of_height", "5 % of these distances are above", "{:.1f} %"),
    ("jitter_m_s3", "Jitter: how abruptly joints accelerate", "{:.0f} m/s³"),
    ("contacts", "Contacts between body parts", "{:.0f}"),
    ("closest_mm", "Smallest gap between two bodies", "{:.0f} mm"),
    ("frames_crossing_percent", "Frames in which bodies intersect", "{:.0f} %"),
    ("penetration_mean_mm", "Depth by which they intersect, mean of all frames", "{:.1f} mm"),
    ("penetration_max_mm", "The deepest of these", "{:.0f} mm"),
)
_PAPERS = (
    "B. Huang, C. Li, C. Xu, L. Pan, Y. Wang and G. H. Lee. Closely Interactive Human Reconstruction with Proxemics "
    "and Physics-Guided Adaption (CloseInt). CVPR 2024. arXiv:2404.11291",
    "B. Huang, C. Li, C. Xu, D. Lu, J. Chen, Y. Wang and G. H. Lee. Reconstructing Close Human Interaction with "
    "Appearance and Proxemics Reasoning (CloseApp). CVPR 2025. arXiv:2507.02565",
    "C. Xu, B. Huang, C. Zhang, Z. Feng and Y. Wang. Adapting Human Mesh Recovery with Vision-Language Feedback. 2025. "
    "arXiv:2502.03836",
)
_LONG_CONTACTS = 8
"""Rows of the contact strip that are shown at first."""
_PLOT_ABOVE, _PLOT_BELOW = 56, 32  # Pixels above and below the base line of the plot.


def report_page(records: ReportRecords, payload: Json, warnings: Sequence[ReportWarning], video: bytes) -> bytes:
    """The page in UTF-8. video: an MP4 of the frames."""
    clip, scene = records.clip, records.scene
    parts = {
        "title": escape(clip.path.name),
        "summary": _summary(records),
        "people": "".join(_person_chip(person) for person in range(records.motion.num_people)),
        "last_frame": str(len(clip) - 1),
        "single": "single" if len(clip) == 1 else "",
        "warnings": _warnings(warnings),
        "contacts": "".join(_pair(pair, clip.times) for pair in records.contacts) or _NO_CONTACTS,
        "truth": _TRUTH if payload["truth"] else "",
        "quality": _quality(scene.get("quality") or {}),
        "evidence": _heat_map_controls(payload),
        "settings": _table(("option", "value"), _flat(scene.get("config") or {})),
        "weights": _weights(scene.get("weight_files") or ()),
        "notes": _list(map(str, scene.get("notes") or ())),
        "papers": _list(_PAPERS),
        "version": escape(str(scene.get("closemesh", ""))),
        **_contents(payload, video),
    }
    return Template(_asset("report.html")).substitute(parts).encode("utf-8", errors="replace")


def _contents(payload: Json, video: bytes) -> dict[str, str]:
    """Styles, scripts and data of the page."""
    scripts = {name: _data_url("text/javascript", _asset(file)) for name, file in _MODULES.items()}
    return {
        "styles": _asset("report.css"),
        "importmap": _json({"imports": scripts}),
        "payload": _json(payload),
        "video": base64.b64encode(video).decode(),
    }


def _asset(name: str) -> str:
    return (files("closemesh.report") / "assets" / name).read_text(encoding="utf-8")


def _data_url(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _json(values: Any) -> str:
    """JSON that cannot end the script element in which it stands."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c")


def _summary(records: ReportRecords) -> str:
    clip, people = records.clip, records.motion.num_people
    who = "one person" if people == 1 else f"{people} people"
    if len(clip) == 1:
        return f"One image, {who}"
    seconds = clip.times[-1] - clip.times[0]
    return f"{seconds:.1f} s of video, {len(clip)} frames, {who}"


def _person_chip(person: int) -> str:
    red, green, blue = person_color(person)
    return f'<li><span class="chip" style="background: rgb({red} {green} {blue})"></span>Person {person}</li>'


def _warnings(warnings: Sequence[ReportWarning]) -> str:
    if not warnings:
        return "<p>Nothing measured gives reason for doubt.</p>"
    return f'<ul class="warnings">{"".join(f"<li>{_warning(one)}</li>" for one in warnings)}</ul>'


def _warning(warning: ReportWarning) -> str:
    """The sentence; a button leads to its first frame: the frames that the sentence begins with, or else at its end."""
    if not warning.spans:
        return escape(warning.text)
    frames, colon, rest = warning.text.partition(":")
    if not frames.startswith(("Frame", "In all")):
        frames, rest = f"Frame {warning.spans[0][0]}", ""
    button = f'<button type="button" class="jump" data-frame="{warning.spans[0][0]}">{escape(frames)}</button>'
    return f"{button}{colon}{escape(rest)}" if rest else f"{escape(warning.text)} {button}"


_NO_CONTACTS = "<p>No two people come close to each other.</p>"
_TRUTH = '<section id="truth"><h2>Error of each frame</h2><div id="truth-plot"></div></section>'


def _pair(pair: PairContacts, times: Floats) -> str:
    """The contact strip of one pair: their distance over time, and a row for each pair of touching parts."""
    a, b = pair.person_a, pair.person_b
    rows = _contact_rows(pair.contacts)
    button = ""
    if len(rows) > _LONG_CONTACTS:
        button = f'<button type="button" class="more">Show all {len(rows)} pairs of body parts</button>'
    listed = "".join(
        _contact_row(parts, contacts, times, hidden=index >= _LONG_CONTACTS)
        for index, (parts, contacts) in enumerate(rows)
    )
    contacts = f'<ul class="contacts">{listed}</ul>{button}' if rows else "<p>They come close, but do not touch.</p>"
    return (
        f'<section class="pair" aria-label="Persons {a} and {b}"><h3>Persons {a} and {b}</h3>'
        f"<p>{_pair_in_words(pair, times)}</p>{_distance_plot(pair, times)}{contacts}</section>"
    )


def _pair_in_words(pair: PairContacts, times: Floats) -> str:
    distance, depth = pair.distance[np.isfinite(pair.distance)], pair.depth[np.isfinite(pair.depth)]
    if not distance.size:
        return "They are never in the scene together."
    if not pair.contacts:
        return f"The smallest gap between them is {1000 * distance.min():.0f} mm."
    start, end = min(one.start for one in pair.contacts), max(one.end for one in pair.contacts)
    deep = f" The bodies intersect by up to {1000 * depth.max():.0f} mm." if depth.max() > 0 else ""
    when = f" from {times[start]:.1f} s to {times[end]:.1f} s" if len(times) > 1 else ""
    return f"They touch{when}.{deep}"


def _contact_rows(contacts: Iterable[Contact]) -> list[tuple[tuple[str, str], list[Contact]]]:
    """The contacts of each pair of parts, the longest first."""

    def parts(contact: Contact) -> tuple[str, str]:
        return contact.part_a, contact.part_b

    rows = [(name, list(found)) for name, found in groupby(sorted(contacts, key=parts), parts)]
    return sorted(rows, key=lambda row: -sum(one.end - one.start + 1 for one in row[1]))


def _contact_row(parts: tuple[str, str], contacts: Sequence[Contact], times: Floats, hidden: bool) -> str:
    a, b = (part.replace("_", " ") for part in parts)
    deepest, nearest = max(one.max_depth for one in contacts), min(one.min_distance for one in contacts)
    value = f"{1000 * deepest:.0f} mm deep" if deepest > 0 else f"{1000 * nearest:.0f} mm apart"
    bars = "".join(_contact_bar(a, b, one, times) for one in contacts)
    colors = [f"rgb({' '.join(map(str, person_color(one)))})" for one in (contacts[0].person_a, contacts[0].person_b)]
    return (
        f"<li{' hidden' if hidden else ''}>"
        f'<span class="parts"><span class="chip" style="background: {colors[0]}"></span>{escape(a)} '
        f'<span class="chip" style="background: {colors[1]}"></span>{escape(b)}</span>'
        f'<span class="track">{bars}</span><span class="value">{value}</span></li>'
    )


def _contact_bar(a: str, b: str, contact: Contact, times: Floats) -> str:
    count = len(times)
    left, width = 100 * contact.start / count, 100 * (contact.end - contact.start + 1) / count
    when = f", {times[contact.start]:.2f} to {times[contact.end]:.2f} seconds" if count > 1 else ""
    depth = f"{1000 * contact.max_depth:.0f} mm deep" if contact.max_depth > 0 else "touching"
    label = escape(f"{a} of person {contact.person_a} on {b} of person {contact.person_b}{when}, {depth}")
    return (
        f'<button type="button" class="bar" style="left: {left:.3f}%; width: {width:.3f}%" title="{label}" '
        f'aria-label="Show {label}" data-frame="{contact.start}" data-end="{contact.end}"></button>'
    )


def _distance_plot(pair: PairContacts, times: Floats) -> str:
    """The gap above the base line and the depth of intersection below it over the frames, each to its own scale."""
    gap, depth = np.nan_to_num(pair.distance), np.nan_to_num(pair.depth)
    most_gap, most_depth = (
        max(0.05, np.ceil(20 * values.max(initial=0)) / 20) for values in (gap, depth)
    )  # 5 cm steps.
    above, below = _PLOT_ABOVE * gap / most_gap, _PLOT_BELOW * depth / most_depth
    paths = (
        f'<path class="gap" d="{_area(_PLOT_ABOVE - above)}"/><path class="depth" d="{_area(_PLOT_ABOVE + below)}"/>'
        f'<path class="base" d="M0 {_PLOT_ABOVE}H{len(gap)}"/>'
    )
    ends = f"<span>{times[0]:.1f} s</span><span>{times[-1]:.1f} s</span>" if len(times) > 1 else ""
    box = f"0 0 {len(gap)} {_PLOT_ABOVE + _PLOT_BELOW}"
    return (
        '<div class="plot"><span class="parts">Gap above the line, depth of intersection below</span>'
        f'<span class="track"><svg viewBox="{box}" preserveAspectRatio="none" aria-hidden="true">{paths}</svg>'
        f'<span class="ends" aria-hidden="true">{ends}</span></span>'
        f'<span class="value">gap to {100 * most_gap:.0f} cm<br>depth to {100 * most_depth:.0f} cm</span></div>'
    )


def _area(heights: Floats) -> str:
    """Outline of steps between the base line and one height [T] for each frame."""
    steps = "".join(f"V{height:.1f}h1" for height in heights)
    return f"M0 {_PLOT_ABOVE}{steps}V{_PLOT_ABOVE}Z"


def _quality(quality: Mapping[str, Mapping[str, float | None]]) -> str:
    shown = [name for name in quality if name in _STAGES]
    heads = "".join(
        f'<th scope="col">{_STAGES[name][0]}<small>{_STAGES[name][1]}, <code>{name}</code></small></th>'
        for name in shown
    )
    rows = "".join(
        f'<tr><th scope="row">{text}</th>{"".join(_cell(quality[name].get(key), form) for name in shown)}</tr>'
        for key, text, form in _METRICS
        if any(quality[name].get(key) is not None for name in shown)
    )
    return f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: float | None, form: str) -> str:
    return f"<td>{'not known' if value is None else form.format(value)}</td>"


def _heat_map_controls(payload: Json) -> str:
    """The choice of the quantity, and the place of one heat map for each person."""
    options = [("evidence", "What the image shows, in cm")]
    if payload["rotations"]:
        options.append(("rotations", "Rotation of the joint, in degrees"))
    choices = "".join(f'<option value="{name}">{text}</option>' for name, text in options)
    maps = "".join(f'<div class="heat-map" data-person="{person}"></div>' for person in range(len(payload["people"])))
    return f'<label>Standard deviation: <select id="quantity">{choices}</select></label>{maps}'


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _weights(weight_files: Iterable[Mapping[str, Any]]) -> str:
    rows = ((str(one["name"]), str(one["licence"]), str(one["sha256"])) for one in weight_files)
    return _table(("file", "license", "SHA-256"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _list(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"
