"""Plans: tables of named trials over one recipe, several seeds each."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from poise.config import Config, parse_file
from poise.errors import ConfigError, PoiseError, nearest
from poise.tuning.goal import as_drawn

__all__ = ["Configure", "Plan", "PlannedTrial", "find_plan", "naming", "shipped_plans"]

Configure = Callable[[str | None, Sequence[str]], Config]
"""The config of a recipe and of assignments ``a.b=c`` over it."""


@dataclass(frozen=True)
class PlannedTrial:
    """One row of the table.

    Attributes:
        name: what it is called in the comparison.
        recipe: its recipe; that of the plan if none is given.
        assignments: its settings as ``a.b=c``.
    """

    name: str
    recipe: str | None
    assignments: tuple[str, ...]

    @property
    def slug(self) -> str:
        """Its name as the name of a directory."""
        return re.sub(r"\W+", "-", self.name).strip("-").lower() or "trial"


@dataclass(frozen=True)
class Plan:
    """Trials that are to be compared.

    Attributes:
        name: of the plan.
        data: what is trained on, as for ``poise train``.
        trials: the rows.
        seeds: each trial is trained with each of them.
        recipe: what the trials have in common; the data's own if none is given.
        size: the side of images.
        metric: what is compared; what fits the data if none is given.
        assignments: settings of all trials as ``a.b=c``.
    """

    name: str
    data: str
    trials: tuple[PlannedTrial, ...]
    seeds: tuple[int, ...]
    recipe: str | None = None
    size: int | None = None
    metric: str | None = None
    assignments: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """The plan that a YAML file describes.

        Raises:
            ConfigError: naming the file and what is wrong in it.
        """
        return cls.of(parse_file(path), path.stem, str(path))

    @classmethod
    def of(cls, fields: Mapping[str, Any], name: str, origin: str = "the plan") -> "Plan":
        """The plan that a mapping describes.

        Raises:
            ConfigError: naming what is wrong.
        """
        for key in fields:
            if key not in _KEYS:
                raise ConfigError(f"{origin}: there is no '{key}' in a plan {nearest(str(key), _KEYS)}")
        for key in ("data", "trials"):
            if key not in fields:
                raise ConfigError(f"{origin}: {key} is missing")
        for key in ("data", "recipe", "metric"):
            if not isinstance(fields.get(key, ""), str):
                raise ConfigError(f"{origin}: {key} is {fields[key]!r}: give a name")
        shared = fields.get("set", {})
        if not isinstance(shared, Mapping):
            raise ConfigError(f"{origin}: set is a mapping of settings to values, such as {{kimg: 30}}")
        size = fields.get("size")
        if size is not None and type(size) is not int:
            raise ConfigError(f"{origin}: size is {size!r}: give a number")
        return cls(
            name,
            fields["data"],
            _trials(fields["trials"], origin),
            _seeds(fields.get("seeds", 3), origin),
            fields.get("recipe"),
            size,
            fields.get("metric"),
            _assignments(shared),
        )

    def config(self, trial: PlannedTrial, seed: int, configure: Configure, over: Sequence[str] = ()) -> Config:
        """The settings of one run.

        Args:
            trial: the row.
            seed: the seed.
            configure: gives configs.
            over: assignments over those of the plan and the trial.

        Raises:
            ConfigError: naming the trial.
        """
        measured = [] if self.metric is None else [f"evaluate.metric={self.metric}"]
        assignments = [*self.assignments, *measured, *trial.assignments, *over]
        assignments += [*as_drawn(assignments), f"seed={seed}"]
        with naming(trial):
            return configure(trial.recipe or self.recipe, assignments)


@contextmanager
def naming(trial: PlannedTrial) -> Iterator[None]:
    """Let an error say whose it is.

    Raises:
        ConfigError: naming the trial.
    """
    try:
        yield
    except PoiseError as error:
        raise ConfigError(f"trial '{trial.name}': {error}") from error


_KEYS = ("data", "recipe", "size", "seeds", "metric", "set", "trials")


def _trials(given: Any, origin: str) -> tuple[PlannedTrial, ...]:
    """Rows by their names, or a list of rows that have a ``name``."""
    if isinstance(given, Mapping):
        given = [{"name": name, **_row(fields, f"{origin}: trial '{name}'")} for name, fields in given.items()]
    if not isinstance(given, list) or len(given) < 2:
        raise ConfigError(
            f"{origin}: trials are two names or more, each with its settings: one has no other to compare"
        )
    rows: dict[str, PlannedTrial] = {}
    for index, fields in enumerate(given, 1):
        settings = dict(_row(fields, f"{origin}: trial {index}"))
        name = settings.pop("name", None)
        if name is None:
            raise ConfigError(f"{origin}: trial {index} has no name; give it one")
        if str(name) in rows:
            raise ConfigError(f"{origin}: two trials are named '{name}'; give each its own name")
        recipe = settings.pop("recipe", None)
        if recipe is not None and not isinstance(recipe, str):
            raise ConfigError(f"{origin}: trial '{name}': recipe is {recipe!r}: give a name")
        row = PlannedTrial(str(name), recipe, _assignments(settings))
        for other in rows.values():
            if other.slug == row.slug:
                raise ConfigError(
                    f"{origin}: trials '{other.name}' and '{name}' would both be in a directory {row.slug}; "
                    "give one of them another name"
                )
        rows[row.name] = row
    return tuple(rows.values())


def _row(fields: Any, place: str) -> Mapping[str, Any]:
    """The settings of a row; one that says nothing has those of the plan."""
    if fields is None:
        return {}
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{place} is {fields!r}: give a mapping of settings to values, such as {{batch: 64}}")
    return fields


def _seeds(given: Any, origin: str) -> tuple[int, ...]:
    """So many, from 0; or those of a list."""
    seeds = list(range(given)) if type(given) is int else given
    is_whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not is_whole or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"{origin}: seeds is {given!r}: give how many, or a list of different whole numbers from 0")
    return tuple(seeds)


def _assignments(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{path}={json.dumps(value)}" for path, value in settings.items())


def shipped_plans() -> dict[str, Path]:
    """The plans that come along, by name."""
    return {Path(str(it)).stem: Path(str(it)) for it in (files("poise.tuning") / "plans").iterdir()}


def find_plan(name: str) -> Path:
    """The file of a plan: a path, or ``NAME`` or ``plans/NAME.yaml`` of one that comes along.

    Raises:
        ConfigError: when there is none.
    """
    path, shipped = Path(name), shipped_plans()
    if path.is_file():
        return path
    if path.with_suffix("").name in shipped and path.parent in (Path(), Path("plans")):
        return shipped[path.with_suffix("").name]
    known = ", ".join(sorted(shipped))
    raise ConfigError(f"there is no plan {name}; give a YAML file, or one that comes along: {known}")
