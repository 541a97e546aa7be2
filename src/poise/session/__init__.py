"""A session: one process training one run directory, from its settings to its last checkpoint; and its samples."""

from poise.session.assessment import Assessment
from poise.session.capacity import settled
from poise.session.evaluation import Evaluation
from poise.session.export import format_of, write_export
from poise.session.naming import run_for
from poise.session.pictures import has_picture, write_picture, write_samples
from poise.session.sampler import Sampler
from poise.session.session import Outcome, Session
from poise.session.walk import write_walk

__all__ = [
    "Assessment",
    "Evaluation",
    "Outcome",
    "Sampler",
    "Session",
    "format_of",
    "has_picture",
    "run_for",
    "settled",
    "write_export",
    "write_picture",
    "write_samples",
    "write_walk",
]
