"""An operator sees in the console what is open, and closes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fraiseql_guard.testing import make_token
from tests.browser.conftest import TOKEN
from tests.browser.test_console import row
from tests.conftest import SECRET
from tests.support.socket_servers import GUARDED_STRAWBERRY, SocketServer, serving


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    """A guarded app with subscriptions, and no Redis: one worker is enough to look at."""
    environment = {"FRAISEQL_JWT_SECRET": SECRET, "FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={TOKEN}"}
    with serving("uvicorn", GUARDED_STRAWBERRY, tmp_path_factory.mktemp("site"), environment) as server:
        yield server


@contextmanager
def subscribed(site: SocketServer, user: str, name: str) -> Iterator[ClientConnection]:
    """A socket on which an operation of this name is open."""
    with connect(site.ws(), subprotocols=["graphql-transport-ws"], proxy=None) as socket:
        token = make_token(SECRET, sub=user)
        socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(socket.recv())["type"] == "connection_ack"
        query = f"subscription {name} {{ ticks(interval: 1) }}"
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        assert json.loads(socket.recv())["type"] == "next"
        yield socket


def ended(socket: ClientConnection) -> tuple[int, str]:
    """How a socket has ended, past its events."""
    try:
        while True:
            socket.recv(timeout=30)
    except ConnectionClosed as closed:
        return (0, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


def test_what_is_open_is_shown_and_closed(site: SocketServer, log_in: Callable[..., Page]) -> None:
    page = log_in()
    expect(page.locator("#sockets-table")).to_contain_text("Nothing is open.")
    with subscribed(site, "ada", "News") as news, subscribed(site, "bob", "Weather") as weather:
        shown = row(page, "sockets", "ada")
        expect(shown).to_contain_text("News")
        expect(shown).to_contain_text("graphql transport ws")
        expect(row(page, "sockets", "bob")).to_contain_text("Weather")
        expect(page.locator("#sockets-about")).to_contain_text("2 graphql transport ws; 2 opened in the last minute")
        expect(page.locator("#tiles div").filter(has_text="Sockets").locator(".value")).to_have_text("2")
        page.get_by_role("button", name="Close the connection of ada").click()
        expect(page.locator("#told")).to_contain_text("ends on all workers within a second")
        assert ended(news) == (4503, "SHUTDOWN")
        expect(row(page, "sockets", "ada")).to_have_count(0)
        assert json.loads(weather.recv())["type"] == "next"
        expect(page.locator("#sockets-about")).to_contain_text("closed in five minutes: 1 shutdown")
        expect(row(page, "actions", "admin.close_sockets")).to_contain_text("alice")
