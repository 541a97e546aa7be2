"""A scene: one deal of the game, as the players see it."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from poise.errors import ConfigError
from poise.penalties.layers import layer_named

__all__ = ["Role", "Scene", "View"]

Network = Callable[..., Any]
Role = Literal["D", "G"]


class View(NamedTuple):
    """What D makes of samples.

    Attributes:
        logits: float32, ``(n,)`` or ``(n, ...)``.
        features: outputs of D's layers by name, in float32: of those that the scene was asked for, and whatever D
            returns beside its logits, as ``0``, ``1``, ....
    """

    logits: Tensor
    features: Mapping[str, Tensor]


class Scene:
    """What the networks make of one deal: real samples and latents. Each pass is made when it is first needed.

    It is made once, with a graph through the weights that require gradients then.

    Args:
        discriminator: samples ``(n, ...)`` to logits; or to a tuple or list of logits and features; or to a mapping
            with ``logits``.
        real: real samples ``(n, ...)``.
        fake: generated samples, where there is no generator to make them.
        generator: latents ``(n, z_dim)`` to samples.
        z: latents.
        layers: the names of D's layers whose outputs are wanted as features; see
            :func:`~poise.penalties.layers.layer_named`.
        autocast: gives the context in which passes are made that are not of :meth:`critic` or :meth:`make`.
        kimg: thousands of real images shown so far.
        memory: tensors that penalties keep from one scene to the next, by name; they are saved with the training's
            state.
        still_generator: whether G's weights stand still, so that no graph is made through them.

    Attributes:
        player: whose turn it is, for penalties that look at a player's own weights; D's if nobody sets it.
    """

    def __init__(
        self,
        discriminator: Network,
        *,
        real: Tensor | None = None,
        fake: Tensor | None = None,
        generator: Network | None = None,
        z: Tensor | None = None,
        layers: Sequence[str] = (),
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        kimg: float = 0.0,
        memory: MutableMapping[str, Tensor] | None = None,
        still_generator: bool = False,
    ) -> None:
        self.discriminator = discriminator
        self.generator = generator
        self.kimg = kimg
        self.memory = {} if memory is None else memory
        self.player: Role = "D"
        self._real = real
        self._z = z
        self._layers = layers
        self._still_generator = still_generator
        self._fake = self._given_fake = fake
        self._real_view: View | None = None
        self._fake_view: View | None = None
        self.autocast = autocast

    def again(self) -> "Scene":
        """The same deal, to be seen with the weights of now."""
        scene = Scene(
            self.discriminator,
            real=self._real,
            fake=self._given_fake,
            generator=self.generator,
            z=self._z,
            layers=self._layers,
            autocast=self.autocast,
            kimg=self.kimg,
            memory=self.memory,
            still_generator=self._still_generator,
        )
        scene.player = self.player
        return scene

    @property
    def network(self) -> nn.Module:
        """The network of the player whose turn it is.

        Raises:
            ConfigError: when it is no module, so that it has no weights to look at.
        """
        network, name = (self.discriminator, "discriminator") if self.player == "D" else (self.generator, "generator")
        if not isinstance(network, nn.Module):
            raise ConfigError(f"this penalty looks at the {name}'s weights, so it must be a torch.nn.Module")
        return network

    @property
    def real(self) -> Tensor:
        """The real samples.

        Raises:
            ConfigError: when there are none.
        """
        if self._real is None:
            raise ConfigError(
                "this loss or penalty looks at real samples in the generator's step too: give it real samples"
            )
        return self._real

    @property
    def z(self) -> Tensor:
        """The latents.

        Raises:
            ConfigError: when there are none.
        """
        if self._z is None:
            raise ConfigError("this penalty needs a generator and latents: it works in a Trainer only")
        return self._z

    # Not cached properties, which take a lock until Python 3.12.

    @property
    def fake(self) -> Tensor:
        """The generated samples, in float32."""
        if self._fake is None:
            self._fake = self.samples(self.z)
        return self._fake

    @property
    def real_view(self) -> View:
        """What D makes of the real samples."""
        if self._real_view is None:
            self._real_view = self._view(self.real)
        return self._real_view

    @property
    def fake_view(self) -> View:
        """What D makes of the generated samples."""
        if self._fake_view is None:
            self._fake_view = self._view(self.fake)
        return self._fake_view

    @property
    def real_logits(self) -> Tensor:
        """D's logits of the real samples."""
        return self.real_view.logits

    @property
    def fake_logits(self) -> Tensor:
        """D's logits of the generated samples."""
        return self.fake_view.logits

    @property
    def has_shown_reals(self) -> bool:
        """Whether D has seen the real samples."""
        return self._real_view is not None

    def critic(self, samples: Tensor) -> Tensor:
        """D's logits of any samples, in float32 throughout.

        A gradient's norm squares small numbers, which bfloat16 loses.
        """
        return _split(self.discriminator(samples))[0]

    def make(self, z: Tensor) -> Tensor:
        """G's samples of any latents, in float32.

        Raises:
            ConfigError: when there is no generator.
        """
        if self.generator is None:
            raise ConfigError("this penalty needs a generator and latents: it works in a Trainer only")
        if self._still_generator:
            with torch.no_grad():
                return _full(self.generator(z))
        return _full(self.generator(z))

    def logits(self, samples: Tensor) -> Tensor:
        """D's logits of any samples, made as :attr:`real_logits` are, so that the two can be compared."""
        with self.autocast():
            return self.critic(samples)

    def samples(self, z: Tensor) -> Tensor:
        """G's samples of any latents, made as :attr:`fake` is, so that the two can be compared.

        Raises:
            ConfigError: when there is no generator.
        """
        with self.autocast():
            return self.make(z)

    def _view(self, samples: Tensor) -> View:
        if not self._layers:
            with self.autocast():
                return View(*_split(self.discriminator(samples)))
        with self.autocast(), _captured(self.discriminator, self._layers) as captured:
            logits, features = _split(self.discriminator(samples))
        return View(logits, features | {name: _full(it) for name, it in captured.items()})


def _full(tensor: Tensor) -> Tensor:
    """At least float32: float64, in which derivatives are checked, stays what it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _split(output: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and features of whatever D returned."""
    if isinstance(output, Tensor):
        return _full(output), {}
    if isinstance(output, Mapping):
        rest = {name: value for name, value in output.items() if name != "logits"}
        logits = output.get("logits")
    else:
        first, *others = output
        if len(others) == 1 and isinstance(others[0], Mapping):
            rest = dict(others[0])
        else:
            flat = others[0] if len(others) == 1 and isinstance(others[0], list | tuple) else others
            rest = {str(index): value for index, value in enumerate(flat)}
        logits = first
    if not isinstance(logits, Tensor):
        raise ConfigError(
            f"the discriminator returned {type(output).__name__} without a tensor of logits: it may return logits, "
            "(logits, features), or a mapping with 'logits'"
        )
    return _full(logits), {name: _full(value) for name, value in rest.items() if isinstance(value, Tensor)}


@contextmanager
def _captured(network: Network, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """For a while, keep what the named layers of a network put out."""
    outputs: dict[str, Tensor] = {}
    modules = {name: layer_named(network, name) for name in layers}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise ConfigError(
                    f"features of layer '{name}' are wanted, but it puts out a {kind}: name another layer"
                )
            outputs[name] = output.clone()  # the next layer may work in place

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in modules.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
