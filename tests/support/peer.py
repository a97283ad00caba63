"""Something that answers every HTTP request alike: another app, a proxy, a guard of another version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Peer(ThreadingHTTPServer):
    """Answers every request alike, and remembers what came."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.answer = (status, body, headers)
        self.came: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/admin"


class _Handler(BaseHTTPRequestHandler):
    server: Peer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.came.append((self.command, self.path, dict(self.headers), body))
        status, answer, headers = self.server.answer
        if not status:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def peer(status: int, body: object = b"", **headers: str) -> Iterator[Peer]:
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Peer(status, answer, {name.replace("_", "-"): value for name, value in headers.items()}) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
