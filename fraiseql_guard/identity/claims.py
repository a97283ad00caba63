"""Checks the claims of a token whose signature is genuine (RFC 7519, section 4.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from fraiseql_guard.core.callers import Identity, Subject
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.api_keys import API_KEY_ISSUER

_MAX_SUB_CHARACTERS: Final = 255
_MAX_NUMBER: Final = 2**53
_SCOPE_CLAIMS: Final = ("scope", "scopes", "scp")


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """The rules of the settings for claims; all times in seconds. None where a claim is not checked, or not used."""

    issuer: str | None
    audience: str | None
    leeway: int
    grace: int
    max_lifetime: int
    tenant_claim: str | None
    tier_claim: str

    @classmethod
    def of(cls, settings: Settings) -> ClaimRules:
        """The rules of these settings."""
        return cls(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            leeway=settings.jwt_leeway_seconds,
            grace=settings.token_grace_seconds,
            max_lifetime=settings.max_token_lifetime_seconds,
            tenant_claim=settings.tenant_claim,
            tier_claim=settings.tier_claim,
        )

    def fault(self, claims: Mapping[str, Any], now: float) -> FailureReason | None:
        """The failure of the claims at ``now`` (Unix time), or None. Expiry is checked last: only a token that is
        otherwise in order counts as expired."""
        # Types come first, since the other tests rely on them.
        acceptable = self._is_readable(claims) and self._is_for_us(claims) and self._is_timely(claims, now)
        if not acceptable:
            return FailureReason.INVALID_TOKEN
        return FailureReason.TOKEN_EXPIRED if now >= self.accepted_until(claims) else None

    def accepted_until(self, claims: Mapping[str, Any]) -> float:
        """Unix time from which a token counts as expired, leeway and grace included."""
        return float(claims["exp"]) + self.leeway + self.grace

    def identity(self, claims: Mapping[str, Any], key: str) -> Identity:
        """The user of claims without a fault; ``key`` is the name of the key. Issuer and tenant are part of the
        subject, because two issuers may both have a user 1; in a JSON list no texts can make two users one."""
        tenant = claims.get(self.tenant_claim) if self.tenant_claim else None
        name = json.dumps([claims.get("iss"), tenant, claims["sub"]], separators=(",", ":"))
        tier = claims.get(self.tier_claim)
        return Identity(
            user_id=claims["sub"],
            subject=Subject("user", name),
            claims=MappingProxyType(dict(claims)),  # cached and shared by requests: it must not change
            key=key,
            scopes=_scopes(claims),
            tier=tier if isinstance(tier, str) else None,  # not checked: the tiers may change while this is cached
            expires_at=float(claims["exp"]),
        )

    def _is_readable(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claims have the JSON types that they must have. Private claims (tenant, scopes) may be null,
        which is as good as absent; registered ones (RFC 7519, section 4.1) may not."""
        tenant = claims.get(self.tenant_claim) if self.tenant_claim else None
        return (
            isinstance(claims.get("iss", ""), str)
            and claims.get("iss") != API_KEY_ISSUER  # its users would share limits with API keys
            and _is_audience(claims.get("aud", ""))
            and _is_name(claims.get("sub"))
            and _is_tenant(tenant)
            and all(_is_scope(claims.get(name)) for name in _SCOPE_CLAIMS)
        )

    def _is_for_us(self, claims: Mapping[str, Any]) -> bool:
        audience = claims.get("aud")
        # RFC 7519, 4.1.3: one text or a list of them.
        audiences = audience if isinstance(audience, list) else [audience]
        return (self.issuer is None or claims.get("iss") == self.issuer) and (
            self.audience is None or self.audience in audiences
        )

    def _is_timely(self, claims: Mapping[str, Any], now: float) -> bool:
        """Whether exp is present and not too far ahead, and nbf is past. A future iat is accepted (RFC 7519 does not
        forbid it): the issuer's clock may be fast."""
        horizon = now + self.leeway
        return (
            _is_number(claims.get("exp"))
            and claims["exp"] <= horizon + self.max_lifetime
            and ("nbf" not in claims or (_is_number(claims["nbf"]) and claims["nbf"] <= horizon))
            and ("iat" not in claims or _is_number(claims["iat"]))
        )


def _is_number(value: object) -> bool:
    """Whether a value is a number (no bool) of at most 2^53, so that a float holds it. False for NaN and infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MAX_NUMBER <= value <= _MAX_NUMBER


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_audience(value: object) -> bool:
    return isinstance(value, str) or (value != [] and _is_texts(value))


def _is_tenant(value: object) -> bool:
    return value is None or isinstance(value, str) or _is_number(value)


def _is_scope(value: object) -> bool:
    return value is None or isinstance(value, str) or _is_texts(value)


def _is_name(value: object) -> bool:
    # The name goes into logs and keys, so that it must have a bound and no control characters.
    return isinstance(value, str) and 1 <= len(value) <= _MAX_SUB_CHARACTERS and value.isprintable()


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes in a claim of text (RFC 8693, section 4.2) or a list, under one of the names that issuers use."""
    # The first non-empty claim counts; issuers use one of the three.
    given: str | list[str] = next((claims[name] for name in _SCOPE_CLAIMS if claims.get(name)), [])
    return tuple(given.split() if isinstance(given, str) else given)


def any_audience(settings: Settings) -> str | None:
    """A warning for operators if tokens of any audience are accepted; None if one is required, or tokens are not
    verified."""
    if not settings.verifies_tokens or settings.jwt_audience is not None:
        return None
    return (
        f"{name_of('jwt_audience')} is not set: a token whose audience (aud) is another application is accepted like "
        "one for this. Set it where the tokens carry an audience"
    )
