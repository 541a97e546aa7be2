"""One picture: every mode a file can have, sizes, orientation, and what makes a file unreadable."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from poise.data.picture import Look, UnreadableError, channels, check_size, decode, default_size, fit, look, quiet
from poise.errors import DataError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def ramp(mode: str = "L", side: int = 16) -> Image.Image:
    levels = np.tile(np.linspace(0, 255, side).round().astype(np.uint8), (side, 1))
    return Image.fromarray(levels).convert(mode)


def palette(colors: list[tuple[int, int, int]], **info: object) -> Image.Image:
    indexed = Image.frombytes("P", (8, 8), bytes(index % len(colors) for index in range(64)))
    indexed.putpalette([level for color in colors for level in color])
    indexed.info.update(info)
    return indexed


def half_transparent(mode: str) -> Image.Image:
    image = ramp("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.repeat(np.uint8([0, 255]), 8), (16, 1))))
    return image.convert(mode)


GRAY, COLOR, CLEAR = Look(16, True, False), Look(16, False, False), Look(16, False, True)

MODES: dict[str, tuple[Callable[[], bytes], Look]] = {
    "gray": (lambda: encoded(ramp()), GRAY),
    "1-bit": (lambda: encoded(ramp("1")), GRAY),
    "16-bit gray png": (lambda: encoded(Image.fromarray(np.full((16, 16), 40_000, np.uint16))), GRAY),
    "16-bit gray tiff": (lambda: encoded(Image.fromarray(np.full((16, 16), 40_000, np.uint16)), "TIFF"), GRAY),
    "16-bit pgm": (lambda: b"P5 16 16 65535\n" + np.full((16, 16), 40_000, ">u2").tobytes(), GRAY),
    "opaque gray and alpha": (lambda: encoded(ramp("LA")), GRAY),
    "gray and alpha": (lambda: encoded(half_transparent("LA")), CLEAR._replace(gray=True)),
    "rgb": (lambda: encoded(ramp("RGB")), COLOR),
    "jpeg": (lambda: encoded(ramp("RGB"), "JPEG"), COLOR),
    "gray jpeg": (lambda: encoded(ramp(), "JPEG"), GRAY),
    "cmyk": (lambda: encoded(ramp("CMYK"), "JPEG"), COLOR),
    "bmp": (lambda: encoded(ramp("RGB"), "BMP"), COLOR),
    "webp": (lambda: encoded(ramp("RGB"), "WEBP"), COLOR),
    "avif": (lambda: encoded(ramp("RGB"), "AVIF"), COLOR),
    "ppm": (lambda: encoded(ramp("RGB"), "PPM"), COLOR),
    "opaque rgba": (lambda: encoded(ramp("RGBA")), COLOR),
    "rgba": (lambda: encoded(half_transparent("RGBA")), CLEAR),
    "rgb with a transparent colour": (lambda: encoded(ramp("RGB"), transparency=(0, 0, 0)), CLEAR),
    "palette": (lambda: encoded(palette([RED, GREEN, BLUE])), COLOR._replace(short_side=8)),
    "gray palette": (lambda: encoded(palette([(9, 9, 9), (200, 200, 200)])), GRAY._replace(short_side=8)),
    "transparent palette": (
        lambda: encoded(palette([RED, GREEN]), transparency=bytes([0, 255])),
        CLEAR._replace(short_side=8),
    ),
    "gif": (lambda: encoded(palette([RED, GREEN]), "GIF"), COLOR._replace(short_side=8)),
}


@pytest.mark.parametrize("name", MODES)
def test_the_content_of_every_mode_is_told(name: str) -> None:
    make, expected = MODES[name]
    assert look(make()) == expected


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("name", MODES)
def test_every_mode_is_converted_to_every_number_of_channels(name: str, count: int) -> None:
    pixels = decode(MODES[name][0](), 8, count)
    assert pixels.shape == (8, 8, count)
    assert pixels.dtype == np.uint8


def test_colors_survive() -> None:
    pixels = decode(encoded(palette([RED, GREEN])), 8, 3)
    assert {tuple(color) for color in pixels.reshape(-1, 3).tolist()} == {RED, GREEN}
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(decode(encoded(cmyk, "TIFF"), 8, 3)[0, 0], RED, atol=2)


def test_a_transparent_palette_becomes_alpha() -> None:
    pixels = decode(encoded(palette([RED, GREEN]), transparency=bytes([0, 255])), 8, 4)
    assert {tuple(color) for color in pixels.reshape(-1, 4).tolist()} == {(*RED, 0), (*GREEN, 255)}


def test_hidden_colors_do_not_bleed_into_edges() -> None:
    """White under full transparency, black where opaque: no resized pixel may show any white."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :15, :3] = 255
    pixels[:, 15:, 3] = 255
    small = decode(encoded(Image.fromarray(pixels)), 8, 4)
    assert small[..., :3][small[..., 3] > 0].max() == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "pgm"])
def test_16_bits_are_scaled_not_clipped(kind: str) -> None:
    levels = (np.arange(64, dtype=np.uint16) * 1040).reshape(8, 8)
    levels[7, 7] = 65535
    if kind == "pgm":
        data = b"P5 8 8 65535\n" + levels.astype(">u2").tobytes()
    else:
        data = encoded(Image.fromarray(levels), kind)
    np.testing.assert_array_equal(decode(data, 8, 1)[..., 0], np.rint(levels / 257))


def test_exif_orientation_is_applied() -> None:
    """Orientation 6: what is stored at the left belongs to the top."""
    stored = np.zeros((16, 16, 3), np.uint8)
    stored[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode(encoded(Image.fromarray(stored), "JPEG", exif=exif, quality=95), 16, 3)
    assert upright[:6].min() > 240
    assert upright[10:].max() < 15


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decode(data, 8, 3)[4, 4]) == RED


@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_the_middle_is_kept(shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[shape[0] // 2 - 4 : shape[0] // 2 + 4, shape[1] // 2 - 4 : shape[1] // 2 + 4] = 200
    assert decode(encoded(Image.fromarray(pixels)), 8, 1).min() == 200


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    assert fit(image, 32) is image
    np.testing.assert_array_equal(decode(encoded(image), 32, 3), np.asarray(image))


def test_a_jpeg_decoded_at_a_fraction_is_close_to_one_decoded_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((600, 600), Image.Resampling.BICUBIC)
    data = encoded(large, "JPEG", quality=95)
    whole = np.asarray(fit(Image.open(BytesIO(data)), 16)).astype(int)
    assert np.abs(decode(data, 16, 3) - whole).mean() < 1.5


@pytest.mark.parametrize(
    ("sides", "size"),
    [([28], 16), ([32], 32), ([31, 33], 32), ([5], 8), ([1], 8), ([500], 64), ([8, 8, 1000], 8), ([63], 32)],
)
def test_the_default_size(sides: list[int], size: int) -> None:
    assert default_size(sides) == size


@pytest.mark.parametrize(("size", "nearest"), [(100, 128), (33, 32), (7, 8), (0, 8), (4000, 1024), (True, 8)])
def test_a_wrong_size_names_the_nearest(size: int, nearest: int) -> None:
    with pytest.raises(DataError, match=rf"size is {size}; .* from 8 to 1024: the nearest is {nearest}"):
        check_size(size)


@pytest.mark.parametrize("size", [None, 8, 64, 1024])
def test_allowed_sizes(size: int | None) -> None:
    check_size(size)


def test_channels_keep_all_that_pictures_hold() -> None:
    assert channels([GRAY, GRAY]) == 1
    assert channels([GRAY, COLOR]) == 3
    assert channels([GRAY, COLOR, CLEAR]) == 4


def huge_png() -> bytes:
    """A PNG whose header promises 400 million pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"this is not a picture", "not an image"),
    "empty": (lambda: b"", "not an image"),
    "truncated jpeg": (lambda: encoded(ramp("RGB", 64), "JPEG")[:-400], "Truncated"),
    "truncated png": (lambda: encoded(ramp("RGB", 64))[:-60], "truncated"),
    "bomb": (huge_png, "more than .* pixels"),
    "floats": (lambda: encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "32-bit floats"),
    "32 bits": (lambda: encoded(Image.fromarray(np.full((8, 8), 1 << 20, np.int32)), "TIFF"), "range of 16 bits"),
    "postscript": (lambda: encoded(ramp("RGB"), "EPS"), "not an image"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_makes_a_file_unreadable_is_said(name: str) -> None:
    make, reason = BROKEN[name]
    with quiet(), pytest.raises(UnreadableError, match=reason):
        decode(make(), 8, 3)


def test_less_than_a_bomb_but_over_the_limit_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow itself only warns between one and two times its limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with quiet(), pytest.raises(UnreadableError, match="more than 200 pixels"):
        look(encoded(ramp()))


def test_a_damaged_body_sways_neither_channels_nor_size() -> None:
    data = encoded(half_transparent("RGBA").resize((64, 64)))
    assert look(data[:-60]) == Look(64, gray=True, transparent=False)
