"""Pages as single files."""

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from poise.errors import MissingExtraError
from poise.report.page import page_of
from poise.report.record import Record
from poise.runs import finite

__all__ = ["asset", "plotly", "render"]

SCRIPTS = ("charts.js", "page.js")


def render(records: Sequence[Record]) -> str:
    """One HTML page with all that it needs: it asks no server for anything, and its policy forbids it to.

    Args:
        records: one run, or several that are compared.

    Raises:
        MissingExtraError: when Plotly is not installed.
    """
    parts = {
        "title": escape(" · ".join(record.name for record in records)),
        "style": asset("page.css"),
        "plotly": plotly(),
        "scripts": "\n".join(map(asset, SCRIPTS)),
        "data": in_script(page_of(records)),
    }
    page = asset("report.html")
    before, *rest = page.split("{{")
    pieces = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def asset(name: str) -> str:
    """A file of the front end."""
    return (files("poise.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def plotly() -> str:
    """The charting library, as a script.

    Raises:
        MissingExtraError: when the package is not installed.
    """
    try:
        package = files("plotly")
    except ModuleNotFoundError as error:
        raise MissingExtraError("charts need the 'plotly' package: pip install 'poise[report]'") from error
    return Path(str(package / "package_data" / "plotly.min.js")).read_text(encoding="utf-8")


def in_script(value: Any) -> str:
    """JSON that cannot end the script that it stands in, nor begin a comment in it."""
    return (
        json.dumps(finite(value), allow_nan=False, default=str)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
