"""The files that docs/settings.md shows are used as they stand there, by the settings under whose heading they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraiseql_guard.core.settings import VARIABLES
from fraiseql_guard.testing import ManualClock
from tests.conftest import SECRET
from tests.support.asgi import graphql, request
from tests.support.pages import ROOT, Block, every_block
from tests.support.waiting import until

PAGE = "docs/settings.md"
BOB = ("203.0.113.8", 40000)


def shown(begin: str) -> Block:
    """The block that begins with a text, or has it."""
    (block,) = [block for block in every_block(PAGE) if block.startswith(begin) or f'"{begin}"' in block]
    return block


@pytest.fixture
def file(tmp_path: Path):
    def write(block: Block) -> Path:
        path = tmp_path / "file"
        path.write_text(block, encoding="utf-8")
        return path

    return write


async def test_overrides(guarded, file) -> None:
    guard = guarded(overrides_file=file(shown("# overrides.yml")), max_query_depth=1)

    async def is_in_force() -> bool:
        return (await graphql(guard, "{ a }", client=BOB)).status == 403

    await until(is_in_force)
    assert (await graphql(guard, "{ a { b } }", client=("192.0.2.1", 1))).status == 200  # only counted
    assert (await graphql(guard, "{ a }", client=BOB)).code == "BLOCKED"
    await graphql(guard, "query Export { a }", client=("192.0.2.1", 1))
    found = {line["context"].get("code") for line in guard.events() if line["context"].get("enforced") is False}
    assert found == {"QUERY_TOO_DEEP", "DOCUMENT_BLOCKED"}
    assert (await graphql(guard, "{ a }", client=("192.0.2.1", 1))).header("x-ratelimit-limit") == "50"


async def test_the_allow_list(guarded, file) -> None:
    guard = guarded(allow_list_file=file(shown("# allow-list.yml")), rate_limit_default="1/hour", rate_limit_burst=0)
    for address in ("203.0.113.9", "198.51.100.7"):
        assert [(await graphql(guard, "{ a }", client=(address, 1))).status for _ in range(3)] == [200] * 3


async def test_api_keys(guarded, file) -> None:
    guard = guarded(api_keys_file=file(shown("# api-keys.yml")))
    # The digest on the page is that of this word, which is no key to use.
    assert (await graphql(guard, "{ a }", headers={"x-api-key": "test"})).status == 200
    assert (await graphql(guard, "{ a }", headers={"x-api-key": "other"})).status == 401


async def test_rules(guarded, file) -> None:
    guard = guarded(rules_file=file(shown("# rules.yml")), rate_limit_burst=0)
    answers = [(await graphql(guard, "mutation { login }")).status for _ in range(6)]
    assert (answers[0], answers[-1]) == (200, 429)


@pytest.mark.parametrize("begin", ["6e5b6fdd1cb4a49b0c0b0c3c1b6f0a02", "apollo-persisted-query-manifest"])
async def test_trusted_documents(guarded, file, begin: str) -> None:
    block = shown(begin)
    guard = guarded(trusted_documents_file=file(block), trusted_documents="require")
    assert (await graphql(guard, "query Me { me { name } }")).status == 200
    assert (await graphql(guard, "{ me { name } }")).code == "NOT_TRUSTED"


def test_a_jwk_set(guarded, file) -> None:
    guard = guarded(jwks_file=file(shown("2026-01")))
    assert guard.guard.settings.jwks_file is not None


async def test_refusals(guarded, file) -> None:
    path = file(shown("graphql"))
    guard = guarded(refusal_template_file=path, rate_limit_default="1/hour", rate_limit_burst=0, clock=ManualClock(1.0))
    await graphql(guard, "{ a }")
    assert (await graphql(guard, "{ a }")).extensions["code"] == "RATE_LIMITED"
    assert (await request(guard, "GET", "/page")).json["error"]["code"] == "RATE_LIMITED"


async def test_a_secret(guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jwt"
    path.write_text(f"{SECRET}\n")
    monkeypatch.setenv("FRAISEQL_JWT_SECRET_FILE", str(path))
    assert (await graphql(guarded(), "{ a }")).code == "UNAUTHENTICATED"


def test_every_setting_that_names_a_file_is_on_the_page() -> None:
    described = (ROOT / PAGE).read_text(encoding="utf-8").partition("## Files")[2]
    named = [row.name for row in VARIABLES if row.name.endswith("_FILE") and row.option != "log_file"]
    assert named
    assert [name for name in named if name not in described] == []
