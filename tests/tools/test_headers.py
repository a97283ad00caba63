"""The table of headers has all that the package spells, and nothing that it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fraiseql_guard
from fraiseql_guard.core.settings import VARIABLES
from fraiseql_guard.identity.proxy_headers import only_proxies_send
from tools.headers import OF_THE_APP, READ, WRITTEN

PACKAGE = Path(fraiseql_guard.__file__).parent
ROWS = (*READ, *WRITTEN, *OF_THE_APP)
OF_ONE_WORD = frozenset(
    {
        *("accept", "allow", "authorization", "cookie", "digest", "etag", "forwarded", "host", "origin"),
        *("ratelimit", "signature", "traceparent", "vary"),
    }
)
"""Header names that cannot be told from other words by a dash."""
NO_HEADERS = frozenset({"cross-site", "no-cache", "no-referrer", "no-store", "same-origin"})
"""Values of headers that look like names."""


def spelled() -> Iterator[str]:
    """Every header name in the package's code: names on the wire are bytes."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                text = node.value.decode("latin-1")
                if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", text) or text in OF_ONE_WORD:
                    yield text


def test_every_header_that_the_package_spells_is_in_the_table() -> None:
    told = {row.name.lower() for row in ROWS}
    found = {name for name in spelled() if not only_proxies_send(name.encode())} - NO_HEADERS
    assert found - told == set()


def test_every_header_in_the_table_is_in_the_package() -> None:
    texts = [path.read_text(encoding="utf-8").lower() for path in PACKAGE.rglob("*.py")]
    for row in ROWS:
        assert any(row.name.lower() in text for text in texts), row.name


def test_the_tables_are_in_order_and_name_settings_that_exist() -> None:
    for rows in (READ, WRITTEN, OF_THE_APP):
        names = [row.name.lower() for row in rows]
        assert names == sorted(set(names))
    assert {row.option for row in ROWS} - {""} <= {row.option for row in VARIABLES}
    assert all(row.meaning.endswith(".") for row in ROWS)


def test_headers_that_only_proxies_send_are_told_apart() -> None:
    """Those that trusted proxies may send are read, and stand in both tables."""
    both = {row.name for row in READ if only_proxies_send(row.name.lower().encode())}
    assert both == {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
