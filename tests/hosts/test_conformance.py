"""What every example of examples/hosts does, in every place that it is put."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from examples.process import ExampleServer
from fraiseql_guard import Guard
from tests.hosts.places import PLACES, PLACING
from tests.hosts.serving import Served, client_of, lifespan, refusal
from tests.hosts.table import DEPTH, FRAISEQL, HOSTS, RATE, SETTINGS, Host, loaded, parameters
from tests.hosts.test_pages import opens
from tests.support.asgi import EchoApp, graphql
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=parameters(HOSTS))
async def host_and_log(request: Any, tmp_path_factory: Any) -> AsyncIterator[tuple[Host, Any, Path]]:
    """An example that was started, and the guard's log. FraiseQL is a server of its own."""
    host: Host = request.param
    if host is FRAISEQL:
        server = request.getfixturevalue("fraiseql_server")
        yield host, server.url, server.log_file
        return
    log = tmp_path_factory.mktemp(host.name) / "guard.log"
    with loaded(host, {**SETTINGS, "FRAISEQL_GUARD_LOG_FILE": str(log)}) as app:
        async with lifespan(app):
            yield host, app, log


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES, ids=lambda place: place.name)
async def served(request: Any, host_and_log: tuple[Host, Any, Path]) -> AsyncIterator[Served]:
    """The example in a place."""
    (host, app, _), place = host_and_log, request.param
    if host is FRAISEQL:
        async with httpx.AsyncClient(base_url=app, trust_env=False, timeout=30) as client:
            yield Served(host=host, place=place, client=client, headers={PLACING: place.name})
        return
    async with client_of(place.put(app)) as client:
        yield Served(host=host, place=place, client=client)


async def test_a_query_is_answered(served: Served) -> None:
    answer = await served.ask(served.host.ordinary)
    assert answer.status_code == 200
    assert "errors" not in answer.json(), answer.text
    (rows,) = answer.json()["data"].values()
    assert len(rows) == 2


async def test_resolvers_know_the_caller(served: Served) -> None:
    assert (await served.ask("{ whoami }")).json()["data"] == {"whoami": "anonymous"}
    user = f"ada of {served.place.name}"
    assert (await served.ask("{ whoami }", user=user)).json()["data"] == {"whoami": user}


async def test_a_bad_token_is_refused(served: Served) -> None:
    answer = await served.ask("{ whoami }", authorization="Bearer not.a.token")
    assert (answer.status_code, refusal(answer)["code"]) == (401, "UNAUTHENTICATED")


async def test_a_user_is_limited(served: Served) -> None:
    user = f"bob of {served.place.name}"
    answers = [await served.ask("{ whoami }", user=user) for _ in range(RATE + 1)]
    assert [answer.status_code for answer in answers] == [200] * RATE + [429]
    last = answers[-1]
    assert refusal(last)["code"] == "RATE_LIMITED"
    assert refusal(last)["limit"] == RATE
    assert int(last.headers["retry-after"]) > 0
    assert last.headers["x-ratelimit-remaining"] == "0"


async def test_a_deep_query_is_refused(served: Served) -> None:
    answer = await served.ask(served.host.deep)
    found = refusal(answer)
    assert answer.status_code == 400
    assert (found["code"], found["limit"], found["actual"]) == ("QUERY_TOO_DEEP", DEPTH, DEPTH + 1)


async def test_the_schema_is_known(served: Served) -> None:
    answer = await served.ask(served.host.expensive)
    assert answer.status_code == 400
    assert refusal(answer)["code"] == "QUERY_TOO_COMPLEX"
    assert refusal(answer)["actual"] > 2 * refusal(answer)["limit"]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
async def test_without_a_schema_the_same_query_would_pass(host: Host) -> None:
    assert (await graphql(Guard(EchoApp()), host.expensive)).status == 200


async def test_metrics_name_the_endpoint_and_the_log_the_operation(
    served: Served, host_and_log: tuple[Host, Any, Path]
) -> None:
    of_endpoint = {"endpoint": served.place.path, "status": "200"}
    requests = await served.counted("fraiseql_http_requests_total", **of_endpoint)
    queries = await served.counted("fraiseql_graphql_queries_total")
    name = f"Asked_{served.place.name}"
    user = f"cleo of {served.place.name}"  # of a caller with few requests each has its line
    await served.ask(f"query {name} {{ whoami }}", user=user)
    assert await served.counted("fraiseql_http_requests_total", **of_endpoint) == requests + 1
    assert await served.counted("fraiseql_graphql_queries_total") == queries + 1
    _, _, log = host_and_log

    def named() -> bool:
        lines = [json.loads(line)["context"] for line in log.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        return {name} == {line["operation"] for line in lines if line.get("operation") == name}

    await until(named)


@pytest.mark.parametrize("host", parameters((FRAISEQL,)))
async def test_fraiseqls_playground_opens_in_development(host: Host, fraiseql_server: ExampleServer) -> None:
    async with httpx.AsyncClient(base_url=fraiseql_server.url, trust_env=False) as client:
        await opens(client)


@pytest.mark.parametrize("host", parameters((FRAISEQL,)))
async def test_fraiseqls_start_says_what_can_be_changed(host: Host, fraiseql_server: ExampleServer) -> None:
    lines = fraiseql_server.log_lines()
    said = [line["context"]["detail"] for line in lines if line["event"] == "guard.configuration"]
    (sentence,) = said  # the only one is about a list of the app's own
    assert sentence.startswith("lists without a slicing argument are counted as 10 items")
    assert "Comment.replies. Give them one, such as first, or set FRAISEQL_GUARD_LIST_MULTIPLIER" in sentence
