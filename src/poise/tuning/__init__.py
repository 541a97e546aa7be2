"""Looking for better settings: searches over a space, and tables of named trials.

A trial is a run like any other; this package decides which to train, and compares what came out. Searches need Optuna,
pages need Plotly; neither is loaded before it is used.
"""

from poise.tuning.comparison import METHOD, Difference, Summary, differences_of, holm, summary
from poise.tuning.default_space import default_space
from poise.tuning.directory import STUDIES, directory_for, identity_of
from poise.tuning.goal import Goal, as_drawn, goal_of
from poise.tuning.ledger import TrialRow
from poise.tuning.plan import Configure, Plan, PlannedTrial, find_plan, naming, shipped_plans
from poise.tuning.plan_page import difference_rows, plan_facts, plan_page, trial_rows, write_comparison
from poise.tuning.plan_runs import PlannedRun, Table, planned_runs
from poise.tuning.pruning import Pruner
from poise.tuning.results import Written, facts, study_page, table_rows, write_results
from poise.tuning.space import Choices, Entry, Range, Settings, Space
from poise.tuning.storage import require_optuna
from poise.tuning.study import Study
from poise.tuning.verdict import Verdict, VerdictState
from poise.tuning.workers import run_workers

__all__ = [
    "METHOD",
    "STUDIES",
    "Choices",
    "Configure",
    "Difference",
    "Entry",
    "Goal",
    "Plan",
    "PlannedRun",
    "PlannedTrial",
    "Pruner",
    "Range",
    "Settings",
    "Space",
    "Study",
    "Summary",
    "Table",
    "TrialRow",
    "Verdict",
    "VerdictState",
    "Written",
    "as_drawn",
    "default_space",
    "difference_rows",
    "differences_of",
    "directory_for",
    "facts",
    "find_plan",
    "goal_of",
    "holm",
    "identity_of",
    "naming",
    "plan_facts",
    "plan_page",
    "planned_runs",
    "require_optuna",
    "run_workers",
    "shipped_plans",
    "study_page",
    "summary",
    "table_rows",
    "trial_rows",
    "write_comparison",
    "write_results",
]
