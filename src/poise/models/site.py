"""Where an op stands: what it sees, what it gives, and how it refuses."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, NamedTuple, TypeAlias

from torch import nn

from poise.errors import ConfigError, PoiseError, ShapeError, nearest
from poise.models.arguments import Kind

__all__ = [
    "BODY",
    "BRANCH",
    "Body",
    "Branch",
    "Built",
    "Made",
    "MisfitError",
    "Op",
    "RefusedError",
    "Shape",
    "Site",
]

Shape: TypeAlias = tuple[int, ...]
"""The shape of a sample: ``(features,)``, ``(c, length)`` or ``(c, h, w)``."""

Made: TypeAlias = tuple[nn.Module, Shape]

Op: TypeAlias = Callable[..., Made]
"""``(site, ...) -> (module, shape)``."""

RANKS: Mapping[int, str] = MappingProxyType(
    {1: "a vector (features,)", 2: "a signal (c, length)", 3: "an image (c, h, w)"}
)


class _PlacedError(PoiseError):
    """Says at which parameter an op failed.

    Args:
        message: what the op takes, to follow its name.
        at: the parameter that is wrong, if it is one; the caret goes where it was written.
    """

    def __init__(self, message: str, at: str | None = None) -> None:
        super().__init__(message)
        self.at = at


class MisfitError(_PlacedError, ShapeError):
    """What an op raises when it cannot take what comes in."""


class RefusedError(_PlacedError, ConfigError):
    """What an op raises when something written is wrong whatever comes in."""


class Site(NamedTuple):
    """Where an op stands.

    Attributes:
        shape: the shape of a sample that comes in.
        input_shape: the shape of a sample that the network takes.
        named: the shapes of what the named layers before it give.
    """

    shape: Shape
    input_shape: Shape
    named: Mapping[str, Shape]

    @property
    def channels(self) -> int:
        """Channels that come in, or features of a vector."""
        return self.shape[0]

    @property
    def positions(self) -> Shape:
        """Length, or height and width; nothing for a vector."""
        return self.shape[1:]

    def require(self, *ranks: int) -> None:
        """Refuse what has another rank.

        Raises:
            MisfitError: when it has.
        """
        if len(self.shape) not in ranks:
            raise MisfitError(f"takes {' or '.join(RANKS[rank] for rank in ranks)}")

    def dimension(self, dim: int) -> int:
        """A dimension of what comes in, counted from the batch, which is 0; a negative one is counted from the end.

        Args:
            dim: as an option ``dim`` says it.

        Raises:
            MisfitError: when a sample has no such dimension.
        """
        rank = len(self.shape)
        if dim == 0 or not -rank <= dim <= rank:
            raise MisfitError(f"takes a dimension from 1 to {rank}; 0 is the batch", at="dim")
        return dim if dim > 0 else dim + rank + 1

    def shape_of(self, name: str, at: str) -> Shape:
        """What the layer of this name gives.

        Args:
            name: the name.
            at: the parameter that names it.

        Raises:
            RefusedError: when no layer before has that name.
        """
        if name not in self.named:
            known = nearest(name, self.named) if self.named else "(none has a name; give one as in 'linear 128 name=w')"
            raise RefusedError(f"reads a layer named '{name}', and none before it has that name {known}", at)
        return self.named[name]


class Built(NamedTuple):
    """A layer in parentheses, made.

    Attributes:
        module: it.
        shape: the shape of a sample that goes out.
        name: its name, or the empty text.
    """

    module: nn.Module
    shape: Shape
    name: str = ""


BRANCH = Kind(
    "self, noise, the name of a layer before it, or a layer in parentheses",
    lambda value: isinstance(value, str),
    takes_layers=True,
)
"""A layer that takes what comes in, beside others; an op is given it made."""

BODY = Kind(
    "a whole number at least 1, or layers in parentheses",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
    takes_layers=True,
)
"""A count, or layers of which each takes what the one before gives; an op is given these made."""

Branch: TypeAlias = Annotated[Built, BRANCH]
Body: TypeAlias = Annotated[int | Built, BODY]
