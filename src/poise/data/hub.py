"""Images in a data set of the Hugging Face hub, or in a folder that its ``datasets`` library can load."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from poise.data.files import File
from poise.data.labels import Labels
from poise.data.picture import UnreadableError
from poise.errors import DataError, MissingExtraError

__all__ = ["PREFIX", "Hub"]

PREFIX = "hf:"
"""What a source begins with that names a data set of the hub."""


class Hub:
    """The split ``train`` of a data set: its first image column, and its first class column as labels.

    Args:
        name: ``owner/name``, or the path of a folder.

    Raises:
        MissingExtraError: when ``datasets`` is not installed.
        DataError: when the data set cannot be loaded or holds no images.
    """

    archived = False

    def __init__(self, name: str) -> None:
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("hf: data needs the 'datasets' package: pip install 'poise[hf]'") from error
        self.source = PREFIX + name
        try:
            table = datasets.load_dataset(name, split="train")
        except Exception as error:  # it raises whatever the network, the file system and its builders raise
            raise DataError(
                f"{self.source}: the split 'train' cannot be loaded ({error}); give hf:owner/name of a data set "
                "that has it, and check the network, or the login if it is private"
            ) from error
        images = [column for column, feature in table.features.items() if isinstance(feature, datasets.Image)]
        if not images:
            raise DataError(
                f"{self.source}: no column holds images (columns: {', '.join(table.features)}); "
                "one column must have the feature type Image"
            )
        classes = [column for column, feature in table.features.items() if isinstance(feature, datasets.ClassLabel)]
        self._column = images[0]
        self._version = str(table._fingerprint)
        self._images = table.select_columns(images[:1]).cast_column(images[0], datasets.Image(decode=False))
        self._labels: Labels = (None, ())
        if classes:
            labels = np.array([-1 if it is None else it for it in table[classes[0]]], dtype=np.int64)
            if labels.min(initial=0) >= 0:  # -1 stands for an unknown class
                self._labels = labels, tuple(table.features[classes[0]].names)

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self._images)

    def identity(self) -> Iterator[str]:
        """The name, and the fingerprint that ``datasets`` gives to this version."""
        yield self.source
        yield self._version

    def read(self) -> Iterator[File]:
        """The images in the order of their rows."""
        for index, row in enumerate(self._images):
            image = row[self._column] or {}
            content, path = image.get("bytes"), image.get("path")
            yield File(f"row {index:09}", len(content or b""), partial(_read, content, path))

    def labels(self, names: Sequence[str]) -> Labels:
        """The values of the class column."""
        labels, classes = self._labels
        if labels is None:
            return None, ()
        return labels[[int(name.removeprefix("row ")) for name in names]], classes


def _read(content: bytes | None, path: str | None) -> bytes:
    if content is not None:
        return content
    if path is None:
        raise UnreadableError("the row holds no image")
    return Path(path).read_bytes()
