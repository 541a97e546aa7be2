"""The command line. Heavy imports happen inside the verbs, so that ``poise --help`` is quick."""

from poise.cli.main import app, main

__all__ = ["app", "main"]
