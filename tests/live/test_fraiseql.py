"""The real FraiseQL app on a real PostgreSQL, guarded: what its clients, its database and its operator see."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from examples.process import sum_of
from fraiseql_guard.testing import make_token
from tests.support.fraiseql_host import SECRET, SLOW_BY_FIND, SLOW_BY_RUN, TIMEOUT, UNLIMITED, Host, within
from tests.support.processes import FRAISEQL, Server, needs_fraiseql

pytestmark = needs_fraiseql


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    environment = {**UNLIMITED, TIMEOUT: "5"}
    with Server(FRAISEQL, tmp_path_factory.mktemp("host"), environment) as server:
        made = Host(server)
        yield made
        made.close()


def test_ordinary_queries_and_mutations_are_answered(host: Host) -> None:
    answer = host.ask("{ users(limit: 3) { id name posts { title author { name } } } }")
    assert len(answer.json()["data"]["users"]) == 3
    author = answer.json()["data"]["users"][0]["id"]
    created = host.ask(
        "mutation($input: CreatePostInput!) {"
        " createPost(input: $input) { ... on CreatePostSuccess { post { title } } } }",
        variables={"input": {"authorId": author, "title": "New", "body": "Text"}},
    )
    assert created.json()["data"]["createPost"]["post"]["title"] == "New"
    assert created.headers["x-ratelimit-limit"] == "100000"


@pytest.mark.parametrize("query", [SLOW_BY_FIND, SLOW_BY_RUN])
def test_at_the_deadline_postgresql_stops_working_on_the_query(host: Host, query: str) -> None:
    before = host.backends()
    running: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: running.append(host.ask(query)))
    thread.start()
    assert within(4, lambda: host.at_work() == 1)
    thread.join(20)
    assert (running[0].status_code, running[0].json()["errors"][0]["extensions"]["code"]) == (504, "QUERY_TIMEOUT")
    assert within(10, lambda: host.at_work() == 0)  # by itself it would work for 20 or 30 s
    assert host.ask("{ users(limit: 1) { id } }").status_code == 200
    assert before <= host.backends()  # its connection is used again, not thrown away


def too_late(host: Host) -> float:
    return sum_of(host.server.samples(), "fraiseql_errors_total", error_code="QUERY_TIMEOUT")


@pytest.mark.parametrize("query", [SLOW_BY_FIND, SLOW_BY_RUN])
def test_a_client_that_leaves_stops_its_query_in_postgresql(host: Host, query: str) -> None:
    before, left = host.backends(), []
    stopped_at_the_deadline = too_late(host)

    def leave() -> None:
        with pytest.raises(httpx.ReadTimeout) as raised:
            host.ask(query, timeout=2.0)
        left.append(raised)

    thread = threading.Thread(target=leave)
    thread.start()
    assert within(2, lambda: host.at_work() == 1)
    thread.join()
    assert within(10, lambda: host.at_work() == 0)
    assert too_late(host) == stopped_at_the_deadline
    assert left
    assert host.ask("{ users(limit: 1) { id } }").status_code == 200
    assert before <= host.backends()  # its connection is used again, not thrown away
    assert within(30, lambda: sum_of(host.server.samples(), "fraiseql_guard_disconnects_total") >= 1)


def test_a_mutation_runs_on_when_its_client_leaves(host: Host) -> None:
    author = host.ask("{ users(limit: 1) { id } }").json()["data"]["users"][0]["id"]
    mutation = (
        'mutation { createPost(input: {authorId: "%s", title: "Kept", body: "b", delaySeconds: 3.0})'
        " { ... on CreatePostSuccess { post { id } } } }"
    )
    with pytest.raises(httpx.ReadTimeout):
        host.ask(mutation % author, timeout=1.5)
    assert within(30, lambda: "Kept" in host.ask("{ posts(limit: 300) { title } }").text)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("POST", "/graphql/"),
        ("POST", "/graphql/rust"),
        ("POST", "//graphql"),
        ("GET", "/graphql"),
    ],
)
def test_no_route_to_graphql_goes_around_the_guard(host: Host, method: str, path: str) -> None:
    deep = "{ posts { author { " + "invitedBy { " * 20 + "name" + " }" * 20 + " } } }"
    for query, status in ((deep, 400), ("{ users(limit: 1) { id } }", None)):
        given = {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}
        url = f"{host.server.url}{path}"
        assert httpx.request(method, url, **given, trust_env=False).status_code == 401
        answer = httpx.request(method, url, **given, headers={"Authorization": f"Bearer {host.token}"}, trust_env=False)
        assert status is None or answer.status_code == status


@pytest.mark.parametrize(
    "target",
    ["/graphql%0A", "/graphql%0D%0A", "/graphql%00", "//graphql", "/x/../graphql", "http://other/graphql", "graphql"],
)
def test_no_spelling_on_the_wire_goes_around_the_guard(host: Host, target: str) -> None:
    """Sent as it stands: a client's library would resolve it."""
    address = urlsplit(host.server.url)
    body = json.dumps({"query": "{ users(limit: 1) { id } }"}).encode()
    head = f"POST {target} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.split()[1] in (b"400", b"401")
    assert b'"data"' not in answer


def test_the_metrics_are_the_contracts_and_not_for_the_public(host: Host) -> None:
    host.ask("{ users(limit: 1) { id } }")
    exposition = httpx.get(f"{host.server.url}/metrics", trust_env=False).text
    for name in ("http_requests_total", "graphql_queries_success", "graphql_query_complexity_bucket"):
        assert f"\nfraiseql_{name}" in exposition
    forwarded = httpx.get(f"{host.server.url}/metrics", headers={"X-Forwarded-For": "203.0.113.1"}, trust_env=False)
    assert forwarded.status_code == 403
    assert "fraiseql_" not in forwarded.text


def test_the_runbooks_jq_commands_read_the_log(host: Host) -> None:
    host.server.post("{ users { id } }")
    host.ask("{ users(limit: 900) { posts { comments { id } } } }")
    assert within(30, lambda: "graphql.expensive_query" in host.server.log_file.read_text())

    def jq(*arguments: str) -> list[str]:
        command = ["jq", "-r", *arguments, str(host.server.log_file)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    failures = jq('select(.event == "security.auth_failure") | .context.failure_reason')
    assert "missing_token" in failures
    dear = jq('select(.event == "graphql.expensive_query") | .context | "\\(.user_id) \\(.query_complexity)"')
    assert "ada 100800" in dear or any(line.startswith("ada ") for line in dear)
    assert jq('select(.level == "WARNING") | .event')
    assert "http.request" in jq(".event")


def test_the_same_limits_hold_on_redis_for_two_servers(tmp_path: Path) -> None:
    from tests.support.redis_server import RedisServer

    with RedisServer() as redis:
        environment = {
            "FRAISEQL_JWT_SECRET": SECRET,
            "FRAISEQL_REDIS_URL": redis.url,
            "FRAISEQL_RATE_LIMIT_AUTHENTICATED": "10/hour",
            "FRAISEQL_RATE_LIMIT_BURST": "0",
            "FRAISEQL_GUARD_STORE_TIMEOUT_MS": "1000",
        }
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with Server(FRAISEQL, tmp_path / "a", environment) as one, Server(FRAISEQL, tmp_path / "b", environment) as two:
            token = make_token(SECRET, sub="ada")
            answers = [
                server.post("{ users(limit: 1) { id } }", token=token) for _ in range(8) for server in (one, two)
            ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 10 + [429] * 6
    assert json.loads(answers[-1].text)["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
