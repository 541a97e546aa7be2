"""The layers of a network by the names under which penalties ask for their outputs."""

from collections.abc import Iterator

from torch import nn

from poise.errors import ConfigError, nearest

__all__ = ["layer_named"]


def layer_named(network: object, name: str) -> nn.Module:
    """A layer of the discriminator.

    Its name is its path, as in ``named_modules()``. A network, or a part of one, may give names of its own by a method
    ``named_layers() -> {name: layer}``: networks of layer strings have those of layers in parentheses, too.

    Raises:
        ConfigError: when there is none of that name; the message tells those that there are.
    """
    known: dict[str, nn.Module] = {}
    paths: dict[str, nn.Module] = {}
    if isinstance(network, nn.Module):
        known, paths = dict(_known(network)), dict(network.named_modules())
    layers = paths | known
    if not name or name not in layers:
        raise ConfigError(f"the discriminator has no layer '{name}' {nearest(name, known)}")
    return layers[name]


def _known(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The names that mean something to who built the network, and not what holds weights inside of its layers."""
    named_layers = getattr(module, "named_layers", None)
    if callable(named_layers):
        yield from ((prefix + name, layer) for name, layer in named_layers().items())
        return
    for key, child in module.named_children():
        if key != "parametrizations":
            yield prefix + key, child
            yield from _known(child, f"{prefix}{key}.")
