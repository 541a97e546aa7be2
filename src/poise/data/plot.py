"""A scatter plot of generated points over real ones, drawn with Pillow alone."""

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from poise.data.density import Density
from poise.errors import DataError

__all__ = ["scatter"]

Color = tuple[int, int, int]

_REAL: Color = (66, 120, 190)
_GENERATED: Color = (232, 104, 10)
_INK: Color = (45, 48, 54)
_FAINT: Color = (110, 114, 122)
_LINE: Color = (236, 238, 241)
_FRAME: Color = (196, 200, 206)

_MARGIN = 0.08  # of the extent of the real data, on each side
_DENSEST = 0.85  # the strength of any number of dots on one spot, so that the density under them still shows
_DRAWN = 20_000  # points that stand for a density where its extent is looked for


def scatter(
    points: NDArray[np.floating], real: NDArray[np.floating] | Density | None, *, title: str, pixels: int = 640
) -> Image.Image:
    """Draw generated points over the density of the real ones.

    The real data sets the limits, or the generated points where there is none, and both axes have one scale. Generated
    points outside of the limits, or not finite, are counted in the legend.

    Args:
        points: the generated points, ``(n, 2)``, in the units of the data.
        real: the real points, ``(m, 2)``, or their density; None where they are not known.
        title: the line above the plot.
        pixels: width and height of the picture, at least 200.

    Returns:
        An RGB picture.

    Raises:
        DataError: when the points do not lie in a plane, there are no finite real points, or ``pixels`` is too small.
    """
    if pixels < 200:
        raise DataError(f"pixels is {pixels}; a plot needs at least 200")
    generated = _in_plane(points, "generated")
    legend: list[tuple[Color | None, str]] = [(_GENERATED, f"{len(points):,} generated")]
    if real is None:
        extent = generated[np.isfinite(generated).all(axis=1)]
        extent = extent if len(extent) else np.zeros((1, 2))
    elif isinstance(real, np.ndarray):
        extent = _in_plane(real, "real")
        extent = real = extent[np.isfinite(extent).all(axis=1)]
        if len(extent) == 0:
            raise DataError("there are no finite real points, so the plot has no limits")
        legend.append((_REAL, f"{len(real):,} real"))
    else:
        extent = _in_plane(real.sample(_DRAWN, np.random.default_rng(0)), "real")
        legend.append((_REAL, "real density"))
    unit = pixels / 640
    frame = _Frame.around(
        extent, left=round(58 * unit), top=round(74 * unit), right=round(620 * unit), bottom=round(598 * unit)
    )
    inside = frame.holds(generated)

    image = Image.new("RGB", (pixels, pixels), "white")
    draw = ImageDraw.Draw(image)
    _draw_grid(draw, frame)
    canvas = np.asarray(image, dtype=np.float64)
    area = canvas[frame.top : frame.bottom, frame.left : frame.right].copy()
    if real is not None:
        area = _blend(area, _shading(real, frame, unit), _REAL)
    area = _blend(area, _dots(frame.to_pixels(generated[inside]), area.shape[:2], unit), _GENERATED)
    image.paste(Image.fromarray(np.rint(area).astype(np.uint8)), (frame.left, frame.top))

    _draw_axes(draw, frame, unit)
    _draw_text(draw, title, frame, unit)
    if outside := len(points) - int(inside.sum()):
        legend.append((None, f"{outside:,} generated outside of the plot"))
    _draw_legend(draw, legend, frame, unit)
    return image


def nice_step(span: float, about: int = 6) -> float:
    """The step of 1, 2 or 5 times a power of ten that divides ``span`` into at most ``about`` parts."""
    rough = span / about
    power = 10.0 ** floor(log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def ticks(low: float, high: float, step: float) -> list[float]:
    """The multiples of ``step`` in [low, high]."""
    return [index * step for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Frame:
    """Where the plot lies in the picture, in pixels, and what part of the plane it shows; both axes have one scale."""

    left: int
    top: int
    right: int
    bottom: int
    center: tuple[float, float]
    units_per_pixel: float

    @classmethod
    def around(cls, points: NDArray[np.floating], *, left: int, top: int, right: int, bottom: int) -> "_Frame":
        low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
        span = (high - low) * (1 + 2 * _MARGIN)
        scale = float(max(span[0] / (right - left), span[1] / (bottom - top)))
        if scale == 0:  # all real points are one point
            scale = max(1.0, float(np.abs(low).max())) / (right - left)
        middle = (low + high) / 2
        return cls(left, top, right, bottom, (float(middle[0]), float(middle[1])), scale)

    def limits(self, axis: int) -> tuple[float, float]:
        half = self.units_per_pixel * ((self.right - self.left) if axis == 0 else (self.bottom - self.top)) / 2
        return self.center[axis] - half, self.center[axis] + half

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        (x0, x1), (y0, y1) = self.limits(0), self.limits(1)
        x, y = points[:, 0], points[:, 1]
        return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)  # false for NaN

    def to_pixels(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Positions relative to the top left corner of the plot, ``(n, 2)``, right and down."""
        origin = np.array([self.limits(0)[0], self.limits(1)[1]])
        offsets: NDArray[np.float64] = (points - origin) * [1, -1] / self.units_per_pixel
        return offsets

    def pixel_centers(self) -> NDArray[np.float64]:
        """The point of the plane that each pixel of the plot shows, ``(height * width, 2)``, row by row."""
        x = self.limits(0)[0] + (np.arange(self.right - self.left) + 0.5) * self.units_per_pixel
        y = self.limits(1)[1] - (np.arange(self.bottom - self.top) + 0.5) * self.units_per_pixel
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _in_plane(points: NDArray[np.floating], what: str) -> NDArray[np.float64]:
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"the {what} points have shape {points.shape}; a scatter plot needs (n, 2)")
    return np.asarray(points, dtype=np.float64)


def _shading(real: NDArray[np.floating] | Density, frame: _Frame, unit: float) -> NDArray[np.float64]:
    """How strongly each pixel shows the real density, in [0, 1], ``(height, width)``."""
    height, width = frame.bottom - frame.top, frame.right - frame.left
    if isinstance(real, np.ndarray):
        at = frame.to_pixels(real)
        counts, _, _ = np.histogram2d(at[:, 1], at[:, 0], bins=(height, width), range=((0, height), (0, width)))
        # As wide as twice the distance between neighbours where there are points: less shows noise, more hides shape.
        cell = 8
        occupied = len(np.unique(np.floor(at / cell), axis=0)) * cell**2
        blur = float(np.clip(2 * np.sqrt(occupied / len(real)), 1.6 * unit, 12 * unit))
        density = _smooth(counts, blur)
    else:
        density = _smooth(real.pdf(frame.pixel_centers()).reshape(height, width), 1.6 * unit)
    strength: NDArray[np.float64] = 0.75 * np.sqrt(density / max(density.max(), np.finfo(np.float64).tiny))
    return strength


def _smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Convolve with a Gaussian of this many pixels."""
    reach = ceil(4 * sigma)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    kernel /= kernel.sum()
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel, mode="same")
    return values


def _dots(at: NDArray[np.float64], shape: tuple[int, ...], unit: float) -> NDArray[np.float64]:
    """How strongly each pixel is covered by dots at these positions, in [0, 1], ``(height, width)``.

    Dots of opacity o that overlap cover 1 - (1 - o)^n, so the logarithms of what shines through are added up.
    """
    height, width = shape
    radius = 1.7 * unit
    opacity = float(np.clip(30 / np.sqrt(max(len(at), 1)), 0.15, 0.6))
    reach = ceil(radius + 0.5)
    through = np.zeros(height * width)
    corner = np.floor(at).astype(np.int64)
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            x, y = corner[:, 0] + across, corner[:, 1] + down
            distance = np.hypot(x + 0.5 - at[:, 0], y + 0.5 - at[:, 1])
            covered = opacity * np.clip(radius + 0.5 - distance, 0, 1)
            seen = (covered > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            through += np.bincount(
                y[seen] * width + x[seen], weights=np.log1p(-covered[seen]), minlength=height * width
            )
    return _DENSEST * (1 - np.exp(through.reshape(height, width)))


def _blend(area: NDArray[np.float64], strength: NDArray[np.float64], color: Color) -> NDArray[np.float64]:
    return area + strength[..., None] * (np.array(color) - area)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=max(8, size))


def _ticks(frame: _Frame, axis: int) -> list[tuple[float, str]]:
    """Each tick of an axis: its position in the picture, in pixels, and its label."""
    low, high = frame.limits(axis)
    step = nice_step(frame.units_per_pixel * (frame.right - frame.left))  # one step for both axes, as for their scale
    decimals = max(0, -floor(log10(step) + 1e-9))
    large = max(abs(low), abs(high)) >= 1e5 or decimals > 4
    labelled = []
    for value in ticks(low, high, step):
        offset = (value - low) / frame.units_per_pixel
        position = frame.left + offset if axis == 0 else frame.bottom - offset
        labelled.append((position, f"{value:g}" if large else f"{value + 0.0:.{decimals}f}"))
    return labelled


def _draw_grid(draw: ImageDraw.ImageDraw, frame: _Frame) -> None:
    for x, _ in _ticks(frame, 0):
        draw.line([(round(x), frame.top), (round(x), frame.bottom)], fill=_LINE)
    for y, _ in _ticks(frame, 1):
        draw.line([(frame.left, round(y)), (frame.right, round(y))], fill=_LINE)


def _draw_axes(draw: ImageDraw.ImageDraw, frame: _Frame, unit: float) -> None:
    draw.rectangle([(frame.left - 1, frame.top - 1), (frame.right, frame.bottom)], outline=_FRAME)
    font = _font(13 * unit)
    mark = round(4 * unit)
    for x, label in _ticks(frame, 0):
        draw.line([(round(x), frame.bottom), (round(x), frame.bottom + mark)], fill=_FRAME)
        draw.text((x, frame.bottom + 2 * mark), label, fill=_FAINT, font=font, anchor="mt")
    for y, label in _ticks(frame, 1):
        draw.line([(frame.left - mark, round(y)), (frame.left - 1, round(y))], fill=_FRAME)
        draw.text((frame.left - 2 * mark, y), label, fill=_FAINT, font=font, anchor="rm")


def _draw_text(draw: ImageDraw.ImageDraw, title: str, frame: _Frame, unit: float) -> None:
    font = _font(20 * unit)
    room = frame.right - frame.left
    if draw.textlength(title, font=font) > room:
        while title and draw.textlength(title + "...", font=font) > room:
            title = title[:-1]
        title += "..."
    draw.text((frame.left, 30 * unit), title, fill=_INK, font=font, anchor="ls")


def _draw_legend(
    draw: ImageDraw.ImageDraw, entries: list[tuple[Color | None, str]], frame: _Frame, unit: float
) -> None:
    font = _font(14 * unit)
    x, y, radius = float(frame.left), 52 * unit, 4.5 * unit
    for index, (color, text) in enumerate(entries):
        if index:
            draw.text((x, y), "·", fill=_FAINT, font=font, anchor="lm")
            x += 12 * unit
        if color is not None:
            draw.ellipse([(x, y - radius), (x + 2 * radius, y + radius)], fill=color)
            x += 2 * radius + 6 * unit
        draw.text((x, y), text, fill=_INK if color else _FAINT, font=font, anchor="lm")
        x += draw.textlength(text, font=font) + 8 * unit
