"""Pictures of the console, light and dark, on a desk and on a phone: ``python -m tools.screenshots FOLDER``.

Two guarded servers on a real Redis, real traffic for five minutes with an attack in it, and an operator who acts.
``--seconds`` makes it shorter, for a look at a change.
"""

from __future__ import annotations

import argparse
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Browser

from examples.process import LOG_FILE, ExampleServer
from fraiseql_guard.testing import make_token
from tests.support.redis_server import RedisServer
from tools.browser import chromium

SECONDS = 300.0
TICK_SECONDS = 0.25
SIZES = {"desktop": (1280, 1320, 1), "phone": (390, 844, 2)}
SCHEMES = ("light", "dark")

ORDINARY = (
    "{users(limit:3){name posts(limit:2){title}}}",
    "{posts(limit:5){title author{name}}}",
    'query Search{search(text:"post 1",limit:3){... on Post{title}}}',
)
EXPENSIVE = "query Harvest{users(limit:1000){posts(limit:50){comments(limit:20){id}}}}"
DEEP = "query Deeper{posts(limit:1){author" + "{invitedBy" * 12 + "{name}" + "}" * 12 + "}}"
SLOW = "{slow(seconds:0.05)}"

Ask = Callable[..., None]


class Crowd:
    """Ordinary callers all the time, and from time to time an attacker."""

    def __init__(self, servers: list[ExampleServer], secret: str, seconds: float) -> None:
        self._clients = [httpx.Client(base_url=server.url, trust_env=False, timeout=30) for server in servers]
        self._secret = secret
        self._seconds = seconds
        self._random = random.Random(7)  # noqa: S311 - the same story each time
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._done.wait(TICK_SECONDS):
            self._tick(min(1.0, (time.monotonic() - begun) / self._seconds))

    def _tick(self, progress: float) -> None:
        """What happens in a quarter of a second at that point of the story."""
        for _ in range(round(3 + 1.5 * math.sin(progress * 9) + self._random.random() * 2)):
            user = self._random.choice(("ada", "grace", "linus", "edsger", "barbara"))
            self._ask(self._random.choice(ORDINARY), f"198.51.100.{self._random.randrange(2, 60)}", user)
        if self._random.random() < 0.15:
            self._ask(SLOW, "198.51.100.4", "ada")
        if 0.3 < progress < 0.45 or progress > 0.86:
            for _ in range(5):
                self._ask(ORDINARY[0], "203.0.113.9", None)
        if 0.6 < progress < 0.72 or progress > 0.92:
            for _ in range(3):
                self._ask(EXPENSIVE, "203.0.113.77", None)
        if progress > 0.15 and self._random.random() < 0.12:
            self._ask(DEEP, "198.51.100.31", "mallory")
        if 0.5 < progress < 0.95 and self._random.random() < 0.2:
            self._ask(ORDINARY[1], "192.0.2.44", "ada", forged=True)

    def _ask(self, query: str, address: str, user: str | None, *, forged: bool = False) -> None:
        headers = {"X-Forwarded-For": address}
        if user is not None:
            secret = secrets.token_urlsafe(48) if forged else self._secret
            headers["Authorization"] = f"Bearer {make_token(secret, sub=user)}"
        self._random.choice(self._clients).post("/graphql", json={"query": query}, headers=headers)


@contextmanager
def story(seconds: float) -> Iterator[tuple[str, str]]:
    """The URL of a server, and an operator's token, once the crowd has been there for so long."""
    secret, token = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    with ExitStack() as stack:
        redis, log = stack.enter_context(RedisServer()), stack.enter_context(TemporaryDirectory())
        environment = {
            LOG_FILE: f"{log}/app.log",
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_JWT_SECRET": secret,
            "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
            "FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={token}",
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
            # Two workers of one host, as the console sees them, export their metrics together.
            "PROMETHEUS_MULTIPROC_DIR": stack.enter_context(TemporaryDirectory()),
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "2000",
        }
        servers = []
        for _ in range(2):
            folder = Path(stack.enter_context(TemporaryDirectory()))
            servers.append(stack.enter_context(ExampleServer("examples.starlette_blog", folder, environment)))
        stack.enter_context(Crowd(servers, secret, seconds))
        with httpx.Client(base_url=f"{servers[0].url}/admin", trust_env=False) as operator:
            operator.headers["Authorization"] = f"Bearer {token}"
            time.sleep(seconds * 0.8)
            _act(operator)
        time.sleep(seconds * 0.2)
        yield servers[0].url, token


def _act(operator: httpx.Client) -> None:
    bodies = {
        "/blocks": {"ip_address": "192.0.2.44", "duration_seconds": 14_400, "reason": "forged tokens, ticket 4711"},
        "/rate-limits": {"user_id": "grace", "limit": "2000/minute", "duration_seconds": 3_600},
    }
    for path, body in bodies.items():
        operator.post(path, json=body).raise_for_status()
    switch = {"protection": "timeout", "mode": "monitor", "duration_seconds": 3_600, "reason": "a report runs long"}
    operator.put("/mode", json=switch).raise_for_status()


def photograph(browser: Browser, url: str, token: str, folder: Path, *, whole: bool) -> None:
    """One picture for each size and scheme."""
    for scheme in SCHEMES:
        for size, (width, height, scale) in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=scale,
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = context.new_page()
            page.goto(f"{url}/admin/")
            page.get_by_label("Admin token").fill(token)
            page.keyboard.press("Enter")
            page.locator("#connection.live").wait_for()
            page.locator("#refusals-table tbody tr").first.wait_for()
            page.screenshot(path=folder / f"console-{size}-{scheme}.png", full_page=whole)
            context.close()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="tools.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--whole", action="store_true", help="the whole page, not what fits the screen")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with story(arguments.seconds) as (url, token), chromium() as browser:
        photograph(browser, url, token, arguments.folder, whole=arguments.whole)
    for picture in sorted(arguments.folder.glob("console-*.png")):
        print(f"{picture} {picture.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
