"""The board in a thread, for the tests that ask it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from poise.board.app import app_of
from poise.board.shelf import Shelf


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Board:
    """A board that is served in a thread."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Host": self.host} | given)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def token(self) -> str:
        return self.ask("/").content.decode().split('name="poise-token" content="')[1].split('"')[0]

    def told(self, name: str) -> dict[str, Any]:
        """The row of a run in the table, once it was judged."""
        for _ in range(600):
            row = next(row for row in self.ask("/api/table").json if row["name"] == name)
            if row["verdict"] is not None:
                return dict(row)
            time.sleep(0.05)
        raise AssertionError("no verdict came")


@contextmanager
def serving(root: Path, host: str = "127.0.0.1") -> Iterator[Board]:
    shelf = Shelf(root)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app_of(shelf, host), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Board(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
            shelf.close()
