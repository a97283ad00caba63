"""Credentials of a GraphQL WebSocket: the token of its initialization, and the user that the app finds in its scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import Scope

from fraiseql_guard.asgi.describe import GuardUser
from fraiseql_guard.core.callers import Identity

_HEADERS: Final = "headers"
_SCHEME: Final = "bearer "
Line = tuple[bytes, bytes]


class AmbiguousTokenError(ValueError):
    """An initialization carries several tokens, and which of them counts is a matter of taste."""


def token_of(payload: Any, keys: Sequence[str]) -> str | None:
    """The token in the payload of an initialization, under one of these keys (whatever their case), there or in its
    ``headers``; None without one. AmbiguousTokenError if there are several."""
    wanted = {key.lower() for key in keys}
    found = {_bare(value) for value in _values(payload, wanted)} - {""}
    if len(found) > 1:
        raise AmbiguousTokenError
    return next(iter(found), None)


def _values(payload: Any, wanted: set[str]) -> Iterator[str]:
    if not isinstance(payload, Mapping):
        return
    for key, value in payload.items():
        if key.lower() in wanted and isinstance(value, str):
            yield value
        elif key.lower() == _HEADERS and isinstance(value, Mapping):
            yield from (text for name, text in value.items() if name.lower() in wanted and isinstance(text, str))


def _bare(value: str) -> str:
    """The token without its scheme, which clients leave out as they like."""
    token = value.strip(" \t")
    return token[len(_SCHEME) :].lstrip(" ") if token[: len(_SCHEME)].lower() == _SCHEME else token


def with_token(lines: Sequence[Line], token: str) -> list[Line]:
    """The lines of a head with this token in place of any other."""
    line = (b"authorization", b"Bearer " + token.encode("utf-8", "replace"))
    return [*(each for each in lines if each[0] != line[0]), line]


class SocketUser(BaseUser):
    """The user of a socket, as Starlette's ``websocket.user``: anonymous at first, a verified one once the socket is
    initialized. One object, so that an app that has copied its scope sees it too."""

    __slots__ = ("_identity", "credentials")

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self.credentials = AuthCredentials()

    def identify(self, identity: Identity | None) -> None:
        """Show this user from now on."""
        self._identity = identity
        scopes = () if identity is None else ("authenticated", *identity.scopes)
        self.credentials.scopes[:] = scopes

    @property
    def claims(self) -> Mapping[str, Any]:
        """Those of the token; none without one."""
        return {} if self._identity is None else self._identity.claims

    @property
    def is_authenticated(self) -> bool:
        """Whether a token was verified."""
        return self._identity is not None

    @property
    def display_name(self) -> str:
        """The user's id (sub)."""
        return "" if self._identity is None else self._identity.user_id

    @property
    def identity(self) -> str:
        """The user's id (sub)."""
        return self.display_name


def show_user(scope: Scope, user: SocketUser, identity: Identity | None) -> None:
    """Hand the caller's identity to the app: ``scope["user"]`` and ``scope["auth"]``.

    Without a verified one a user stays that the host's own middleware has found outside of the guard.
    """
    user.identify(identity)
    found = scope.get("user")
    ours = found is None or type(found) in (GuardUser, SocketUser, UnauthenticatedUser)
    if identity is not None or ours:
        scope["user"], scope["auth"] = user, user.credentials


def later(one: Identity | None, other: Identity) -> Identity:
    """Of two identities of one subject the one that holds longer."""
    if one is None or other.expires_at is None:
        return other
    if one.expires_at is None or one.expires_at > other.expires_at:
        return one
    return other
