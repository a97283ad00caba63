"""The examples of pages that explain how code of the app's own works with the guard run as they stand there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.support import pages
from tests.support.asgi import EchoApp, graphql, request
from tests.support.pages import Block


def blocks(page: str, language: str = "python") -> list[Block]:
    """The code of a page below docs/, block by block."""
    return pages.blocks(f"docs/{page}", language)


def run(block: str, **names: Any) -> dict[str, Any]:
    """What a block defines."""
    found = dict(names)
    exec(compile(block, "<block>", "exec"), found)
    return found


ONCE = {"FRAISEQL_RATE_LIMIT_DEFAULT": "1/hour", "FRAISEQL_RATE_LIMIT_BURST": "0"}


async def test_the_function_that_gives_refusals_a_body(monkeypatch) -> None:
    for name, value in ONCE.items():
        monkeypatch.setenv(name, value)
    app = run(blocks("refusals.md")[0], app=EchoApp())["app"]
    await graphql(app, "{me{id}}")
    reply = await graphql(app, "{me{id}}")
    assert (reply.status, reply.json["errors"][0]["message"]) == (429, "Slow down, please.")
    assert reply.extensions["kind"] == "house"
    page = await request(app, "GET", "/page", headers={"accept": "text/html"})
    assert (page.body, page.header("content-language")) == (b"<h1>429</h1>", "en")
    assert (await request(app, "GET", "/page")).json["error"]["code"] == "RATE_LIMITED"
    assert (await request(app, "GET", "/pa\nge", client=("198.51.100.9", 1))).code == "PATH_INVALID"
    await app.aclose()


async def test_the_template_that_gives_refusals_a_body(guarded, tmp_path: Path) -> None:
    path = tmp_path / "refusals.json"
    (text,) = blocks("refusals.md", "json")
    path.write_text(text, encoding="utf-8")
    guard = guarded(refusal_template_file=path, rate_limit_default="1/hour", rate_limit_burst=0)
    await graphql(guard, "{me{id}}")
    reply = await graphql(guard, "{me{id}}")
    assert set(reply.extensions) == {"code", "retryAfter", "requestId"}
    page = await request(guard, "GET", "/page")
    wait = page.header("retry-after")
    assert page.json == {"error": {"code": "slow_down", "text": f"Come back in {wait} seconds."}}
    wrong = await request(guard, "GET", "/pa\nge", client=("198.51.100.9", 1))
    assert wrong.json["error"]["wait"] is None
    assert json.dumps(wrong.json["error"]["text"]).endswith(f'{wrong.header("x-request-id")}."')


async def test_the_functions_that_hear_of_refusals_and_sanctions(monkeypatch, capsys) -> None:
    monkeypatch.setenv("FRAISEQL_JWT_SECRET", SECRET)
    monkeypatch.setenv("FRAISEQL_MAX_QUERY_COMPLEXITY", "1")
    app = run(blocks("refusals.md")[1], app=EchoApp())["app"]
    await graphql(app, "query People { a { b { c } } }", token=make_token(SECRET, sub="ada"))
    await app.block_ip("198.51.100.9", 60)
    await app.aclose()
    assert capsys.readouterr().out.splitlines() == [
        "ada: 1 x QUERY_TOO_COMPLEX in People",
        "198.51.100.9: operator for 60 s, by app",
    ]
