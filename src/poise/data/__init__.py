"""Data: loading, preparing and batching it, and drawing what is made of it."""

from poise.data.batches import Batches
from poise.data.builtin import BUILTIN
from poise.data.dataset import Data
from poise.data.density import Density, Mixture
from poise.data.draw import grid, save_png
from poise.data.held_out import held_out
from poise.data.indexable import Indexable, indexable
from poise.data.plot import scatter
from poise.data.scaling import Scaling
from poise.data.source import load
from poise.data.store import Batch

__all__ = [
    "BUILTIN",
    "Batch",
    "Batches",
    "Data",
    "Density",
    "Indexable",
    "Mixture",
    "Scaling",
    "grid",
    "held_out",
    "indexable",
    "load",
    "save_png",
    "scatter",
]
