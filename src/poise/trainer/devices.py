"""Devices and precisions: what was asked for, or a refusal."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric

from poise.errors import DeviceError, nearest

__all__ = ["PRECISIONS", "autocast_of", "make_fabric"]

PRECISIONS = ("32-true", "bf16-mixed")


def make_fabric(device: str = "auto", precision: str = "32-true", **options: Any) -> Fabric:
    """Lightning Fabric on one device.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a CUDA device where there is one and else the CPU.
        precision: ``32-true``, or ``bf16-mixed`` for networks in bfloat16 with logits, losses and penalties in float32.
        options: further arguments of ``Fabric``.

    Raises:
        DeviceError: when the device is not there or the precision is none of these. Nothing is put in its place.
    """
    if precision not in PRECISIONS:
        reason = (
            "float16 overflows in gradient penalties" if "16" in precision else "GANs gain nothing from it"
        )  # e.g. 16-mixed, 64-true
        hint = nearest(precision, PRECISIONS)
        raise DeviceError(f"precision '{precision}' is refused: {reason}; take 32-true or bf16-mixed {hint}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    _require(device, kind)
    with warnings.catch_warnings():
        # Fabric remarks on unused accelerators and on how it was launched; neither concerns the person here.
        warnings.simplefilter("ignore")
        return Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=precision, **options)  # type: ignore[arg-type]


def autocast_of(fabric: Fabric) -> Callable[[], AbstractContextManager[Any]] | None:
    """What gives the context of the fabric's reduced precision, if it has any."""
    kind = fabric.device.type
    with fabric.autocast():
        if not torch.is_autocast_enabled(kind):
            return None
        return partial(torch.autocast, kind, dtype=torch.get_autocast_dtype(kind))


def _require(device: str, kind: str) -> None:
    there = ["cpu"]
    if torch.cuda.is_available():
        there += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if device not in there:
        why = "this PyTorch has no CUDA" if kind == "cuda" and not torch.version.cuda else "it is not there"
        raise DeviceError(f"device '{device}' cannot be used: {why}; there are: {', '.join(there)}, or auto")
