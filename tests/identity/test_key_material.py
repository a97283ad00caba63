"""Which keys are taken, and which are not however well a library can read them."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.identity.jwk_set import MAX_SET_BYTES, read_jwk_set
from fraiseql_guard.identity.key_material import jwk_key, pem_key, secret_key
from tests.support import keys

ALL = tuple(ALGORITHMS)
PRIMES = [number for number in range(3, 168) if all(number % each for each in range(2, number))]


def pem(public):
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def roca_modulus():
    """A number in the subgroup of 65537 for all small primes, as the weak chips made them."""
    product = 1
    for prime in PRIMES:
        product *= prime
    for factor in range(2**2047 // product, 2**2047 // product + 1000):
        found = factor * product + pow(65537, 1234, product)
        if found.bit_length() == 2048 and found % 2:
            return found
    raise AssertionError


def weak_pems():
    yield "1024 bits", keys.public(keys.private("RSA", bits=1024)), "1024 bits"
    yield "exponent 3", pem(rsa.generate_private_key(3, 2048).public_key()), "public exponent"
    yield "ROCA", pem(rsa.RSAPublicNumbers(65537, roca_modulus()).public_key()), "ROCA"
    yield "secp256k1", pem(ec.generate_private_key(ec.SECP256K1()).public_key()), "another kind"
    yield "P-224", pem(ec.generate_private_key(ec.SECP224R1()).public_key()), "another kind"
    yield "Ed448", pem(ed448.Ed448PrivateKey.generate().public_key()), "another kind"
    yield "X25519", pem(x25519.X25519PrivateKey.generate().public_key()), "another kind"
    yield "private", keys.private("RSA"), "not a public key"
    yield "no PEM", "x" * 40, "not a public key"
    yield "cut", keys.public(keys.private("RSA"))[:200], "not a public key"


@pytest.mark.parametrize(("text", "why"), [pytest.param(*each[1:], id=each[0]) for each in weak_pems()])
def test_what_may_not_verify(text, why):
    with pytest.raises(ValueError, match=why):
        pem_key("current", text, ALL)


@pytest.mark.parametrize("family", keys.FAMILIES)
def test_a_key_is_bound_to_its_family(family):
    private = keys.private(family)
    expected = {name for name, each in ALGORITHMS.items() if each == family}
    for key in (pem_key("current", keys.public(private), ALL), jwk_key("jwks", keys.jwk(private), ALL)):
        assert key.algorithms == expected
    assert jwk_key("jwks", keys.jwk(private), ["HS256"]).algorithms == frozenset()


def test_the_alg_of_a_jwk_binds_it_further():
    key = keys.jwk(keys.private("RSA"), alg="PS384")
    assert jwk_key("jwks", key, ALL).algorithms == {"PS384"}
    assert jwk_key("jwks", key, ["RS256"]).algorithms == frozenset()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"use": "enc"}, "use"), ({"use": 1}, "use"), ({"key_ops": ["sign"]}, "key_ops"),
        ({"key_ops": "verify"}, "key_ops"),
        ({"alg": "HS256"}, "family"), ({"alg": "ES256"}, "family"), ({"alg": "none"}, "family"), ({"alg": 1}, "family"),
        ({"alg": ["RS256"]}, "family"), ({"kid": 7}, "kid"), ({"kid": "k" * 257}, "kid"), ({"kty": "oct"}, "private"),
        ({"kty": "EC"}, "read"), ({"kty": None}, "kty"), ({"kty": []}, "kty"),
        ({"d": "AQAB"}, "private"), ({"k": "AQAB"}, "private"),
        ({"e": "AQ"}, "read"), ({"e": "AAAA"}, "read"), ({"e": 65537}, "read"),
        ({"n": ""}, "read"), ({"n": "AQAB"}, "read"),
        ({"n": "\0"}, "read"), ({"e": number(2**40 + 1)}, "exponent|read"), ({"n": number(roca_modulus())}, "ROCA"),
    ],
    ids=str,
)  # fmt: skip
def test_a_jwk_that_is_not_used(members, why):
    with pytest.raises(ValueError, match=why):
        jwk_key("jwks", keys.jwk(keys.private("RSA")) | members, ALL)


@pytest.mark.parametrize(
    "members",
    [{"crv": "P-384"}, {"crv": "secp256k1"}, {"x": "AQAB"}, {"y": None}, {"x": "A" * 43, "y": "A" * 43}],
    ids=str,
)
def test_a_point_that_is_on_no_curve(members):
    with pytest.raises(ValueError):
        jwk_key("jwks", keys.jwk(keys.private("P-256")) | members, ALL)


@pytest.mark.parametrize("family", keys.FAMILIES)
def test_no_form_of_a_key_pair_is_a_secret(family):
    private = keys.private(family)
    der = base64.b64encode(keys.der(private)).decode()
    forms = [keys.public(private), private, json.dumps(keys.jwk(private)), " \n" + json.dumps(keys.jwk(private)), der]
    for text in [
        *forms,
        "\n".join(der[at : at + 64] for at in range(0, len(der), 64)),
        "prefix " + keys.public(private),
    ]:
        with pytest.raises(ValueError, match=r"must not be used with HMAC|resembles"):
            secret_key("current", text, ALL)


def test_fingerprints_tell_keys_apart_and_give_none_away():
    found = [secret_key("current", text * 32, ALL).fingerprint for text in "abc"]
    assert len(set(found)) == 3
    assert all(len(each) == 8 and int(each, 16) >= 0 for each in found)
    assert pem_key("old", keys.public(keys.private("RSA")), ALL).fingerprint == (
        jwk_key("jwks", keys.jwk(keys.private("RSA"), kid="a"), ALL).fingerprint
    )


# --- sets ------------------------------------------------------------------------------------------------------------


def test_a_set_keeps_what_is_usable_and_says_what_is_not():
    good, other = keys.private("RSA"), keys.private("P-256")
    found = read_jwk_set(
        keys.jwk_set(keys.jwk(good, kid="a"), keys.jwk(other, use="enc"), 7, {"kty": "oct", "k": "x" * 43}).encode(),
        ALL,
    )
    assert [key.kid for key in found.keys] == ["a"]
    assert [key.name for key in found.keys] == ["jwks"]
    assert [problem[:5] for problem in found.problems] == ["key 2", "key 3", "key 4"]


def test_a_kid_that_two_keys_share_names_neither():
    one, two = keys.jwk(keys.private("RSA"), kid="a"), keys.jwk(keys.private("RSA", 1), kid="a")
    found = read_jwk_set(keys.jwk_set(one, two, keys.jwk(keys.private("P-256"), kid="a")).encode(), ALL)
    assert [key.material.key_type for key in found.keys] == ["EC"]  # another kind of key: no doubt which is meant
    assert "share a kid" in found.problems[0]


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []', b'{"keys": [], "keys": []}', b"\xff", b'{"keys": NaN}',
             b'{"keys": [' + b",".join([b"{}"] * 21) + b"]}", b" " * MAX_SET_BYTES + b'{"keys": []}'],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_what_is_no_set(text):
    with pytest.raises(ValueError):
        read_jwk_set(text, ALL)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "sig", "P-256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"]), JSON))
)
def test_any_members_make_a_set_or_an_error_that_is_stated(members):
    try:
        found = read_jwk_set(json.dumps({"keys": members}).encode(), ALL)
    except ValueError:
        return
    assert found.keys == ()
    assert len(found.problems) == len(members)
