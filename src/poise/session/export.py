"""A run's generator in one file, for programs that know nothing of poise."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from poise.data import Scaling
from poise.data.scaling import levels
from poise.errors import ConfigError, MissingExtraError, nearest
from poise.files import write_atomic
from poise.models import classes_of
from poise.session.sampler import Sampler
from poise.trainer.execution import in_a_line

__all__ = ["FORMATS", "Format", "format_of", "program_of", "write_export"]

# With so many samples a program is traced; 0 or 1 of them it would take for a constant.
_TRACED = 2

# Under this name a file says what it is.
_ABOUT = "poise"


class _Restored(nn.Module):
    """A generator of samples as the data's files have them: see :meth:`poise.data.Scaling.restore`."""

    center: Tensor | None
    scale: Tensor | None

    def __init__(self, generator: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.generator = generator
        for name, column in (("center", scaling.center), ("scale", scaling.scale)):
            self.register_buffer(name, None if column is None else torch.from_numpy(column))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.generator(z) if labels is None else self.generator(z, labels)
        if self.center is None or self.scale is None:
            return levels(samples)
        return samples * self.scale + self.center


def program_of(generator: nn.Module, scaling: Scaling, z_dim: int) -> ExportedProgram:
    """A generator as a program: latents ``z``, float32 ``(n, z_dim)``, to samples, for any n above 0.

    It takes ``labels``, int64 ``(n,)``, too where the generator does. Samples are as the data's files have them: uint8
    images ``(n, h, w, c)``, or float32 vectors ``(n, d)`` in the data's units. Noise that the generator adds is drawn
    anew at each call, and no seed reaches it.

    Args:
        generator: on the CPU.
        scaling: the way from what it makes to the data's units.
        z_dim: the latent dimension.

    Raises:
        ConfigError: when the network does what no program can.
    """
    inputs: tuple[Tensor, ...] = (torch.zeros(_TRACED, z_dim),)
    if classes_of(generator):
        inputs = (*inputs, torch.zeros(_TRACED, dtype=torch.int64))
    n = Dim("n")
    network = _Restored(copy.deepcopy(generator), scaling).eval().requires_grad_(False)
    try:
        with _quiet():
            return torch.export.export(network, inputs, dynamic_shapes=tuple({0: n} for _ in inputs))
    except Exception as error:  # whatever a network of one's own does that cannot be traced
        raise ConfigError(
            f"the generator cannot be made a program ({in_a_line(error)}); let it not branch on the values of tensors, "
            "and take sizes from x.shape, since len(x) and int() make them numbers of their own"
        ) from error


class Format(NamedTuple):
    """What a program can be written as.

    Attributes:
        content: makes a file's content of a program and of what the file says of itself, as JSON.
        package: what it needs, which is the extra of the form's name; empty for nothing.
    """

    content: Callable[[ExportedProgram, str], bytes]
    package: str = ""


def _onnx(program: ExportedProgram, about: str) -> bytes:
    with _quiet():
        converted = torch.onnx.export(program, dynamo=True, output_names=["samples"], verbose=False)
    assert converted is not None
    converted.model.metadata_props[_ABOUT] = about
    content: bytes = converted.model_proto.SerializeToString()
    return content


def _pt2(program: ExportedProgram, about: str) -> bytes:
    content = BytesIO()
    torch.export.save(program, content, extra_files={_ABOUT: about})
    return content.getvalue()


FORMATS: Mapping[str, Format] = MappingProxyType({"onnx": Format(_onnx, "onnxscript"), "pt2": Format(_pt2)})
"""By the endings of their files: ONNX, and programs of ``torch.export``."""


def format_of(name: str | None, path: Path | None) -> str:
    """The form that a person wants: the one that is named, or that of the file's ending, or ONNX.

    Raises:
        ConfigError: when there is no such form, or the file ends as those of another do.
        MissingExtraError: when it needs a package that is not installed.
    """
    ending = "" if path is None else path.suffix.removeprefix(".").lower()
    form = name or (ending if ending in FORMATS else next(iter(FORMATS)))
    if form not in FORMATS:
        raise ConfigError(f"there is no format '{form}' {nearest(form, FORMATS)}")
    if ending in FORMATS and ending != form:
        raise ConfigError(f"{path} ends as {ending} files do, and is to be {form}; leave --format out, or rename it")
    package = FORMATS[form].package
    try:
        if package:
            import_module(package)
    except ImportError as error:
        raise MissingExtraError(f"{form} files need the '{package}' package: pip install 'poise[{form}]'") from error
    return form


def write_export(sampler: Sampler, path: Path, form: str) -> Mapping[str, Any]:
    """Write a run's generator as a program: see :func:`program_of`.

    Args:
        sampler: has the generator, on the CPU.
        path: the file.
        form: of ``FORMATS``; see :func:`format_of`.

    Returns:
        What the file's metadata say under ``poise``, as JSON: the run and its step, ``z_dim``, the names of the
        classes, and the kind and the shape of a sample.

    Raises:
        ConfigError: when the network does what no program, or no file of this form, can.
    """
    config, scaling = sampler.config, sampler.scaling
    about = {
        "run": sampler.run.name,
        "step": sampler.checkpoint.step,
        "z_dim": config.z_dim,
        "classes": list(config.classes),
        "kind": scaling.kind,
        "shape": [*scaling.shape[1:], scaling.shape[0]],
    }
    program = program_of(sampler.generator, scaling, config.z_dim)
    try:
        content = FORMATS[form].content(program, json.dumps(about))
    except Exception as error:  # whatever a format has no word for
        raise ConfigError(f"the generator cannot be written as {form}: {in_a_line(error)}") from error
    write_atomic(path, content)
    return about


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's remarks on its way to a program off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
