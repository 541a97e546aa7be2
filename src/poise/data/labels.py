"""Labels: the class of every sample, by the folder it lies in or by the values that came with an array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poise.errors import DataError

__all__ = ["Labels", "by_folder", "by_value"]

Labels = tuple[NDArray[np.int64] | None, tuple[str, ...]]
"""The index of every sample's class, ``(n,)``, and the names of the classes; ``(None, ())`` where there are none."""

_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})


def by_folder(names: Sequence[str]) -> Labels:
    """Label files by the top folder that each lies in.

    Where the top folders are the splits of a data set (``train``, ``test``, ``val``, ...), they are no classes, and the
    folders below them count instead.

    Args:
        names: relative paths with ``/`` between their parts.

    Returns:
        The labels and the sorted class names; none unless every file lies in a folder and there are at least two.
    """
    folders = [name.split("/")[:-1] for name in names]
    if all(parts and parts[0].lower() in _SPLITS for parts in folders):
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        return None, ()
    tops = [parts[0] for parts in folders]
    classes = sorted(set(tops))
    if len(classes) < 2:
        return None, ()
    index = {name: position for position, name in enumerate(classes)}
    return np.array([index[top] for top in tops], dtype=np.int64), tuple(classes)


def by_value(values: NDArray[Any], count: int, source: str) -> Labels:
    """Label samples by the values of an array, which become class names in sorted order.

    Args:
        values: integers or strings, ``(count,)`` or ``(count, 1)``.
        count: the number of samples.
        source: the file, for messages.

    Raises:
        DataError: when there is not one label a sample, or labels are neither integers nor strings.
    """
    if values.shape not in {(count,), (count, 1)}:
        raise DataError(
            f"{source}: the labels have shape {values.shape} for {count} samples; give one label a sample, ({count},)"
        )
    if values.dtype.kind not in "biuUS":
        raise DataError(f"{source}: the labels have type {values.dtype}; they must be integers or strings")
    classes, labels = np.unique(values.reshape(-1), return_inverse=True)
    names = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in classes.tolist())
    return labels.astype(np.int64), tuple(names)
