"""Polygons on two canvases at once: the picture, and whose pixels they are.

Coordinates of a scene: x to the right and y *down*, in image heights. A brush has a frame of its
own: x to the right and y *up* from the middle of the thing's base, in heights of the thing.
Both canvases are drawn larger than asked for; the picture is averaged down and the segments are
picked, which gives smooth edges to one and exact values to the other.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Point = tuple[float, float]
OVERSAMPLING = 2


class Canvas:
    """A picture and its segment numbers, both in the making.

    Args:
        size: (height, width) of the finished picture, pixels.
        window: part of the scene that fills the picture: left, top and height, in image heights.
    """

    def __init__(
        self, size: tuple[int, int], *, window: tuple[float, float, float] = (0.0, 0.0, 1.0)
    ) -> None:
        self.size = size
        self.left, self.top, height = window
        self.scale = OVERSAMPLING * size[0] / height
        shape_wh = (OVERSAMPLING * size[1], OVERSAMPLING * size[0])
        self.rgb = Image.new("RGB", shape_wh)
        self.ids = Image.new("L", shape_wh)
        self.draw_rgb = ImageDraw.Draw(self.rgb)
        self.draw_ids = ImageDraw.Draw(self.ids)

    @property
    def side_px(self) -> int:
        """The longer side of the canvas, oversampled."""
        return max(self.rgb.size)

    def to_px(self, x: float, y: float) -> Point:
        """From the scene to the canvas."""
        return (x - self.left) * self.scale, (y - self.top) * self.scale

    def fill(self, surface: NDArray[np.uint8], outline: Sequence[Point], number: int) -> None:
        """Cover a region with a surface [side, side, 3], outline in scene coordinates."""
        mask = Image.new("L", self.rgb.size)
        ImageDraw.Draw(mask).polygon([self.to_px(*point) for point in outline], fill=255)
        width, height = self.rgb.size
        self.rgb.paste(Image.fromarray(surface[:height, :width]), (0, 0), mask)
        self.ids.paste(number, (0, 0, width, height), mask)

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The picture [H, W, 3] and its segment numbers [H, W]."""
        first = OVERSAMPLING // 2
        ids = np.asarray(self.ids)[first::OVERSAMPLING, first::OVERSAMPLING]
        return np.asarray(self.rgb.reduce(OVERSAMPLING)), np.ascontiguousarray(ids)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one thing looks, beside its shape."""

    color: Rgb
    pattern: str = "plain"
    variant: float = 0.5
    """0..1; drives what differs between two of a kind."""


@dataclass(kw_only=True)
class Brush:
    """Draws one thing in its own frame."""

    canvas: Canvas
    number: int
    x: float
    """Middle of the base, in the scene."""
    y: float
    height: float
    look: Look
    is_mirrored: bool = False
    tilt: float = 0.0
    """Radians, clockwise."""
    _box: list[float] = field(default_factory=lambda: [1e9, 1e9, -1e9, -1e9])

    def polygon(self, points: Sequence[Point], color: Rgb, *, is_body: bool = False) -> None:
        """A filled polygon; a body carries the thing's pattern."""
        flat = [coordinate for point in points for coordinate in self._to_px(*point)]
        xs, ys = flat[::2], flat[1::2]
        box = self._box
        box[:] = [min(box[0], *xs), min(box[1], *ys), max(box[2], *xs), max(box[3], *ys)]
        self.canvas.draw_rgb.polygon(flat, fill=color)
        self.canvas.draw_ids.polygon(flat, fill=self.number)
        if is_body and self.look.pattern != "plain":
            self._decorate(xs, ys, color)

    def box(
        self,
        left: float,
        bottom: float,
        right: float,
        top: float,
        color: Rgb,
        *,
        is_body: bool = False,
    ) -> None:
        """An upright rectangle."""
        points = [(left, bottom), (right, bottom), (right, top), (left, top)]
        self.polygon(points, color, is_body=is_body)

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float,
        color: Rgb,
        *,
        arc: tuple[float, float] = (0.0, 360.0),
        is_body: bool = False,
    ) -> None:
        """An ellipse, or the part of it between two angles (degrees, from the right, upwards)."""
        angles = np.radians(np.linspace(arc[0], arc[1], 28))
        points = list(
            zip(x + radius_x * np.cos(angles), y + radius_y * np.sin(angles), strict=True)
        )
        self.polygon(points, color, is_body=is_body)

    def line(self, points: Sequence[Point], width: float, color: Rgb) -> None:
        """A line of a width, straight from point to point."""
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            length = math.hypot(x2 - x1, y2 - y1) or 1.0
            dx, dy = (y1 - y2) / length * width / 2, (x2 - x1) / length * width / 2
            corners = [
                (x1 + dx, y1 + dy),
                (x2 + dx, y2 + dy),
                (x2 - dx, y2 - dy),
                (x1 - dx, y1 - dy),
            ]
            self.polygon(corners, color)

    def shade(self, light: float) -> None:
        """Round the thing: lighter towards the light, darker away from it and at the base.

        Args:
            light: −1 is light from the left, 1 from the right.
        """
        width, height = self.canvas.rgb.size
        left, top = max(0, int(self._box[0])), max(0, int(self._box[1]))
        right, bottom = min(width, int(self._box[2]) + 1), min(height, int(self._box[3]) + 1)
        if right <= left or bottom <= top:
            return
        part = self.canvas.rgb.crop((left, top, right, bottom))
        mine = np.asarray(self.canvas.ids.crop((left, top, right, bottom))) == self.number
        across = np.linspace(-1, 1, right - left, dtype=np.float32)[None, :, None]
        down = np.linspace(-1, 1, bottom - top, dtype=np.float32)[:, None, None]
        shaded = np.asarray(part) * (1.0 + 0.16 * light * across - 0.09 * down)
        lit = Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))
        self.canvas.rgb.paste(lit, (left, top), Image.fromarray(mine))

    def shadow(self, width: float) -> None:
        """A dark ellipse on the ground under the thing; belongs to the ground.

        Args:
            width: of the thing, in its heights.
        """
        scale = self.canvas.scale
        x, y = self.canvas.to_px(self.x, self.y)
        radius_x = 0.55 * width * self.height * scale
        radius_y = 0.16 * radius_x + 0.012 * scale * self.height
        box = [int(x - radius_x), int(y - radius_y), int(x + radius_x) + 1, int(y + radius_y) + 1]
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=90)
        self.canvas.rgb.paste((24, 26, 34), (box[0], box[1]), mask)

    def _to_px(self, x: float, y: float) -> Point:
        x = -x if self.is_mirrored else x
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return self.canvas.to_px(
            self.x + self.height * (cos * x + sin * y), self.y - self.height * (cos * y - sin * x)
        )

    def _decorate(self, xs: list[float], ys: list[float], color: Rgb) -> None:
        """Draw the pattern over a polygon that has just been drawn."""
        left, top = math.floor(min(xs)), math.floor(min(ys))
        width, height = math.ceil(max(xs)) - left + 1, math.ceil(max(ys)) - top + 1
        # In a picture taken from near, a polygon may be a hundred times as large as the canvas.
        first_x, last_x = max(0, -left), min(width, self.canvas.rgb.width - left)
        first_y, last_y = max(0, -top), min(height, self.canvas.rgb.height - top)
        if last_x <= first_x or last_y <= first_y:
            return
        mask = Image.new("L", (width, height))
        outline = [c for px, py in zip(xs, ys, strict=True) for c in (px - left, py - top)]
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        visible = np.asarray(mask.crop((first_x, first_y, last_x, last_y)))
        period = max(4.0, 0.2 * self.height * self.canvas.scale)
        y, x = np.ogrid[first_y:last_y, first_x:last_x]
        if self.look.pattern == "striped":
            marks = np.broadcast_to(x % period < period / 2, visible.shape)
        elif self.look.pattern == "dotted":
            shift = period / 2 * (y // (period / 2) % 2)
            dx, dy = (x + shift) % period - period / 2, y % (period / 2) - period / 4
            marks = dx**2 + dy**2 < (0.19 * period) ** 2
        else:
            marks = (x // (period / 2) + y // (period / 2)) % 2 == 0
        place = (left + first_x, top + first_y)
        self.canvas.rgb.paste(contrasting(color), place, Image.fromarray(visible * marks))


def toned(color: Rgb, factor: float) -> Rgb:
    """A colour made darker (below 1) or lighter (above 1)."""
    red, green, blue = (min(255, int(value * factor)) for value in color)
    return red, green, blue


def contrasting(color: Rgb) -> Rgb:
    """The colour of the marks on a decorated surface."""
    is_light = 0.3 * color[0] + 0.6 * color[1] + 0.1 * color[2] > 170
    return toned(color, 0.55) if is_light else (244, 240, 228)
