"""Errors as FraiseQL shows them to clients: in production without any detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fraiseql.fastapi.dependencies import get_fraiseql_config
from fraiseql.fastapi.json_encoder import clean_unset_values
from graphql import GraphQLError

UNAUTHENTICATED: Final = {"message": "Authentication required", "extensions": {"code": "UNAUTHENTICATED"}}


def internal_error() -> dict[str, Any]:
    """An error without any detail for clients."""
    return {"message": "Internal server error", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


def shown(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """The errors of an operation, as in FraiseQL's answers."""
    if getattr(get_fraiseql_config(), "environment", None) == "production":
        return [internal_error() for _ in errors]
    return [clean_unset_values(error.formatted) for error in errors]


def shown_exception(error: Exception) -> list[dict[str, Any]]:
    """The errors for an exception that a generator or a dependency of the app has raised."""
    return shown([error if isinstance(error, GraphQLError) else GraphQLError(str(error) or type(error).__name__)])
