"""Sessions of the console: a signed cookie in place of the token, so that no token stays in a browser.

Nothing is stored: every worker verifies what any worker has signed, with a key derived from the admin tokens. A change
of the tokens ends all sessions. That of a user carries what their token says, so that the app is asked about them with
every request. Logging out makes the browser forget its cookie.
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
"""Its name anywhere else: browsers take one of this prefix from this very host alone, over https (RFC 6265bis)."""
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_SECONDS: Final = 8 * 3_600.0
_LONGEST_COOKIE: Final = 3_800
"""Browsers keep 4,096 bytes, name and attributes included."""


def cookie_name(*, secure: bool) -> str:
    """The one name under which a session's cookie is set and accepted on a connection."""
    return SECURE_COOKIE if secure else COOKIE


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who acts. ``csrf_token`` is empty where no cookie is in play."""

    actor: str
    csrf_token: str = ""
    expires_in_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who has shown a right token, or the cookie of a session."""

    actor: str
    address: str
    session: Session
    by_cookie: bool = False
    until: float | None = None
    """When what was shown expires (Unix time), if it says so itself."""
    identity: Identity | None = None
    """The user that is an operator by scope; None of a named token."""

    def may_change(self, csrf_token: str) -> bool:
        """Whether a request that changes something is really the visitor's own: a cookie comes along by itself."""
        return not self.by_cookie or hmac.compare_digest(csrf_token.encode(), self.session.csrf_token.encode())


class Sessions:
    """Opens and verifies sessions. ``tokens`` is the present text of all admin tokens ("" without any); ``clock`` tells
    the seconds since 1970; ``path`` is where the cookie is sent to over loopback http."""

    def __init__(self, tokens: Callable[[], str], path: str, *, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._path = path
        self._clock = clock

    def open(self, visitor: Visitor, *, secure: bool) -> tuple[Session, bytes]:
        """A new session of someone who has shown a token, and its Set-Cookie header."""
        if not self._tokens():
            raise OperatorError(
                f"sessions need {name_of('admin_tokens')}: their cookies are signed with a key made of it"
            )
        if visitor.by_cookie:
            raise OperatorError("a session is opened with the token, not with the cookie of another session")
        now = self._clock()
        expires = now + SESSION_SECONDS if visitor.until is None else min(now + SESSION_SECONDS, visitor.until)
        user = () if visitor.identity is None else (_written(visitor.identity),)
        payload = json.dumps([visitor.actor, expires, secrets.token_urlsafe(24), *user], separators=(",", ":"))
        body = base64.urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
        cookie = f"{body}.{self._sign('session', body)}"
        if len(cookie) > _LONGEST_COOKIE:
            raise OperatorError("the token's claims are too long for a session's cookie: send the token itself")
        return self._session(visitor.actor, expires, body), self.cookie(cookie, expires - now, secure=secure)

    def cookie(self, value: str, seconds: float, *, secure: bool) -> bytes:
        """A Set-Cookie header; an empty value with 0 seconds forgets it. The prefix of a secure one asks for the path /
        and no domain."""
        name, path = cookie_name(secure=secure), "/" if secure else self._path
        line = f"{name}={value}; Path={path}; Max-Age={int(seconds)}; HttpOnly; SameSite=Strict"
        return (line + ("; Secure" if secure else "")).encode()

    def visitor(self, cookie: str, address: str) -> Visitor | None:
        """Whose cookie this is; None if it is not one of ours, or has expired."""
        body, _, signature = cookie.partition(".")
        if len(cookie) > _LONGEST_COOKIE or not cookie.isascii() or not self._tokens():
            return None
        if not hmac.compare_digest(signature, self._sign("session", body)):
            return None
        try:
            actor, expires, _, *user = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            identity = _read(*user) if user else None
        except (LookupError, TypeError, ValueError, binascii.Error):
            return None
        if self._clock() >= expires:
            return None
        session = self._session(actor, expires, body)
        return Visitor(actor=actor, address=address, session=session, by_cookie=True, identity=identity)

    def _session(self, actor: str, expires: float, body: str) -> Session:
        left = round(expires - self._clock(), 3)
        return Session(actor=actor, csrf_token=self._sign("csrf", body), expires_in_seconds=left)

    def _sign(self, purpose: str, body: str) -> str:
        key = sha256(f"fraiseql-guard session\0{self._tokens()}".encode(errors="surrogatepass")).digest()
        digest = hmac.digest(key, f"{purpose}\0{body}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _written(identity: Identity) -> dict[str, Any]:
    """A user as the cookie carries them: the app is asked about them with every request, as with their token."""
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
