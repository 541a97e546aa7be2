"""Pages that hold all they show: no request leaves them."""

from collections.abc import Callable, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poise.files import write_atomic

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["figure_html", "page", "table_html", "write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-size: 13px; }
td, th { border-bottom: 1px solid #ddd; padding: .25em .75em .25em 0; text-align: left; vertical-align: top; }
img { image-rendering: pixelated; max-width: 100%; }
.scroll { overflow-x: auto; }
"""


def write_page(path: Path, make: Callable[[], str]) -> Path | None:
    """Write a page, where there is what draws it.

    Args:
        path: the file.
        make: gives the page; called only where Plotly is installed.

    Returns:
        The file; None where it was not written.
    """
    if find_spec("plotly") is None:
        return None
    write_atomic(path, make())
    return path


def page(title: str, parts: Sequence[tuple[str, str]]) -> str:
    """An HTML page.

    Args:
        title: its title, as text.
        parts: its sections: a heading as text, and what is under it as HTML.
    """
    from plotly.offline import get_plotlyjs

    body = "\n".join(f"<h2>{escape(heading)}</h2>\n{content}" for heading, content in parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def figure_html(figure: "Figure") -> str:
    """A figure for a :func:`page`, which has the script that draws it."""
    figure.update_layout(template="plotly_white", margin={"t": 40})
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
    return html


def table_html(rows: Sequence[Sequence[Any]]) -> str:
    """A table, the first row of which is its header."""
    header, *others = ([escape(str(cell)) for cell in row] for row in rows)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in others)
    return (
        f'<div class="scroll"><table><tr>{"".join(f"<th>{cell}</th>" for cell in header)}</tr>\n{lines}</table></div>'
    )
