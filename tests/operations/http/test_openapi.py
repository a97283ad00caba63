"""The description of the API is what the API does: schemathesis tries to find where it is not.

Its pytest plugin is switched off (it lags behind pytest, and every other test would pay for its import): requests are
drawn and answers judged through its own classes.
"""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from fraiseql_guard import Guard
from fraiseql_guard.operations.http.openapi import description
from fraiseql_guard.operations.http.routes import ROUTES
from tests.operations.http.conftest import TOKEN, TOKENS
from tests.support.asgi import EchoApp
from tests.support.properties import examples

load_all_checks()
ADDRESSES = st.ip_addresses()
schemathesis.openapi.format("ip-address", ADDRESSES.map(str))
schemathesis.openapi.format("ip-network", st.builds("{}/{}".format, ADDRESSES, st.integers(1, 32)) | ADDRESSES.map(str))
ASCII = SchemathesisConfig.from_dict({"generation": {"codec": "ascii"}})
UNSAYABLE = {
    "DELETE /admin/blocks": "one of two parameters is needed",
    "DELETE /admin/rate-limits": "one of two parameters is needed",
    "PUT /admin/settings": "which values fit depends on the variable",
    "POST /admin/documents": "a text has to be GraphQL",
}
"""Where OpenAPI cannot say all that makes a request acceptable."""
LABELS = [f"{route.method} /admin{route.path}" for route in ROUTES]
ITSELF = "GET /admin/openapi.json"
"""Schemathesis leaves out what it has read the description from."""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Every operation of the description by method and path, on a guard in memory."""
    log = tmp_path_factory.mktemp("log") / "guard.log"
    guard = Guard(EchoApp(), admin_tokens=TOKENS, rate_limit_default="999999999/second", log_file=log)
    right = {"Authorization": f"Bearer {TOKEN}"}
    schema = schemathesis.openapi.from_asgi("/admin/openapi.json", guard, headers=right, config=ASCII)
    yield {found.ok().label: found.ok() for found in schema.get_all_operations()}
    asyncio.run(guard.aclose())


@pytest.mark.hypothesis
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", [label for label in LABELS if label != ITSELF])
def test_schemathesis_finds_nothing(described: Any, label: str, mode: GenerationMode) -> None:
    operation = described[label]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.path_parameters or operation.body):
        return  # nothing could be wrong with it

    excluded = [CHECKS.get_one("positive_data_acceptance")] if label in UNSAYABLE else []

    @examples(15, allow=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # What is empty does not get into a URL, so that nothing would be wrong with the request any more.
        assume(all(value not in ([], {}, None) for value in case.query.values()))
        right = {"Authorization": f"Bearer {TOKEN}"}
        case.call_and_validate(headers=right, checks=CHECKS.get_all(), excluded_checks=excluded)

    ask()


def test_every_route_is_described() -> None:
    paths = description("/admin", version("fraiseql-guard"))["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert described == set(LABELS)
