"""A URL that fits another Redis than the one that is there: what is wrong is said, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fraiseql_guard.stores.redis.store import RedisStore
from tests.support.certificate import Certificate
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis

SECRET = "hunter2"


async def sentence(url: str) -> str:
    """What the check at the start says; it never holds the password."""
    store = RedisStore(url, timeout_seconds=5)
    try:
        (found,) = await store.check()
    finally:
        await store.aclose()
    assert SECRET not in found
    return found


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    with RedisServer("--requirepass", SECRET) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def unlocked() -> Iterator[str]:
    with RedisServer() as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    certificate = Certificate.make(tmp_path_factory.mktemp("tls"))
    port = RedisServer().port
    with RedisServer(*certificate.arguments(port)):
        yield f"127.0.0.1:{port}", certificate.file


@pytest.fixture(scope="module")
def sentinel() -> Iterator[str]:
    watched = "sentinel monitor limits 127.0.0.1 1 1\n"
    with RedisServer("--sentinel", "--requirepass", SECRET, configuration=watched) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("form", ["redis://{}", "redis://{}/1", "redis+cluster://{}"])
async def test_a_missing_password(locked: str, form: str) -> None:
    found = await sentence(form.format(locked))
    assert "NOAUTH" in found
    assert "FRAISEQL_REDIS_URL holds no password, and this server needs one: redis://:password@host" in found


async def test_a_missing_password_is_named_however_long_our_scripts_are(locked: str) -> None:
    """The server hangs up on long commands of strangers: why must be heard before."""
    store = RedisStore(f"redis://{locked}", timeout_seconds=5)
    for _ in range(20):
        with pytest.raises(Exception, match="NOAUTH"):
            await store.ping()
        await store.aclose()


@pytest.mark.parametrize("user", [f":wrong{SECRET}", f"ada:{SECRET}"])
async def test_a_wrong_password(locked: str, user: str) -> None:
    found = await sentence(f"redis://{user}@{locked}")
    assert "WRONGPASS" in found
    assert "FRAISEQL_REDIS_URL holds a user or a password that this server does not accept" in found


async def test_a_password_for_a_server_that_has_none(unlocked: str) -> None:
    assert "holds a password, and this server has none" in await sentence(f"redis://:{SECRET}@{unlocked}")


async def test_a_database_that_is_not_there(unlocked: str) -> None:
    assert "names a database that this server does not have" in await sentence(f"redis://{unlocked}/99")


async def test_another_deployment(unlocked: str, sentinel: str) -> None:
    assert "in no cluster: redis://" in await sentence(f"redis+cluster://{unlocked}")
    assert "no Sentinel" in await sentence(f"redis+sentinel://{unlocked}/limits")
    assert "redis+sentinel://" in await sentence(f"redis://:{SECRET}@{sentinel}")


async def test_sentinels_and_their_own_password(sentinel: str) -> None:
    assert "?sentinel_password=" in await sentence(f"redis+sentinel://{sentinel}/limits")
    wrong = await sentence(f"redis+sentinel://{sentinel}/limits?sentinel_password=x{SECRET}")
    assert "wrong password for the Sentinels" in wrong
    other = await sentence(f"redis+sentinel://{sentinel}/other?sentinel_password={SECRET}")
    assert "names a master that these Sentinels do not watch" in other


async def test_tls_where_the_server_speaks_none(unlocked: str) -> None:
    assert "does this port speak TLS, as rediss:// says?" in await sentence(f"rediss://{unlocked}")


@pytest.mark.parametrize("form", ["redis://{}", f"redis://:{SECRET}@{{}}", "redis+cluster://{}"])
async def test_no_tls_where_the_server_wants_it(encrypted: tuple[str, Path], form: str) -> None:
    assert "does this port want TLS (rediss://)?" in await sentence(form.format(encrypted[0]))


async def test_a_certificate_that_is_not_trusted(encrypted: tuple[str, Path]) -> None:
    found = await sentence(f"rediss://{encrypted[0]}")
    assert "certificate verify failed" in found
    assert "ssl_ca_certs" in found
