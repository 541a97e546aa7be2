"""The recipes, and how one becomes the config of a run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from poise.config import (
    Config,
    EmaConfig,
    EvaluateConfig,
    OptimizerConfig,
    Part,
    PenaltyConfig,
    merge,
    override,
    parse,
    parse_file,
)
from poise.data import Data
from poise.errors import ConfigError, nearest

__all__ = ["DEFAULT", "RECIPES", "Recipe", "chosen_size", "resolve"]

Recipe = Callable[[Data], Config]


# Images are shown so often, within limits.
_EPOCHS = 100


def _config(data: Data, *, norm: str = "batch", **settings: Any) -> Config:
    """What all recipes share: networks and length as fit the data, then ``settings``."""
    if data.kind == "vectors":
        networks = {"generator": Part(class_="mlp"), "discriminator": Part(class_="mlp")}
        fitting: dict[str, Any] = {
            "z_dim": 8,
            "batch": 256,
            "kimg": 2500.0,
            "evaluate": EvaluateConfig(every_kimg=100.0),
        }
    else:
        networks = {"generator": Part(class_="dcgan"), "discriminator": Part(class_="dcgan", norm=norm)}
        fitting = {"z_dim": 64, "batch": 64, "kimg": float(min(max(_EPOCHS * len(data) // 1000, 150), 5000))}
    fitting["batch"] = min(fitting["batch"], len(data))
    size = data.shape[-1] if data.kind == "images" else None
    return Config(data=data.source, size=size, **(networks | fitting | settings))


def _adam(lr: float, beta1: float, beta2: float) -> OptimizerConfig:
    return OptimizerConfig(class_="Adam", lr=lr, betas=(beta1, beta2))


def vanilla(data: Data) -> Config:
    """DCGAN: the non-saturating loss, alternating, Adam 2e-4 (0.5, 0.999). Radford et al. 2015, arXiv 1511.06434."""
    adam = _adam(2e-4, 0.5, 0.999)
    return _config(data, loss=Part(class_="vanilla"), g_optimizer=adam, d_optimizer=adam)


def wgan_gp(data: Data) -> Config:
    """WGAN-GP: weight 10, 5 critic steps, Adam 1e-4 (0, 0.9). Gulrajani et al. 2017, arXiv 1704.00028."""
    adam = _adam(1e-4, 0.0, 0.9)
    return _config(
        data,
        norm="none",
        loss=Part(class_="wasserstein"),
        penalties={"wgan_gp": PenaltyConfig(weight=10.0)},
        balance=Part(class_="alternating", d_steps=5),
        g_optimizer=adam,
        d_optimizer=adam,
    )


def relativistic(data: Data) -> Config:
    """Relativistic pairing loss with R1 and R2, as in R3GAN. Huang et al. 2024, arXiv 2501.05441."""
    vectors = data.kind == "vectors"
    gamma = 0.01 if vectors else 0.2
    penalty = PenaltyConfig(weight=gamma, every=1 if vectors else 4)
    adam = _adam(1e-3 if vectors else 5e-4, 0.0, 0.9 if vectors else 0.95)
    return _config(
        data,
        norm="none",
        loss=Part(class_="relativistic"),
        penalties={"r1": penalty, "r2": penalty},
        g_optimizer=adam,
        d_optimizer=adam,
        ema=EmaConfig(half_life_kimg=20.0),
    )


RECIPES: Mapping[str, Recipe] = MappingProxyType({"relativistic": relativistic, "vanilla": vanilla, "wgan-gp": wgan_gp})
"""Every recipe by its name."""

DEFAULT = "relativistic"


def _is_file(recipe: str) -> bool:
    """Whether a recipe is meant as a file rather than a name."""
    return recipe.endswith((".yaml", ".yml")) or Path(recipe).is_file()


def resolve(
    data: Data, recipe: str | None = None, settings: Mapping[str, Any] | None = None, assignments: Sequence[str] = ()
) -> Config:
    """The config of a run.

    Args:
        data: the prepared data.
        recipe: a name, or a YAML file of settings over the recipe that it names as ``recipe`` (or the default); the
            penalties of a file take the place of the recipe's.
        settings: top-level settings over the recipe's; None among them are left out. An end (``steps`` or ``kimg``)
            takes the place of the recipe's own.
        assignments: ``a.b=c``, over all of these.

    Raises:
        ConfigError: when the recipe is not known, or a setting is wrong.
    """
    name, filed = recipe or DEFAULT, {}
    if _is_file(name):
        filed = parse_file(Path(name))
        name = str(filed.pop("recipe", None) or DEFAULT)
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe '{name}' {nearest(name, RECIPES)}; 'poise recipes' tells what each does")
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    assigned = override({}, assignments)
    fields = RECIPES[name](data).model_dump(mode="json", by_alias=True) | {"recipe": name}
    for layer in (filed, given | {end: assigned[end] for end in _ENDS if end in assigned}):
        if any(end in layer for end in _ENDS):
            fields |= dict.fromkeys(_ENDS)
        if "penalties" in layer:
            fields["penalties"] = {}
        fields = merge(fields, layer)
    # What was prepared stands: no recipe file can say otherwise.
    fields |= {"data": data.source, "fingerprint": data.fingerprint}
    config = parse(override(fields, assignments))
    _require_fit(config, data)
    return config


_ENDS = ("steps", "kimg")


def chosen_size(size: int | None, recipe: str | None, assignments: Sequence[str]) -> int | None:
    """The side of the images that a person asked for, before the data is there: by option, ``--set`` or recipe file."""
    fields = parse_file(Path(recipe)) if recipe is not None and _is_file(recipe) else {}
    if size is not None:
        fields["size"] = size
    side = override(fields, [it for it in assignments if it.split("=")[0].strip() == "size"]).get("size")
    if side is not None and type(side) is not int:
        raise ConfigError(f"size is {side!r}: input should be a valid integer")
    return side


def _require_fit(config: Config, data: Data) -> None:
    if config.batch > len(data):
        raise ConfigError(
            f"batch is {config.batch}, but {data.source} has {len(data):,} samples; take --batch {len(data)} or less"
        )
    if config.flip and data.kind != "images":
        raise ConfigError(f"flip is for images; {data.source} holds vectors: leave flip out")
    prepared = data.shape[-1] if data.kind == "images" else None
    if config.size != prepared:
        raise ConfigError(f"size is {config.size}, but {data.source} was prepared at {prepared}; give it as --size")
