"""What people see of runs: pages made of run files alone. This package imports no torch."""

from poise.report.facts import facts_of
from poise.report.happened import events_of
from poise.report.pictures import picture_of
from poise.report.record import Record
from poise.report.verdict import Verdict, title_of, verdict_of

__all__ = ["Record", "Verdict", "events_of", "facts_of", "picture_of", "title_of", "verdict_of"]
