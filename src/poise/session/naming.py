"""Which run directory a training goes to."""

import json
from itertools import count
from pathlib import Path

from poise.config import Config, differences, parse, parse_file
from poise.runs import RUNS, Run, memorable, places

__all__ = ["NOT_IDENTITY", "run_for"]

# Settings that have no influence on what is trained up to a step. The data is told by its fingerprint.
NOT_IDENTITY = ("data", "steps", "kimg", "checkpoint", "watch", "hooks")


def run_for(config: Config, path: str | None = None, root: Path = RUNS) -> Run:
    """The run of these settings.

    Args:
        config: the settings, with the data's fingerprint.
        path: a run directory, or the name of a run under ``root``; if none is given, the settings themselves name it,
            so that the same settings find the same run again.
        root: the directory of runs.

    Raises:
        ConfigError: when the run that these settings name has a config.yaml that cannot be read.
    """
    if path is not None:
        return next((run for run in map(Run, places(path, root)) if run.exists()), Run(path))
    fields = config.model_dump(mode="json", by_alias=True, exclude=set(NOT_IDENTITY))
    identity = json.dumps(fields, sort_keys=True)
    candidates = (Run(root / memorable(identity, attempt)) for attempt in count())
    return next(run for run in candidates if _is_free(run) or _trains(run, config))


def _is_free(run: Run) -> bool:
    """Whether nothing was trained there yet; a process may have been killed before it wrote the settings."""
    return not run.path.is_dir() or all(entry.name.startswith(".") for entry in run.path.iterdir())


def _trains(run: Run, config: Config) -> bool:
    """Whether a run has these settings. One whose settings cannot be read is no reason to train anew without a word."""
    if not run.config_path.exists():
        return False
    ignored = (*NOT_IDENTITY, "batch") if config.batch == "auto" else NOT_IDENTITY
    return not differences(parse(parse_file(run.config_path), str(run.config_path)), config, ignore=ignored)
