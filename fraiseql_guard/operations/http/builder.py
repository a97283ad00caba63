"""Builds the operator's HTTP API from the settings."""

from __future__ import annotations

import time
from functools import cache
from importlib.metadata import version

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.context import RequestContext
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.tokens import KeysMissing, TokenVerifier
from fraiseql_guard.operations.http.authentication import AdminAuthentication, Identify
from fraiseql_guard.operations.http.dispatch import Fault
from fraiseql_guard.operations.http.openapi import description
from fraiseql_guard.operations.http.pages import console
from fraiseql_guard.operations.http.request import AdminDeps
from fraiseql_guard.operations.http.sessions import Sessions
from fraiseql_guard.operations.http.standing import Standing
from fraiseql_guard.operations.http.tokens import AdminTokens
from fraiseql_guard.operations.operator.deps import Audit
from fraiseql_guard.operations.operator.interface import Operator


def build_authentication(
    settings: Settings,
    operator: Operator,
    tokens_of_users: TokenVerifier | None,
    *,
    standing: Standing,
    audit: Audit,
    fault: Fault,
    clock: Clock = time.time,
) -> AdminAuthentication:
    """The API that the settings describe. SettingsError if only the admin scope opens it and no token can be verified:
    an API key makes no operator, because its scopes come from a file or the app's database.

    ``clock`` is Unix time.
    """
    if settings.admin_tokens is None and tokens_of_users is None:
        raise SettingsError(
            f"{name_of('admin_scope')}={settings.admin_scope!r} needs a key to verify tokens with: no API key "
            f"makes an operator. Set {name_of('jwt_secret')}, or {name_of('admin_tokens')} instead"
        )
    tokens = AdminTokens(settings.admin_tokens)
    deps = AdminDeps(
        operator=operator,
        sessions=Sessions(lambda: tokens.text, settings.admin_path, clock=clock),
        description=cache(lambda: description(settings.admin_path, version("fraiseql-guard"))),
        audit=audit,
    )
    return AdminAuthentication(
        deps,
        tokens,
        path=settings.admin_path,
        scope=settings.admin_scope,
        identify=_identify(tokens_of_users) if tokens_of_users is not None else None,
        standing=standing,
        # The console signs its sessions with a key made of the admin tokens: without them it could not log in.
        pages=console(settings.admin_path) if settings.admin_tokens is not None else None,
        fault=fault,
    )


def _identify(verifier: TokenVerifier) -> Identify:
    async def identify(ctx: RequestContext) -> Identity | None:
        lines = ctx.lines(b"authorization")
        found = verifier.verify(lines)
        if isinstance(found, KeysMissing):  # a key set behind a URL that was not fetched yet
            found = await verifier.complete(lines, ctx.address_subject.name)
        return found if isinstance(found, Identity) else None

    return identify
