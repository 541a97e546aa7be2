"""How a recipe becomes the config of a run: files of settings, options and assignments over it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poise.config import Config, merge, override, parse, parse_file, to_yaml
from poise.data import Data, held_out
from poise.errors import ConfigError, nearest
from poise.recipes.recipes import default_for
from poise.recipes.table import RECIPES

__all__ = ["as_recipe", "chosen_size", "resolve"]


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
            penalties of a file, and the settings that it lists under ``replace``, take the place of the recipe's.
        settings: top-level settings over the recipe's; None among them are left out. An end (``steps`` or ``kimg``)
            takes the place of the recipe's own.
        assignments: ``a.b=c``, over all of these.

    Raises:
        ConfigError: when the recipe is not known, or a setting is wrong.
    """
    name, filed, replaced = recipe or default_for(data), {}, []
    if _is_file(name):
        filed = parse_file(Path(name))
        name = str(filed.pop("recipe", None) or default_for(data))
        replaced = _replaced(filed, recipe)
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe '{name}' {nearest(name, RECIPES)}; 'poise recipes' tells what each does")
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    assigned = override({}, assignments)
    fields = RECIPES[name](data).model_dump(mode="json", by_alias=True) | {"recipe": name}
    for layer in (filed, given | {end: assigned[end] for end in _ENDS if end in assigned}):
        if any(end in layer for end in _ENDS):
            fields |= dict.fromkeys(_ENDS)
        fields |= {key: {} for key in ("penalties", "constraints", *replaced) if key in layer}
        fields = merge(fields, layer)
    # What was prepared stands: no recipe file can say otherwise.
    fields |= {"data": data.source, "fingerprint": data.fingerprint}
    fields = override(fields, assignments)
    fields |= {"classes": list(data.classes) if fields.get("conditional") is True else []}
    config = parse(fields)
    _require_fit(config, data)
    return config


_ENDS = ("steps", "kimg")


def _replaced(filed: dict[str, Any], origin: str | None) -> list[str]:
    """The settings of a file of which nothing of the recipe stays; taken out of the file's fields."""
    replaced = filed.pop("replace", [])
    if not isinstance(replaced, list) or any(key not in list(filed) for key in replaced):
        raise ConfigError(f"{origin}: replace is {replaced!r}: give a list of settings that the file has")
    return replaced


def as_recipe(config: Config, data: Data, size: int | None = None) -> str:
    """A recipe file of a config: what it has otherwise than its recipe.

    Args:
        config: the settings; of a recipe of this name.
        data: what they were made for; :func:`resolve` gives them back for it.
        size: the side of the images that was asked for; None where it is the data's own.
    """
    name = config.recipe or default_for(data)
    base, own = (it.model_dump(mode="json", by_alias=True) for it in (RECIPES[name](data), config))
    changed = {key: value for key, value in own.items() if value != base[key] and key not in _OF_THE_DATA}
    if any(end in changed for end in _ENDS):
        changed |= {end: own[end] for end in _ENDS}  # since an end takes the place of both of the recipe's
    merged = merge(base | {"penalties": {}, "constraints": {}}, changed)
    replaced = [key for key in changed if merged[key] != own[key]]
    head = {"recipe": name, "size": size, "replace": replaced}
    return to_yaml({key: value for key, value in head.items() if value} | changed)


_OF_THE_DATA = ("recipe", "data", "fingerprint", "classes")


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
    aside = len(held_out(len(data), config.held_out))
    count = len(data) - aside
    if config.batch != "auto" and config.batch > count:
        besides = f" to train on, and {aside} that are held out" if aside else ""
        raise ConfigError(
            f"batch is {config.batch}, but {data.source} has {count:,} samples{besides}; take --batch {count} or less"
        )
    if config.flip and data.kind != "images":
        raise ConfigError(f"flip is for images; {data.source} holds vectors: leave flip out")
    if config.conditional and not data.classes:
        raise ConfigError(
            f"conditional networks need classes, and {data.source} has none: put its images into class folders, or "
            "leave conditional out"
        )
    prepared = data.shape[-1] if data.kind == "images" else None
    if config.size != prepared:
        raise ConfigError(
            f"size is {config.size}, but {data.source} was prepared at {prepared}; give it as --size, or size of a plan"
        )
