"""A network of layers that were written as strings."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from poise.errors import ConfigError, ShapeError
from poise.models.conditional import LABELS, require_labels
from poise.models.layers import INPUT, Chain, Combine, Wired, run

__all__ = ["Network"]


class Network(nn.Module):
    """Layers one after another, some of which may read others by name.

    A layer is the network's child under its name where it has one, and under its place from 0 where it has none:
    ``network.get_submodule("features")``, and ``features.weight`` in the state dict.

    Args:
        layers: the layers by their keys.
        texts: how each was written.
        shapes: the shape of a sample that each gives.
        input_shape: the shape of a sample that the network takes.
        classes: classes of the labels that it takes beside samples; 0 for none.

    Attributes:
        classes: likewise.
        input_shape: the shape of a sample that comes in.
        output_shape: the shape of a sample that goes out.
        texts: how each layer was written.
        shapes: the shape of a sample that each layer gives.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        texts: Sequence[str],
        shapes: Sequence[Sequence[int]],
        input_shape: Sequence[int],
        classes: int = 0,
    ) -> None:
        super().__init__()
        for key, layer in layers.items():
            self.add_module(key, layer)
        self.texts = tuple(texts)
        self.shapes = tuple(tuple(shape) for shape in shapes)
        self.input_shape = tuple(input_shape)
        self.output_shape = self.shapes[-1]
        self.classes = classes

    @property
    def layers(self) -> nn.ModuleList:
        """The layers in order."""
        return nn.ModuleList(self.children())

    def named_layers(self) -> dict[str, nn.Module]:
        """The layers by their keys, and those in parentheses that have a name by it."""
        return dict(self.named_children()) | dict(_named(self))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """``(n, *input_shape)``, and labels ``(n,)`` where there are classes, to ``(n, *output_shape)``.

        Raises:
            ShapeError: when the input has another shape, or labels are missing or of another shape or type.
            ConfigError: when a label is outside the range, or the network takes none.
        """
        if x.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, ("n", *self.input_shape)))
            raise ShapeError(
                f"the network takes ({wanted}) and was given {tuple(x.shape)}; build it for this shape, or bring the "
                "input to the other"
            )
        kept = {INPUT: x}
        if self.classes:
            kept[LABELS] = require_labels(labels, self.classes, x)
        elif labels is not None:
            raise ConfigError("labels were given, and the network takes none; build it with classes=")
        return run(self.named_children(), x, kept)

    def __repr__(self) -> str:
        rows = [
            (f"({key})", *row) for (key, _), *row in zip(self.named_children(), self.texts, self.shapes, strict=True)
        ]
        keys, texts = (max(len(row[column]) for row in rows) for column in (0, 1))
        lines = (f"  {key:<{keys}}  {text:<{texts}}  {shape}" for key, text, shape in rows)
        return "\n".join((f"Network({self.input_shape} -> {self.output_shape}", *lines, ")"))


def _named(container: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer with a name in a network, or in layers that hold others; the parts of a single layer have none."""
    for key, layer in container.named_children():
        if isinstance(container, Network | Chain | Combine) and not key.isdigit():
            yield key, layer
        if isinstance(layer, Wired):
            yield from _named(layer)
