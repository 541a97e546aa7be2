"""Which directory a study has."""

import json
from itertools import count
from pathlib import Path

from poise.config import Config
from poise.errors import ConfigError
from poise.runs import memorable
from poise.session.naming import NOT_IDENTITY
from poise.tuning.goal import Goal
from poise.tuning.space import Space

__all__ = ["STUDIES", "directory_for", "identity_of"]

STUDIES = Path("studies")


def identity_of(base: Config, space: Space, goal: Goal) -> str:
    """What makes two studies the same one: settings (with their length), space and metric."""
    fields = base.model_dump(mode="json", by_alias=True, exclude=set(NOT_IDENTITY) - {"steps", "kimg"})
    return json.dumps({"settings": fields, "space": space.to_json(), "metric": goal.metric}, sort_keys=True)


def directory_for(identity: str, path: str | None = None, root: Path = STUDIES) -> Path:
    """The directory of a study.

    Args:
        identity: see :func:`identity_of`.
        path: a directory, or a name under ``root``; if none is given, the identity names it, so that the same command
            finds the same study again.
        root: the directory of studies.

    Raises:
        ConfigError: when the directory that was given holds another study, or something else.
    """
    if path is None:
        names = (memorable(identity, attempt) for attempt in count())
        return next(root / name for name in names if _identity_in(root / name) in (None, identity))
    directory = root / path if Path(path).name == path else Path(path)
    found = _identity_in(directory)
    if found is None and directory.exists() and any(not it.name.startswith(".") for it in directory.iterdir()):
        raise ConfigError(f"{directory} is not empty and holds no study; give another --study")
    if found not in (None, identity):
        raise ConfigError(
            f"{directory} holds a study with other settings, another space or another metric, whose trials cannot be "
            "compared with these; give another --study"
        )
    return directory


def _identity_in(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / "study.json").read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError):
        return None
