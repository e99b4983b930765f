"""Text in images: captions, legends, and images side by side with figures below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from closemesh.rendering.shading import Legend
from closemesh.video.video_files import Image

_FONT = cv2.FONT_HERSHEY_DUPLEX
_FONT_HEIGHT = 22  # Pixels of a capital letter at scale 1.
_CAPITAL = 0.016  # Height of a capital letter as a fraction of the image's width: legible on a phone.
_INK, _PAPER = (40, 44, 48), (250, 250, 250)
_BAR = (244, 245, 246)


def text_size(width: int) -> float:
    """Height in pixels of a capital letter in an image of this width."""
    return max(9.0, _CAPITAL * width)


def draw_text(image: Image, text: str, position: tuple[float, float], capital: float, bold: bool = False) -> int:
    """Write dark text with a light edge into the image, in place; returns its width in pixels.

    position: left end of the base line, pixels. capital: height of a capital letter, pixels.
    """
    scale, point = capital / _FONT_HEIGHT, (round(position[0]), round(position[1]))
    thickness = max(1, round(capital / (9 if bold else 14)))
    edge = thickness + 2 * max(1, round(capital / 9))
    cv2.putText(image, text, point, _FONT, scale, _PAPER, edge, cv2.LINE_AA)
    cv2.putText(image, text, point, _FONT, scale, _INK, thickness, cv2.LINE_AA)
    return cv2.getTextSize(text, _FONT, scale, thickness)[0][0]


def draw_caption(image: Image, left: str, right: str = "") -> None:
    """Write text into the lower corners of the image, in place."""
    capital = text_size(image.shape[1])
    baseline = image.shape[0] - 1.2 * capital
    draw_text(image, left, (1.2 * capital, baseline), capital)
    if right:
        width = cv2.getTextSize(right, _FONT, capital / _FONT_HEIGHT, max(1, round(capital / 14)))[0][0]
        draw_text(image, right, (image.shape[1] - 1.2 * capital - width, baseline), capital)


def draw_legend(image: Image, legend: Legend) -> None:
    """Draw the colors and their meaning into the upper left corner of the image, in place."""
    capital = text_size(image.shape[1])
    for row, (color, text) in enumerate(legend):
        left, top = 1.2 * capital, (1.2 + 1.9 * row) * capital
        corners = ((round(left), round(top)), (round(left + 1.4 * capital), round(top + 1.2 * capital)))
        cv2.rectangle(image, corners[0], corners[1], color, -1, cv2.LINE_AA)
        cv2.rectangle(image, corners[0], corners[1], _PAPER, max(1, round(capital / 10)), cv2.LINE_AA)
        draw_text(image, text, (left + 2 * capital, top + 1.1 * capital), capital)


@dataclass(frozen=True)
class Panel:
    """One image of a comparison, its title and the lines below it."""

    image: Image
    title: str
    lines: tuple[str, ...] = ()


def draw_panels(panels: Sequence[Panel], columns: int) -> Image:
    """The panels [H, W, 3] of one size in rows of `columns`, each with its title and lines in a bar below it."""
    height, width = panels[0].image.shape[:2]
    line_count = max(len(panel.lines) for panel in panels)
    capital = text_size(width * min(columns, 2))
    bar = round((2.9 + 1.75 * line_count) * capital)
    rows = -(-len(panels) // columns)
    sheet = np.full((rows * (height + bar), columns * width, 3), _BAR, np.uint8)
    for number, panel in enumerate(panels):
        top, left = number // columns * (height + bar), number % columns * width
        sheet[top : top + height, left : left + width] = panel.image
        x, y = left + capital, top + height + 2.0 * capital
        draw_text(sheet, panel.title, (x, y), 1.1 * capital, bold=True)
        for row, line in enumerate(panel.lines, start=1):
            draw_text(sheet, line, (x, y + 1.75 * row * capital), 0.95 * capital)
    return sheet
