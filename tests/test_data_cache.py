"""The cache: found again without decoding, keyed by content and settings, rebuilt when damaged, written whole."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poise.data import Data, load, prepare
from poise.data.cache import cache_directory, digest, new_array
from poise.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(6):
        Image.new("L", (16, 16), index * 10).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    decode = prepare._decode

    def counted(file, **settings):
        names.append(file.name)
        return decode(file, **settings)

    monkeypatch.setattr(prepare, "_decode", counted)
    return names


def entries(cache: Path) -> list[Path]:
    return [path for path in (cache / "data").iterdir() if path.is_dir() and path.name != "index"]


def same(one: Data, other: Data) -> bool:
    return one.fingerprint == other.fingerprint and np.array_equal(one.array, other.array)


def test_a_second_load_decodes_nothing(folder: Path, cache: Path, decoded: list[str]) -> None:
    first = load(folder, cache=cache)
    assert len(decoded) == 6
    again = load(folder, cache=cache)
    assert len(decoded) == 6
    assert same(first, again)
    assert isinstance(again.array, np.memmap)
    assert again.source == str(folder)


def test_a_second_load_does_not_even_read(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(folder, cache=cache)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert same(first, load(folder, cache=cache))


def test_without_the_index_the_content_finds_the_entry(folder: Path, cache: Path, decoded: list[str]) -> None:
    first = load(folder, cache=cache)
    shutil.rmtree(cache / "data" / "index")
    assert same(first, load(folder, cache=cache))
    assert len(decoded) == 6


def test_the_key_is_of_content_and_settings(folder: Path, cache: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = load(folder, cache=cache)
    shutil.copytree(folder, tmp_path / "copy")
    assert same(first, load(tmp_path / "copy", cache=cache))
    assert same(first, load(folder, cache=cache, size=16))  # what the default came to
    assert len(decoded) == 6
    assert load(folder, cache=cache, size=8).fingerprint != first.fingerprint
    assert same(first, load(folder, cache=tmp_path / "other"))


@pytest.mark.parametrize("change", ["content", "name", "more", "fewer", "class"])
def test_another_content_is_another_key(folder: Path, cache: Path, change: str) -> None:
    first = load(folder, cache=cache)
    path = folder / "3.png"
    if change == "content":
        Image.new("L", (16, 16), 31).save(path)
        os.utime(path, ns=(1, 1))
    elif change == "name":
        path.rename(folder / "9.png")
    elif change == "more":
        shutil.copy(path, folder / "9.png")
    elif change == "fewer":
        path.unlink()
    else:
        for index in range(6):
            target = folder / ("a" if index < 3 else "b") / f"{index}.png"
            target.parent.mkdir(exist_ok=True)
            (folder / f"{index}.png").rename(target)
    changed = load(folder, cache=cache)
    assert changed.fingerprint != first.fingerprint
    assert len(changed) == {"more": 7, "fewer": 5}.get(change, 6)


def cut(entry: Path) -> None:
    with (entry / "array.npy").open("rb+") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 10)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "short array": cut,
    "empty array": lambda entry: (entry / "array.npy").write_bytes(b""),
    "long array": lambda entry: (entry / "array.npy").write_bytes((entry / "array.npy").read_bytes() + b"more"),
    "other array": lambda entry: np.save(entry / "array.npy", np.zeros((6, 16, 16, 3), np.uint8)),
    "no array": lambda entry: (entry / "array.npy").unlink(),
    "bad meta": lambda entry: (entry / "meta.json").write_text("{"),
    "half meta": lambda entry: (entry / "meta.json").write_text(json.dumps({"format": 1})),
    "foreign meta": lambda entry: (entry / "meta.json").write_text("[]"),
    "no meta": lambda entry: (entry / "meta.json").unlink(),
    "nothing": lambda entry: [path.unlink() for path in entry.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_again(folder: Path, cache: Path, damage: str, decoded: list[str]) -> None:
    whole = np.array(load(folder, cache=cache).array)
    (entry,) = entries(cache)
    DAMAGE[damage](entry)
    np.testing.assert_array_equal(load(folder, cache=cache).array, whole)
    assert len(decoded) == 12
    assert same(load(folder, cache=cache), load(folder, cache=cache))
    assert len(decoded) == 12


def test_short_labels_are_damage(folder: Path, cache: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(folder, folder.parent / "classes" / name)
    load(folder.parent / "classes", cache=cache)
    (entry,) = entries(cache)
    np.save(entry / "labels.npy", np.zeros(3, np.int64))
    labels = load(folder.parent / "classes", cache=cache).labels
    assert labels is not None
    assert labels.tolist() == [0] * 6 + [1] * 6


def test_a_damaged_index_only_costs_time(folder: Path, cache: Path) -> None:
    first = load(folder, cache=cache)
    for index in (cache / "data" / "index").iterdir():
        index.write_text("[1")
    assert same(first, load(folder, cache=cache))


def test_nothing_half_done_is_left(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(folder, cache=cache)
    assert entries(cache) == []


def test_what_a_killed_process_left_is_removed(folder: Path, cache: Path) -> None:
    key = load(folder, cache=cache).fingerprint
    shutil.rmtree(cache / "data" / key)
    partial = cache / "data" / f".{key}.partial"
    partial.mkdir()
    (partial / "array.npy").write_bytes(b"half")
    load(folder, cache=cache)
    assert entries(cache) == [cache / "data" / key]


def test_loads_at_the_same_time_build_once(folder: Path, cache: Path, decoded: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load(folder, cache=cache), range(4)))
    assert all(same(loaded[0], data) for data in loaded)
    assert len(decoded) == 6


def test_a_cache_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/cache: the cache directory cannot be written .*set POISE_CACHE"):
        load(folder, cache=tmp_path / "file" / "cache")


def test_a_full_disk_is_found_out_before(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs 8,000,000,000.0 GB and the disk has .* POISE_CACHE"):
        new_array(tmp_path / "array.npy", (10**9, 10**9), np.float64)
    assert not (tmp_path / "array.npy").exists()


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POISE_CACHE", "/chosen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory(Path("/given")) == Path("/given")
    assert cache_directory(None) == Path("/chosen")
    monkeypatch.delenv("POISE_CACHE")
    assert cache_directory(None) == Path("/xdg/poise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory(None) == Path.home() / ".cache" / "poise"


def test_digests_do_not_run_together() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("a", b"b") == digest("a", "b")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system allocates nothing ahead")
def test_a_disk_that_others_fill_is_an_error_and_not_a_dead_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing into a map where there is no room kills."""

    def full(descriptor: int, start: int, size: int) -> None:
        assert size == os.fstat(descriptor).st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"needs 0\.0 GB .*; make room, choose a smaller size, or set POISE_CACHE"):
        new_array(tmp_path / "a.npy", (4, 2), np.uint8)
