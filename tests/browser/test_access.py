"""The console for everybody: by keyboard alone, on a small phone, in either colour scheme, read aloud."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from fraiseql_guard.core import signals
from tests.browser.conftest import TOKEN, Site

pytestmark = pytest.mark.redis

LogIn = Callable[..., Page]

# Every visible text against what is painted behind it (WCAG 2.2, 1.4.3: 4.5, or 3 for large text).
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
                           const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return { c: [r, g, b], a }; };
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4))
                        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (node) => {
    for (let up = node; up; up = up.parentElement) {
      const found = rgb(getComputedStyle(up).backgroundColor);
      if (found.a === 255) return found.c;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest(".unseen, .skip, option, noscript")) continue;
    const style = getComputedStyle(node);
    const [one, two] = [light(rgb(style.color).c), light(behind(node))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (one + .05) / (two + .05);
    if (ratio < wanted) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return poor;
}
"""


def focused(page: Page) -> str:
    return page.evaluate(
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
    )


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is so called has the focus, which then shows."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if focused(page) == name:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    pytest.fail(f"no Tab leads to {name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_small_phone_in_either_scheme(scheme: str, site: Site, log_in: LogIn):
    site.attack("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff")
    page = log_in(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    expect(page.locator("#refusals-table tbody tr").first).to_be_visible()
    page.get_by_text("The charts as a table").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    cut = "[...document.querySelectorAll('.table')].filter((t) => t.scrollWidth > t.clientWidth).map((t) => t.id)"
    assert page.evaluate(cut) == []
    assert page.evaluate(CONTRASTS) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 150) == (scheme == "dark")


# Every word of letters and digits (codes are several, with underscores between them) that is laid out in two lines.
BROKEN = """
() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const broken = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.checkVisibility()) continue;
    if (node.parentElement.closest(".unseen, .skip, option, noscript")) continue;
    for (const { 0: word, index } of node.data.matchAll(/[A-Za-z0-9]{2,18}(?![A-Za-z0-9])/g)) {
      if (/[A-Za-z0-9:.%-]/.test(node.data[index - 1] ?? " ")) continue;
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) broken.push(word);
    }
  }
  return broken;
}
"""


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1024, 1280])
def test_no_code_breaks_inside_a_word(width: int, site: Site, log_in: LogIn):
    address = f"2001:db8:aaaa:{width}:cccc:dddd:eeee:1"
    twice = "{" + " ".join(["users(limit:1){id}"] * 300) + "}"
    for query in (twice, "{nope(", "query A{users(limit:1){id}} query B{users(limit:1){id}}"):
        site.ask(address, query)
    request_id = site.attack(address, user=f"a-service-account-of-{width}-reports@example.org")
    page = log_in(viewport={"width": width, "height": 800})
    found = page.locator("#refusals-table tbody tr").filter(has_text=request_id).first
    expect(found).to_be_visible()
    expect(page.locator("#offenders-table")).to_contain_text("GRAPHQL_PARSE_FAILED")
    found.get_by_role("button", name="Why").click()
    expect(page.locator("#why-answer")).to_contain_text("QUERY_TOO_DEEP")
    page.get_by_text("The charts as a table").click()
    # Codes of every kind, in the table's own cells.
    page.evaluate(
        """async (codes) => {
          const { setText } = await import("./dom.js");
          const rows = document.querySelectorAll("#refusals-table tbody tr");
          const place = (index) => rows[index % rows.length].querySelector("td:nth-child(2) .text");
          codes.forEach((code, index) => setText(place(index), code));
        }""",
        [code.name for code in signals.CODES],
    )
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = "[...document.querySelectorAll('.table')].filter((t) => t.scrollWidth > t.clientWidth).map((t) => t.id)"
    assert page.evaluate(cut) == []


def test_by_keyboard_alone(site: Site, open_page: Callable[..., Page]):
    page = open_page()
    expect(page.get_by_label("Admin token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#connection")).to_have_text("Live")
    site.attack("203.0.113.50")
    site.attack("203.0.113.50")
    site.ask("203.0.113.50")  # of those with as many refusals the busiest come first, and the list is short
    expect(page.locator("#offenders-table")).to_contain_text("203.0.113.50")
    tab_to(page, "Block 203.0.113.50: fill in the form")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    site.soon("203.0.113.50", 403)
    expect(page.locator("#sanctions-table")).to_contain_text("by keyboard")
    page.locator("#sanctions-title").focus()
    tab_to(page, "Lift the sanction of 203.0.113.50")
    with page.expect_response(lambda answer: answer.url.endswith("/status")):
        pass  # an update leaves the focus where it is
    assert focused(page) == "Lift the sanction of 203.0.113.50"
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_contain_text("203.0.113.50")
    site.soon("203.0.113.50", 200)
    expect(page.locator("#sanctions-table")).not_to_contain_text("203.0.113.50")
    assert page.evaluate("document.activeElement !== document.body")


def test_what_is_being_written_stays_while_the_page_updates(site: Site, log_in: LogIn):
    page = log_in()
    page.get_by_label("Reason").fill("half a sen")
    page.get_by_label("Reason").evaluate("field => field.setSelectionRange(2, 4)")
    top = page.evaluate("scrollY")
    request_id = site.attack("203.0.113.60")
    expect(page.locator("#refusals-table")).to_contain_text(request_id)
    assert page.get_by_label("Reason").input_value() == "half a sen"
    assert page.get_by_label("Reason").evaluate("field => [field.selectionStart, field.selectionEnd]") == [2, 4]
    expect(page.get_by_label("Reason")).to_be_focused()
    assert page.evaluate("scrollY") == top


def test_everything_has_a_name_and_a_place(log_in: LogIn):
    page = log_in()
    for role in ("banner", "main", "search"):
        expect(page.get_by_role(role)).to_have_count(1)
    headings = page.get_by_role("heading").all_text_contents()
    assert headings[0].endswith("console")
    assert {"Right now", "Sanctions in force", "Last refusals", "Block a caller", "The fleet"} <= set(headings)
    unnamed = """
        [...document.querySelectorAll("button, input:not([hidden]), select, table, svg, section, dialog")]
        .filter((node) => !node.labels?.length && !node.textContent.trim())
        .filter((node) => !node.ariaLabel && !node.hasAttribute("aria-labelledby"))
        .map((node) => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(unnamed) == []
    expect(page.locator('[data-signal="requests"]').get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(r"^Requests over five minutes: now \S+/s, at most \S+/s\.$")
    )
