"""An operator at three in the morning: sees an attack, stops it, and takes that back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import TOKEN, Site, Watched

pytestmark = pytest.mark.redis

LogIn = Callable[..., Page]


def row(page: Page, table: str, text: str) -> Locator:
    return page.locator(f"#{table}-table tbody tr").filter(has_text=text).first


def test_an_attack_is_seen_blocked_and_forgiven(site: Site, log_in: LogIn):
    page = log_in()
    request_id = site.attack("203.0.113.9")
    expect(row(page, "refusals", request_id)).to_contain_text("QUERY_TOO_DEEP")
    offender = row(page, "offenders", "203.0.113.9")
    expect(offender).to_contain_text("QUERY_TOO_DEEP 3")
    offender.get_by_role("button", name="Block 203.0.113.9").click()
    expect(page.get_by_label("Address, network or user")).to_have_value("203.0.113.9")
    page.get_by_label("Reason").fill("an attack")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.locator("#block-outcome")).to_contain_text("203.0.113.9 is blocked for")
    site.soon("203.0.113.9", 403)
    assert site.ask("203.0.113.10").status_code == 200
    blocked = row(page, "sanctions", "203.0.113.9")
    expect(blocked).to_contain_text("an attack")
    expect(blocked).to_contain_text("by alice")
    expect(row(page, "actions", "203.0.113.9")).to_contain_text("alice")
    blocked.get_by_role("button", name="Lift").click()
    expect(blocked).to_have_count(0)
    site.soon("203.0.113.9", 200)


def test_the_numbers_and_charts_move(site: Site, log_in: LogIn):
    page = log_in()
    site.attack("203.0.113.20")
    chart = page.locator('[data-signal="refusals:query_limits"]')
    expect(chart.locator(".chart-value")).not_to_have_text("0/s")
    expect(page.locator("#tiles")).to_contain_text("answers")
    page.get_by_text("The charts as a table").click()
    expect(row(page, "minutes", "Refused by query limits").get_by_role("cell").last).not_to_have_text("0")


def test_why_a_request_was_refused(site: Site, log_in: LogIn, watched: Watched):
    page = log_in()
    request_id = site.attack("203.0.113.30", user="carol")
    expect(row(page, "refusals", request_id)).to_be_visible()
    page.get_by_label("Request id").fill(request_id)
    page.get_by_role("button", name="Look").click()
    answer = page.locator("#why-answer")
    expect(answer).to_contain_text("400 QUERY_TOO_DEEP")
    expect(answer).to_contain_text("15 of 10")
    expect(answer).to_contain_text("carol, 203.0.113.30")
    expect(answer).to_contain_text("FRAISEQL_MAX_QUERY_DEPTH")
    watched.expected = ("404",)
    page.get_by_label("Request id").fill("0123")
    page.get_by_role("button", name="Look").click()
    expect(answer).to_contain_text("no refusal of request 0123 is remembered")


def test_what_is_dangerous_is_asked_about_first(site: Site, log_in: LogIn, watched: Watched):
    watched.expected = ("409",)
    page = log_in()
    page.get_by_label("Address, network or user").fill("203.0.0.0/8")
    page.get_by_role("button", name="Block", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("is wider than /16")
    expect(dialog).to_contain_text("Of the requests lately seen it would have refused")
    expect(dialog.get_by_role("button", name="Do nothing")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#sanctions-table")).not_to_contain_text("203.0.0.0/8")
    page.get_by_role("button", name="Block", exact=True).click()
    dialog.get_by_role("button", name="Block all the same").click()
    expect(page.locator("#block-outcome")).to_contain_text("203.0.0.0/8 is blocked for")
    site.soon("203.9.9.9", 403)
    row(page, "sanctions", "203.0.0.0/8").get_by_role("button", name="Lift").click()
    site.soon("203.9.9.9", 200)


def test_a_limit_and_a_mode_are_set_and_taken_back(site: Site, log_in: LogIn):
    page = log_in()
    page.get_by_label("User or address").fill("dave")
    page.get_by_label("Limit", exact=True).fill("7000/minute")
    page.get_by_role("button", name="Set the limit").click()
    limit = row(page, "limits", "dave")
    expect(limit).to_contain_text("7000/minute")
    limit.get_by_role("button", name="Take back").click()
    expect(limit).to_have_count(0)
    page.get_by_label("Protection").select_option("query_limits")
    page.get_by_role("button", name="Refuse nobody, only count").click()
    switch = row(page, "switches", "mode query_limits = monitor")
    expect(switch).to_contain_text("alice")
    expect(page.get_by_label("What deserves a look")).to_contain_text("monitor mode, nothing is refused: query_limits")
    switch.get_by_role("button", name="Take back").click()
    expect(switch).to_have_count(0)
    expect(page.get_by_label("What deserves a look")).not_to_contain_text("monitor")


def test_bad_input_is_said_beside_the_form(log_in: LogIn, watched: Watched):
    watched.expected = ("400",)
    page = log_in()
    page.get_by_label("User or address").fill("erin")
    page.get_by_label("Limit", exact=True).fill("a lot")
    page.get_by_role("button", name="Set the limit").click()
    expect(page.locator("#limit-outcome")).to_contain_text("limit")
    expect(page.get_by_label("User or address")).to_have_value("erin")


MARKUP = '<img src=x onerror="document.title=1">'


def test_what_attackers_and_colleagues_write_is_text(site: Site, log_in: LogIn):
    page = log_in()
    request_id = site.attack("203.0.113.40", user=MARKUP, agent=MARKUP)
    expect(row(page, "refusals", request_id)).to_contain_text(MARKUP)
    expect(row(page, "offenders", MARKUP)).to_be_visible()
    page.get_by_label("Address, network or user").fill(MARKUP)
    page.get_by_label("Reason").fill(MARKUP)
    page.get_by_role("button", name="Block", exact=True).click()
    expect(row(page, "sanctions", MARKUP)).to_be_visible()
    row(page, "refusals", request_id).get_by_role("button", name="Why").click()
    expect(page.locator("#why-answer")).to_contain_text(MARKUP)
    expect(row(page, "actions", MARKUP)).to_be_visible()
    row(page, "sanctions", MARKUP).get_by_role("button", name="Lift").click()
    expect(row(page, "sanctions", MARKUP)).to_have_count(0)
    assert page.locator("main img").count() == 0
    assert page.title() == "fraiseql-guard"


def test_a_wrong_token_is_said_and_shows_nothing(open_page: Callable[..., Page], watched: Watched):
    watched.expected = ("401",)
    page = open_page()
    for wrong in ("not-the-token", "ö"):
        page.get_by_label("Admin token").fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That token is not right.")
    expect(page.get_by_role("heading", name="Right now")).to_be_hidden()
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Right now")).to_be_visible()


def test_the_token_is_sent_once_and_kept_nowhere(log_in: LogIn, watched: Watched):
    page = log_in()
    carrying = [each for each in watched.requests if TOKEN in each.url + str(each.all_headers())]
    assert [(each.method, each.url.rpartition("/")[2]) for each in carrying] == [("POST", "session")]
    assert TOKEN not in page.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie + history.state"
    )
    assert page.locator("#token").input_value() == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_a_session_is_resumed_ended_and_logged_out(log_in: LogIn, watched: Watched):
    watched.expected = ("401",)
    page = log_in()
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live")
    page.context.clear_cookies()
    expect(page.get_by_role("alert")).to_have_text("The session has ended. Log in again.")
    expect(page.get_by_label("Admin token")).to_be_focused()
    page.get_by_label("Admin token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Admin token")).to_be_focused()
    assert page.context.cookies() == []


def test_a_lost_connection_is_said_and_found_again(log_in: LogIn, watched: Watched):
    watched.expected = ("ERR_INTERNET_DISCONNECTED",)
    page = log_in()
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("Connection lost; trying again. What is shown is of")
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_have_text("Live")


def test_a_silent_store_is_said(site: Site, log_in: LogIn, watched: Watched):
    watched.expected = ("503",)
    page = log_in()
    site.attack("203.0.113.70")
    expect(row(page, "offenders", "203.0.113.70")).to_be_visible()
    site.redis.freeze()
    try:
        expect(page.locator("#connection")).to_contain_text("The store does not answer: this is what the worker")
        expect(page.locator("#now-about")).to_contain_text("one worker alone")
        expect(page.locator("#tiles div").filter(has_text="Sanctions").locator(".value")).to_have_text("?")
        expect(row(page, "offenders", "203.0.113.70")).to_be_visible()
        expect(page.locator("#workers-table tbody tr")).to_have_count(1)
        expect(page.locator("#limits-table")).to_have_class(re.compile(r"\bold\b"))
        page.reload()  # a first look now sees no empty lists either
        expect(page.locator("#connection")).to_contain_text("The store does not answer")
        for table in ("limits", "actions"):
            expect(page.locator(f"#{table}-table")).to_contain_text("Not known while the store does not answer.")
        expect(row(page, "offenders", "203.0.113.70")).to_be_visible()
    finally:
        site.redis.thaw()
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#limits-table")).to_contain_text("No caller has a limit of their own.")


def test_monitor_mode_stands_in_the_header_wherever_the_page_is(log_in: LogIn):
    page = log_in(viewport={"width": 390, "height": 600})
    badge = page.locator("header #mode")
    expect(badge).to_be_hidden()
    page.get_by_label("Protection").select_option("query_limits")
    page.get_by_role("button", name="Refuse nobody, only count").click()
    expect(badge).to_have_text("Monitor mode: query limits")
    page.get_by_label("Protection").select_option("all")
    page.get_by_role("button", name="Refuse nobody, only count").click()
    for switch in ("mode query_limits = monitor", "mode all = monitor"):
        expect(row(page, "switches", switch)).to_be_visible()
    expect(badge).to_have_text("Monitor mode: nothing is refused")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(badge).to_be_in_viewport(ratio=1)
    for switch in ("mode query_limits = monitor", "mode all = monitor"):
        row(page, "switches", switch).get_by_role("button", name="Take back").click()
        expect(row(page, "switches", switch)).to_have_count(0)
    expect(badge).to_be_hidden()


@pytest.mark.parametrize(
    ("zone", "shown"), [("UTC", "UTC"), ("Asia/Kolkata", r"\+05:30"), ("America/St_Johns", r"-0[23]:30")]
)
def test_times_carry_their_zone(site: Site, log_in: LogIn, zone: str, shown: str):
    request_id = site.attack(f"203.0.113.{71 + len(zone)}")  # at most three refusals of a caller are kept
    page = log_in(timezone_id=zone)
    time = re.compile(rf"\d\d:\d\d:\d\d {shown}")
    expect(row(page, "refusals", request_id)).to_contain_text(time)
    expect(page.locator("#now-about")).to_contain_text(time)
    row(page, "refusals", request_id).get_by_role("button", name="Why").click()
    expect(page.locator("#why-answer")).to_contain_text(time)


def test_a_hidden_tab_asks_nothing(log_in: LogIn, watched: Watched):
    page = log_in()
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true}); window.away = true"
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    before = len(watched.requests)
    page.wait_for_timeout(3_000)
    assert len(watched.requests) == before
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_event("request")
