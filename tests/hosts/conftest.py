"""One FraiseQL server for a file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.process import ExampleServer
from tests.hosts.fraiseql_server import PACKAGE
from tests.hosts.table import SETTINGS


@pytest.fixture(scope="module")
def fraiseql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    """FraiseQL on a PostgreSQL of its own."""
    environment = {**SETTINGS, "FRAISEQL_ENVIRONMENT": "development"}
    with ExampleServer(PACKAGE, tmp_path_factory.mktemp("fraiseql"), environment) as server:
        yield server
