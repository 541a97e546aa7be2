"""How layers meet: one after another, side by side, and by name.

Most layers take one tensor. A :class:`Wired` layer reads more: the outputs of named layers, which a network keeps while
it runs. A container's child is named when its key is not a number.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

__all__ = ["COMBINATIONS", "INPUT", "Chain", "Combine", "Recall", "Residual", "Styled", "Wired", "run"]

INPUT = ""
"""The name under which a network's own input is kept."""


class Wired(nn.Module):
    """A layer that reads, besides its input, what was kept under names."""

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """The output.

        Args:
            x: the input, ``(n, ...)``.
            kept: outputs by name; a container adds those of its named layers.
        """
        raise NotImplementedError


def run(layers: Iterable[tuple[str, nn.Module]], x: Tensor, kept: dict[str, Tensor]) -> Tensor:
    """Pass ``x`` through layers, one after another, and keep the outputs of those whose key is a name."""
    for key, layer in layers:
        x = layer(x, kept) if isinstance(layer, Wired) else layer(x)
        if not key.isdigit():
            kept[key] = x
    return x


class Chain(Wired):
    """Layers one after another.

    Args:
        layers: the layers by their keys.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for key, layer in layers.items():
            self.add_module(key, layer)

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, ...)`` to what the last layer gives."""
        return run(self.named_children(), x, kept)


def _sum(outputs: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, outputs)


def _product(outputs: Sequence[Tensor]) -> Tensor:
    return reduce(torch.mul, outputs)


def _channels(outputs: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(outputs), 1)


COMBINATIONS: Mapping[str, Callable[[Sequence[Tensor]], Tensor]] = MappingProxyType(
    {"add": _sum, "mul": _product, "cat": _channels}
)
"""What can be made of several outputs: their sum, their product, or their channels one after another."""


class Combine(Wired):
    """Layers side by side on the same input, and one of :data:`COMBINATIONS` of their outputs.

    Args:
        how: the combination's name.
        layers: the layers by their keys.
    """

    def __init__(self, how: str, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.how = how
        for key, layer in layers.items():
            self.add_module(key, layer)

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, ...)`` to the combination of all outputs."""
        return COMBINATIONS[self.how]([run([child], x, kept) for child in self.named_children()])

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return self.how


class Recall(Wired):
    """The output of a named layer again, whatever comes in.

    Args:
        name: the layer's name, or :data:`INPUT`.
        positions: the size to which it is brought, bilinearly; None leaves it as it is.
    """

    def __init__(self, name: str, positions: Sequence[int] | None = None) -> None:
        super().__init__()
        self.name = name
        self.positions = None if positions is None else tuple(positions)

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """Anything to the kept output."""
        y = kept[self.name]
        if self.positions is None or y.shape[2:] == self.positions:
            return y
        return interpolate(y, self.positions, mode="bilinear" if len(self.positions) == 2 else "linear")

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return repr(self.name) if self.positions is None else f"{self.name!r}, positions={self.positions}"


class Styled(Wired):
    """A layer of two inputs, the second of which is a named layer's output.

    Args:
        layer: ``(x, style (n, d)) -> y``.
        style: the name.
    """

    def __init__(self, layer: nn.Module, style: str) -> None:
        super().__init__()
        self.layer = layer
        self.style = style

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, c, ...)`` to what the layer makes of it and the style."""
        y: Tensor = self.layer(x, kept[self.style].flatten(1))
        return y

    def extra_repr(self) -> str:
        """The arguments, for the repr."""
        return f"style={self.style!r}"


class Residual(Wired):
    r"""A shortcut, and a branch that is let in as far as it has learned to help.

    .. math:: y = s(x) + \gamma f(x), \qquad \gamma = 0 \text{ at first}

    Args:
        branch: f.
        shortcut: s; the identity where it is None.

    Source: He et al. 2015, Deep Residual Learning, arXiv 1512.03385; the gate: Bachlechner et al. 2020, ReZero is All
    You Need, arXiv 2003.04887.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, ...)`` to what shortcut and branch both give."""
        y: Tensor = self.shortcut(x)
        return y + self.gate * run([("0", self.branch)], x, kept)
