import json

import pytest

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock
from tests.identity.by_hand import CLAIMS, NOW, SECRET, changed, sign

INVALID, EXPIRED = FailureReason.INVALID_TOKEN, FailureReason.TOKEN_EXPIRED


def verifier(clock=None, **options):
    options.setdefault("jwt_secret", SECRET)
    return TokenVerifier(Settings.load({}, **options), clock=clock or ManualClock(NOW))


def verify(payload, clock=None, **options):
    """The answer to a genuine token with this payload."""
    return verifier(clock, **options).verify([f"Bearer {sign(payload)}"])


def reason(answer):
    return answer.reason if isinstance(answer, TokenFailure) else None


def text(body):
    return b'{"sub":"u1","exp":1000600' + body + b"}"


BAD_CLAIMS = {
    "no exp": {"sub": "u1"},
    "exp null": changed(exp=None),
    "exp text": changed(exp="1000600"),
    "exp boolean": changed(exp=True),
    "exp list": changed(exp=[NOW + 60]),
    "exp NaN": b'{"sub":"u1","exp":NaN}',
    "exp infinite": b'{"sub":"u1","exp":Infinity}',
    "exp overflows": b'{"sub":"u1","exp":1e400}',
    "exp far too large": b'{"sub":"u1","exp":1' + b"0" * 400 + b"}",
    "exp with too many digits": b'{"sub":"u1","exp":1' + b"0" * 5000 + b"}",
    "exp too far ahead": changed(exp=NOW + 86_401),
    "nbf ahead": changed(nbf=NOW + 1),
    "nbf beyond exact numbers": changed(nbf=-(2**60)),
    "exp far below zero": changed(exp=-(10**400)),
    "nbf text": changed(nbf="0"),
    "nbf boolean": changed(nbf=False),
    "nbf null": changed(nbf=None),
    "nbf NaN": text(b',"nbf":NaN'),
    "iat text": changed(iat="0"),
    "no sub": {"exp": NOW + 60},
    "sub null": changed(sub=None),
    "sub empty": changed(sub=""),
    "sub number": changed(sub=1),
    "sub list": changed(sub=["u1"]),
    "sub too long": changed(sub="x" * 256),
    "sub with NUL": changed(sub="u1\0"),
    "sub with newline": changed(sub="u1\nu2"),
    "sub with escape": changed(sub="\x1b[31mu1"),
    "sub with override of direction": changed(sub="u1\u202e"),
    "sub with lone surrogate": text(b',"x":1')[:1] + b'"sub":"\\ud800","exp":1000600}',
    "iss number": changed(iss=1),
    "iss list": changed(iss=["me"]),
    "iss null": changed(iss=None),
    "iat null": changed(iat=None),
    "duplicate sub": b'{"sub":"u1","sub":"admin","exp":1000600}',
    "duplicate exp": text(b',"exp":1000600'),
    "duplicate sub, escaped": text(b',"\\u0073ub":"admin"'),
    "duplicate inside": text(b',"x":{"a":1,"a":1}'),
    "lone surrogate": text(b',"x":"\\udfff"'),
    "deep": text(b',"x":' + b"[" * 2500 + b"]" * 2500),
    "rather deep": text(b',"x":' + b'{"a":' * 30 + b"1" + b"}" * 30),
    "list": [1],
    "text": '"u1"',
    "empty": b"",
    "not json": b"sub=u1",
    "UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "UTF-32": json.dumps(CLAIMS).encode("utf-32-be"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
    "not UTF-8": text(b',"x":"\xff"'),
    "comment": text(b"/**/"),
}


@pytest.mark.parametrize("payload", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_bad_claims_are_invalid_and_show_nothing(payload):
    token = sign(payload)
    assert verifier().verify([f"Bearer {token}"]) == TokenFailure(INVALID, token[:8])


# --- the identity ----------------------------------------------------------------------------------------------------


def test_the_identity():
    identity = verify(changed(iss="https://id.example", scope="read write", roles=["a"]))
    assert isinstance(identity, Identity)
    assert identity.user_id == "u1"
    assert (identity.key, identity.scopes, identity.tier) == ("current", ("read", "write"), None)
    assert identity.expires_at == NOW + 600
    assert identity.claims["roles"] == ["a"]
    with pytest.raises(TypeError):
        identity.claims["sub"] = "admin"


@pytest.mark.parametrize("sub", ["x", "x" * 255, "Zoë", "用户", "a b", "anonymous", '","', "{}"])
def test_printable_subs(sub):
    assert verify(changed(sub=sub)).user_id == sub


def test_issuer_tenant_and_sub_tell_users_apart():
    payloads = [
        changed(),
        changed(sub="u2"),
        changed(iss="a"),
        changed(iss="b"),
        changed(iss="a", org="t1"),
        changed(iss="a", org=1),
        changed(iss="a", org="1"),
        changed(iss='a","t1', org="x"),
        changed(iss="a", org='t1","x'),
        changed(sub='t1","u1', iss="a"),
    ]
    subjects = {verify(payload, tenant_claim="org").subject for payload in payloads}
    assert len(subjects) == len(payloads)
    assert {subject.kind for subject in subjects} == {"user"}
    assert verify(changed(org="t1")).subject == verify(changed(org="t2")).subject


@pytest.mark.parametrize("tenant", [True, ["t"], {"t": 1}])
def test_a_tenant_is_text_or_a_number(tenant):
    assert reason(verify(changed(org=tenant), tenant_claim="org")) is INVALID


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ()),
        ({"scope": "a  b"}, ("a", "b")),
        ({"scope": ["a", "b"]}, ("a", "b")),
        ({"scopes": ["a"]}, ("a",)),
        ({"scp": ["a"]}, ("a",)),
        ({"scp": "a b"}, ("a", "b")),
        ({"scope": "", "scp": ["a"]}, ("a",)),
        ({"scope": None, "scp": []}, ()),
    ],
)
def test_scopes(claims, scopes):
    assert verify(changed(**claims)).scopes == scopes


@pytest.mark.parametrize("name", ["scope", "scopes", "scp"])
@pytest.mark.parametrize("value", [7, True, {"a": 1}, ["a", 1], [["a"]], [None]])
def test_scopes_of_another_type_are_invalid_wherever_they_stand(name, value):
    assert reason(verify(changed(**{"scope": "a", name: value}))) is INVALID


@pytest.mark.parametrize(
    ("tier", "expected"), [("pro", "pro"), ("gold", "gold"), (["pro"], None), (1, None), (None, None), ({}, None)]
)
def test_a_tier_is_the_text_that_the_token_claims(tier, expected):
    assert verify(changed(plan=tier), tier_claim="plan", tiers="free=1/minute,pro=2/minute").tier == expected


@pytest.mark.parametrize(("iss", "good"), [("me", True), ("you", False), ("me ", False), (None, False)])
def test_a_configured_issuer(iss, good):
    assert isinstance(verify(changed(iss=iss), jwt_issuer="me"), Identity) is good


@pytest.mark.parametrize(
    ("aud", "good"),
    [
        ("api", True),
        (["x", "api"], True),
        ("apis", False),
        (["x"], False),
    ],
)
def test_a_configured_audience(aud, good):
    assert isinstance(verify(changed(aud=aud), jwt_audience="api"), Identity) is good
    assert isinstance(verify(changed(aud=aud)), Identity)


@pytest.mark.parametrize("aud", [5, True, None, [], [5], ["api", 5], ["api", None], [["api"]], {"api": 1}])
def test_an_audience_is_text_or_a_list_of_texts(aud):
    for options in ({}, {"jwt_audience": "api"}):
        assert reason(verify(changed(aud=aud), **options)) is INVALID


def test_a_missing_audience_is_one_where_it_is_required():
    assert isinstance(verify(CLAIMS), Identity)
    assert reason(verify(CLAIMS, jwt_audience="api")) is INVALID


def test_that_any_audience_will_do_is_told_once():
    told = []
    subject = TokenVerifier(Settings.load({}, jwt_secret=SECRET), clock=ManualClock(NOW), on_problem=told.append)
    for claims in (CLAIMS, changed(sub="u2"), changed(aud=5)):
        subject.verify([f"Bearer {sign(claims)}"])
    assert told == []
    for aud in ("api", ["web"]):
        assert isinstance(subject.verify([f"Bearer {sign(changed(aud=aud))}"]), Identity)
    assert len(told) == 1
    assert "FRAISEQL_GUARD_JWT_AUDIENCE is not set" in told[0]


def test_nothing_is_told_where_an_audience_is_required_and_no_failure_to_tell_refuses():
    def broken(sentence):
        raise OSError(sentence)

    for options in ({}, {"jwt_audience": "api"}):
        required = Settings.load({}, jwt_secret=SECRET, **options)
        subject = TokenVerifier(required, clock=ManualClock(NOW), on_problem=broken)
        assert isinstance(subject.verify([f"Bearer {sign(changed(aud='api'))}"]), Identity)


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "accepted_seconds"),
    [
        ({}, 0),
        ({"jwt_leeway_seconds": 5}, 5),
        ({"token_grace_seconds": 300}, 300),
        ({"jwt_leeway_seconds": 5, "token_grace_seconds": 300}, 305),
    ],
)
def test_expiry(options, accepted_seconds):
    clock = ManualClock(NOW)
    subject, lines = verifier(clock, **options), [f"Bearer {sign(CLAIMS)}"]
    clock.advance(600 + accepted_seconds - 0.001)
    assert isinstance(subject.verify(lines), Identity)
    clock.advance(0.001)
    assert reason(subject.verify(lines)) is EXPIRED


def test_only_a_genuine_expired_token_shows_its_claims():
    claims = changed(exp=NOW - 60, iat=NOW - 3660)
    token = sign(claims)
    assert verifier().verify([f"Bearer {token}"]) == TokenFailure(EXPIRED, token[:8], claims)
    for other in ({**claims, "sub": ""}, {**claims, "iss": "you"}):
        assert verify(other, jwt_issuer="me") == TokenFailure(INVALID, token[:8])


@pytest.mark.parametrize(
    ("name", "ahead", "good"),
    [
        ("nbf", 5, True),
        ("nbf", 5.1, False),
        ("iat", 5, True),
        ("iat", 6, True),
        ("exp", 86_405, True),
        ("exp", 86_406, False),
    ],
)
def test_leeway_at_the_other_end(name, ahead, good):
    assert isinstance(verify(changed(**{name: NOW + ahead}), jwt_leeway_seconds=5), Identity) is good


def test_times_may_be_fractions():
    assert verify(changed(exp=NOW + 0.5, nbf=NOW - 0.5)).expires_at == NOW + 0.5
