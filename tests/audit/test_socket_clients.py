"""Real clients of sockets and events against apps without a guard: what is known of each client, and is seen by us."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.socket_servers import CLOSING, STRAWBERRY, SocketServer, serving
from tools.audit.sockets import __main__ as sockets
from tools.audit.sockets.clients import CLIENTS, PROTOCOLS, ClientError, ClientRun, fatal_codes, run_client

SUBSCRIPTION = "subscription Count { count(to: 2) }"
RESULTS = ({"count": 1}, {"count": 2})
GOOD = ClientRun("urql", (0.1,), (), (), (*RESULTS, {"count": 3}), (), "complete")
CASE = sockets.CASES[1]

needs_node = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    with serving("uvicorn", STRAWBERRY, tmp_path_factory.mktemp("strawberry")) as started:
        yield started


def run(client: str, server: SocketServer, document: str = SUBSCRIPTION, **options) -> ClientRun:
    return run_client(client, f"{server.url}/graphql", document, **{"seconds": 15.0, **options})


class TestRealClients:
    pytestmark = needs_node

    @pytest.mark.parametrize("client", CLIENTS)
    def test_each_shows_its_app_the_results_of_one_connection(self, server: SocketServer, client: str) -> None:
        found = run(client, server)
        assert [each["count"] for each in found.results] == [1, 2]
        assert (found.errors, len(found.connects), found.ended) == ((), 1, "complete")

    @pytest.mark.parametrize("client", CLIENTS)
    def test_each_shows_its_app_the_errors_of_an_operation(self, server: SocketServer, client: str) -> None:
        found = run(client, server, "subscription Nope { nope }")
        assert "nope" in found.errors[0].message
        assert len(found.connects) == 1

    def test_variables_and_tokens_are_sent(self, server: SocketServer) -> None:
        found = run("graphql-ws", server, "subscription C($n: Int!) { count(to: $n) }", variables={"n": 1},
                    connection_params={"authorization": "Bearer x"})  # fmt: skip
        assert found.results == ({"count": 1},)

    @pytest.mark.parametrize("client", ["graphql-ws", "apollo", "urql"])
    def test_an_answer_of_http_to_an_upgrade_is_final(self, server: SocketServer, client: str) -> None:
        found = run(client, server, headers={"origin": "http://other.example"}, seconds=6.0)
        assert (found.statuses, len(found.connects)) == ((403,), 1)
        assert found.errors
        assert found.ended is not None

    @pytest.mark.parametrize(("code", "final"), [(4401, True), (4403, False), (4503, False)])
    def test_a_close_is_final_or_not(self, tmp_path: Path, code: int, final: bool) -> None:
        environment = {"SOCKET_APP_CLOSES": f"unacknowledged:{code}"}
        with serving("uvicorn", CLOSING, tmp_path, environment) as server:
            found = run("graphql-ws", server, seconds=7.0)
        assert {each.code for each in found.closes} == {code}
        assert (len(found.connects) == 1, found.ended) == (final, "error" if final else None)
        assert not final or found.errors[0].code == code

    def test_after_1000_a_client_connects_again_at_once(self, tmp_path: Path) -> None:
        with serving("uvicorn", CLOSING, tmp_path, {"SOCKET_APP_CLOSES": "unacknowledged:1000"}) as server:
            found = run("graphql-ws", server, seconds=1.0, stay=True)
        assert len(found.connects) > 2  # with its pauses between attempts there would be one in this second

    def test_the_codes_that_are_final_are_those_that_the_guard_knows(self) -> None:
        assert sockets.changed(fatal_codes()) == []


def test_what_is_missing_is_found() -> None:
    assert sockets.problems(CASE, GOOD) == []
    twice = ClientRun("urql", (0.1, 1.0), (), (), RESULTS, (ClientError("broke", None, None),), "error")
    assert sockets.problems(CASE, twice) == [
        "urql shows [{'count': 1}, {'count': 2}] for the subscription", "urql shows the error 'broke'",
        "urql connected 2 times for the subscription",
    ]  # fmt: skip


def test_a_list_of_codes_that_changes_is_found() -> None:
    assert sockets.changed(sockets.FATAL) == []
    assert sockets.changed(sockets.FATAL - {4401} | {4403}) == [
        "graphql-ws tries again after 4401", "graphql-ws gives up after 4403",
    ]  # fmt: skip


def test_each_client_speaks_something() -> None:
    assert set(PROTOCOLS) == set(CLIENTS)


def test_without_node_it_says_what_is_missing(monkeypatch, tmp_path, capsys) -> None:
    class Nothing:
        def __enter__(self):
            return SocketServer("uvicorn", 0, 1, tmp_path)

        def __exit__(self, *_error):
            return None

    monkeypatch.setattr(sockets, "serving", lambda *_arguments: Nothing())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sockets.main() == 2
    assert "node is not on PATH" in capsys.readouterr().err
