"""``poise parts``: everything that a config can name, with its options."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import typer

from poise.errors import ConfigError, nearest

__all__ = ["parts"]


class _Kind(NamedTuple):
    """A table of parts.

    Attributes:
        where: how a config names one.
        entries: what makes each, by its name.
        given: arguments that are not options.
        defaults: defaults that configs have in place of an entry's own.
    """

    where: str
    entries: Mapping[str, Callable[..., Any]]
    given: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = MappingProxyType({})


def parts(
    kind: str | None = typer.Argument(
        None,
        help="losses, penalties, constraints, balances, schedules, optimizers, wrappers, warm-ups, networks, layers, "
        "layer-options, initializers, metrics, hooks or features; all if left out.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the parts that a recipe or --set can name, with their options and defaults."""
    from poise.cli.console import preparing

    with preparing(quiet=as_json):
        kinds = _kinds()
    if kind is not None and kind not in kinds:
        raise ConfigError(f"there is no kind of parts '{kind}' {nearest(kind, kinds)}")
    chosen = {name: it for name, it in kinds.items() if kind in (None, name)}
    if as_json:
        typer.echo(json.dumps({name: [_facts(part, it) for part in it.entries] for name, it in chosen.items()}))
        return
    for index, (name, it) in enumerate(chosen.items()):
        typer.echo(f"{'' if index == 0 else chr(10)}{name} ({it.where})")
        width = max(map(len, it.entries))
        for part in it.entries:
            facts = _facts(part, it)
            typer.echo(f"  {part:<{width}}  {facts['does']}")
            if facts["options"]:
                options = "  ".join(
                    f"{option}={value}" if value else option for option, value in facts["options"].items()
                )
                typer.echo(f"  {'':<{width}}    {options}")


def _kinds() -> dict[str, _Kind]:
    from poise import constraints, losses, penalties
    from poise.balance import BALANCES
    from poise.config import OPTIMIZERS, OptimizerConfig, WarmupConfig
    from poise.hooks import HOOKS
    from poise.metrics import METRICS
    from poise.metrics.features import FEATURES
    from poise.models import INITIALIZERS, LAYERS, OPS, PRESETS
    from poise.models.build import layer_options
    from poise.optimizers import WRAPPERS
    from poise.schedules import SCHEDULES

    networks = {**PRESETS, "layers": LAYERS}
    return {
        "losses": _Kind("loss=NAME", {name: getattr(losses, name) for name in losses.LOSSES}),
        "penalties": _Kind(
            "penalties.NAME.weight=1, and every=1, to=D or G",
            {it: getattr(penalties, it) for it in penalties.PENALTIES},
        ),
        "constraints": _Kind(
            "constraints={NAME: {}}, and every: 1, to: D or G",
            {it: getattr(constraints, it) for it in constraints.CONSTRAINTS},
        ),
        "balances": _Kind("balance=NAME", BALANCES),
        "schedules": _Kind("in place of a number, such as g_optimizer.lr={class: NAME, ...}; in kimg", SCHEDULES),
        "optimizers": _Kind(
            "g_optimizer=NAME, d_optimizer=NAME",
            OPTIMIZERS,
            ("params",),
            # Fused where torch has it, if neither foreach nor differentiable is asked for.
            {"lr": OptimizerConfig().lr, "fused": True},
        ),
        "wrappers": _Kind("g_optimizer.wrap=NAME", WRAPPERS, ("base",)),
        "warm-ups": _Kind(
            "warmup={class: NAME, ...}",
            {"autoencoder": WarmupConfig},
            ("class_",),
            {"optimizer": OptimizerConfig().class_},
        ),
        "networks": _Kind(
            "generator=NAME, discriminator=NAME",
            {f"{name} {role}": getattr(it, role) for name, it in networks.items() for role in it._fields},
            ("z_dim", "shape"),
        ),
        "layers": _Kind("generator=['linear 128', 'relu', ...]", OPS, ("site",)),
        "layer-options": _Kind("in any layer, as in 'conv 64 name=features'", {"any": layer_options}, ("site",)),
        "initializers": _Kind(
            "generator.initializer=NAME, discriminator.initializer=NAME; in a layer initializer=NAME or "
            "initializer=(NAME ...)",
            INITIALIZERS,
            ("module",),
        ),
        "metrics": _Kind("evaluate.metrics=[NAME, ...]", {name: it.measure for name, it in METRICS.items()}, ("it",)),
        "hooks": _Kind("hooks=[NAME, ...]", HOOKS, ("run", "failed")),
        "features": _Kind(
            "evaluate.features=NAME", {name: it.make for name, it in FEATURES.items()}, ("examples", "workplace")
        ),
    }


def _facts(name: str, kind: _Kind) -> dict[str, Any]:
    make = kind.entries[name]
    parameters = inspect.signature(make).parameters.values()
    return {
        "name": name,
        "does": _plain((inspect.getdoc(make) or "").split("\n\n")[0]),
        "options": {
            it.name.rstrip("_"): "" if it.default is it.empty else _shown(kind.defaults.get(it.name, it.default))
            for it in parameters
            if it.name not in kind.given
        },
    }


def _plain(text: str) -> str:
    """A docstring's first sentences without markup and formulas."""
    return re.sub(r",? :math:`[^`]*`", "", " ".join(text.split())).replace("``", "")


def _shown(value: Any) -> str:
    """A default as YAML has it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)
