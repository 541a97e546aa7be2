"""Parts of one's own, imported by name: only from packages that the person who runs the command trusts."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from poise.errors import ConfigError, nearest

__all__ = ["PREFIX", "imported"]

PREFIX = "import:"


def imported(path: str, name: str, trust: Sequence[str]) -> Any:
    """The object that ``package.module:Name`` names.

    Args:
        path: the setting that names it, for messages.
        name: what it says.
        trust: the packages that may be imported from, with all that is in them.

    Raises:
        ConfigError: when it is not trusted, or not there.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"{path}.import is '{name}'; write it as package.module:Name")
    if not any(module_name == package or module_name.startswith(f"{package}.") for package in trust):
        package = module_name.partition(".")[0]
        raise ConfigError(f"{path}.import: '{name}' is code that would be run; if you trust it, give --trust {package}")
    here = str(Path.cwd())
    if here not in sys.path:  # as for a script that lies in this folder
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{path}.import: {module_name} cannot be imported: {error}") from error
    except Exception as error:  # whatever code of others raises
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}.import: {module_name} cannot be imported: {reason}") from error
    if not hasattr(module, attribute):
        known = [it for it in vars(module) if not it.startswith("_")]
        raise ConfigError(f"{path}.import: {module_name} has no '{attribute}' {nearest(attribute, known)}")
    return getattr(module, attribute)
