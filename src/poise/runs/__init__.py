"""Run directories: everything about one training, in files that other programs can read.

Files are written whole or not at all; rows of JSON lines are appended and may at worst lose their last one. This
package imports no torch, so that what reads runs starts quickly and works without a GPU.
"""

from poise.runs.checkpoints import Checkpoint, Checkpoints
from poise.runs.directory import FORMAT, RUNS, Run, find, places, runs_under
from poise.runs.follow import Follower
from poise.runs.names import memorable
from poise.runs.rows import JsonLines, finite, last_row, number, read_rows
from poise.runs.status import State, Status

__all__ = [
    "FORMAT",
    "RUNS",
    "Checkpoint",
    "Checkpoints",
    "Follower",
    "JsonLines",
    "Run",
    "State",
    "Status",
    "find",
    "finite",
    "last_row",
    "memorable",
    "number",
    "places",
    "read_rows",
    "runs_under",
]
