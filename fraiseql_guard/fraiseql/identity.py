"""The user that the guard has verified, as FraiseQL's UserContext."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from typing import Any

from fastapi import Request
from fraiseql.auth.base import UserContext
from fraiseql.fastapi.dependencies import get_auth_provider, get_current_user_optional

from fraiseql_guard.context import Identity
from fraiseql_guard.request import context_of


async def current_user(request: Request) -> UserContext | None:
    """What FastAPI calls in the place of FraiseQL's ``get_current_user_optional``.

    An auth provider of the app's own goes on deciding who its user is: it may know more than the token says.
    """
    if get_auth_provider() is not None:
        return await get_current_user_optional(_bearer_token(request))
    ctx = context_of(request.scope)
    return user_context(ctx.identity) if ctx is not None and ctx.identity is not None else None


def _bearer_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def user_context(identity: Identity) -> UserContext:
    """Roles from the claim ``roles`` (or ``role``), permissions from ``permissions`` and the token's scopes."""
    claims = identity.claims
    return UserContext(
        user_id=identity.user_id,
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        roles=_texts(claims.get("roles", claims.get("role"))),
        permissions=list(dict.fromkeys([*_texts(claims.get("permissions")), *identity.scopes])),
        metadata=dict(claims),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []
