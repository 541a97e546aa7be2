"""Grids, scatter plots and PNG files, by their pixels."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from poise.data import Mixture, grid, load, save_png, scatter
from poise.data.plot import nice_step, ticks
from poise.errors import DataError


def colored(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_tiles_lie_where_they_belong(channels: int, mode: str) -> None:
    images = colored((5, 40, 50, channels))
    sheet = grid(images, min_tile=40)
    assert sheet.mode == mode
    assert sheet.size == (3 * 52 - 2, 2 * 42 - 2)
    pixels = np.asarray(sheet).reshape(82, 154, channels)
    for index, image in enumerate(images):
        down, across = divmod(index, 3)
        np.testing.assert_array_equal(pixels[down * 42 :, across * 52 :][:40, :50], image)
    assert pixels[40:42].min() == 255
    assert pixels[42:, 104:].min() == 255  # the place of the sixth


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    images = colored((1, 12, 12, 3))
    sheet = np.asarray(grid(images))
    assert sheet.shape == (72, 72, 3)
    np.testing.assert_array_equal(sheet, np.kron(images[0], np.ones((6, 6, 1), np.uint8)))
    assert grid(images, min_tile=12).size == (12, 12)
    assert grid(colored((2, 8, 8, 1)), columns=1, min_tile=8).size == (8, 18)


def test_transparency_shows_a_checker_board() -> None:
    images = np.zeros((1, 32, 32, 4), np.uint8)
    images[0, :, 16:] = [10, 20, 30, 255]
    sheet = np.asarray(grid(images, min_tile=32))
    assert sheet.shape == (32, 32, 3)
    assert set(sheet[:, :16].reshape(-1).tolist()) == {255, 204}
    assert (sheet[:, 16:] == [10, 20, 30]).all()


@pytest.mark.parametrize(
    "images", [np.zeros((0, 8, 8, 1), np.uint8), np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3))]
)
def test_what_is_no_grid_is_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(DataError, match=r"it needs uint8 \(n, h, w, c\)"):
        grid(images)


def test_columns_must_be_positive() -> None:
    with pytest.raises(DataError, match="columns is 0"):
        grid(colored((2, 8, 8, 1)), columns=0)


def test_png_files_say_how_they_were_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "grid.png"
    text = {"poise": "step 100, seed 3", "note": "größer than Latin-1: ζ"}
    save_png(Image.new("L", (4, 4), 7), path, text)
    save_png(Image.new("L", (4, 4), 8), path, text)
    with Image.open(path) as image:
        assert image.text == text
        assert image.getpixel((0, 0)) == 8
    save_png(Image.new("L", (4, 4), 8), tmp_path / "b.png", {"run": "no text: \udcff"})
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"run": "no text: ?"}
    assert b"tEXtpoise\0step 100, seed 3" in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.png"
    save_png(Image.new("L", (4, 4), 7), path, {})

    def full(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        save_png(Image.new("L", (4, 4), 8), path, {})
    monkeypatch.undo()
    with Image.open(path) as image:
        assert image.getpixel((0, 0)) == 7
    assert [file.name for file in tmp_path.iterdir()] == ["grid.png"]


def orange(image: Image.Image) -> NDArray[np.bool_]:
    red, green, blue = np.asarray(image).astype(int).transpose(2, 0, 1)
    plot = np.zeros(red.shape, bool)
    plot[80:590, 62:616] = True
    return plot & (red - blue > 60) & (red > green)


def blue(image: Image.Image) -> NDArray[np.bool_]:
    red, _, blue = np.asarray(image).astype(int).transpose(2, 0, 1)
    plot = np.zeros(red.shape, bool)
    plot[80:590, 62:616] = True
    return plot & (blue - red > 40)


def clusters(mask: NDArray[np.bool_]) -> int:
    from scipy.ndimage import label

    return int(label(mask)[1])


NONE = np.zeros((0, 2))


@pytest.mark.parametrize("name", ["ring8", "grid25"])
@pytest.mark.parametrize("known", [True, False])
def test_every_mode_is_visible(name: str, known: bool) -> None:
    """Also those of ring8, whose sigma is a 130th part of what is shown: real ones blue, generated ones orange."""
    data = load(name)
    assert data.density is not None
    real = data.density if known else data.array[:10_000]
    modes = len(data.density.means)
    empty = scatter(NONE, real, title=name)
    assert (empty.mode, empty.size) == ("RGB", (640, 640))
    assert clusters(blue(empty)) == modes
    assert clusters(orange(empty)) == 0
    assert clusters(orange(scatter(data.density.means, real, title=name))) == modes


def test_points_lie_where_they_belong() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    mask = orange(scatter(np.array([[0.9, 0.9]]), corners, title="a"))
    rows, columns = np.nonzero(mask)
    assert rows.mean() < 200  # up
    assert columns.mean() > 400  # right
    middle = np.argwhere(orange(scatter(np.array([[0.0, 0.0]]), corners, title="a"))).mean(axis=0)
    np.testing.assert_allclose(middle, [336, 339], atol=1.5)


def test_both_axes_have_one_scale() -> None:
    corners = np.array([[-10.0, -1.0], [10.0, 1.0]])
    rows, columns = np.nonzero(orange(scatter(np.array([[0, -1], [0, 1], [-1, 0], [1, 0.0]]), corners, title="a")))
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1.5)


@pytest.fixture
def legend(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn."""
    from PIL import ImageDraw

    texts: list[str] = []
    real = ImageDraw.ImageDraw.text

    def noted(self, xy, text, *rest, **named):
        texts.append(text)
        return real(self, xy, text, *rest, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return texts


def test_the_legend_counts_what_lies_outside(legend: list[str]) -> None:
    points = np.concatenate([np.zeros((2500, 2)), [[9.0, 0.0], [0.0, -9.0], [np.nan, 0.0]]])
    real_points = np.random.default_rng(0).uniform(-1, 1, (1234, 2))
    scatter(points, real_points, title="step 5")
    assert {"step 5", "2,503 generated", "1,234 real", "3 generated outside of the plot", "-0.5", "1.0"} <= set(legend)
    legend.clear()
    scatter(points[:10], Mixture(np.zeros((1, 2)), 1.0), title="a title that is long " * 9)
    assert "real density" in legend
    assert not any("outside" in text for text in legend)
    assert any(text.endswith("...") for text in legend)


def test_without_real_points_the_generated_ones_set_the_limits(legend: list[str]) -> None:
    picture = scatter(np.array([[70.0, 70.0], [71.0, 71.0], [np.inf, 0.0]]), None, title="a")
    assert orange(picture).sum() > 10
    assert {"3 generated", "1 generated outside of the plot", "70.0", "71.0"} <= set(legend)
    assert not any("real" in text for text in legend)
    scatter(np.full((2, 2), np.nan), None, title="a")
    assert "2 generated outside of the plot" in legend


@pytest.mark.parametrize("real", [np.ones((3, 2)), np.zeros((1, 2)), np.array([[1e6, 1e6], [1e6 + 1, 1e6]])])
def test_degenerate_data_is_drawn(real: NDArray[np.float64]) -> None:
    assert orange(scatter(real, real, title="a")).any()


def test_other_resolutions() -> None:
    assert scatter(NONE, np.eye(2), title="a", pixels=320).size == (320, 320)


@pytest.mark.parametrize(
    ("points", "real", "words"),
    [
        (np.zeros((3, 3)), np.zeros((3, 2)), r"generated points have shape \(3, 3\)"),
        (NONE, np.zeros(3), r"real points have shape \(3,\)"),
        (NONE, np.full((3, 2), np.nan), "no finite real points"),
    ],
)
def test_what_cannot_be_plotted_is_named(points: NDArray[np.float64], real: NDArray[np.float64], words: str) -> None:
    with pytest.raises(DataError, match=words):
        scatter(points, real, title="a")


def test_a_plot_needs_some_pixels() -> None:
    with pytest.raises(DataError, match="at least 200"):
        scatter(NONE, np.eye(2), title="a", pixels=50)


@pytest.mark.parametrize(("span", "step"), [(1.0, 0.2), (2.6, 0.5), (9.0, 2.0), (6000.0, 1000.0), (6e-9, 1e-9)])
def test_steps_between_ticks_are_round(span: float, step: float) -> None:
    assert nice_step(span) == pytest.approx(step)


def test_ticks_are_inside() -> None:
    np.testing.assert_allclose(ticks(-1.2, 1.0, 0.5), [-1, -0.5, 0, 0.5, 1])
