"""Verbs that answer at once."""

import typer
from typer.core import TyperCommand

__all__ = ["Quick"]


class Quick(TyperCommand):
    """A verb with at most one argument, a text, and flags such as ``--json``.

    For whatever it parses Typer loads pydantic, which takes longer than the whole verb. So plain uses are parsed here;
    help, mistakes and all else are left to Typer.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Fill ``ctx.params``."""
        argument, *flags = self.params
        texts = [arg for arg in args if not arg.startswith("-")]
        if len(texts) > 1 or not {*args} <= {*texts, *(flag.opts[0] for flag in flags)}:
            return super().parse_args(ctx, args)
        ctx.params = {argument.name: texts[0] if texts else argument.default}
        ctx.params |= {flag.name: flag.opts[0] in args for flag in flags}
        return []
