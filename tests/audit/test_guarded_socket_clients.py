"""Real clients of sockets and events against guarded apps: what each shows its app, and how often it comes back."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final

import httpx
import pytest

from fraiseql_guard.testing import make_token, samples_of
from tests.conftest import SECRET
from tests.support.socket_servers import GUARDED_CLOSING, GUARDED_STRAWBERRY, SocketServer, serving
from tools.audit.sockets.clients import CLIENTS, ClientClose, ClientRun, run_client

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13"),
]

OFFENCES: Final = 2
"""Failed tokens of an address that bring a block: one more than most of these clients may commit."""
ENVIRONMENT: Final = {
    "FRAISEQL_JWT_SECRET": SECRET,
    "FRAISEQL_RATE_LIMIT_AUTHENTICATED": "1000000/minute",
    "FRAISEQL_GUARD_TRUSTED_PROXIES": "127.0.0.1",
    "FRAISEQL_GUARD_BRUTE_FORCE_OFFENCES": str(OFFENCES),
}
ADA: Final = make_token(SECRET, sub="ada")
FORGED: Final = make_token("x" * 40, sub="ada")
FORGED_AGAIN: Final = make_token("y" * 40, sub="ada")
EXPIRED: Final = make_token(SECRET, sub="ada", expires_in_seconds=-3600)

COUNT: Final = "subscription Count { count(to: 3) }"
MANY: Final = "subscription Many { " + "count(to: 1) " * 30 + "}"
DEEP: Final = "query Deep { me { " + "friend { " * 60 + "id" + " }" * 61 + " }"
ALL_SECONDS: Final = 60.0
"""A bound for clients that end by themselves: the longest is waited for 46 s, where graphql-ws chooses its waits."""
SOON: Final = 0.1
"""Seconds to wait where the number of tries is told, and not the time between them."""


def credentials(client: str, token: str | None, address: str) -> dict[str, Any]:
    """The token where the client carries it: events in the head, sockets in their first message."""
    forwarded = {"x-forwarded-for": address}
    if client == "graphql-sse":
        return {"headers": {**forwarded, **({} if token is None else {"authorization": f"Bearer {token}"})}}
    params = {} if token is None else {"authorization": f"Bearer {token}"}
    return {"headers": forwarded, "connection_params": params}


def ask(
    client: str, server: SocketServer, document: str = COUNT, *, token: str | None = ADA, address: str = "203.0.113.1",
    **options: Any,
) -> ClientRun:  # fmt: skip
    more = {"seconds": ALL_SECONDS, **credentials(client, token, address), **options}
    return run_client(client, f"{server.url}/graphql", document, **more)


def sanctions(server: SocketServer) -> float:
    page = httpx.get(f"{server.url}/metrics", timeout=20, trust_env=False).raise_for_status().text
    return sum(each.value for each in samples_of(page).get("fraiseql_guard_sanctions_total", ()))


def offences_of(address: str, server: SocketServer) -> int:
    """How many an address has committed, found by committing further ones until it is blocked."""
    before = sanctions(server)
    for number in range(OFFENCES):
        headers = {"x-forwarded-for": address, "authorization": f"Bearer {make_token('z' * 40, sub=str(number))}"}
        httpx.post(f"{server.url}/graphql", json={"query": "{ me { id } }"}, headers=headers, trust_env=False)
        if sanctions(server) > before:
            return OFFENCES - 1 - number
    raise AssertionError("the address was blocked before")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    """Strawberry behind a guard that requires tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    environment = {**ENVIRONMENT, "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log")}
    with serving("uvicorn", GUARDED_STRAWBERRY, folder, environment) as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def patient(server: SocketServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[ClientRun]]]:
    """Clients that wait between their tries as long as they choose to, while the other tests run."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(3))

        def closing(moment: str) -> SocketServer:
            folder = tmp_path_factory.mktemp(moment)
            environment = {"SOCKET_APP_CLOSES": f"{moment}:1000", "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log")}
            return stack.enter_context(serving("uvicorn", GUARDED_CLOSING, folder, environment))

        yield {
            "missing": pool.submit(ask, "graphql-ws", server, token=None, address="203.0.113.2"),
            "unacknowledged": pool.submit(ask, "graphql-ws", closing("unacknowledged")),
            "working": pool.submit(ask, "graphql-ws", closing("working"), seconds=8.0, stay=True),
        }


class TestServed:
    @pytest.mark.parametrize("client", CLIENTS)
    def test_each_shows_the_results_of_a_user_over_one_connection(self, server: SocketServer, client: str) -> None:
        found = ask(client, server)
        assert tuple(each["count"] for each in found.results) == (1, 2, 3)
        assert (found.errors, len(found.connects), found.ended) == ((), 1, "complete")

    @pytest.mark.parametrize("client", CLIENTS)
    def test_resolvers_see_the_user(self, server: SocketServer, client: str) -> None:
        found = ask(client, server, "subscription Who { whoami(interval: 9) }", enough=1)
        assert [each["whoami"] for each in found.results] == ["ada"]
        assert (found.errors, len(found.connects)) == ((), 1)

    @pytest.mark.parametrize(
        ("document", "result"),
        [
            ("query Me { me { id } }", {"me": {"id": "ada"}}),
            ('mutation Note { note(text: "x") }', {"note": 1}),
        ],
        ids=["query", "mutation"],
    )
    def test_queries_and_mutations_take_one_connection(
        self, server: SocketServer, document: str, result: dict[str, Any]
    ) -> None:
        found = ask("graphql-ws", server, document)
        assert (found.results, found.errors, len(found.connects), found.ended) == ((result,), (), 1, "complete")


class TestBadTokens:
    def test_a_bad_one_is_final(self, server: SocketServer) -> None:
        found = ask("graphql-ws", server, token=FORGED, address="203.0.113.3")
        assert found.closes == (ClientClose(4401, "UNAUTHENTICATED"),)
        assert (len(found.connects), found.ended, found.errors[0].code) == (1, "error", 4401)
        assert offences_of("203.0.113.3", server) == 1

    def test_an_expired_one_may_be_replaced_and_is_no_offence(self, server: SocketServer) -> None:
        found = ask("graphql-ws", server, token=EXPIRED, address="203.0.113.4", retry_seconds=SOON)
        assert found.closes == (ClientClose(4403, "UNAUTHENTICATED"),) * 6
        assert (len(found.connects), found.ended, found.errors[0].code) == (6, "error", 4403)
        assert offences_of("203.0.113.4", server) == 0

    def test_a_legacy_client_that_comes_back_for_ever_commits_one_offence(self, server: SocketServer) -> None:
        found = ask(
            "subscriptions-transport-ws", server, token=FORGED_AGAIN, address="203.0.113.5", seconds=4.0, stay=True
        )
        assert 2 <= len(found.connects) <= 7
        assert {each.code for each in found.closes} == {4401}
        assert set(found.told) == {"connection_error"}
        assert len(found.told) >= len(found.closes)
        assert offences_of("203.0.113.5", server) == 1

    def test_a_client_of_events_asks_once(self, server: SocketServer) -> None:
        found = ask("graphql-sse", server, token=FORGED, address="203.0.113.6")
        assert ([each.graphql_code for each in found.errors], len(found.connects)) == (["UNAUTHENTICATED"], 1)
        assert offences_of("203.0.113.6", server) == 1


class TestRefusedOperations:
    @pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse"])
    def test_a_document_that_is_too_deep_is_asked_for_once(self, server: SocketServer, client: str) -> None:
        found = ask(client, server, DEEP)
        assert ([each.graphql_code for each in found.errors], len(found.connects)) == (["QUERY_TOO_DEEP"], 1)

    @pytest.mark.parametrize("client", CLIENTS)
    def test_each_shows_its_app_why_a_subscription_is_refused(self, server: SocketServer, client: str) -> None:
        found = ask(client, server, MANY)
        assert [each.graphql_code for each in found.errors] == ["TOO_MANY_ROOT_FIELDS"]
        assert found.errors[0].extensions["limit"] == 20
        assert (found.results, len(found.connects)) == ((), 1)

    def test_subscriptions_that_are_silent_at_first_all_begin(self, server: SocketServer) -> None:
        found = ask("graphql-ws", server, "subscription C { count(to: 1, pause: 2) }", times=25)
        assert found.results == ({"count": 1},) * 25
        assert (found.errors, len(found.connects), found.ended) == ((), 1, "complete")

    def test_one_operation_too_many_is_refused_and_the_others_go_on(self, server: SocketServer) -> None:
        found = ask("graphql-ws", server, "subscription T { ticks(interval: 60) }", times=51, enough=51)
        assert [each.graphql_code for each in found.errors] == ["TOO_MANY_SUBSCRIPTIONS"]
        assert found.results == ({"ticks": 1},) * 50
        assert (len(found.connects), found.ended) == (1, None)


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse"])
def test_after_its_token_has_ended_a_client_goes_on_with_a_fresh_one(server: SocketServer, client: str) -> None:
    for lifetime in (3, 12):
        found = _outlive(server, client, lifetime)
        if len(found.results) > 5:
            break  # else this machine took longer to start the client than its token lived
    assert found.results[-5:] == tuple({"count": number} for number in range(1, 6))
    assert found.results[:-5] == tuple({"count": number} for number in range(1, len(found.results) - 4))
    assert 1 <= len(found.results) - 5 < 5
    assert (found.errors, len(found.connects), found.ended) == ((), 2, "complete")
    if client == "graphql-ws":
        assert found.closes[0] == ClientClose(4403, "TOKEN_EXPIRED")


def _outlive(server: SocketServer, client: str, lifetime: int) -> ClientRun:
    """A subscription of five events that takes longer than the first token lives."""
    tokens = (make_token(SECRET, sub="ada", expires_in_seconds=lifetime), ADA)
    each = [credentials(client, token, "203.0.113.7") for token in tokens]
    lists: dict[str, Any] = {name: [one[name] for one in each] for name in each[0]}
    document = f"subscription Count {{ count(to: 5, pause: {lifetime / 4}) }}"
    return run_client(client, f"{server.url}/graphql", document, seconds=ALL_SECONDS, retry_seconds=SOON, **lists)


class TestPatientClients:
    """What was begun with the first test has ended by now, or nearly."""

    def test_an_app_that_hangs_up_before_its_ack_brings_no_storm(self, patient: dict[str, Future[ClientRun]]) -> None:
        found = patient["unacknowledged"].result()
        assert {each.code for each in found.closes} == {4503}
        assert (len(found.connects), found.ended, found.errors[0].code) == (6, "error", 4503)

    def test_an_app_that_hangs_up_at_work_brings_no_storm(self, patient: dict[str, Future[ClientRun]]) -> None:
        found = patient["working"].result()
        assert {each.code for each in found.closes} == {4503}
        assert 2 <= len(found.connects) <= 7  # at least 1.3 s from one to the next

    def test_without_a_token_a_client_gives_up_after_a_while(
        self, server: SocketServer, patient: dict[str, Future[ClientRun]]
    ) -> None:
        found = patient["missing"].result()
        assert found.closes == (ClientClose(4403, "UNAUTHENTICATED"),) * 6
        assert (len(found.connects), found.ended, found.errors[0].code) == (6, "error", 4403)
        assert offences_of("203.0.113.2", server) == 0
