"""PyTorch's settings that decide how fast arithmetic is: what one training chooses must not speed up another."""

import torch

__all__ = ["restore", "settings"]

_SETTINGS = (
    (torch.backends.cuda.matmul, "fp32_precision"),
    (torch.backends.cudnn.conv, "fp32_precision"),
    (torch.backends.cudnn, "benchmark"),
    (torch.backends.mkldnn.matmul, "fp32_precision"),
    (torch.backends.mkldnn.conv, "fp32_precision"),
)


def settings() -> list[object]:
    """The settings of now."""
    return [getattr(backend, name) for backend, name in _SETTINGS]


def restore(values: list[object]) -> None:
    """Set them to what :func:`settings` gave."""
    for (backend, name), value in zip(_SETTINGS, values, strict=True):
        setattr(backend, name, value)
