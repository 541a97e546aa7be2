"""What people see of runs: pages made of run files alone. This package imports no torch."""

from poise.report.record import Record

__all__ = ["Record"]
