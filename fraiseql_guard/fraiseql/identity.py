"""The user that the guard has verified, as FraiseQL's UserContext."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from typing import Any

from fastapi import Request
from fraiseql.auth.base import UserContext
from fraiseql.fastapi.dependencies import get_auth_provider, get_current_user_optional

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.request import context_of


async def current_user(request: Request) -> UserContext | None:
    """What FastAPI calls in the place of FraiseQL's ``get_current_user_optional``.

    An auth provider of the app's own goes on deciding who its user is: it may know more than the token says.
    """
    if get_auth_provider() is not None:
        return await get_current_user_optional(_bearer_token(request))
    return user_of(context_of(request.scope))


def _bearer_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def user_of(ctx: RequestContext | None) -> UserContext | None:
    """The user that the guard has verified; None if there is none. Made for every request: it is the app's to change.

    Roles from the claim ``roles`` (or ``role``), permissions from ``permissions`` and the token's scopes.
    """
    identity = None if ctx is None else ctx.verified
    if identity is None:
        return None
    claims = identity.claims
    email, name, permissions = claims.get("email"), claims.get("name"), claims.get("permissions")
    roles = claims.get("roles", claims.get("role"))
    return UserContext(
        user_id=identity.user_id,
        email=email if isinstance(email, str) else None,
        name=name if isinstance(name, str) else None,
        roles=[] if roles is None else _texts(roles),
        permissions=list(dict.fromkeys([*(() if permissions is None else _texts(permissions)), *identity.scopes])),
        metadata=dict(claims),
    )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []
