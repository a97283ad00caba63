"""The examples of examples/hosts, and what a client may ask of each."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import SECRET
from tests.support.processes import needs_fraiseql

PEOPLE = "query People { people(first: 2) { name friends(first: 1) { name } } }"
DEEP = "{ people(first: 1) { friends(first: 1) { friends(first: 1) { friends(first: 1) { name } } } } }"

RATE = 5
DEPTH = 4
SETTINGS = {
    "FRAISEQL_JWT_SECRET": SECRET,
    "FRAISEQL_GUARD_AUTH_REQUIRED": "false",
    "FRAISEQL_RATE_LIMIT_DEFAULT": "100000/minute",
    "FRAISEQL_RATE_LIMIT_AUTHENTICATED": f"{RATE}/hour",
    "FRAISEQL_RATE_LIMIT_BURST": "0",
    "FRAISEQL_MAX_QUERY_DEPTH": str(DEPTH),
}
"""Every test is a user of its own, or anonymous, so that none spends another's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """``expensive`` costs too much where the schema is known (its defaults say how long lists are), and else not."""

    name: str
    app: str = "app"
    ordinary: str = PEOPLE
    deep: str = DEEP
    expensive: str = "{ people { friends { name } } }"
    has_page: bool = True
    """Whether GET /graphql is a page for people, such as GraphiQL."""
    needs_newest_python: bool = True

    @property
    def module(self) -> str:
        return f"examples.hosts.{self.name}"

    @property
    def marks(self) -> Any:
        """Why it cannot run everywhere: FraiseQL, Strawberry and Ariadne are tried on Python 3.13."""
        if self.name == "fraiseql_app":
            return needs_fraiseql
        old = self.needs_newest_python and sys.version_info < (3, 13)
        return pytest.mark.skipif(old, reason="Strawberry and Ariadne are tried on Python 3.13")


FRAISEQL = Host(
    name="fraiseql_app",
    ordinary="query People { comments(limit: 2) { body replies { body } } }",
    deep="{ comments(limit: 1) { replies { replies { replies { body } } } } }",
    # FraiseQL does not look at @skip below the root of an operation: its schema tells the guard.
    expensive="{ comments(limit: 300) { body replies @skip(if: true) { body } } }",
)
IN_PROCESS = (
    Host(name="starlette_app", has_page=False, needs_newest_python=False),
    Host(name="fastapi_app", has_page=False, needs_newest_python=False),
    Host(name="strawberry_fastapi"),
    Host(name="strawberry_asgi"),
    Host(name="ariadne_asgi"),
    Host(name="litestar_app"),
    Host(name="quart_app"),
    Host(name="django_app", app="application"),
)
HOSTS = (*IN_PROCESS, FRAISEQL)


def parameters(hosts: tuple[Host, ...]) -> list[Any]:
    """The hosts as parameters of a test."""
    return [pytest.param(host, id=host.name, marks=host.marks) for host in hosts]


@contextmanager
def loaded(host: Host, environment: Mapping[str, str]) -> Iterator[Any]:
    """The app of an example, imported anew under these variables."""
    with ExitStack() as ends, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        if host.name == "django_app":
            ends.enter_context(_of_django(host.module))
        if host.name == "litestar_app":  # what Strawberry's controller does
            ends.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=".*Inferred dependency field")
        sys.modules.pop(host.module, None)
        yield getattr(importlib.import_module(host.module), host.app)
        sys.modules.pop(host.module, None)


@contextmanager
def _of_django(module: str) -> Iterator[None]:
    """Settings are a process's, and the example takes those that are there: these are its own."""
    from django.test.utils import override_settings

    from tests.asgi.routers import configure_django

    configure_django()
    with override_settings(ROOT_URLCONF=module, MIDDLEWARE=[f"{module}.guards_user"], ALLOWED_HOSTS=["localhost"]):
        yield
