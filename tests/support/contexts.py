"""What checks are given: a request that is known as far as a test says."""

from __future__ import annotations

from typing import Any

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.measured import Measured
from fraiseql_guard.identity.networks import parse_address, subject_of

ADDRESS = "192.0.2.1"


def request_of(
    address: str = ADDRESS, *, user: str | None = None, tier: str | None = None, **facts: Any
) -> RequestContext:
    """A GraphQL request from an address, or of a verified user there; ``facts`` are attributes of the context."""
    subject = subject_of(parse_address(address))
    ctx = RequestContext("POST", "/graphql", b"", (), None, True, "id", lambda *_: "", "/graphql", address, subject)
    if user is not None:
        ctx.identify(Identity(user, Subject("user", user), {}, "current", tier=tier))
    for name, value in facts.items():
        setattr(ctx, name, value)
    return ctx


def measured(kind: Any = "query", *, complexity: int = 1, fields: tuple[str, ...] = ("me",), **more: Any) -> Measured:
    """What an operation with these root fields, in one document, asks for."""
    mutations = len(fields) if kind == "mutation" else 0
    facts = {"root_field_count": len(fields), "mutation_root_fields": mutations, "kinds": frozenset({kind}), **more}
    return Measured(kind, None, frozenset(fields), depth=1, complexity=complexity, list_size=1, **facts)
