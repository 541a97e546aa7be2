"""From a named part to the object that it names."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from poise.config.imports import PREFIX, imported
from poise.config.numbers import mistakes
from poise.config.schema import Part
from poise.errors import ConfigError, PoiseError, nearest

__all__ = ["Builder", "options_of"]


class Builder:
    """Makes parts: finds what a part names in a table or, where it is trusted, imports it; and calls it.

    Args:
        trust: packages from which parts may be imported.
        end: where the run ends, in kimg; schedules that do not say where they end go on until then.
    """

    def __init__(self, trust: Sequence[str] = (), end: float | None = None) -> None:
        self._trust = trust
        self.end = end

    def __call__(
        self,
        path: str,
        part: Part,
        table: Mapping[str, Callable[..., Any]],
        kind: Any = object,
        itself_takes: str = "",
        noun: str = "",
        **given: Any,
    ) -> Any:
        """Call the entry that a part names with its options, each checked by name and type.

        Args:
            path: the part's place in the config, for messages.
            part: the part.
            table: the known entries.
            kind: what is made. Something imported that is no function and no class is taken as it is, if it is one.
            itself_takes: a function that is imported and has this one argument is taken as it is, too.
            noun: what the table has entries of, for messages; the path if none is given.
            **given: arguments that are not the config's. An imported function or class is given those that it takes.

        Raises:
            ConfigError: naming the field that is wrong.
        """
        make = self.entry(path, part, table, noun)
        is_imported = part.class_.startswith(PREFIX)
        if is_imported:
            makes = inspect.isclass(make) or inspect.isfunction(make)
            if makes and list(inspect.signature(make).parameters) == [itself_takes]:
                makes = False
            if not makes:
                if not isinstance(make, kind):
                    what = part.class_.removeprefix(PREFIX)
                    raise ConfigError(f"{path}: {what} is a {type(make).__name__}, not a function or class")
                self.require_known(path, part, [])
                return make
            taken = options_of(make)
            given = {name: value for name, value in given.items() if name in taken}
        self.require_known(path, part, options_of(make, without=tuple(given)))
        self.require_numbers(path, make, part.options)
        options = {_argument(name): value for name, value in part.options.items()}
        try:
            made = _call(make, given | options)
        except ValidationError as error:
            entry = error.errors()[0]
            # What follows the option's name is how it was read, but for the places in a list.
            option = ".".join(
                str(it).rstrip("_") for it in entry["loc"] if it is entry["loc"][0] or isinstance(it, int)
            )
            if entry["type"] == "missing_argument":
                raise ConfigError(f"{path}: {part.class_} needs {option}") from error
            raise ConfigError(f"{path}.{option} is {entry['input']!r}: {entry['msg'].lower()}") from error
        except PoiseError as error:
            raise type(error)(f"{path}: {error}") from error
        except (ValueError, RuntimeError) as error:  # RuntimeError: more memory than there is, among others
            raise ConfigError(f"{path}: {error}") from error
        except Exception as error:  # whatever code of one's own raises; a defect of poise stays one
            if not is_imported:
                raise
            name = part.class_.removeprefix(PREFIX)
            raise ConfigError(f"{path}: {name} raised {type(error).__name__}: {error}") from error
        if is_imported and not isinstance(made, kind):
            raise ConfigError(
                f"{path}: {part.class_.removeprefix(PREFIX)} made a {type(made).__name__}, not a {kind.__name__}"
            )
        return made

    def entry(self, path: str, part: Part, table: Mapping[str, Any], noun: str = "") -> Any:
        """What a part names.

        Raises:
            ConfigError: when it is not known or not trusted.
        """
        name = part.class_
        if name.startswith(PREFIX):
            return imported(path, name.removeprefix(PREFIX), self._trust)
        if name not in table:
            raise ConfigError(f"{path}: there is no {noun or path} '{name}' {nearest(name, table)}")
        return table[name]

    @staticmethod
    def require_known(path: str, part: Part, known: Sequence[str]) -> None:
        """Refuse options that a part does not have."""
        fields = [name for name in type(part).model_fields if name != "class_"]
        for option in part.options:
            if option not in known and option not in fields:
                raise ConfigError(
                    f"{path}: {part.class_} has no option '{option}' {nearest(option, [*known, *fields])}"
                )

    @staticmethod
    def require_numbers(path: str, make: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Refuse what would only be read as a number: see :func:`~poise.config.numbers.mistakes`.

        Args:
            path: the part's place in the config.
            make: what takes the options.
            options: by name.

        Raises:
            ConfigError: naming the option.
        """
        parameters = inspect.signature(make, eval_str=True).parameters
        for option, value in options.items():
            for place, given, why in mistakes(value, parameters[_argument(option)].annotation):
                raise ConfigError(f"{path}.{option}{place} is {given!r}: {why}")


def _argument(option: str) -> str:
    """The argument of an option; Python keywords such as ``from`` and ``lambda`` have an underscore there."""
    return f"{option}_" if option in ("from", "lambda") else option


def options_of(make: Callable[..., Any], without: Sequence[str] = ()) -> list[str]:
    """The names of the options that a function or class takes."""
    return [name.rstrip("_") for name in inspect.signature(make).parameters if name not in without]


def _call(make: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Call a function or class with its arguments converted to and checked against its annotations."""
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))
    if not inspect.isclass(make):
        return checked(make)(**options)
    if not inspect.isfunction(make.__init__):  # written in C, or object's own
        return make(**options)
    instance: Any = make.__new__(make)
    checked(make.__init__)(instance, **options)
    return instance
