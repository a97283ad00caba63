"""From an ASGI scope to the context that checks decide on, and from an identity back to the scope."""

from __future__ import annotations

from typing import Final

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import Scope

from fraiseql_guard.asgi.mounts import MountPrefixes
from fraiseql_guard.asgi.request_body import RequestBody
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.core import request
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.context import RequestContext, everywhere, first_lines
from fraiseql_guard.core.place import Place
from fraiseql_guard.core.signals import UNKNOWN
from fraiseql_guard.telemetry.trace import request_id, trace_id

_UPGRADES_BY: Final = "GET"
"""Method of a WebSocket's upgrade (RFC 6455, section 4.1), which ASGI leaves out."""


def describe(scope: Scope, runtime: Runtime, place: Place) -> RequestContext:
    """The context of a request, of which its head alone is known."""
    lines = scope["headers"]
    headers = first_lines(lines)
    caller = runtime.resolver.resolve(scope.get("client"), lines, headers)
    if caller.shared and caller.suspect:
        runtime.recorder.process.shared_peer(caller.address, caller.header)
    elif caller.resolved:
        runtime.recorder.process.peer_replaced()
    label = place.endpoint
    if label != UNKNOWN and "app_root_path" in scope:
        label = _mounted(label, runtime.mounts.of(scope))
    ctx = RequestContext(  # by position: by name it takes three times as long
        scope.get("method", _UPGRADES_BY),
        scope["path"],
        scope.get("query_string") or b"",
        lines,
        headers,
        place.graphql is not None,
        request_id(),
        trace_id,
        label,
        caller.address,
        caller.subject,
        caller.shared,
        caller.private,
        caller.loopback,
        caller.address in runtime.allow_list,
    )
    ctx.place = place
    if caller.trusted:
        ctx.trusted_peer = True
    return ctx


def _mounted(label: str, prefix: str) -> str:
    """A known path with the prefix of its mounts, unless it was configured with that."""
    return label if not prefix or label == prefix or label.startswith(prefix + "/") else prefix + label


def nest(ctx: RequestContext, scope: Scope, runtime: Runtime) -> None:
    """Take over the context of an outer guard, if one has let this request pass (RequestContext.nest)."""
    outer = request.context_of(scope)
    if outer is not None:
        ctx.nest(outer, runtime.books, authenticates=runtime.authenticates)


def cover(outer: RequestContext, scope: Scope, runtime: Runtime) -> None:
    """If the path is a GraphQL path of this inner guard, note its protections in the contexts of the outer guards.

    The scope could not carry them: an app in between may have made a new one.
    """
    if runtime.paths.place(scope).graphql is not None:
        for each in everywhere(outer):
            each.covered = (each.covered or frozenset()) | runtime.on_graphql_paths_alone


def context_of(scope: Scope, runtime: Runtime) -> RequestContext:
    """The context of a request, asked for inside the app. Of a scope that no guard has checked, a context made from its
    head."""
    ctx = request.context_of(scope)
    return ctx if ctx is not None else describe(scope, runtime, runtime.paths.place(scope))


def rewrite(scope: Scope, request_body: RequestBody, rewritten: bytes) -> Scope:
    """The scope of a request whose body (POST) or query string is not what the client sent. The client's own stays as
    it is for those outside, their access logs above all."""
    if scope["method"] != "POST":
        return {**scope, "query_string": rewritten}
    request_body.replace(rewritten)
    length = b"%d" % len(rewritten)
    lines = [(name, length if name == b"content-length" else value) for name, value in scope["headers"]]
    return {**scope, "headers": lines}


def endpoint(scope: Scope, ctx: RequestContext, mounts: MountPrefixes) -> str:
    """The endpoint label: a known path or a route's template, never a path as the caller wrote it. Both with the prefix
    of the mounts that they are in."""
    if ctx.endpoint != UNKNOWN:
        return ctx.endpoint
    return mounts.route_of(scope) or UNKNOWN


class GuardUser(BaseUser):
    """The verified user, as Starlette's ``request.user``. ``claims`` are the token's."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.claims = identity.claims

    @property
    def is_authenticated(self) -> bool:
        """Always true: the signature was verified."""
        return True

    @property
    def display_name(self) -> str:
        """The user's id (sub)."""
        return self._identity.user_id

    @property
    def identity(self) -> str:
        """The user's id (sub)."""
        return self._identity.user_id


def present_identity(scope: Scope, identity: Identity | None) -> None:
    """Hand the caller's identity to the app: ``scope["user"]`` and ``scope["auth"]``.

    A verified token says who the user is. Without one a user stays that the host's own middleware has found outside of
    the guard, by a session for example; one of a guard further outside does not, for this one's word counts.
    """
    if identity is not None:
        scope["user"], scope["auth"] = GuardUser(identity), AuthCredentials(["authenticated", *identity.scopes])
        return
    found = scope.get("user")
    if found is None or type(found) is GuardUser:  # asked by its type: a lazy user would begin to load itself
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()


def present_anonymous(scope: Scope) -> None:
    """Hand the app an anonymous user where no token is looked at, so that what asks ``request.user`` works before a key
    is set. A user that is there stays."""
    if "user" not in scope:
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
