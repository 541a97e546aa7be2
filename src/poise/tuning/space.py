"""Search spaces: which settings a study varies, within what, and when."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from poise.config import Config, differences, parse_file
from poise.errors import ConfigError, PoiseError, nearest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Choices", "Domain", "Entry", "Range", "Settings", "Space", "shown"]

Settings = Callable[[Sequence[str]], Config]
"""The config of assignments ``a.b=c`` over those of the study."""

_Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``: evenly by value, or by logarithm; whole ones where both ends are.

    Drawn numbers are rounded to three digits, so that recipes can be read.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{name} is {value!r}: give a finite number")
        if self.low >= self.high:
            raise ConfigError(
                f"low is {self.low:g} and high is {self.high:g}, so the range is upside down or empty: low must be "
                "below high"
            )
        if self.log and self.low <= 0:
            raise ConfigError(f"low is {self.low:g}: a range by logarithm must be above 0; raise low, or leave log out")

    @property
    def is_whole(self) -> bool:
        """Whether it has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(float(self.low), float(self.high), log=self.log)

    def value(self, drawn: Any) -> Any:
        """The setting's value of what was drawn."""
        return drawn if self.is_whole else min(max(float(f"{drawn:.3g}"), self.low), self.high)

    def samples(self) -> Sequence[Any]:
        """Drawn values that stand for all: both ends."""
        return (self.low, self.high)

    def drawn_for(self, value: Any) -> list[Any]:
        """What could be drawn to give this value; nothing where it is out of range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return [value] if is_number and self.low <= value <= self.high else []

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Choices:
    """One of several values, each with a label: a scalar, which for a scalar value is the value itself."""

    values: Mapping[Any, Any]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ConfigError("a choice needs two values or more; a setting with one is for --set")
        for label in self.values:
            if not isinstance(label, get_args(_Scalar)):
                raise ConfigError(f"{label!r} is no name of a choice: give text or a number")

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(tuple(self.values))

    def value(self, drawn: Any) -> Any:
        """The setting's value of what was drawn."""
        return self.values[drawn]

    def samples(self) -> Sequence[Any]:
        """Drawn values that stand for all: each of them."""
        return tuple(self.values)

    def drawn_for(self, value: Any) -> list[Any]:
        """What could be drawn to give a setting: any label, as text and mappings have many ways of meaning the same."""
        return list(self.values)

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Domain = Range | Choices


@dataclass(frozen=True)
class Entry:
    """A setting that is varied.

    Attributes:
        path: the setting, such as ``g_optimizer.lr``.
        domain: what it is drawn from.
        times: another setting, drawn before; what is drawn is a factor of it.
        also: further settings that get the same value.
        when: by the paths of choices drawn before, the labels with which this one is drawn; left out of others.
    """

    path: str
    domain: Domain
    times: str | None = None
    also: tuple[str, ...] = ()
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in tables and figures."""
        return f"{self.path} / {self.times}" if self.times else self.path

    def applies(self, drawn: Mapping[str, Any]) -> bool:
        """Whether it is drawn, after what was drawn before: by paths."""
        return all(path in drawn and drawn[path] in labels for path, labels in self.when.items())

    def __str__(self) -> str:
        condition = " and ".join(f"{path} is {' or '.join(map(str, labels))}" for path, labels in self.when.items())
        return f"{self.name}: {self.domain}" + (f", when {condition}" if condition else "")


class Space:
    """The settings that a study varies, in the order in which they are drawn.

    Args:
        entries: those; one that depends on another stands after it.
        origin: where they come from, for messages.

    Raises:
        ConfigError: naming the entry that is wrong.
    """

    def __init__(self, entries: Sequence[Entry], origin: str = "the space") -> None:
        if not entries:
            raise ConfigError(f"{origin}: it has no settings; name at least one")
        self.entries = tuple(entries)
        self.origin = origin
        before: dict[str, Entry] = {}
        for entry in self.entries:
            self._require_order(entry, before)
            before[entry.path] = entry

    def _require_order(self, entry: Entry, before: Mapping[str, Entry]) -> None:
        place = f"{self.origin}: {entry.path}"
        for other in [*entry.when, *([entry.times] if entry.times else [])]:
            if other not in before:
                raise ConfigError(f"{place}: it depends on '{other}', which is not above it {nearest(other, before)}")
        for other, labels in entry.when.items():
            domain = before[other].domain
            if not isinstance(domain, Choices):
                raise ConfigError(f"{place}: it depends on '{other}', which is a range; only choices can be conditions")
            for label in labels:
                if label not in domain.values:
                    raise ConfigError(
                        f"{place}: '{other}' is never {label} {nearest(str(label), map(str, domain.values))}"
                    )
        if entry.times:
            of = before[entry.times]
            if isinstance(of.domain, Choices) or isinstance(entry.domain, Choices):
                raise ConfigError(
                    f"{place}: times is for a range of factors of a range, and one of the two is a choice"
                )
            if not set(of.when.items()) <= set(entry.when.items()):
                raise ConfigError(f"{place}: '{entry.times}' is not always drawn; give the same when as there")

    @classmethod
    def read(cls, path: Path) -> Space:
        """The space that a YAML file describes.

        Raises:
            ConfigError: naming the file and the entry that is wrong.
        """
        return cls.of(parse_file(path), str(path))

    @classmethod
    def of(cls, fields: Mapping[str, Any], origin: str = "the space") -> Space:
        """The space that a mapping describes: settings by path, each a list of choices or a mapping.

        Raises:
            ConfigError: naming the entry that is wrong.
        """
        entries = []
        for path, given in fields.items():
            try:
                entries.append(_entry(str(path), given))
            except ConfigError as error:
                raise ConfigError(f"{origin}: {path}: {error}") from error
        return cls(entries, origin)

    def draw(self, suggest: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        """Draw each setting that applies.

        Args:
            suggest: ``(name, distribution)``: draws one.

        Returns:
            What was drawn, by path: numbers of ranges, labels of choices.
        """
        drawn: dict[str, Any] = {}
        for entry in self.entries:
            if entry.applies(drawn):
                drawn[entry.path] = suggest(entry.name, entry.domain.distribution())
        return drawn

    def assignments(self, drawn: Mapping[str, Any]) -> list[str]:
        """What was drawn as assignments ``a.b=c``."""
        values: dict[str, Any] = {}
        for entry in self._drawn(drawn):
            if entry.times:
                value = float(f"{drawn[entry.path] * values[entry.times]:.3g}")
            else:
                value = entry.domain.value(drawn[entry.path])
            values |= dict.fromkeys((entry.path, *entry.also), value)
        return [f"{path}={json.dumps(value)}" for path, value in values.items()]

    def _drawn(self, drawn: Mapping[str, Any]) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.path in drawn)

    def distributions(self, drawn: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        """The distributions of what was drawn, by name."""
        return {entry.name: entry.domain.distribution() for entry in self._drawn(drawn)}

    def named(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What was drawn, by name."""
        return {entry.name: drawn[entry.path] for entry in self._drawn(drawn)}

    def require_fit(self, settings: Settings, build: Callable[[Config], object]) -> None:
        """Refuse settings that there are not, and choices that cannot be trained.

        Each is tried by itself, with what it depends on.

        Args:
            settings: gives configs.
            build: makes what a config describes, and refuses one that cannot be trained.

        Raises:
            ConfigError: naming the entry.
        """
        for entry in self.entries:
            for sample in entry.domain.samples():
                drawn = self._dependencies(entry) | {entry.path: sample}
                try:
                    build(settings(self.assignments(drawn)))
                except PoiseError as error:
                    raise ConfigError(f"{self.origin}: {entry.path}={sample}: {error}") from error

    def _dependencies(self, entry: Entry) -> dict[str, Any]:
        """What has to be drawn for an entry to be drawn."""
        by_path = {it.path: it for it in self.entries}
        drawn: dict[str, Any] = {}
        for path in [*entry.when, *([entry.times] if entry.times else [])]:
            sample = entry.when[path][0] if path in entry.when else by_path[path].domain.samples()[0]
            drawn |= self._dependencies(by_path[path]) | {path: sample}
        return drawn

    def drawn_for(self, config: Config, settings: Settings) -> dict[str, Any] | None:
        """What would have to be drawn to give a config that is within the space; None where it is not.

        Args:
            config: the settings.
            settings: gives configs.
        """
        fields = config.model_dump(mode="json", by_alias=True)
        drawn: dict[str, Any] = {}
        for entry in self.entries:
            if not entry.applies(drawn):
                continue
            value = _at(fields, entry.path)
            if entry.times:
                of = _at(fields, entry.times)
                value = value / of if isinstance(value, int | float) and isinstance(of, int | float) and of else None
            for candidate in entry.domain.drawn_for(value):
                if _is_met(settings(self.assignments(drawn | {entry.path: candidate})), config, entry):
                    drawn[entry.path] = candidate
                    break
            else:
                return None
        return None if differences(settings(self.assignments(drawn)), config) else drawn

    def to_json(self) -> list[dict[str, Any]]:
        """All of it as JSON values; equal spaces give equal ones."""
        return [
            {
                "path": entry.path,
                "domain": str(entry.domain),
                "values": list(entry.domain.values.items()) if isinstance(entry.domain, Choices) else [],
                "times": entry.times,
                "also": list(entry.also),
                "when": [[path, list(labels)] for path, labels in entry.when.items()],
            }
            for entry in self.entries
        ]


def _is_met(made: Config, config: Config, entry: Entry) -> bool:
    """Whether a config has the settings of an entry as another has them."""
    one, other = (it.model_dump(mode="json", by_alias=True) for it in (made, config))
    return all(_at(one, path) == _at(other, path) for path in (entry.path, *entry.also))


def _at(fields: Any, path: str) -> Any:
    """What stands at a path of nested settings; None where nothing does."""
    for key in path.split("."):
        if isinstance(fields, Mapping):
            fields = fields.get(key)
        elif isinstance(fields, list) and key.isdecimal() and int(key) < len(fields):
            fields = fields[int(key)]
        else:
            return None
    return fields


def shown(drawn: Any) -> str:
    """What was drawn, for a person."""
    return f"{drawn:.3g}" if isinstance(drawn, float) else str(drawn)


_KEYS = ("choices", "low", "high", "log", "times", "also", "when")


def _entry(path: str, given: Any) -> Entry:
    if isinstance(given, list):
        given = {"choices": given}
    if not isinstance(given, Mapping):
        raise ConfigError("give a list of choices, or a mapping with low and high or choices")
    for key in given:
        if key not in _KEYS:
            raise ConfigError(f"there is no '{key}' {nearest(str(key), _KEYS)}")
    also, times, when = given.get("also", ()), given.get("times"), given.get("when", {})
    if isinstance(also, str):
        also = (also,)
    if not isinstance(when, Mapping):
        raise ConfigError("when is a mapping of other settings to their values, such as {penalties: r1}")
    conditions = {str(name): tuple(it) if isinstance(it, list) else (it,) for name, it in when.items()}
    return Entry(path, _domain(given), None if times is None else str(times), tuple(map(str, also)), conditions)


def _domain(given: Mapping[str, Any]) -> Domain:
    if "choices" in given:
        if {"low", "high", "log"} & set(given):
            raise ConfigError("give choices, or low and high, not both")
        choices = given["choices"]
        if isinstance(choices, Mapping):
            return Choices(dict(choices))
        if not isinstance(choices, list):
            raise ConfigError("choices are a list, or a mapping of names to values")
        return Choices({_label(value): value for value in choices})
    missing = [name for name in ("low", "high") if name not in given]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"log is {log!r}: give true or false")
    return Range(given["low"], given["high"], log)


def _label(value: Any) -> _Scalar:
    """A scalar is its own label; what is more is called by what it says."""
    return value if isinstance(value, get_args(_Scalar)) else json.dumps(value)
