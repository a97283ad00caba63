"""An issuer's web server on this machine, as well-behaved or as hostile as a test wants it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress


class KeyServer:
    """Answers every request with ``status``, ``headers`` and ``body``, after ``seconds``; counts them in ``requests``.
    ``down`` closes the connection without an answer."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.status, self.body, self.headers = 200, b"{}", {}
        self.seconds = 0.0
        self.down = False
        self.requests = 0
        self.endless = False
        self._server: asyncio.Server | None = None
        self._at_work: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> KeyServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}/jwks.json"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()
        for task in list(self._at_work):
            task.cancel()
        await asyncio.gather(*list(self._at_work), return_exceptions=True)

    async def leave(self) -> None:
        """Listen no longer."""
        self._server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        self._at_work.add(asyncio.current_task())
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self.seconds)
                if not self.down:
                    await self._answer(writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._at_work.discard(asyncio.current_task())

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {self.status} X", "connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if not self.endless:
            lines.append(f"content-length: {len(self.body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
        while self.endless:
            writer.write(b" " * 4096)
            await writer.drain()
        await writer.drain()
