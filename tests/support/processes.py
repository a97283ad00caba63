"""Example servers for tests: real processes on free loopback ports, with their logs in the test's folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from examples.process import ExampleServer

FRAISEQL = "fraiseql_blog"
STARLETTE = "starlette_blog"

needs_fraiseql = [
    pytest.mark.fraiseql,
    # Only the Python decides: on 3.13 a missing FraiseQL or PostgreSQL is a failure.
    pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="FraiseQL 1.9 is published for CPython 3.13 alone"),
]
"""``pytestmark = needs_fraiseql`` for a module whose tests start the FraiseQL example."""


class Server(ExampleServer):
    """``python -m examples.NAME.serve`` as a context manager.

    The server sees ``environment`` and no other FRAISEQL_* variable. Its log file, standard output and standard error
    are in ``folder``.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        bare: bool = False,
        loop: str = "auto",
    ) -> None:
        arguments = ["--loop", loop, *(["--bare"] if bare else [])]
        super().__init__(f"examples.{name}", folder, environment or {}, arguments)

    def post(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """Send one GraphQL request."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": dict(variables or {})},
            headers={**authorization, **(headers or {})},
            timeout=timeout,
            trust_env=False,
        )
