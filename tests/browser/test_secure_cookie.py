"""The console over https: the browser takes the session's cookie, and takes it for this host alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, expect

from fraiseql_guard import Guard
from tests.browser.conftest import TOKEN, eventually
from tests.support.asgi import EchoApp
from tests.support.certificate import Certificate


@pytest.fixture
def secure_site(tmp_path: Path) -> Iterator[str]:
    certificate = Certificate.make(tmp_path)
    guard = Guard(EchoApp(), admin_tokens=f"alice={TOKEN}", log_file=tmp_path / "guard.log")
    config = uvicorn.Config(
        guard, port=0, log_config=None, lifespan="off", ssl_keyfile=certificate.key, ssl_certfile=certificate.file
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started)
        yield f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True  # the console holds a connection open
        thread.join()


def test_an_operator_logs_in_acts_and_logs_out(browser: Browser, secure_site: str):
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    try:
        page.goto(f"{secure_site}/admin")
        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#connection")).to_have_text("Live")
        (cookie,) = context.cookies()
        assert (cookie["name"], cookie["path"], cookie["domain"]) == ("__Host-fraiseql_guard_session", "/", "127.0.0.1")
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        page.get_by_label("Address, network or user").fill("203.0.113.9")
        page.get_by_role("button", name="Block", exact=True).click()
        expect(page.locator("#block-outcome")).to_contain_text("203.0.113.9 is blocked for")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Admin token")).to_be_focused()
        assert context.cookies() == []
    finally:
        context.close()
