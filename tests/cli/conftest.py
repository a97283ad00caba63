"""One fleet for all tests of the command; each test uses addresses and users of its own, and takes back what it did."""

import pytest

from fraiseql_guard.core.settings import name_of
from tests.cli.fleet import TOKEN, Fleet, Operator


@pytest.fixture(scope="package")
def fleet(tmp_path_factory):
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture
def on_redis(fleet, tmp_path):
    """An operator with the workers' Redis at hand, and a log file of their own."""
    return Operator(
        {
            name_of("redis_url"): fleet.redis.url,
            name_of("rate_limit_burst"): "0",
            name_of("log_file"): str(tmp_path / "operator.log"),
        }
    )


@pytest.fixture
def by_http(fleet):
    """An operator far away, with the URL of one worker and a token."""
    return Operator({name_of("admin_token"): TOKEN}, ("--url", fleet.url))


@pytest.fixture(params=["redis", "http"])
def operator(request, on_redis, by_http):
    """An operator who comes in either way."""
    return on_redis if request.param == "redis" else by_http
