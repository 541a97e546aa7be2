"""Folders of images: what is found, in what order, with which labels and sizes, and what is skipped."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poise.data import Data, load, prepare
from poise.data.files import File, Folder, is_picture
from poise.data.labels import by_folder, by_value
from poise.errors import DataError


def save(path: Path, level: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


def prepared(folder: Path, size: int | None = None) -> Data:
    return load(folder, size=size, cache=folder.parent / "cache")


def test_rows_follow_the_sorted_paths(folder: Path) -> None:
    for level, name in enumerate(["a.png", "b/x.png", "b/y.png", "b.png"]):
        save(folder / name, level)
    assert [file.name for file in Folder(folder, str(folder)).read()] == ["a.png", "b.png", "b/x.png", "b/y.png"]
    assert prepared(folder).array[:, 0, 0, 0].tolist() == [0, 3, 1, 2]


def test_only_pictures_count(folder: Path) -> None:
    for name in ["a.png", "b.JPG", "c.pgm"]:
        save(folder / name)
    for name in [".hidden.png", ".git/d.png", "__MACOSX/e.png", "deep/__MACOSX/f.png"]:
        save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    os.mkfifo(folder / "pipe.png")
    assert len(prepared(folder)) == 3


def test_pictures_of_cameras_that_cannot_be_read_are_not_left_out_without_a_word(folder: Path) -> None:
    for number in range(20):
        save(folder / f"{number}.png")
    for name in ["IMG_1.HEIC", "b.heif", "c.jxl"]:
        (folder / name).write_bytes(bytes.fromhex("00000028667479706865696300000000"))
    with pytest.raises(
        DataError, match=r"3 of 23 images cannot be read \(IMG_1.HEIC: not an image that can be read; save it as PNG or"
    ):
        prepared(folder)


def test_a_folder_that_is_named_like_built_in_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ["a.png", "b.png"]:
        save(Path("digits") / name)
    for given in ("./digits", Path("digits")):
        data = load(given, cache=Path("cache"))
        assert (data.source, len(load(data.source, cache=Path("cache")))) == ("./digits", 2)


def test_runs_in_the_folder_are_no_pictures_of_it(folder: Path) -> None:
    save(folder / "a.png")
    save(folder / "runs/amber-heron/samples/00000100.png")
    for name in ("config.yaml", "events.jsonl"):
        (folder / "runs/amber-heron" / name).touch()
    save(folder / "runs/b.png")
    assert [file.name for file in Folder(folder, str(folder)).read()] == ["a.png", "runs/b.png"]
    run = folder / "runs/amber-heron"
    assert [file.name for file in Folder(run, str(run)).read()] == [
        "samples/00000100.png"
    ]  # where it is asked for by name


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a.png", True), ("a/b.TIFF", True), ("png", False), ("a.txt", False), (".png", False), ("a/.b/c.png", False)],
)
def test_names_of_pictures(name: str, taken: bool) -> None:
    assert is_picture(name) is taken


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.png")
    save(tmp_path / "elsewhere" / "b.png")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    assert sorted({file.name for file in Folder(folder, str(folder)).read()}) == ["a.png", "more/b.png"]


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [
        (["cat/1.png", "cat/x/2.png", "dog/1.png"], [0, 0, 1], ("cat", "dog")),
        (["cat/1.png", "dog/1.png", "1.png"], None, ()),
        (["cat/1.png", "cat/2.png"], None, ()),
        (["1.png", "2.png"], None, ()),
        (["train/cat/1.png", "train/dog/1.png", "test/cat/2.png"], [0, 1, 0], ("cat", "dog")),
        (["train/1.png", "test/1.png"], None, ()),
        (["train/1.png", "dog/1.png"], [1, 0], ("dog", "train")),
    ],
)
def test_folders_are_labels(names: list[str], labels: list[int] | None, classes: tuple[str, ...]) -> None:
    found, named = by_folder(names)
    assert (None if found is None else found.tolist()) == labels
    assert named == classes


def test_labels_reach_the_data(folder: Path) -> None:
    for index, name in enumerate(["dog/1.png", "cat/1.png", "cat/2.png"]):
        save(folder / name, index * 10)
    data = prepared(folder)
    assert data.classes == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    assert data.labels.dtype == np.int64
    assert data.array[:, 0, 0, 0].tolist() == [10, 20, 0]


def test_values_are_labels() -> None:
    labels, classes = by_value(np.array([5, -1, 5]), 3, "a.npz")
    assert labels is not None
    assert (labels.tolist(), classes) == ([1, 0, 1], ("-1", "5"))
    assert by_value(np.array([b"x", b"a"]), 2, "a.npz")[1] == ("a", "x")


def test_mixed_sizes_and_modes_become_one_array(folder: Path) -> None:
    save(folder / "a.png", 50, (40, 20))
    save(folder / "b.png", 100, (33, 70), "RGB")
    save(folder / "c.png", 150, (500, 33))
    data = prepared(folder)
    assert data.shape == (3, 32, 32)
    assert [np.unique(picture).tolist() for picture in data.array] == [[50], [100], [150]]
    assert data.kind == "images"
    assert not data.array.flags.writeable


def test_one_transparent_picture_gives_all_four_channels(folder: Path) -> None:
    save(folder / "a.png", 9)
    Image.new("RGBA", (8, 8), (1, 2, 3, 4)).save(folder / "b.png")
    data = prepared(folder)
    assert data.shape == (4, 8, 8)
    assert data.array[:, 0, 0].tolist() == [[9, 9, 9, 255], [1, 2, 3, 4]]


def test_an_explicit_size(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        save(folder / name, 7, (20, 20))
    assert prepared(folder, 32).shape == (1, 32, 32)
    assert prepared(folder, 8).shape == (1, 8, 8)
    with pytest.raises(DataError, match=r"size is 20; .* the nearest is 16"):
        prepared(folder, 20)


def test_a_few_unreadable_files_are_skipped_and_named(folder: Path) -> None:
    for index in range(58):
        save(folder / ("even" if index % 2 == 0 else "odd") / f"{index:02}.png", index)
    (folder / "even" / "30.png").write_text("text")
    save(folder / "odd" / "60.jpg", 3, (64, 64))
    whole = (folder / "odd" / "60.jpg").read_bytes()
    (folder / "odd" / "60.jpg").write_bytes(whole[:-30])
    (folder / "odd" / "61.png").symlink_to(folder / "nowhere.png")
    first, again = prepared(folder), prepared(folder)
    for data in (first, again):
        assert len(data) == 57
        assert data.labels is not None
        assert sorted(data.array[:, 0, 0, 0].tolist()) == [level for level in range(58) if level != 30]
        np.testing.assert_array_equal(data.labels, data.array[:, 0, 0, 0] % 2)
        assert [line.split(":")[0] for line in data.skipped] == ["even/30.png", "odd/60.jpg", "odd/61.png"]
        assert "not an image" in data.skipped[0]
        assert "truncated" in data.skipped[1]
        assert data.skipped[2].endswith("No such file or directory")


def test_many_unreadable_files_are_an_error(folder: Path) -> None:
    for index in range(18):
        save(folder / f"{index:02}.png")
    for name in ("x.png", "y.png"):
        (folder / name).write_text("text")
    with pytest.raises(
        DataError, match=r"2 of 20 images cannot be read \(x.png: not an image .*; y.png: .*up to 5% .*"
    ):
        prepared(folder)


@pytest.mark.parametrize(("count", "message"), [(0, "no image was found"), (1, "one image was found")])
def test_too_few_pictures(folder: Path, count: int, message: str) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("")
    for index in range(count):
        save(folder / f"{index}.png")
    with pytest.raises(DataError, match=rf"{folder}: {message} .* at least 2; .*\.jpg, \.jpeg, \.png"):
        prepared(folder)


def test_progress_wraps_each_pass(folder: Path) -> None:
    for index in range(5):
        save(folder / f"{index}.png")
    seen = []

    def progress(items, total):
        items = list(items)
        seen.append((len(items), total))
        return iter(items)

    load(folder, cache=folder.parent / "cache", progress=progress)
    assert seen == [(5, 5), (5, 5)]


@pytest.mark.parametrize(("seconds", "far", "elsewhere"), [(0.0, 60.0, 0), (0.01, 0.005, 19)])
def test_small_files_are_waited_for_in_threads_only_where_they_are_far_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, far: float, elsewhere: int
) -> None:
    for index in range(20):
        save(folder / f"{index:02d}.png", index)
    threads: list[bool] = []
    see = prepare._see

    def slow(file: File, *, transparency: bool) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        time.sleep(seconds)
        return see(file, transparency=transparency)

    monkeypatch.setattr(prepare, "_see", slow)
    monkeypatch.setattr(prepare, "FAR_SECONDS", far)
    assert prepared(folder).array[:, 0, 0, 0].tolist() == list(range(20))
    assert (len(threads), threads.count(False)) == (20, elsewhere)
