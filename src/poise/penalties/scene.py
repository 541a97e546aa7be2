"""A scene: one deal of the game, as the players see it."""

from __future__ import annotations  # nested functions are traced, and their annotations would be too

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from poise.errors import ConfigError
from poise.penalties.derivative import input_gradients, mean_logits, pullback
from poise.penalties.layers import layer_named

__all__ = ["Deal", "Role", "Scene", "Side", "View"]

Network = Callable[..., Any]
Role = Literal["D", "G"]
Side = Literal["real", "fake"]


class Deal(NamedTuple):
    """What a scene is of: see the arguments of :class:`Scene`."""

    real: Tensor | None
    z: Tensor | None
    labels: Tensor | None
    strength: Tensor | None


class View(NamedTuple):
    """What D makes of samples.

    Attributes:
        logits: float32, ``(n,)`` or ``(n, ...)``.
        features: outputs of D's layers by name, in float32: of those that the scene was asked for, and whatever D
            returns beside its logits, as ``0``, ``1``, ....
    """

    logits: Tensor
    features: dict[str, Tensor]

    def rows(self, rows: slice) -> View:
        """What D makes of some of the samples."""
        return View(self.logits[rows], {name: it[rows] for name, it in self.features.items()})


class _Slope:
    """D's input gradient, taken from the pass that made the logits when it is first wanted.

    Args:
        logits: the mean logit of each sample, ``(n,)``.
        gradient: gives the gradient at the samples, ``(n, ...)``.
    """

    def __init__(self, logits: Tensor, gradient: Callable[[], Tensor]) -> None:
        self._logits = logits
        self._gradient = gradient
        self._taken: Tensor | None = None

    def at(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The logits of some of the samples, and the gradients there, ``(n, d)``."""
        if self._taken is None:
            self._taken = self._gradient().flatten(1)
        return self._logits[rows], self._taken[rows]


_ALL = slice(None)


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
        labels: the class of each real sample and of the generated one beside it, int64 ``(n,)``, where networks take
            classes; they are then called ``G(z, labels)`` and ``D(samples, labels)``.
        augment: what D sees in place of samples; see :mod:`poise.augment`.
        strength: how often ``augment`` changes a sample, in [0, 1], ``()``.
        layers: the names of D's layers whose outputs are wanted as features; see
            :func:`~poise.penalties.layers.layer_named`.
        autocast: gives the context of reduced precision in which passes are made, if there is one.
        kimg: thousands of real images shown so far, None where nothing may depend on it.
        memory: tensors that penalties keep from one scene to the next, by names that begin with their :attr:`entry`;
            they are saved with the training's state.
        still_generator: whether G's weights stand still, so that no graph is made through them.
        joint: whether :attr:`views` may show D reals and fakes in one pass: D judges each sample by itself.

    Attributes:
        player: whose turn it is, for penalties that look at a player's own weights; D's if nobody sets it.
        entry: the name under which the penalty whose turn it is stands in the objective, so that two of a kind keep
            apart what they remember.
        has_shown_reals: whether D has seen the real samples.
        options: what of the scene's arguments is no part of the deal.
    """

    def __init__(
        self,
        discriminator: Network,
        *,
        real: Tensor | None = None,
        fake: Tensor | None = None,
        generator: Network | None = None,
        z: Tensor | None = None,
        labels: Tensor | None = None,
        augment: Callable[[Tensor, Tensor], Tensor] | None = None,
        strength: Tensor | None = None,
        layers: Sequence[str] = (),
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
        kimg: float | None = 0.0,
        memory: MutableMapping[str, Tensor] | None = None,
        still_generator: bool = False,
        joint: bool = False,
    ) -> None:
        self.discriminator = discriminator
        self.generator = generator
        self._kimg = kimg
        self.memory = {} if memory is None else memory
        self.player: Role = "D"
        self.entry = "penalty"
        self.has_shown_reals = False
        self.labels = labels
        self.strength = strength
        self.options: dict[str, Any] = {
            "augment": augment,
            "layers": layers,
            "autocast": autocast,
            "still_generator": still_generator,
            "joint": joint,
        }
        self._real = real
        self._z = z
        self._augment = augment
        self._layers = layers
        self._still_generator = still_generator
        self._joint = joint
        self.autocast = autocast or nullcontext
        self._fake = self._given_fake = fake
        self._sides: Set[Side] = frozenset()
        self._slopes: dict[Side, tuple[_Slope, slice]] = {}
        self._real_view: View | None = None
        self._fake_view: View | None = None

    def again(self) -> Scene:
        """The same deal, to be seen with the weights of now."""
        return self._of(self._real, self._z, self._given_fake, self.labels)

    def on_copies(self) -> Scene:
        """The same deal on copies of its samples and memories, which may be written over; it knows no ``kimg``."""
        given = self._real, self._z, self._given_fake, self.labels
        scene = self._of(*(None if it is None else it.detach().clone() for it in given))
        scene.strength = None if self.strength is None else self.strength.clone()
        scene.memory = {name: it.clone() for name, it in self.memory.items()}
        scene._kimg = None
        return scene

    def parts(self, count: int) -> list[Scene]:
        """The deal in ``count`` parts of about the same size, at most one for each sample."""
        ways = [
            [None] * count if it is None else it.tensor_split(min(count, len(it)))
            for it in (self._real, self._z, self._given_fake, self.labels)
        ]
        return [self._of(*part) for part in zip(*ways, strict=False)]

    def _of(self, real: Tensor | None, z: Tensor | None, fake: Tensor | None, labels: Tensor | None) -> Scene:
        scene = Scene(
            self.discriminator,
            real=real,
            fake=fake,
            generator=self.generator,
            z=z,
            labels=labels,
            strength=self.strength,
            kimg=self._kimg,
            memory=self.memory,
            **self.options,
        )
        scene.player, scene.entry = self.player, self.entry
        return scene

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far.

        Raises:
            ConfigError: when nothing may depend on it.
        """
        if self._kimg is None:
            raise ConfigError("a penalty reads kimg, of which programs would keep one value: schedule its weight")
        return self._kimg

    @property
    def deal(self) -> Deal:
        """What the scene is of, and is another one each time."""
        return Deal(self._real, self._z, self.labels, self.strength)

    @property
    def is_seen(self) -> bool:
        """Whether any pass was made."""
        return self._fake is not self._given_fake or self._real_view is not None

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
            self._real_view, slope = self._view(self.real, "real" in self._sides, self.labels)
            self.has_shown_reals = True
            self._keep({"real": _ALL}, slope)
        return self._real_view

    @property
    def fake_view(self) -> View:
        """What D makes of the generated samples."""
        if self._fake_view is None:
            self._fake_view, slope = self._view(self.fake, "fake" in self._sides, self.labels)
            self._keep({"fake": _ALL}, slope)
        return self._fake_view

    @property
    def views(self) -> tuple[View, View]:
        """What D makes of the real samples and of the generated ones, in one pass where the scene may."""
        # A gradient at one side alone would be taken through both: then two passes cost less.
        if self._joint and self._real_view is self._fake_view is None and len(self._sides) != 1:
            n = len(self.real)
            labels = None if self.labels is None else torch.cat([self.labels, self.labels])
            both, slope = self._view(torch.cat([self.real, self.fake]), bool(self._sides), labels)
            rows: dict[Side, slice] = {"real": slice(n), "fake": slice(n, None)}
            self._real_view, self._fake_view = both.rows(rows["real"]), both.rows(rows["fake"])
            self.has_shown_reals = True
            self._keep(rows, slope)
        return self.real_view, self.fake_view

    def expect(self, sides: Set[Side]) -> None:
        """Say of which sides :meth:`input_gradients` will be asked, so that they share the passes of the views."""
        self._sides = sides

    def input_gradients(self, side: Side) -> tuple[Tensor, Tensor]:
        """D's mean logit of each sample of a side, ``(n,)``, and the gradient of that logit there, ``(n, d)``.

        Both are in float32, whatever the precision of the pass that they are of.
        """
        if side in self._sides:
            _ = self.real_view if side == "real" else self.fake_view
        if side in self._slopes:
            slope, rows = self._slopes[side]
            return slope.at(rows)
        return input_gradients(self.critic, self.real if side == "real" else self.fake)

    @property
    def real_logits(self) -> Tensor:
        """D's logits of the real samples."""
        return self.real_view.logits

    @property
    def fake_logits(self) -> Tensor:
        """D's logits of the generated samples."""
        return self.fake_view.logits

    def critic(self, samples: Tensor) -> Tensor:
        """D's logits of any ``n`` samples, made as :attr:`real_logits` are, to be compared with them; in float32."""
        return _split(self._judged(samples, self.labels))[0]

    def samples(self, z: Tensor) -> Tensor:
        """G's samples of any latents, made as :attr:`fake` is, so that the two can be compared; in float32.

        Raises:
            ConfigError: when there is no generator.
        """
        if self.generator is None:
            raise ConfigError("this penalty needs a generator and latents: it works in a Trainer only")
        with self.autocast(), torch.no_grad() if self._still_generator else nullcontext():
            return _full(self.generator(z, *_given(self.labels)))

    def _view(self, samples: Tensor, sloped: bool, labels: Tensor | None) -> tuple[View, _Slope | None]:
        """What D makes of samples; and its input gradients, where they are wanted."""
        if not sloped:
            return self._look(samples, labels), None

        def look(samples: Tensor) -> tuple[Tensor, View]:
            view = self._look(samples, labels)
            return mean_logits(view.logits), view

        logits, view, gradient = pullback(look, samples)
        return view, _Slope(logits, gradient)

    def _keep(self, rows: Mapping[Side, slice], slope: _Slope | None) -> None:
        if slope is not None:
            self._slopes = self._slopes | {side: (slope, its) for side, its in rows.items()}

    def _look(self, samples: Tensor, labels: Tensor | None) -> View:
        if not self._layers:
            return View(*_split(self._judged(samples, labels)))
        with _captured(self.discriminator, self._layers) as captured:
            logits, features = _split(self._judged(samples, labels))
        return View(logits, features | {name: _full(it) for name, it in captured.items()})

    def _judged(self, samples: Tensor, labels: Tensor | None) -> Any:
        """Whatever D puts out."""
        if self._augment is not None and self.strength is not None:
            samples = self._augment(samples, self.strength)
        with self.autocast():
            return self.discriminator(samples, *_given(labels))


def _given(labels: Tensor | None) -> tuple[Tensor, ...]:
    return () if labels is None else (labels,)


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
