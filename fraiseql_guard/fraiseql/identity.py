"""Gives FraiseQL the user that the guard has verified, as its UserContext."""

# FastAPI evaluates the annotations of a dependency, so they are not postponed here.

from typing import Any

from fastapi import Request
from fraiseql.auth.base import UserContext
from fraiseql.fastapi.dependencies import get_auth_provider, get_current_user_optional

from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.request import context_of


async def current_user(request: Request) -> UserContext | None:
    """Replaces FraiseQL's dependency ``get_current_user_optional``: the user of a request, None if it has none.

    If the app has an auth provider of its own, the provider still decides: it may know more than the token says.
    """
    if get_auth_provider() is not None:
        return await get_current_user_optional(_bearer_token(request))
    return user_of(context_of(request.scope))


def _bearer_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def user_of(ctx: RequestContext | None) -> UserContext | None:
    """The verified user of a request; None without one. A new object each time, because the app may change it.

    Roles come from the claim ``roles`` or ``role``, permissions from ``permissions`` and the token's scopes.
    """
    identity = None if ctx is None else ctx.verified
    if identity is None:
        return None
    # Claims come from the issuer, in any form: values of a wrong type are left out.
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
    """The texts of a claim that is a list or a single text; [] for any other claim."""
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []
