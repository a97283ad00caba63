"""Trusted documents that the whole fleet shares: felt by every worker, and kept while their store is away."""

import asyncio
import hashlib
import json

import pytest

from fraiseql_guard.operations.operator.interface import ConflictError, Document
from tests.support.asgi import request
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.redis
ME, YOU = "query Me{me{id}}", "query You{you{id}}"
DEEP = "query Deep{a" + "{a" * 20 + "{id}" + "}" * 21


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def server():
    with RedisServer() as running:
        yield running


@pytest.fixture
def redis(server):
    server.flush()
    return server


@pytest.fixture
async def mounted(guarded):
    """Workers, closed at the end."""
    made = []

    def mount(url, **options):
        guard = guarded(redis_url=url, **{"trusted_documents": "require", "store_timeout_ms": 5000, **options})
        made.append(guard)
        return guard

    yield mount
    for each in made:
        await each.guard.aclose()


async def post(guard, **envelope):
    return await request(guard, body=json.dumps(envelope).encode())


async def felt(guard, code: str | None, **envelope) -> bool:
    """Whether a request is answered so soon."""
    for _ in range(1_200):
        reply = await post(guard, **envelope)
        if (None if reply.status == 200 else reply.code) == code:
            return True
        await asyncio.sleep(0.05)
    return False


def trust(guard, *texts: str, **more):
    documents = [Document(id="", text=text, **more) for text in texts]
    return guard.guard.runtime.operator.trust(documents, actor="alice")


async def test_every_worker_trusts_what_one_was_told_and_no_longer_what_was_taken_back(mounted, redis) -> None:
    first, second = (mounted(redis.url, rate_limit_default="100000/minute") for _ in range(2))
    for guard in (first, second):
        assert await felt(guard, "NOT_TRUSTED", query=ME)
    await trust(first, ME)
    for guard in (first, second):
        assert await felt(guard, None, query=ME)
        assert (await post(guard, documentId=sha(ME))).status == 200
        assert (await post(guard, query=YOU)).code == "NOT_TRUSTED"
        assert (await post(guard, documentId=sha(YOU))).code == "PERSISTED_QUERY_NOT_FOUND"
    await second.guard.runtime.operator.distrust(sha(ME), actor="bob")
    for guard in (first, second):
        assert await felt(guard, "NOT_TRUSTED", query=ME)


async def test_allowed_documents_are_free_of_the_static_limits(mounted, redis) -> None:
    guard = mounted(redis.url, trusted_documents="allow", rate_limit_default="100000/minute")
    assert await felt(guard, "QUERY_TOO_DEEP", query=DEEP)
    await trust(guard, DEEP)
    assert await felt(guard, None, query=DEEP)
    assert (await post(guard, query=YOU)).status == 200


async def test_a_manifest_and_the_store_together_hold_and_the_manifest_wins(mounted, redis, tmp_path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"me": ME}))
    guard = mounted(redis.url, trusted_documents_file=manifest, rate_limit_default="100000/minute")
    operator = guard.guard.runtime.operator
    with pytest.raises(ConflictError, match=r"manifest\.json has another text under the id me"):
        await operator.trust([Document(id="me", text=DEEP), Document(id="you", text=YOU)])
    other = mounted(redis.url)  # knows nothing of that manifest
    await other.guard.runtime.operator.trust([Document(id="me", text=DEEP), Document(id="you", text=YOU)])
    assert await felt(guard, None, documentId="you")
    assert (await post(guard, documentId="me")).status == 200
    assert json.loads(guard.app.bodies[-1])["query"] == ME
    assert (await post(guard, query=DEEP)).code == "NOT_TRUSTED"
    lines = [line["context"]["detail"] for line in guard.lines("guard.configuration")]
    [said] = [line for line in lines if "other texts than the manifest" in line]
    assert "trusted documents me:" in said


async def test_during_an_outage_the_last_known_documents_hold_and_a_new_worker_trusts_none(mounted, tmp_path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"you": YOU}))
    with RedisServer() as own:
        old = mounted(own.url, rate_limit_default="100000/minute")
        await trust(old, ME)
        assert await felt(old, None, query=ME)
        own.kill()
        assert (await post(old, query=ME)).status == 200
        assert (await post(old, query=YOU)).code == "NOT_TRUSTED"
        for on_failure in ("local", "open"):
            new = mounted(
                own.url, on_store_failure=on_failure, trusted_documents_file=manifest, store_timeout_ms=200,
            )  # fmt: skip
            for envelope in ({"query": ME}, {"documentId": sha(ME)}):
                reply = await post(new, **envelope)
                assert (reply.status, reply.code, reply.header("retry-after")) == (503, "DOCUMENTS_UNAVAILABLE", "1")
            assert (await post(new, query=YOU)).status == 200, "the manifest's are known without the store"
        own.restart()  # without what it held

        def losses() -> int:
            lines = [line["context"]["detail"] for line in old.lines("guard.configuration")]
            return sum("has lost its trusted documents" in line for line in lines)

        await until(losses)
        assert (await post(old, query=ME)).status == 200
        assert await felt(new, "NOT_TRUSTED", query=ME)
        assert losses() == 1


async def test_a_worker_that_starts_says_so_once_it_knows_the_documents(mounted, redis) -> None:
    teller = mounted(redis.url)
    await trust(teller, ME)
    guard = mounted(redis.url)
    started: list[str] = []

    async def app(scope, receive, send):
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    guard.guard.app = app

    async def receive():
        started.append((await post_to(guard, ME)).status)
        return {"type": "lifespan.shutdown"}

    async def send(message):
        started.append(message["type"])

    async def post_to(guard, text):
        guard.guard.app = echo
        return await post(guard, query=text)

    echo = guard.app
    await guard({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert started == ["lifespan.startup.complete", 200, "lifespan.shutdown.complete"]
