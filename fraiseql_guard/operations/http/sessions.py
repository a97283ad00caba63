"""Sessions of the console: a signed cookie stands for the token, so that no token stays in a browser.

The server stores nothing. Every worker verifies the cookies of every other, with a key derived from the admin tokens,
so a change of the tokens ends all sessions. The cookie of a user with the admin scope carries the claims of their
token, and every request checks that the user may still act. Logging out makes the browser forget the cookie.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.operator.interface import OperatorError

COOKIE: Final = "fraiseql_guard_session"
"""The cookie's name over loopback http, where no cookie can be Secure."""
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""The cookie's name anywhere else: browsers accept this prefix only from the host itself, over https (RFC 6265bis)."""
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_SECONDS: Final = 8 * 3_600.0
_LONGEST_COOKIE: Final = 3_800
"""Browsers keep 4,096 bytes, name and attributes included."""


def cookie_name(*, secure: bool) -> str:
    """The one name under which a session's cookie is set and accepted on a connection."""
    return SECURE_COOKIE if secure else COOKIE


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The session of an operator. ``csrf_token`` is "" for a request without a cookie, ``expires_in_seconds`` None."""

    actor: str
    csrf_token: str = ""
    expires_in_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The operator that makes a request, with a valid token or the cookie of a session (``by_cookie``)."""

    actor: str
    address: str
    session: Session
    by_cookie: bool = False
    until: float | None = None
    """When the token expires (Unix time); None for a token without an expiry."""
    identity: Identity | None = None
    """The user who is an operator by scope; None for one of the configured admin tokens."""

    def may_change(self, csrf_token: str) -> bool:
        """Whether a request may change something. A browser sends cookies along with any request, so a request with a
        cookie must carry the session's CSRF token as well."""
        return not self.by_cookie or hmac.compare_digest(csrf_token.encode(), self.session.csrf_token.encode())


class Sessions:
    """Opens and verifies sessions. ``tokens`` returns the present text of all admin tokens ("" without any), ``clock``
    Unix time; ``path`` is the cookie's path over loopback http."""

    def __init__(self, tokens: Callable[[], str], path: str, *, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._path = path
        self._clock = clock

    def open(self, principal: Principal, *, secure: bool) -> tuple[Session, bytes]:
        """A new session of an operator who has shown a token, and its Set-Cookie header. OperatorError without admin
        tokens, for a principal by cookie, and for claims that do not fit into a cookie."""
        if not self._tokens():
            raise OperatorError(
                f"sessions need {name_of('admin_tokens')}: their cookies are signed with a key made of it"
            )
        if principal.by_cookie:
            raise OperatorError("a session is opened with the token, not with the cookie of another session")
        # A session ends no later than the token that opened it.
        now = self._clock()
        expires = now + SESSION_SECONDS if principal.until is None else min(now + SESSION_SECONDS, principal.until)
        user = () if principal.identity is None else (_written(principal.identity),)
        payload = json.dumps([principal.actor, expires, secrets.token_urlsafe(24), *user], separators=(",", ":"))
        body = base64.urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
        cookie = f"{body}.{self._sign('session', body)}"
        if len(cookie) > _LONGEST_COOKIE:
            raise OperatorError("the token's claims are too long for a session's cookie: send the token itself")
        return self._session(principal.actor, expires, body), self.cookie(cookie, expires - now, secure=secure)

    def cookie(self, value: str, seconds: float, *, secure: bool) -> bytes:
        """A Set-Cookie header; an empty value with 0 seconds makes the browser forget the cookie."""
        # The prefix __Host- demands the path / and no domain.
        name, path = cookie_name(secure=secure), "/" if secure else self._path
        line = f"{name}={value}; Path={path}; Max-Age={int(seconds)}; HttpOnly; SameSite=Strict"
        return (line + ("; Secure" if secure else "")).encode()

    def verify(self, cookie: str, address: str) -> Principal | None:
        """The operator in a session's cookie; None if no worker has signed the cookie, or it has expired."""
        body, _, signature = cookie.partition(".")
        if len(cookie) > _LONGEST_COOKIE or not cookie.isascii() or not self._tokens():
            return None
        # Nothing of an unsigned cookie is read.
        if not hmac.compare_digest(signature, self._sign("session", body)):
            return None
        # Signed with the workers' key, but maybe by another version.
        try:
            actor, expires, _, *user = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            identity = _read(*user) if user else None
        except (LookupError, TypeError, ValueError, binascii.Error):
            return None
        if self._clock() >= expires:
            return None
        session = self._session(actor, expires, body)
        return Principal(actor=actor, address=address, session=session, by_cookie=True, identity=identity)

    def _session(self, actor: str, expires: float, body: str) -> Session:
        left = round(expires - self._clock(), 3)
        return Session(actor=actor, csrf_token=self._sign("csrf", body), expires_in_seconds=left)

    def _sign(self, purpose: str, body: str) -> str:
        key = sha256(f"fraiseql-guard session\0{self._tokens()}".encode(errors="surrogatepass")).digest()
        digest = hmac.digest(key, f"{purpose}\0{body}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _written(identity: Identity) -> dict[str, Any]:
    """A user in the form of the cookie: all that a later request needs to check their standing."""
    return {
        "user_id": identity.user_id,
        "subject": identity.subject.name,
        "claims": dict(identity.claims),
        "key": identity.key,
        "scopes": identity.scopes,
        "tier": identity.tier,
        "expires_at": identity.expires_at,
    }


def _read(written: Any) -> Identity:
    """The user in a cookie; LookupError or TypeError if there is none."""
    return Identity(
        user_id=written["user_id"],
        subject=Subject("user", written["subject"]),
        claims=MappingProxyType(written["claims"]),
        key=written["key"],
        scopes=tuple(written["scopes"]),
        tier=written["tier"],
        expires_at=written["expires_at"],
        fresh=False,
    )
