"""Claims and header parameters of every JSON type: those of the documented types pass, any other is invalid_token."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock
from tests.identity.by_hand import NOW, SECRET, sign

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=6)
NUMBERS = st.integers(-(2**54), 2**54) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4
)
TEXTS = st.lists(TEXT, min_size=1, max_size=3)
TIMES = st.floats(NOW - 100, NOW + 100) | st.integers(int(NOW) - 100, int(NOW) + 100)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "sub": TEXT | st.just("u1"), "exp": TIMES, "nbf": TIMES, "iat": TIMES, "iss": TEXT | st.just("me"),
    "aud": TEXT | TEXTS | st.just("api"), "org": TEXT | NUMBERS | st.none(), "plan": TEXT | st.just("pro"),
    "scope": TEXT | TEXTS | st.none(), "scopes": TEXTS, "scp": TEXT | TEXTS,
}  # fmt: skip
CLAIMS = st.fixed_dictionaries(
    {"sub": LIKELY["sub"] | ANYTHING, "exp": LIKELY["exp"] | ANYTHING},
    optional={name: likely | likely | ANYTHING for name, likely in LIKELY.items() if name not in ("sub", "exp")},
)
HEADER = st.fixed_dictionaries(
    {"alg": st.just("HS256")}, optional=dict.fromkeys(("typ", "cty", "kid"), TEXT | TEXT | ANYTHING)
)
OPTIONS = st.fixed_dictionaries(
    {}, optional={"jwt_issuer": st.just("me"), "jwt_audience": st.just("api"), "tenant_claim": st.just("org"),
                  "tier_claim": st.just("plan"), "tiers": st.just("pro=2/minute")},
)  # fmt: skip
MISSING = object()


def is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= 2**53  # type: ignore[operator]


def are_texts(value: object) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def is_readable(claims: dict[str, Any], options: dict[str, Any]) -> bool:
    """Whether every claim that is read is of a documented type."""
    sub, iss, aud = (claims.get(name, MISSING) for name in ("sub", "iss", "aud"))
    tenant = claims.get("org") if "tenant_claim" in options else None
    tier = claims.get(options.get("tier_claim", "tier")) if "tiers" in options else None
    times = [claims["exp"], *(claims[name] for name in ("nbf", "iat") if name in claims)]
    scopes = [claims[name] for name in ("scope", "scopes", "scp") if name in claims]
    return (
        type(sub) is str and 1 <= len(sub) <= 255 and sub.isprintable()
        and (iss is MISSING or type(iss) is str)
        and (aud is MISSING or type(aud) is str or (are_texts(aud) and bool(aud)))
        and (tenant is None or type(tenant) is str or is_number(tenant))
        and (tier is None or type(tier) is str)
        and all(map(is_number, times))
        and all(each is None or type(each) is str or are_texts(each) for each in scopes)
    )  # fmt: skip


def is_for_us(claims: dict[str, Any], options: dict[str, Any]) -> bool:
    aud = claims.get("aud")
    named = aud if type(aud) is list else [aud]
    return (
        ("jwt_issuer" not in options or claims.get("iss") == "me")
        and ("jwt_audience" not in options or "api" in named)
        and claims["exp"] <= NOW + 86_400
        and claims.get("nbf", NOW) <= NOW
    )


@given(CLAIMS, HEADER, OPTIONS)
def test_documented_types_pass_and_any_other_is_invalid(claims, header, options) -> None:
    subject = TokenVerifier(Settings.load({}, jwt_secret=SECRET, **options), clock=ManualClock(NOW))
    answer = subject.verify([f"Bearer {sign(claims, header=header)}"])
    texts = all(type(value) is str for value in header.values())
    if not texts or not is_readable(claims, options) or not is_for_us(claims, options):
        assert isinstance(answer, TokenFailure)
        assert (answer.reason, answer.claims) == (FailureReason.INVALID_TOKEN, None)
    elif claims["exp"] <= NOW:
        assert isinstance(answer, TokenFailure)
        assert answer.reason is FailureReason.TOKEN_EXPIRED
    else:
        assert isinstance(answer, Identity)
        assert answer.user_id == claims["sub"]
        assert all(type(scope) is str for scope in answer.scopes)
        assert answer.tier in (None, "pro")
