"""Moves as CUDA graphs."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from poise.penalties import Scene
from poise.trainer.execution import Eager, Execution, Taken
from poise.trainer.moves import Move

__all__ = ["Graphs"]
