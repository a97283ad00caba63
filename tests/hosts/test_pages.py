"""GraphiQL and its like work in development, with a key and without; elsewhere their introspection is denied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

from fraiseql_guard.testing import make_token
from tests.conftest import SECRET
from tests.hosts.serving import client_of, lifespan, refusal
from tests.hosts.table import IN_PROCESS, Host, loaded, parameters

KEY = {"FRAISEQL_JWT_SECRET": SECRET}
DEVELOPMENT = {"FRAISEQL_ENVIRONMENT": "development"}
INTROSPECTIONS = (
    get_introspection_query(),
    get_introspection_query(descriptions=True, specified_by_url=True, directive_is_repeatable=True),
    get_introspection_query(
        schema_description=True, input_value_deprecation=True, specified_by_url=True, directive_is_repeatable=True
    ),
)
"""As GraphiQL sends them, with what a server may or may not know."""
WITH_PAGES = tuple(host for host in IN_PROCESS if host.has_page)
"""FraiseQL's page is tried in test_conformance.py, where its server runs."""
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@asynccontextmanager
async def serving(host: Host, environment: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    with loaded(host, environment) as app:
        async with lifespan(app), client_of(app) as client:
            yield client


async def introspect(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    """What GraphiQL does when it opens."""
    asked = {"query": query, "operationName": "IntrospectionQuery"}
    return await client.post("/graphql", json=asked, headers={"accept": "application/json", **headers})


async def opens(client: httpx.AsyncClient) -> None:
    """The page is there, and its introspections are answered without a token."""
    page = await client.get("/graphql", headers=BROWSER)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for query in INTROSPECTIONS:
        answer = await introspect(client, query)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["__schema"]["queryType"]["name"] == "Query"


@pytest.mark.parametrize("key", [{}, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("host", parameters(WITH_PAGES))
async def test_in_development_the_page_opens_and_learns_the_schema(host: Host, key: dict[str, str]) -> None:
    async with serving(host, {**DEVELOPMENT, **key}) as client:
        await opens(client)


@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_in_development_anything_else_needs_a_token_if_there_is_a_key(host: Host) -> None:
    async with serving(host, {**DEVELOPMENT, **KEY}) as client:
        asked = {"query": "{ whoami }"}
        assert refusal(await client.post("/graphql", json=asked))["code"] == "UNAUTHENTICATED"
        token = {"authorization": f"Bearer {make_token(SECRET, sub='ada')}"}
        answer = await client.post("/graphql", json=asked, headers=token)
        assert answer.json() == {"data": {"whoami": "ada"}}


@pytest.mark.parametrize("host", parameters(IN_PROCESS))
async def test_elsewhere_the_schema_is_no_secret_told(host: Host) -> None:
    token = {"authorization": f"Bearer {make_token(SECRET, sub='ada')}"}
    async with serving(host, KEY) as client:
        for query in INTROSPECTIONS:
            assert refusal(await introspect(client, query, **token))["code"] == "INTROSPECTION_DENIED"
        assert refusal(await introspect(client, INTROSPECTIONS[0]))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("host", parameters(WITH_PAGES))
async def test_the_page_itself_is_the_hosts_to_switch_off(host: Host) -> None:
    async with serving(host, KEY) as client:
        page: Any = await client.get("/graphql", headers=BROWSER)
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
