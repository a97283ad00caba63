"""The section "Limits": what requests ask for, in pictures and tables, and what would fit them set for an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import DEEP, ORDINARY, TOKEN, Site, Watched
from tests.browser.test_access import BROKEN, CONTRASTS, tab_to
from tests.browser.test_console import row
from tests.conftest import SECRET
from tests.support.processes import STARLETTE, Server
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis

LogIn = Callable[..., Page]
DEPTH = "FRAISEQL_MAX_QUERY_DEPTH"
SUMMARY = "What requests ask for, what each limit refuses, and which would fit"
COMPLEXITY = "Complexity of operations"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own: what the others' tests ask for is not in its numbers."""
    with RedisServer() as redis:
        environment = {
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_JWT_SECRET": SECRET,
            "FRAISEQL_RATE_LIMIT_DEFAULT": "100000/minute",
            "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
            "FRAISEQL_GUARD_ADMIN_TOKENS": f"alice={TOKEN}",
            "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "2000",
        }
        with Server(STARLETTE, tmp_path_factory.mktemp("site"), environment) as server:
            yield Site(server, redis)


@pytest.fixture(scope="module")
def busy(site: Site) -> Site:
    """Two thousand ordinary requests of twenty callers, and three of an attacker."""

    async def ask() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for _ in range(100):
                asked = [
                    client.post(
                        f"{site.url}/graphql",
                        json={"query": ORDINARY},
                        headers={"X-Forwarded-For": f"198.18.0.{number + 1}"},
                    )
                    for number in range(20)
                ]
                assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

    # Playwright's loop runs in this thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(ask())).result()
    assert [site.ask("203.0.113.9", DEEP).status_code for _ in range(3)] == [400, 400, 400]
    return site


def opened(page: Page) -> Locator:
    page.get_by_text(SUMMARY).click()
    return page.locator("#advice-list")


def limit(page: Page, title: str) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=title))


# The first test here: no request has come yet.
def test_too_little_is_said_to_be_too_little(site: Site, log_in: LogIn) -> None:
    page = log_in()
    opened(page)
    expect(page.locator("#advice-notes")).to_contain_text("1,000 ordinary ones of 10 callers are needed")
    expect(page.get_by_role("article")).to_have_count(0)
    site.ask("198.18.0.1")
    depth = limit(page, "Depth of operations")
    expect(depth).to_contain_text("too few callers to say: 1 were seen, and 10 are needed")
    expect(depth).to_contain_text("nothing yet")
    expect(depth.get_by_role("button")).to_have_count(0)


def test_each_limit_is_shown_with_what_would_fit_and_set_for_an_hour(busy: Site, log_in: LogIn) -> None:
    page = log_in()
    opened(page)
    depth = limit(page, "Depth of operations")
    expect(depth).to_contain_text("10, which refuses 3 requests")
    expect(depth).to_contain_text("1 operation, 1 caller")
    expect(depth).to_contain_text("3, which refuses")
    label = depth.get_by_role("img").get_attribute("aria-label")
    assert label.endswith("the largest is 15. The limit is 10, recommended is 3.")
    everything = depth.get_by_role("row").filter(has_text="all").or_(depth.get_by_role("row").filter(has_text="anon"))
    expect(everything.first.get_by_role("cell").last).to_have_text("15")
    drawn = depth.locator("path").evaluate_all("(all) => all.map((path) => path.getAttribute('d') !== '')")
    assert drawn == [True] * 4
    expect(limit(page, "Requests of a caller in 60 seconds: anonymous")).to_contain_text("minutes")

    page.get_by_role("button", name=f"Set for an hour: {DEPTH} to 3").click()
    expect(page.locator("#told")).to_contain_text(f"{DEPTH} is 3 for 1 h, on all workers within a second.")
    expect(depth).to_contain_text("as it is")
    expect(depth.get_by_role("button")).to_have_count(0)
    expect(row(page, "actions", DEPTH)).to_contain_text("alice")
    row(page, "switches", DEPTH).get_by_role("button", name="Take back").click()
    expect(depth.get_by_role("button", name="Set for an hour")).to_be_visible()


def test_it_is_asked_for_only_while_it_is_open(busy: Site, log_in: LogIn, watched: Watched) -> None:
    page = log_in()

    def asked() -> int:
        return sum(each.url.endswith("/limits-advice") for each in watched.requests)

    def after_a_look() -> int:
        for _ in range(2):  # one may be on its way already
            with page.expect_response(lambda answer: answer.url.endswith("/status")):
                pass
        return asked()

    page.evaluate("performance.now = () => window.time; window.time = 100_000")
    assert after_a_look() == 0
    opened(page)
    expect(limit(page, COMPLEXITY)).to_be_visible()
    assert after_a_look() == 1
    page.evaluate("window.time = 110_000")
    assert after_a_look() == 2
    opened(page)  # closes it
    expect(limit(page, COMPLEXITY)).to_be_hidden()
    page.evaluate("window.time = 200_000")
    assert after_a_look() == 2


def test_by_keyboard_alone(busy: Site, log_in: LogIn) -> None:
    page = log_in()
    page.locator("#limit-title").scroll_into_view_if_needed()
    page.locator("#mode-lasts").focus()
    tab_to(page, SUMMARY)
    page.keyboard.press("Enter")
    expect(limit(page, COMPLEXITY)).to_be_visible()
    tab_to(page, f"Set for an hour: {DEPTH} to 3")
    page.keyboard.press("Enter")
    expect(limit(page, "Depth of operations")).to_contain_text("as it is")
    expect(page.get_by_role("heading", name="Depth of operations")).to_be_focused()
    row(page, "switches", DEPTH).get_by_role("button", name="Take back").click()
    expect(row(page, "switches", DEPTH)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_at_any_width_in_either_scheme(width: int, scheme: str, busy: Site, log_in: LogIn) -> None:
    page = log_in(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened(page)
    expect(limit(page, COMPLEXITY)).to_be_visible()
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(CONTRASTS) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = "[...document.querySelectorAll('.table')].filter((t) => t.scrollWidth > t.clientWidth).map((t) => t.id)"
    assert page.evaluate(cut) == []
    tables = page.locator("#advice-list").get_by_role("table")
    assert tables.count() == page.get_by_role("article").count() > 5
    expect(page.get_by_role("table", name="Depth of operations, by tier")).to_be_visible()


def test_a_silent_store_leaves_what_was_known_and_says_so(busy: Site, log_in: LogIn, watched: Watched) -> None:
    watched.expected = ("503",)
    page = log_in()
    opened(page)
    expect(limit(page, COMPLEXITY)).to_be_visible()
    opened(page)
    busy.redis.freeze()
    try:
        opened(page)
        expect(page.locator("#advice-notes")).to_have_text("Not known while the store does not answer.")
        expect(page.locator("#advice-list.old")).to_be_visible()
        expect(limit(page, COMPLEXITY)).to_be_visible()
    finally:
        busy.redis.thaw()
    expect(page.locator("#advice-notes li")).to_have_count(0)
    expect(page.locator("#advice-list.old")).to_have_count(0)
