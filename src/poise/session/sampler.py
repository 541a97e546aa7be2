"""Samples of a run, without its data: from the averaged generator in a checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poise.config import Config, build_generator, parse, parse_file
from poise.data import Scaling
from poise.errors import CheckpointError, ConfigError, RunError, nearest
from poise.runs import Checkpoint, Run
from poise.trainer import latents, make_fabric, unpack
from poise.trainer.execution import in_a_line

__all__ = ["Sampler"]


class Sampler:
    """The averaged generator of a run's best checkpoint, or of its last.

    Args:
        run: the run.
        device: ``cpu``, ``cuda`` or ``auto``.
        trust: packages from which the run's config may import its generator.
        checkpoint: ``best``, or the last where none was evaluated; or ``last``.

    Attributes:
        checkpoint: what it was loaded from.
        config: the run's settings.
        scaling: the way from what the generator makes to the data's units.
        generator: with the averaged weights.
        warnings: what a person should know of the samples, one line each.

    Raises:
        RunError: when the run has no checkpoint yet.
        CheckpointError: when none is good, or the best does not fit the run's settings.
    """

    def __init__(self, run: Run, device: str = "auto", trust: Sequence[str] = (), checkpoint: str = "best") -> None:
        self.run = run
        self.config: Config = parse(parse_file(run.config_path), str(run.config_path))
        self.warnings: list[str] = []
        self.checkpoint, state = self._load(checkpoint)
        try:
            self.scaling = Scaling.from_json(state["about"]["data"])
            self._fabric = make_fabric(device)  # in float32: the same samples on every machine
            self.generator = build_generator(self.config, self.scaling.shape, trust)
            self.generator.load_state_dict(state["trainer"]["ema"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.checkpoint.path} does not fit {run.config_path} ({in_a_line(error)}); put "
                "that config.yaml back which the run was trained with"
            ) from error
        self.generator.to(self._fabric.device).eval()

    @property
    def title(self) -> str:
        """What the samples are of."""
        return f"{self.run.name} · step {self.checkpoint.step:,}"

    def text(self, seed: int) -> dict[str, str]:
        """What a picture's text chunks say."""
        return {"run": self.run.name, "step": str(self.checkpoint.step), "seed": str(seed)}

    def _load(self, which: str) -> tuple[Checkpoint, Mapping[str, Any]]:
        checkpoints = self.run.checkpoints.all()
        if not checkpoints:
            raise RunError(
                f"run {self.run.name} has no checkpoint yet; one comes every "
                f"{self.config.checkpoint.every_seconds:g} seconds of training and at its end"
            )
        for checkpoint in sorted(
            checkpoints, key=lambda it: (which == "best" and it.best is not None, not it.retired, it.step), reverse=True
        ):
            try:
                return checkpoint, unpack(checkpoint.read())
            except CheckpointError as error:
                self.warnings.append(str(error))
        raise CheckpointError(f"run {self.run.name} has no good checkpoint: {'; '.join(self.warnings)}")

    def sample(self, n: int, seed: int = 0, batch: int = 256, labels: Tensor | None = None) -> np.ndarray:
        """Samples as the data's files have them: uint8 images ``(n, h, w, c)``, or float32 vectors in data units.

        Args:
            n: how many.
            seed: of the latents.
            batch: how many at a time.
            labels: see :meth:`restore`.
        """
        return self.restore(latents(n, self.config.z_dim, seed), batch, labels)

    def restore(self, z: Tensor, batch: int = 256, labels: Tensor | None = None) -> np.ndarray:
        """Samples of the given latents ``(n, z_dim)``: see :meth:`generate`."""
        return self.scaling.restore(self.generate(z, batch, labels))

    @torch.no_grad()
    def generate(self, z: Tensor, batch: int = 256, labels: Tensor | None = None) -> Tensor:
        """Samples of the given latents ``(n, z_dim)`` as the generator makes them, ``(n, ...)`` on the CPU.

        Args:
            z: the latents.
            batch: how many at a time.
            labels: of their classes, ``(n,)``; if none are given, one class after the other where there are classes.
        """
        given = [z]
        if self.config.classes:
            given.append(torch.arange(len(z)) % len(self.config.classes) if labels is None else labels)
        chunks = zip(*(torch.split(it.to(self.device), batch) for it in given), strict=True)
        return torch.cat([self.generator(*chunk).cpu() for chunk in chunks])

    @property
    def device(self) -> torch.device:
        """Where samples are made."""
        return self._fabric.device

    def label(self, name: str) -> int:
        """The label of a class, by its name or its number.

        Raises:
            ConfigError: when there is no such class.
        """
        classes = self.config.classes
        if not classes:
            raise ConfigError(
                f"run {self.run.name} knows no classes: leave --class out, or train with --conditional on labelled data"
            )
        if name in classes:
            return classes.index(name)
        if name.isdecimal() and int(name) < len(classes):
            return int(name)
        raise ConfigError(f"run {self.run.name} has no class '{name}' {nearest(name, classes)}")
