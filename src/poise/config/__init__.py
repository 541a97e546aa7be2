"""Configs: the only place where text becomes objects.

A config is typed and frozen. An unknown key, a wrong type or a value out of range is a
:class:`~poise.errors.ConfigError` that names the path of the field and the nearest known name.
"""

from poise.config.build import build, build_generator
from poise.config.schema import (
    CheckpointConfig,
    Config,
    EmaConfig,
    EvaluateConfig,
    LogConfig,
    OptimizerConfig,
    Part,
    PenaltyConfig,
    SamplesConfig,
)
from poise.config.text import differences, dump, merge, override, parse, parse_file

__all__ = [
    "CheckpointConfig",
    "Config",
    "EmaConfig",
    "EvaluateConfig",
    "LogConfig",
    "OptimizerConfig",
    "Part",
    "PenaltyConfig",
    "SamplesConfig",
    "build",
    "build_generator",
    "differences",
    "dump",
    "merge",
    "override",
    "parse",
    "parse_file",
]
