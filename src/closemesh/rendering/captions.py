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
_CAPITAL = 0.015  # Height of a capital letter as a fraction of the image's width: legible on a phone.
_INK, _PAPER = (40, 44, 48), (250, 250, 250)
_BAR = (244, 245, 246)


def text_size(width: int) -> float:
    """Height in pixels of a capital letter in an image of this width."""
    return max(9.0, _CAPITAL * width)


def draw_text(image: Image, text: str, position: tuple[float, float], capital: float) -> None:
    """Write dark text with a light edge into the image [H, W, 3], in place.

    position: left end of the base line, pixels. capital: height of a capital letter, pixels.
    """
    (width, height), below = _extent(text, capital)
    edge = max(2, round(capital / 7))
    left, top = round(position[0]) - edge, round(position[1]) - height - edge
    ink = np.zeros((height + below + 2 * edge, width + 2 * edge), np.uint8)
    cv2.putText(ink, text, (edge, height + edge), _FONT, capital / _FONT_HEIGHT, 255, _thickness(capital), cv2.LINE_AA)
    paper = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1)))
    x0, y0 = max(0, -left), max(0, -top)
    under = image[top + y0 : top + len(ink), left + x0 : left + ink.shape[1]]
    for mask, color in ((paper, _PAPER), (ink, _INK)):
        part = mask[y0 : y0 + len(under), x0 : x0 + under.shape[1], None] / 255
        under[:] = (part * np.array(color) + (1 - part) * under).round()


def _extent(text: str, capital: float) -> tuple[tuple[int, int], int]:
    """Width and height of a text in pixels, and how far it goes below its base line."""
    size, below = cv2.getTextSize(text, _FONT, capital / _FONT_HEIGHT, _thickness(capital))
    return (int(size[0]), int(size[1])), int(below) + 2


def _thickness(capital: float) -> int:
    return max(1, round(capital / 16))


def draw_caption(image: Image, left: str, right: str = "") -> None:
    """Write text into the lower corners of the image, in place."""
    capital = text_size(image.shape[1])
    baseline = image.shape[0] - 1.2 * capital
    draw_text(image, left, (1.2 * capital, baseline), capital)
    if right:
        (width, _), _ = _extent(right, capital)
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
        draw_text(sheet, panel.title, (x, y), 1.1 * capital)
        for row, line in enumerate(panel.lines, start=1):
            draw_text(sheet, line, (x, y + 1.75 * row * capital), 0.95 * capital)
    return sheet
