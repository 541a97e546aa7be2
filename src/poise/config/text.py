"""Configs from and to text: YAML, ``--set a.b=c``, and the differences between two."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from poise.config.schema import Config
from poise.errors import ConfigError, nearest

__all__ = ["differences", "dump", "merge", "override", "parse", "parse_file", "to_yaml"]


class _Loader(yaml.SafeLoader):
    """YAML whose ``1e-4`` is a number and whose ``1:30`` is text, as in YAML 1.2 and in Python; no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node, as long as each key stands in it once: of two, one would be lost without a word."""
        first: dict[Any, yaml.Mark] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in first:
                line, before = key.start_mark.line + 1, first[key.value].line + 1
                raise ValueError(f"line {line}: '{key.value}' is there twice, first in line {before}")
            first[key.value] = key.start_mark
        return super().construct_mapping(node, deep)


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"^[-+]?(0|[1-9][\d_]*|0b[01_]+|0[0-7_]+|0x[\da-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


class _Dumper(yaml.SafeDumper):
    """Quotes text that readers of YAML 1.1 or of 1.2 would take for something else, such as a folder's name ``1e5``."""


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {**yaml.SafeDumper.yaml_implicit_resolvers, **_Loader.yaml_implicit_resolvers}
}


def _load(text: str) -> Any:
    """What a YAML text says.

    Raises:
        ValueError: when it is not YAML, or says what Python cannot hold, such as the 45th of a month.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}" if mark else str(error)) from error


def parse_file(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: when it cannot be read or holds something else.
    """
    try:
        fields = _load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # bytes that are no text among them
        raise ConfigError(f"{path} is not YAML ({error}): mend it, or give another file") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path} holds no settings: it must be a mapping such as 'batch: 64'")
    return fields


def dump(config: Config) -> str:
    """The config as YAML; :func:`parse` gives it back."""
    return to_yaml(config.model_dump(mode="json", by_alias=True))


def to_yaml(fields: Mapping[str, Any]) -> str:
    """Nested settings as YAML, in their order; :func:`parse_file` gives them back."""
    return yaml.dump(dict(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def override(fields: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``a.b=c`` assignments; values are YAML. See :func:`merge` for what becomes of the other fields.

    Args:
        fields: nested settings; not changed.
        assignments: such as ``g_optimizer.lr=1e-4``, ``loss=hinge`` or ``penalties.r1.weight=10``.

    Raises:
        ConfigError: when an assignment has no ``=`` or its value is not YAML.
    """
    result: dict[str, Any] = _copy(fields)
    # Classes first, so that options given in any order are those of the new class.
    for assignment in sorted(assignments, key=lambda it: not it.partition("=")[0].strip().endswith(".class")):
        path, equals, value = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {assignment}: write it as path=value, such as --set g_optimizer.lr=1e-4")
        try:
            parsed = _load(value)
        except ValueError as error:
            raise ConfigError(f"--set {assignment}: the value '{value}' is not YAML; quote it") from error
        if keys[0] in _FIXED:
            raise ConfigError(f"--set {assignment}: '{keys[0]}' is not to be set; give {_FIXED[keys[0]]}")
        if len(keys) == 1:
            result[keys[0]] = parsed
        else:
            for key in reversed(keys):
                parsed = {key: parsed}
            result = merge(result, parsed)
    return result


_FIXED = {
    "format": "nothing: it is that of this version",
    "data": "the data as DATA",
    "recipe": "--recipe",
    "fingerprint": "nothing: it follows from the data",
}


def merge(fields: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over others, field by field.

    A part given by its bare name stands for its class. A new ``class`` brings its own defaults: of the old one's
    options only ``lr`` stays. A mapping whose keys are places, such as ``{0: 0.5}``, changes these places of a list.

    Args:
        fields: nested settings; not changed.
        over: settings that take the place of those.
    """
    result: dict[str, Any] = _copy(fields)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, str) and isinstance(old, dict) and "class" in old:
            value = {"class": value}
        if not isinstance(value, Mapping):
            result[key] = value
            continue
        if isinstance(old, list) and value and all(str(place) in map(str, range(len(old))) for place in value):
            result[key] = [value.get(str(place), value.get(place, item)) for place, item in enumerate(old)]
            continue
        if not isinstance(old, dict):
            old = {"class": old} if isinstance(old, str) else {}
        if _class(value, _class(old)) != _class(old):
            old = {name: old[name] for name in ("lr",) if name in old}
        result[key] = merge(old, value)
    return result


def _class(part: Mapping[str, Any], otherwise: Any = None) -> Any:
    return f"import:{part['import']}" if "import" in part else part.get("class", otherwise)


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def parse(fields: Mapping[str, Any], origin: str = "") -> Config:
    """Settings to a config.

    Args:
        fields: nested settings by name.
        origin: where they come from, for messages.

    Raises:
        ConfigError: naming each wrong field by its path.
    """
    try:
        return Config.model_validate(dict(fields))
    except ValidationError as error:
        messages = [_message(entry["loc"], entry["type"], entry["msg"], entry["input"]) for entry in error.errors()]
        raise ConfigError((f"{origin}: " if origin else "") + "; ".join(messages)) from error


def _message(place: Sequence[str | int], kind: str, message: str, given: Any) -> str:
    names = [str(part) for part in place if str(part) not in _TAGS and not str(part).startswith("function-")]
    path = ".".join(names)
    if kind == "extra_forbidden":
        parent = _model_at(names[:-1])
        known = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        return f"there is no setting '{path}' {nearest(names[-1], known)}"
    if kind == "missing":
        meant = get_close_matches(names[-1], list(given), n=1) if isinstance(given, Mapping) else []
        return f"{path} is missing" + (f"; is it meant by '{meant[0]}'?" if meant else "")
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind in ("model_type", "model_attributes_type"):
        return f"{path} is {given!r}: give a name, or a mapping with its options"
    return f"{path} is {given!r}: {message[0].lower()}{message[1:]}"


# What a path has of how a value was read.
_TAGS = ("number", "schedule", "auto")


def _model_at(names: Sequence[str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Config
    for name in names:
        if model is None:
            return None
        field = model.model_fields.get(name)
        # A name that is no field is a key of a mapping, whose values are the model looked for.
        model = next(_models_in(field.annotation), None) if field else model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def differences(old: Config, new: Config, ignore: Sequence[str] = ()) -> list[str]:
    """What changed, as lines ``path: old -> new``, but for the top-level fields in ``ignore``."""
    before, after = (config.model_dump(mode="json", by_alias=True, exclude=set(ignore)) for config in (old, new))
    return [f"{path}: {_shown(was)} -> {_shown(now)}" for path, was, now in _changes(before, after)]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(item)}' for key, item in value.items())}}}"
    return "none" if value is None else str(value)


def _changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each value that is another one, by its path. What is not there is taken apart like what it is compared with."""
    if (isinstance(old, dict) and isinstance(new, dict | None)) or (old is None and isinstance(new, dict)):
        was, now = old or {}, new or {}
        for key in dict.fromkeys([*was, *now]):
            yield from _changes(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield path, old, new
