"""The configurations of docs/proxies.md, run as they stand there in front of uvicorn and a guarded app."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fraiseql_guard.core.settings import Settings
from tests.support.asgi import graphql
from tests.support.proxies import PAGE, RECIPES, Proxy, configurations, proxying
from tests.support.socket_client import connected
from tests.support.socket_servers import SocketServer, serving
from tests.support.sse_client import streamed
from tests.support.waiting import until_now
from tools.docs import ROOT

# Servers and apps are installed for the Python that development uses.
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the servers are tested on CPython 3.13")

APP = "tests.live.proxied_app:guarded_app"
RATE = 20
FORGED = {"x-forwarded-for": "203.0.113.99", "forwarded": "for=203.0.113.99", "x-real-ip": "203.0.113.99"}
MIB = 1 << 20
NUMBERS = itertools.count(10)
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def new_address() -> str:
    """A client of its own: all of 127.0.0.0/8 is this machine."""
    return f"127.0.7.{next(NUMBERS)}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketServer]:
    folder = tmp_path_factory.mktemp("app")
    said = re.findall(r"^```dotenv\n(.*)=(.*)\n```", TEXT, re.MULTILINE)[0]
    environment = {
        said[0]: said[1],
        "FRAISEQL_RATE_LIMIT_DEFAULT": f"{RATE}/hour",
        "FRAISEQL_RATE_LIMIT_BURST": "0",
        "FRAISEQL_GUARD_EXEMPT_PATHS": "/probe,/metrics",
        "FRAISEQL_GUARD_RULES": "rules: [{name: short, match: {path: /graphql, operations: [Short]}, timeout: 1}]",
        "FRAISEQL_GUARD_ADMIN_TOKENS": "alice=0123456789-0123456789-0123456789",
        "FRAISEQL_GUARD_LOG_FILE": str(folder / "guard.log"),
    }
    with serving("uvicorn", APP, folder, environment) as started:
        yield started


@pytest.fixture(scope="module", params=RECIPES)
def proxy(request: Any, app: SocketServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxying(request.param, app.port, tmp_path_factory.mktemp(request.param)) as started:
        yield started


def client_at(proxy: Proxy, address: str) -> httpx.Client:
    transport = httpx.HTTPTransport(verify=proxy.trust, local_address=address)
    return httpx.Client(base_url=proxy.url, transport=transport, timeout=20, trust_env=False)


def ask(client: httpx.Client, query: str = "{ me { id } }", **headers: str) -> httpx.Response:
    return client.post("/graphql", json={"query": query}, headers=headers)


def line_of(app: SocketServer, event: str, request_id: str) -> dict[str, Any]:
    """The line of one request, once it is written."""
    found: list[dict[str, Any]] = []

    def written() -> bool:
        lines = (app.folder / "guard.log").read_text().splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.endswith("\n") and request_id in line]
        found.extend(line["context"] for line in told if line["event"] == event)
        return bool(found)

    until_now(written)
    return found[0]


def test_the_command_that_shows_whether_it_works(proxy: Proxy, app: SocketServer, tmp_path: Path) -> None:
    (line,) = re.findall(r"^```sh\n(curl .*)\n```", TEXT, re.MULTILINE)
    address = new_address()
    here = ["--interface", address, "--cacert", str(proxy.place.certificate.file), "--noproxy", "*"]
    command = [*shlex.split(line.replace("https://api.example.org", proxy.url)), *here]
    head = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60).stdout
    (request_id,) = re.findall(r"(?im)^x-request-id: ([0-9a-f]+)", head)
    assert line_of(app, "http.request", request_id)["ip_address"] == address


@pytest.mark.parametrize("forged", [{}, FORGED], ids=["plain", "forged"])
def test_the_guard_sees_the_client_and_nothing_that_it_claims(
    proxy: Proxy, app: SocketServer, forged: dict[str, str]
) -> None:
    address = new_address()
    with client_at(proxy, address) as client:
        answer = ask(client, **forged)
    assert answer.json() == {"data": {"me": {"id": "anonymous"}}}
    assert line_of(app, "http.request", answer.headers["x-request-id"])["ip_address"] == address


def test_each_client_has_a_limit_of_its_own_and_hears_of_it(proxy: Proxy, app: SocketServer) -> None:
    address = new_address()
    with client_at(proxy, address) as client:
        statuses = [ask(client, **FORGED).status_code for _ in range(RATE)]
        refused = ask(client, **{**FORGED, "x-forwarded-for": "203.0.113.100"})
    assert statuses == [200] * RATE
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["ratelimit-policy"] == f'"default";q={RATE};w=3600'
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert line_of(app, "security.rate_limit", refused.headers["x-request-id"])["ip_address"] == address
    with client_at(proxy, new_address()) as other:
        assert ask(other).status_code == 200


def test_the_guards_id_is_in_the_answer_and_in_the_proxys_log(proxy: Proxy) -> None:
    with client_at(proxy, new_address()) as client:
        answer = ask(client, **{"x-request-id": "chosen-by-the-client"})
    request_id = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", request_id)
    until_now(lambda: request_id in proxy.logged())


async def test_a_socket_carries_a_subscription_event_by_event(proxy: Proxy) -> None:
    address = new_address()
    # A page of the host that it asks for: the guard compares the origin with what the proxy says.
    page = {"origin": proxy.url, "headers": {"cookie": "session=1"}}
    async with connected(proxy.ws, ssl=proxy.trust, local_addr=(address, 0), **page) as socket:
        await socket.init({})
        await socket.subscribe("1", "subscription { ticks(interval: 0.05) }")
        told = [(await socket.receive_type("next"))["payload"]["data"]["ticks"] for _ in range(3)]
    assert told == [1, 2, 3]


async def test_an_event_of_a_stream_does_not_wait_for_the_next(proxy: Proxy, app: SocketServer) -> None:
    before = app.probe()["ended"].get("ticks", 0)
    transport = httpx.AsyncHTTPTransport(verify=proxy.trust, local_address=new_address())
    query = "subscription { ticks(interval: 3600) }"
    async with streamed(f"{proxy.url}/graphql", query, transport=transport) as stream:
        # One event, and then nothing for an hour: a proxy that gathers would hold it back.
        assert (await stream.next(10)).json == {"data": {"ticks": 1}}
    # The client has left: the guard hears of it, and stops the app.
    until_now(lambda: app.probe()["ended"].get("ticks", 0) == before + 1)


def test_the_guards_deadline_comes_before_the_proxys(proxy: Proxy) -> None:
    with client_at(proxy, new_address()) as client:
        answer = ask(client, "query Short { slow(seconds: 30) }")
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (504, "QUERY_TIMEOUT")


def test_a_client_that_leaves_frees_the_app(proxy: Proxy, app: SocketServer) -> None:
    def left() -> tuple[float, int]:
        return app.metric("fraiseql_guard_disconnects_total"), app.probe()["cancelled"].get("slow", 0)

    gone, cancelled = left()
    with client_at(proxy, new_address()) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/graphql", json={"query": "{ slow(seconds: 3600) }"}, timeout=httpx.Timeout(20, read=0.3))
    until_now(lambda: left() == (gone + 1, cancelled + 1))


def test_a_body_over_the_guards_limit_is_the_guards_and_one_over_the_proxys_is_not_passed_on(
    proxy: Proxy, app: SocketServer
) -> None:
    with client_at(proxy, new_address()) as client:
        answer = ask(client, "#" * (2 * MIB))
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (413, "BODY_TOO_LARGE")
        answer = client.post("/elsewhere", content=b"x" * (12 * MIB))
    assert answer.status_code == 413
    assert ("x-request-id" in answer.headers) != RECIPES[proxy.name].bounds_bodies


@pytest.mark.parametrize("path", ["/metrics", "/health/detailed", "/admin/", "/admin/blocks"])
def test_what_is_for_operators_is_not_there_from_outside(proxy: Proxy, app: SocketServer, path: str) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=new_address()), trust_env=False) as inside:
        assert inside.get(f"{app.url}{path}").status_code in {200, 401}
    with client_at(proxy, new_address()) as client:
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["//metrics", "/%6detrics", "/x/../metrics", "/metrics/", "/metrics;a", "//health/detailed"]
)
def test_no_other_spelling_of_it_shows_more(proxy: Proxy, path: str) -> None:
    with client_at(proxy, new_address()) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request, follow_redirects=True)
    assert answer.status_code in {401, 403, 404}
    assert "fraiseql_" not in answer.text


WAITS = {
    "nginx": r"proxy_read_timeout +(\d+)s",
    "haproxy": r"timeout (?:server|client|tunnel) +(\d+)s",
    "caddy": r"response_header_timeout (\d+)s",
    "traefik": r"responseHeaderTimeout: (\d+)s",
    "envoy": r"stream_idle_timeout: (\d+)s",
}
SIZES = {"nginx": (r"client_max_body_size +(\d+)m;", MIB), "haproxy": (r"gt (\d+) }", 1)}


@pytest.mark.parametrize("name", RECIPES)
def test_each_configuration_waits_longer_and_takes_more_than_the_guard(name: str) -> None:
    text, settings = "".join(configurations(RECIPES[name].heading)), Settings.load({})
    waits = [int(seconds) for seconds in re.findall(WAITS[name], text)]
    assert waits
    assert min(waits) > max(
        settings.query_timeout, settings.socket_ping_seconds + 10, settings.stream_heartbeat_seconds
    )
    if RECIPES[name].bounds_bodies:
        pattern, unit = SIZES[name]
        assert [int(size) * unit > settings.max_request_bytes for size in re.findall(pattern, text)] == [True]


def test_the_defaults_that_the_page_fits_to_are_those_of_the_guard() -> None:
    rows = re.findall(r"^\| `FRAISEQL_(?:GUARD_)?(\w+)` \| (\d+) (s|MiB) \|", TEXT, re.MULTILINE)
    said = {name.lower(): int(number) * (MIB if unit == "MiB" else 1) for name, number, unit in rows}
    assert len(said) == 5
    assert said == {name: getattr(Settings.load({}), name) for name in said}


# --- what cannot be run here ------------------------------------------------------------------------------------------

CLOUDS = dict(re.findall(r"^### (.+)\n((?:(?!^#).*\n)+)", TEXT, re.MULTILINE))


@pytest.mark.parametrize("name", CLOUDS)
async def test_the_client_is_found_in_what_a_balancer_is_documented_to_send(name: str, guarded, monkeypatch) -> None:
    (head,) = re.findall(r"```text\n(.*?)```", CLOUDS[name], re.DOTALL)
    (said,) = re.findall(r"```dotenv\n(.*?)```", CLOUDS[name], re.DOTALL)
    for line in said.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    guard = guarded()
    await graphql(guard, "{me{id}}", client=(headers.pop("peer"), 40000), headers=headers)
    (line,) = guard.events("http.request")
    assert line["context"]["ip_address"] == "198.51.100.7"
    assert headers["X-Forwarded-For"].startswith("203.0.113.99")  # and not what it has written itself
