"""Devices, precisions and executions: what was asked for, what ``auto`` stands for, or a refusal."""

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from poise.errors import ConfigError, DeviceError, nearest

__all__ = [
    "EXECUTIONS",
    "PRECISIONS",
    "Choice",
    "autocast_of",
    "choose_execution",
    "choose_precision",
    "make_fabric",
    "require_execution_for",
    "resolved_device",
]

PRECISIONS = ("auto", "32-true", "bf16-mixed")
EXECUTIONS = ("auto", "eager", "compile", "graph")

# Compiling takes some 20 seconds, and saves a good millisecond a step where Python is most of it.
_WORTH_COMPILING_STEPS = 30_000


class Choice(NamedTuple):
    """What was chosen, and why."""

    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.value} ({self.why})"


def make_fabric(
    device: str = "auto",
    precision: str = "32-true",
    deterministic: bool = False,
    devices: int = 1,
    nodes: int = 1,
    **options: Any,
) -> Fabric:
    """Lightning Fabric, by default of one process; on CUDA it also chooses, for the process, how PyTorch works there.

    One of several processes has to be launched: ``fabric.launch()``.

    TensorFloat-32 is used with ``bf16-mixed``, where float32 is left for numbers that need its range, and not with
    ``32-true``. cuDNN tries algorithms and keeps the fastest, unless ``deterministic``.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a CUDA device where there is one and else the CPU.
        precision: ``32-true``; ``bf16-mixed`` for networks in bfloat16 with logits, losses and penalties in float32; or
            ``auto``: see :func:`choose_precision`.
        deterministic: let every operation of this process give the same bits each time; one that cannot raises an
            error.
        devices: processes on each machine, each with a device of its own; on a CPU they share its cores.
        nodes: machines.
        options: further arguments of ``Fabric``.

    Raises:
        DeviceError: when the devices are not there or the precision is none of these. Nothing is put in their place.
    """
    kind, _, index = resolved_device(device, devices).partition(":")
    precision = choose_precision(precision, kind).value
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    if kind == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "bf16-mixed"
    for part in ("rank_zero", "distributed"):
        logging.getLogger(f"lightning_fabric.utilities.{part}").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Fabric remarks on unused accelerators and on how it was launched; neither concerns the person here.
        warnings.simplefilter("ignore")
        if devices * nodes > 1:
            # Stops and messages are of the CPU, whatever the networks' device is.
            backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
            options = {"strategy": DDPStrategy(process_group_backend=backend), **options}
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else devices,
            num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
            **options,
        )


def resolved_device(device: str, devices: int = 1) -> str:
    """The device that ``auto`` stands for, or the one that is named.

    Raises:
        DeviceError: when it is not there, or not as many of its kind as are asked for.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    else:
        _require(device, device.partition(":")[0])
    if devices > 1 and ":" in device:
        raise DeviceError(f"device '{device}' is one device, and {devices} are asked for: give {device.split(':')[0]}")
    there = torch.cuda.device_count() if device == "cuda" else devices
    if devices > there:
        raise DeviceError(
            f"{devices} CUDA devices are asked for, and this machine has {there}: give --devices {there}, or "
            "--device cpu"
        )
    return device


def choose_precision(precision: str, device: str, shape: Sequence[int] | None = None) -> Choice:
    """A precision, and why.

    ``auto`` takes ``bf16-mixed`` on CUDA devices and CPUs that compute in bfloat16, and ``32-true`` on others. It
    keeps vectors in float32 everywhere: bfloat16 has 8 bits for a coordinate.

    Args:
        precision: one of ``PRECISIONS``.
        device: where.
        shape: of a sample, if it is known.

    Raises:
        DeviceError: when the precision is none of these.
    """
    if precision not in PRECISIONS:
        reason = (
            "float16 overflows in gradient penalties" if "16" in precision else "GANs gain nothing from it"
        )  # e.g. 16-mixed, 64-true
        hint = nearest(precision, PRECISIONS)
        raise DeviceError(f"precision '{precision}' is refused: {reason}; take auto, 32-true or bf16-mixed {hint}")
    if precision != "auto":
        return Choice(precision, "as was asked")
    if shape is not None and len(shape) < 3:
        return Choice("32-true", "auto: bfloat16 is too coarse for vectors")
    if device.startswith("cuda"):
        native, name = torch.cuda.is_bf16_supported(including_emulation=False), "GPU"
    else:
        native, name = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(), "CPU"
    if native:
        return Choice("bf16-mixed", f"auto: this {name} computes in bfloat16")
    return Choice("32-true", f"auto: this {name} does not compute in bfloat16")


def choose_execution(
    execution: str, device: str, images: bool, steps: float | None = None, processes: int = 1
) -> Choice:
    """An execution, and why.

    ``auto`` takes ``graph`` on CUDA devices. On a CPU it takes ``compile`` for long trainings on vectors, in which
    Python is most of a step, where there is a C++ compiler; and else ``eager``. Several processes sum over each other
    within a move, which neither programs nor recordings hold: their moves are ``eager``.

    Args:
        execution: one of ``EXECUTIONS``.
        device: where.
        images: whether samples are images.
        steps: how many there will be, if that is known.
        processes: how many train together.

    Raises:
        ConfigError: when the execution is none of these, or not one of several processes.
        DeviceError: when it needs another device.
    """
    if execution not in EXECUTIONS:
        raise ConfigError(f"execution is '{execution}' {nearest(execution, EXECUTIONS)}")
    is_cuda = device.startswith("cuda")
    if execution == "graph" and not is_cuda:
        raise DeviceError("execution 'graph' is of CUDA devices; take compile, eager or auto")
    require_execution_for(processes, execution)
    if execution != "auto":
        return Choice(execution, "as was asked")
    if processes > 1:
        return Choice("eager", "auto: several processes sum over each other within a move")
    if is_cuda:
        return Choice("graph", "auto: on a GPU, launching a step's operations takes longer than they do")
    if images:
        return Choice("eager", "auto: on a CPU, the convolutions of images gain little from compiling")
    if steps is None or steps < _WORTH_COMPILING_STEPS:
        return Choice("eager", f"auto: compiling pays from {_WORTH_COMPILING_STEPS:,} steps on")
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        return Choice("eager", "auto: there is no C++ compiler")
    return Choice("compile", "auto: on vectors, Python is most of a step")


def require_execution_for(processes: int, execution: str) -> None:
    """Refuse what several processes cannot execute.

    Raises:
        ConfigError: naming what they can.
    """
    if processes > 1 and execution not in ("auto", "eager"):
        raise ConfigError(
            f"execution is '{execution}', which is for one process, and there are {processes}: take eager or auto"
        )


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
