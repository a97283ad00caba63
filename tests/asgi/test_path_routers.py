"""However a path is spelt: what reaches a protected route of a real router was judged as protected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from fraiseql_guard import AuthMiddleware
from tests.asgi.routers import FILE, PRIVATE, ROUTERS, SECRET_TEXT
from tests.conftest import SECRET
from tests.support.properties import examples

MOUNT = "/mnt"


# --- how servers make a scope of what stands on the wire --------------------------------------------------------------


def whole(raw: str, root: str) -> dict[str, Any]:
    """As uvicorn: ``path`` and ``raw_path`` begin with ``root_path``."""
    return {"path": root + unquote(raw), "raw_path": (root + raw).encode(), "root_path": root}


def apart(raw: str, root: str) -> dict[str, Any]:
    """As servers that leave ``root_path`` out of the path."""
    return {"path": unquote(raw), "raw_path": raw.encode(), "root_path": root}


def bare(raw: str, root: str) -> dict[str, Any]:
    """As servers without ``raw_path``."""
    return {"path": root + unquote(raw), "root_path": root}


SERVERS = {"whole": whole, "apart": apart, "bare": bare}


# --- spellings --------------------------------------------------------------------------------------------------------

_PIECES = """
/ // /. /.. /./ /x/../ ;v=1 ; ..;/ \\ %5c %2f %2F %2e %2e%2e/ %252f %0a %0A %0d %00 %09 %20 %7f %c2%85
%e2%80%a8 %3f %23 %25 ? # x graphql private data PRIVATE %67raphql %2567raphql /v1 /mnt http://host //host http: :80 *
"""


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A protected path with something put into it, taken out of it, or written in another way."""
    text = draw(st.sampled_from([*PRIVATE, FILE, MOUNT + PRIVATE[0], MOUNT + PRIVATE[1], MOUNT + FILE]))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        how = draw(st.sampled_from(["insert", "insert", "insert", "encode", "remove"]))
        if how == "insert":
            text = text[:place] + draw(st.sampled_from(_PIECES.split())) + text[place:]
        elif how == "encode" and place < len(text):
            text = f"{text[:place]}%{ord(text[place]) % 256:02x}{text[place + 1 :]}"
        elif place < len(text):
            text = text[:place] + text[place + 1 :]
    return text.partition("?")[0].partition("#")[0] if draw(st.booleans()) else text


@dataclass(frozen=True, slots=True)
class Hosted:
    """An app with a guard around it, and the same without."""

    guarded: Any
    plain: Any


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture(scope="module", params=list(ROUTERS))
def hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Hosted]:
    """One app, mounted and not."""
    files: Path = tmp_path_factory.mktemp("files")
    (files / "private").mkdir()
    (files / "private" / "secret.txt").write_text(SECRET_TEXT)
    app = ROUTERS[request.param](files)
    guarded = AuthMiddleware(
        app, jwt_secret=SECRET, auth_paths="/private", graphql_paths="/graphql", log_file=files / "guard.log"
    )
    return {
        "top": Hosted(guarded, app),
        "mounted": Hosted(Starlette(routes=[Mount(MOUNT, guarded)]), Starlette(routes=[Mount(MOUNT, app)])),
    }


async def reaches(app: Any, scope: dict[str, Any]) -> bool:
    """Whether an anonymous caller gets what the protected routes give."""
    body, first, ended = b"", True, asyncio.Event()
    socket = scope["type"] == "websocket"

    async def receive() -> Any:
        nonlocal first
        if first:
            first = False
            return (
                {"type": "websocket.connect"} if socket else {"type": "http.request", "body": b"", "more_body": False}
            )
        await ended.wait()
        return {"type": "websocket.disconnect", "code": 1000} if socket else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")
        if message["type"] == "websocket.accept":
            body = SECRET_TEXT.encode()
        if message["type"].startswith("websocket") or not message.get("more_body", True):
            ended.set()

    with contextlib.suppress(Exception):  # of a router about a path that it cannot read
        await asyncio.wait_for(app({**scope}, receive, send), 10)
    return SECRET_TEXT.encode() in body


def scope_of(kind: str, raw: str, server: str, root: str, method: str = "GET") -> dict[str, Any]:
    path, _, query = raw.partition("?")
    found = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(b"host", b"host"), (b"accept", b"*/*")],
        "client": ("203.0.113.7", 1),
        "server": ("host", 80),
        "extensions": {},
        **SERVERS[server](path, root),
    }
    return found | ({"method": method} if kind == "http" else {"subprotocols": []})


KNOWN = ["/graphql", "/private/data", "/private/secret.txt", "//private/secret.txt", "/./private/secret.txt"]
KNOWN += ["/a/../private/secret.txt", "/graphql%0A", "/private/data%0A", "/%67raphql", "/private%2Fdata"]


@pytest.mark.parametrize("where", ["top", "mounted"])
@pytest.mark.parametrize("root", ["", "/v1"])
@pytest.mark.parametrize("server", list(SERVERS))
def test_known_spellings_reach_nothing(hosts, loop, where: str, root: str, server: str) -> None:
    reached = 0
    for raw in KNOWN:
        scope = scope_of("http", (MOUNT if where == "mounted" else "") + raw, server, root)
        reached += loop.run_until_complete(reaches(hosts[where].plain, scope))
        assert not loop.run_until_complete(reaches(hosts[where].guarded, scope)), scope
    if server != "apart" or not root:  # some routers look for the root path in the path
        assert reached >= 2, "without a guard some of these are served"


@examples(300, allow=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    raw=spellings(),
    server=st.sampled_from(list(SERVERS)),
    root=st.sampled_from(["", "/v1", "/v1/", "/v1/mnt", "v1"]),
    kind=st.sampled_from(["http", "http", "http", "websocket"]),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    where=st.sampled_from(["top", "mounted"]),
)
def test_no_spelling_reaches_a_protected_route(
    hosts, loop, raw: str, server: str, root: str, kind: str, method: str, where: str
) -> None:
    scope = scope_of(kind, raw, server, root, method)
    assert not loop.run_until_complete(reaches(hosts[where].guarded, scope))
