"""A live page over a folder of runs. This package imports no torch; it needs the extra ``board``."""

from poise.board.serve import serve

__all__ = ["serve"]
