"""What the board answers."""

import json
import secrets
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from poise.board.guard import Guard
from poise.board.shelf import Shelf
from poise.report import Record
from poise.report.html import asset, plotly
from poise.report.page import page_of
from poise.runs import Run, State, finite

__all__ = ["app_of"]

_COMPARED = 16


class _Board:
    """The answers, and what they have in common.

    Args:
        shelf: the runs.
        token: what a page sends with what it asks a run for.
    """

    def __init__(self, shelf: Shelf, token: str) -> None:
        self._shelf = shelf
        own = files("poise.board") / "assets"
        html = (own / "board.html").read_text(encoding="utf-8")
        self._html = html.replace("{{token}}", escape(token))
        self._static = {
            "page.css": (asset("page.css") + (own / "board.css").read_text(encoding="utf-8"), "text/css"),
            "charts.js": (asset("charts.js"), "text/javascript"),
            "page.js": (asset("page.js"), "text/javascript"),
            "board.js": ((own / "board.js").read_text(encoding="utf-8"), "text/javascript"),
            "plotly.js": (plotly(), "text/javascript"),
        }
        self._made: tuple[list[Record], bytes] = ([], b"")

    def page(self, request: Request) -> Response:
        """The page, whose script asks for the rest."""
        return HTMLResponse(self._html)

    def static(self, request: Request) -> Response:
        """The page's scripts and style."""
        found = self._static.get(request.path_params["name"])
        if found is None:
            return _missing("there is no such file")
        content, kind = found
        return _tagged(request, content.encode(), kind, "no-cache")

    def table(self, request: Request) -> Response:
        """All runs, each in a line."""
        return _tagged(request, json.dumps(finite(self._shelf.table()), default=str).encode(), "application/json")

    def runs(self, request: Request) -> Response:
        """What the page of one run shows, or of several."""
        names = list(dict.fromkeys(request.query_params.getlist("run")))[:_COMPARED]
        records = self._shelf.records(names)
        if not records:
            return _missing(f"there is no run {', '.join(names)}")
        before, content = self._made
        if len(before) != len(records) or any(old is not new for old, new in zip(before, records, strict=True)):
            addresses = {record.path: partial(_address, record.path.name) for record in records}
            page = page_of(records, lambda path: addresses[path.parent.parent](path))
            content = json.dumps(finite(page), default=str).encode()
            self._made = (records, content)
        return _tagged(request, content, "application/json")

    def picture(self, request: Request) -> Response:
        """A picture of samples."""
        run, name = self._run(request), request.query_params.get("file", "")
        known = {path.name: path for path in [*run.pictures().values(), run.real_picture]} if run else {}
        if name not in known or not known[name].is_file():
            return _missing("there is no such picture")
        return FileResponse(known[name], headers={"Cache-Control": "private, max-age=31536000, immutable"})

    def ask(self, request: Request) -> Response:
        """Ask a run for a checkpoint, or to stop."""
        run, what = self._run(request), request.query_params.get("for", "")
        requests: dict[str, Callable[[Run], Path]] = {
            "checkpoint": lambda run: run.checkpoint_request,
            "stop": lambda run: run.stop_request,
        }
        if run is None or what not in requests:
            return _missing("there is no such run, or nothing of this kind to ask for")
        if run.state() is not State.RUNNING:
            return JSONResponse({"error": f"{run.name} is not running"}, 409)
        requests[what](run).touch()
        return JSONResponse({"asked": what}, 202)

    def _run(self, request: Request) -> Run | None:
        return self._shelf.find(request.query_params.get("run", ""))


def _address(name: str, path: Path) -> str | None:
    """Where the board has a picture; with its age, so that it is asked for once."""
    try:
        age = path.stat().st_mtime_ns
    except OSError:
        return None
    return "/picture?" + urlencode({"run": name, "file": path.name, "age": age})


def _tagged(request: Request, content: bytes, kind: str, cache: str = "no-store") -> Response:
    """An answer that is sent only where it is not known already."""
    tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": cache}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _missing(why: str) -> Response:
    return JSONResponse({"error": why}, 404)


def _failed(request: Request, error: Exception) -> Response:
    first = next(iter(str(error).splitlines()), "")
    return JSONResponse({"error": f"{type(error).__name__}: {first}"}, 500)


def app_of(shelf: Shelf, host: str = "127.0.0.1") -> Starlette:
    """The board as an ASGI application.

    Args:
        shelf: the runs.
        host: the address that it listens on.

    Raises:
        MissingExtraError: when Plotly is not installed.
    """
    token = secrets.token_urlsafe(24)
    board = _Board(shelf, token)
    routes: list[tuple[str, Callable[[Request], Any], str]] = [
        ("/", board.page, "GET"),
        ("/view", board.page, "GET"),
        ("/static/{name}", board.static, "GET"),
        ("/api/table", board.table, "GET"),
        ("/api/runs", board.runs, "GET"),
        ("/picture", board.picture, "GET"),
        ("/api/ask", board.ask, "POST"),
    ]
    return Starlette(
        routes=[Route(path, answer, methods=[method]) for path, answer, method in routes],
        middleware=[Middleware(Guard, host=host, token=token), Middleware(GZipMiddleware, minimum_size=2000)],
        exception_handlers={Exception: _failed},
    )
