"""A guarded blog on a real Redis, a browser, and someone who attacks while an operator watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support.processes import STARLETTE, Server
from tests.support.redis_server import RedisServer
from tools.browser import chromium

TOKEN = "the-token-of-alice-is-longer-than-32-bytes"
PATIENCE_SECONDS = 60.0
DEEP = "{posts(limit:1){author" + "{invitedBy" * 12 + "{name}" + "}" * 12 + "}}"
ORDINARY = "{users(limit:1){name}}"

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@dataclass(frozen=True, slots=True)
class Site:
    """The guarded app, and clients that ask it through the proxy that we play."""

    server: Server
    redis: RedisServer

    @property
    def url(self) -> str:
        return self.server.url

    def ask(
        self, address: str, query: str = ORDINARY, *, user: str | None = None, agent: str = "test"
    ) -> httpx.Response:
        token = make_token(SECRET, sub=user) if user is not None else None
        return self.server.post(query, token=token, headers={"X-Forwarded-For": address, "User-Agent": agent})

    def attack(self, address: str, *, user: str | None = None, agent: str = "test") -> str:
        """Three operations that are refused; the request id of the last one."""
        answers = [self.ask(address, DEEP, user=user, agent=agent) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [400, 400, 400]
        return answers[-1].headers["x-request-id"]

    def soon(self, address: str, status: int) -> None:
        """Wait until an ordinary request of this address is answered so."""
        assert eventually(lambda: self.ask(address).status_code == status), f"{address} is not answered {status}"


@dataclass  # no slots: Playwright leaves a note on what it calls
class Watched:
    """What must not happen in a page: errors, violations of its policy, requests to anybody else."""

    origin: str
    problems: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of messages that a test brings about itself."""

    def said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def asked(self, request: Request) -> None:
        self.requests.append(request)
        url = urlsplit(request.url)
        if f"{url.scheme}://{url.netloc}" != self.origin:
            self.problems.append(f"a request to {request.url}")

    def unexpected(self) -> list[str]:
        return [each for each in self.problems if not any(part in each for part in self.expected)]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within our patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


# Playwright's loop runs in this thread until the browser is closed: at the end of this folder, before other tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RedisServer() as redis:
        environment = {
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_JWT_SECRET": SECRET,
            "FRAISEQL_RATE_LIMIT_DEFAULT": "1000/minute",
            "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
            "FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={TOKEN}",
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "2000",
        }
        with Server(STARLETTE, tmp_path_factory.mktemp("site"), environment) as server:
            yield Site(server, redis)


@pytest.fixture
def watched(site: Site) -> Watched:
    return Watched(site.url)


@pytest.fixture
def open_page(browser: Browser, site: Site, watched: Watched) -> Iterator[Callable[..., Page]]:
    """Open the console in a fresh context; its end checks that nothing went wrong in it."""
    contexts = []

    def opened(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.on("console", watched.said)
        page.on("pageerror", lambda error: watched.problems.append(str(error)))
        page.on("request", watched.asked)
        page.goto(f"{site.url}/admin")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert watched.unexpected() == []


@pytest.fixture
def log_in(open_page: Callable[..., Page]) -> Callable[..., Page]:
    """A page of an operator."""

    def entered(**options: object) -> Page:
        page = open_page(**options)
        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#connection")).to_have_text("Live")
        return page

    return entered
