"""Servers of benchmarks and examples answer without Nagle's delay, on asyncio's own event loop too."""

from __future__ import annotations

import ast
import asyncio
import socket
from collections.abc import Iterator

import pytest

from benchmarks.listeners import loopback
from tools.docs import ROOT

SOURCES = [path for folder in ("benchmarks", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
MAKERS = {"socket", "create_server", "bind_socket"}


async def delay_is_off(listener: socket.socket) -> bool:
    """Whether a connection that asyncio accepts from this socket sends at once."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("socket")
        accepted.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(serve, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            return bool(await accepted)
        finally:
            writer.close()


async def test_a_benchmark_server_sends_at_once() -> None:
    assert await delay_is_off(loopback())


def named_protocol(call: ast.Call) -> bool:
    """Whether a call that makes a socket says IPPROTO_TCP."""
    return any(isinstance(part, ast.Attribute) and part.attr == "IPPROTO_TCP" for part in ast.walk(call))


def makers(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call of socket.socket, socket.create_server and uvicorn's bind_socket."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in MAKERS:
            yield part


@pytest.mark.parametrize("text", ["socket.socket()", "socket.create_server(('', 0))", "config.bind_socket()"])
def test_a_socket_without_its_protocol_is_found(text) -> None:
    assert [named_protocol(call) for call in makers(ast.parse(text))] == [False]


def test_every_socket_names_its_protocol() -> None:
    calls = [(path, call) for path in SOURCES for call in makers(ast.parse(path.read_text(encoding="utf-8")))]
    assert len(calls) >= 2
    assert [f"{path.relative_to(ROOT)}:{call.lineno}" for path, call in calls if not named_protocol(call)] == []
