"""Looking for better settings: searches over a space, and tables of named trials.

A trial is a run like any other; this package decides which to train, and compares what came out. Searches need Optuna,
pages need Plotly; neither is loaded before it is used.
"""

from poise.tuning.default_space import default_space
from poise.tuning.pruning import Pruner
from poise.tuning.results import facts, study_page, table_rows
from poise.tuning.space import Choices, Entry, Range, Settings, Space
from poise.tuning.storage import require_optuna
from poise.tuning.study import STUDIES, Goal, Study, TrialRow, directory_for, identity_of
from poise.tuning.verdict import Verdict, VerdictState
from poise.tuning.workers import run_workers

__all__ = [
    "STUDIES",
    "Choices",
    "Entry",
    "Goal",
    "Pruner",
    "Range",
    "Settings",
    "Space",
    "Study",
    "TrialRow",
    "Verdict",
    "VerdictState",
    "default_space",
    "directory_for",
    "facts",
    "identity_of",
    "require_optuna",
    "run_workers",
    "study_page",
    "table_rows",
]
