"""Configs: the only place where text becomes objects.

A config is typed and frozen. An unknown key, a wrong type or a value out of range is a
:class:`~poise.errors.ConfigError` that names the path of the field and the nearest known name.
"""

from poise.config.build import (
    OPTIMIZERS,
    build,
    build_generator,
    build_hooks,
    execution_for,
    fabric_for,
    precision_for,
    require_processes,
)
from poise.config.schema import (
    AugmentConfig,
    CheckpointConfig,
    Config,
    ConstraintConfig,
    EmaConfig,
    EvaluateConfig,
    LogConfig,
    OptimizerConfig,
    Part,
    PenaltyConfig,
    SamplesConfig,
    WarmupConfig,
)
from poise.config.text import differences, dump, merge, override, parse, parse_file, to_yaml

__all__ = [
    "OPTIMIZERS",
    "AugmentConfig",
    "CheckpointConfig",
    "Config",
    "ConstraintConfig",
    "EmaConfig",
    "EvaluateConfig",
    "LogConfig",
    "OptimizerConfig",
    "Part",
    "PenaltyConfig",
    "SamplesConfig",
    "WarmupConfig",
    "build",
    "build_generator",
    "build_hooks",
    "differences",
    "dump",
    "execution_for",
    "fabric_for",
    "merge",
    "override",
    "parse",
    "parse_file",
    "precision_for",
    "require_processes",
    "to_yaml",
]
