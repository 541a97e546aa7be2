"""Who may ask the board for anything."""

import ipaddress
import secrets
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poise.board.address import is_loopback

__all__ = ["Guard"]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses what does not come from the board's own pages, and tells browsers to keep to themselves what it answers.

    A page of somebody else that a browser has open must neither read runs nor stop them. It cannot read answers, by the
    rules of browsers, unless its own name is made to lead here; so requests must name this machine. To change
    something a request must also come from the board's origin and carry the token that only its pages know.

    Args:
        app: what answers.
        host: the address that the board listens on.
        token: what requests that change something must carry in the header ``X-Poise-Token``.
    """

    def __init__(self, app: ASGIApp, host: str, token: str) -> None:
        self._app = app
        self._names = {"localhost"} if is_loopback(host) else {"localhost", host.lower(), socket.gethostname().lower()}
        self._loopback_only = is_loopback(host)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal:
            await PlainTextResponse(refusal, 403)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, answer)

    def _refusal(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if not self._is_here(host):
            return f"This board does not answer to '{host}': open it by the address that 'poise board' printed."
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"This board does not answer to pages of '{origin}'."
        if method in ("GET", "HEAD"):
            return ""
        if origin is None or not secrets.compare_digest(headers.get("x-poise-token", ""), self._token):
            return "This comes from no page of this board: load the page anew."
        return ""

    def _is_here(self, host: str) -> bool:
        """Whether a name means this machine: an address cannot be made to lead elsewhere, as a name can."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            urlsplit(f"//{host}").port  # noqa: B018  # raises where it is none
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._loopback_only
