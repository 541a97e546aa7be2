"""Data sets that the ``datasets`` library loads, from folders made here, so that no network is needed."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poise.data import load
from poise.errors import DataError, MissingExtraError

datasets = pytest.importorskip("datasets", reason="needs poise[hf]")
pytestmark = pytest.mark.filterwarnings("default")  # what other libraries warn of is theirs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def table(directory: Path, split: str = "train", **columns: object) -> str:
    directory.mkdir()
    features = {
        "other": datasets.Value("int64"),
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["zebra", "ant"]),
    }
    made = datasets.Dataset.from_dict(columns, features=datasets.Features({name: features[name] for name in columns}))
    made.to_parquet(directory / f"{split}-00000.parquet")
    return f"hf:{directory}"


def pictures(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (20, 20), (level, 0, 0)) for level in range(count)]


def test_a_table_of_pictures(tmp_path: Path) -> None:
    kinds = [1, 0, 0, 1]
    source = table(tmp_path / "table", other=[0] * 4, picture=pictures(4), kind=kinds)
    first, again = (load(source, cache=tmp_path / "cache") for _ in range(2))
    for data in (first, again):
        assert (data.source, data.shape, data.classes) == (source, (3, 16, 16), ("zebra", "ant"))
        assert data.labels is not None
        assert data.labels.tolist() == kinds
        assert data.array[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert first.fingerprint == again.fingerprint


@pytest.mark.parametrize("kind", [[-1, -1, -1], [0, None, 1]])
def test_unknown_classes_are_no_labels(tmp_path: Path, kind: list[int | None]) -> None:
    source = table(tmp_path / "table", picture=pictures(3), kind=kind)
    assert load(source, cache=tmp_path / "cache").labels is None


def test_rows_without_a_picture_are_skipped(tmp_path: Path) -> None:
    source = table(tmp_path / "table", picture=[*pictures(30), None])
    assert load(source, cache=tmp_path / "cache").skipped == ("row 000000030: the row holds no image",)


def test_a_folder_of_images(tmp_path: Path) -> None:
    for kind in ("ant", "zebra"):
        (tmp_path / "folder" / kind).mkdir(parents=True)
        for index, picture in enumerate(pictures(2)):
            picture.save(tmp_path / "folder" / kind / f"{index}.png")
    data = load(f"hf:{tmp_path / 'folder'}", cache=tmp_path / "cache")
    assert data.classes == ("ant", "zebra")
    assert np.unique(data.labels, return_counts=True)[1].tolist() == [2, 2]


def test_a_table_without_pictures(tmp_path: Path) -> None:
    source = table(tmp_path / "table", other=[1, 2])
    with pytest.raises(DataError, match=r"no column holds images \(columns: other\)"):
        load(source, cache=tmp_path / "cache")


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: the split 'train' cannot be loaded \(.+\); give hf:owner/name"):
        load(f"hf:{tmp_path / 'nowhere'}", cache=tmp_path / "cache")
    with pytest.raises(DataError, match="the split 'train' cannot be loaded"):
        load(table(tmp_path / "table", "test", picture=pictures(3)), cache=tmp_path / "cache")


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'poise\[hf\]'"):
        load("hf:owner/name")
