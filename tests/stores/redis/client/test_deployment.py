"""How a URL says that Redis is deployed."""

from __future__ import annotations

import pytest

from fraiseql_guard.stores.redis.client.deployment import Deployment
from fraiseql_guard.stores.redis.store import RedisStore


def places(deployment: Deployment) -> list[str]:
    return [str(seed) for seed in deployment.seeds]


@pytest.mark.parametrize("url", ["redis://h:6380/2", "rediss://h", "unix:///run/redis.sock"])
def test_one_server(url: str):
    deployment = Deployment.parse(url)
    assert deployment.kind == "standalone"
    assert deployment.seeds == (deployment.server,)
    assert not deployment.server.must_be_master


def test_sentinels_and_the_master_behind_them():
    url = "redis+sentinel://ada:s%40crt@one,two:26380,[2001:db8::1]:1/my%20master/3?sentinel_password=watch"
    deployment = Deployment.parse(url)
    assert deployment.kind == "sentinel"
    assert deployment.master == "my master"
    assert places(deployment) == ["one:26379", "two:26380", "2001:db8::1:1"]
    assert {seed.greeting for seed in deployment.seeds} == {(("AUTH", "watch"),)}
    assert deployment.server.greeting == (("AUTH", "ada", "s@crt"), ("SELECT", 3))
    assert deployment.server.must_be_master


def test_a_deployment_shows_no_password():
    deployment = Deployment.parse("redis+sentinel://ada:s%40crt@one/limits?sentinel_password=watch")
    assert "watch" not in repr(deployment)
    assert "crt" not in repr(deployment)


def test_the_password_of_redis_is_not_told_to_sentinels():
    deployment = Deployment.parse("redis+sentinel://:secret@one/limits")
    assert deployment.seeds[0].greeting == ()
    assert deployment.server.greeting == (("AUTH", "secret"),)


def test_a_cluster():
    deployment = Deployment.parse("redis+cluster://:secret@one:7000,two")
    assert deployment.kind == "cluster"
    assert places(deployment) == ["one:7000", "two:6379"]
    assert {seed.greeting for seed in deployment.seeds} == {(("AUTH", "secret"),)}
    assert Deployment.parse("redis+cluster://one/0").kind == "cluster"


@pytest.mark.parametrize("url", ["rediss+sentinel://one/limits?ssl_cert_reqs=none", "rediss+cluster://one,two"])
def test_tls_with_every_server(url: str):
    deployment = Deployment.parse(url)
    assert all(seed.tls is not None for seed in (*deployment.seeds, deployment.server))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis+sentinel://:hunter2@one,two", "master"),
        ("redis+sentinel://:hunter2@one,two/limits/zero", "database"),
        ("redis+sentinel://:hunter2@one,two/limits/0/1", "master"),
        ("redis+cluster://:hunter2@one/3", "database"),
        ("redis+cluster://:hunter2@one,,two", "no host"),
        ("redis+cluster://:hunter2@one:port", "port"),
        ("redis+cluster://:hunter2@", "no host"),
        ("redis+tunnel://:hunter2@one", "does not begin"),
        ("http://:hunter2@one", "does not begin"),
    ],
)
def test_what_is_no_deployment_is_said_without_its_secrets(url: str, sentence: str):
    with pytest.raises(ValueError, match=sentence) as failure:
        RedisStore(url, timeout_seconds=1)
    assert "hunter2" not in str(failure.value)
