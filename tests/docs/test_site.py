"""The site of the documentation: complete, sound, searchable, and read by no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from playwright.sync_api import Locator, expect

from tests.support.pages import ROOT
from tools.browser import chromium

CONFIGURATION = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
STRUCTURE = frozenset({"li", "ul", "ol", "table", "td", "th", "pre", "h2", "h3", "h4", "blockquote", "img"})


def pages_of(nav: object) -> Iterator[str]:
    """The pages of the navigation, in its order."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for each in nav:
            yield from pages_of(each)
    elif isinstance(nav, dict):
        for each in nav.values():
            yield from pages_of(each)


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page() -> None:
    assert sorted(pages_of(CONFIGURATION["nav"])) == PAGES


@dataclass(frozen=True, slots=True)
class Site:
    """The built site, and what mkdocs has warned of: links, anchors, pages outside the navigation."""

    folder: Path
    warnings: list[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Built as ``make docs`` builds it, but for its place."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Site(folder, [line for line in done.stderr.splitlines() if not line.startswith("INFO")])


def test_links_anchors_and_the_navigation_are_sound(site: Site) -> None:
    assert site.warnings == []


class Structure(HTMLParser):
    """Counts the elements of a page's text that say how it is divided."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._inside = False
        self.counts: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or tag == "article"
        if self._inside and tag in STRUCTURE:
            self.counts[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "article"


@pytest.mark.parametrize("page", PAGES)
def test_the_site_divides_a_page_as_the_forge_does(page: str, site: Site) -> None:
    """Python-Markdown wants four spaces where CommonMark takes two: lists and blocks would fall apart unseen."""
    text = (DOCS / page).read_text(encoding="utf-8")
    here = MarkdownIt("commonmark").enable("table").render(text)
    path = Path(page).with_suffix("")
    built = site.folder / (path.parent if path.name in ("index", "README") else path) / "index.html"
    wanted = Structure(f"<article>{here}</article>").counts
    assert Structure(built.read_text(encoding="utf-8")).counts == wanted


def test_code_in_a_table_shows_a_bar(site: Site) -> None:
    shown = (site.folder / "runbooks" / "index.html").read_text(encoding="utf-8")
    cells = re.findall(r"<td\b.*?</td>", shown, re.DOTALL)
    assert any("| sort | uniq -c" in cell for cell in cells)
    assert [cell for cell in cells if "\\|" in cell] == []


def test_nothing_is_asked_of_other_hosts(site: Site) -> None:
    loaded = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|url\(["']?(?:https?:)?//""")
    linked = re.compile(r"""<link\b[^>]*\brel=["']?(?:stylesheet|icon|preconnect)\b[^>]*\bhref=["']?(?:https?:)?//""")
    for path in (*site.folder.rglob("*.html"), *site.folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        assert not loaded.search(text), path
        assert not linked.search(text), path


def test_a_reader_searches_and_finds(site: Site) -> None:
    handler = partial(Silent, directory=str(site.folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    asked: set[str] = set()
    problems: list[str] = []
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(url)
            found = page.locator(".md-search-result__link")
            _typed(page.get_by_role("textbox", name="Search"), "CONCURRENCY_LIMIT", found)
            targets = found.evaluate_all("links => links.map(link => link.href)")
    finally:
        server.shutdown()
        server.server_close()
    assert any("/errors/" in target for target in targets), targets
    assert (asked - {"", urlsplit(url).netloc}, problems) == (set(), [])


def _typed(box: Locator, text: str, found: Locator) -> None:
    """Type until something is found: on a busy machine what is typed before the page's script listens is not heard."""
    for _ in range(20):
        box.fill("")
        box.press_sequentially(text)
        with suppress(AssertionError):
            expect(found.first).to_be_visible(timeout=5_000)
            return
    raise AssertionError("nothing is found")


class Silent(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as the base class names it
        """Not between pytest's dots."""
