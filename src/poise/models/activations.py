"""The activations of torch as ops of layer strings."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules import activation

from poise.models.arguments import AtLeastZero, Count, Positive
from poise.models.layers import Hardsigmoid
from poise.models.site import Made, MisfitError, Op, Site

__all__ = ["ACTIVATIONS"]

# In-place changes would change what named layers gave; the others are torch's own business, or deprecated.
_NOT_WRITTEN = ("inplace", "device", "dtype", "min_value", "max_value")

# What torch takes without a word, and gives NaN for, or refuses in words of its own when the layer runs.
_NARROWER: Mapping[tuple[type[nn.Module], str], Any] = {
    (nn.CELU, "alpha"): Positive,
    (nn.GELU, "approximate"): Literal["none", "tanh"],
    (nn.Hardshrink, "lambd"): AtLeastZero,
    (nn.PReLU, "num_parameters"): Count,
    (nn.Softplus, "beta"): Positive,
    (nn.Softshrink, "lambd"): AtLeastZero,
}


def _activation(make: type[nn.Module], **defaults: Any) -> Op:
    """An op that makes this class of torch; ``defaults`` replace its own."""
    taken = [inspect.Parameter("site", inspect.Parameter.POSITIONAL_ONLY)]
    for parameter in inspect.signature(make, eval_str=True).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name not in _NOT_WRITTEN:
            annotation = _NARROWER.get((make, parameter.name), parameter.annotation)
            default = defaults.get(parameter.name, parameter.default)
            taken.append(parameter.replace(default=default, annotation=annotation))
    signature = inspect.Signature(taken)

    def op(site: Site, *arguments: Any, **options: Any) -> Made:
        bound = signature.bind(site, *arguments, **options)
        bound.apply_defaults()
        values = {name: value for name, value in bound.arguments.items() if name != "site"}
        if "dim" in values:
            values["dim"] = site.dimension(values["dim"])
        if values.get("num_parameters", 1) not in (1, site.channels):
            raise MisfitError(f"has 1 parameter, or one for each of {site.channels} channels", at="num_parameters")
        try:
            module = make(**values)
            # What the class does not check, torch checks when it runs; and that tells the shape, too.
            with torch.no_grad():
                y = module.eval()(torch.zeros(1, *site.shape))
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            reason = str(error).partition("\n")[0].rstrip(".") or f"see torch.nn.{make.__name__}"
            raise MisfitError(f"does not work so: {reason}") from error
        return module.train(), tuple(y.shape[1:])

    op.__signature__ = signature  # type: ignore[attr-defined]
    but = "".join(f", with {name}={value} unless told otherwise" for name, value in defaults.items())
    op.__doc__ = f"The activation torch.nn.{make.__name__}{but}."
    return op


def _activations() -> dict[str, Op]:
    """Every activation of torch, under the name of its function, or its own in lower case where it has none."""
    functions = {name.replace("_", ""): name for name in dir(nn.functional) if not name.endswith("_")}
    defaults = {"GLU": {"dim": 1}, "Softmax": {"dim": 1}, "Softmin": {"dim": 1}, "LogSoftmax": {"dim": 1}}
    return {
        functions.get(name.lower(), name.lower()): _activation(getattr(activation, name), **defaults.get(name, {}))
        for name in activation.__all__
        if name != "MultiheadAttention"
    }


ACTIVATIONS: Mapping[str, Op] = MappingProxyType(
    {
        **_activations(),
        "hardsigmoid": _activation(Hardsigmoid),
        "lrelu": _activation(nn.LeakyReLU, negative_slope=0.2),
        "swish": _activation(nn.SiLU),
    }
)
"""Every activation by its name. ``dim`` counts the batch as 0, and is 1, the channels, where it is not given."""
