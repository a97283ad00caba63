"""Wycheproof's vectors for signatures and for key sets, through our reader, our key checks and our choice of keys."""

import json
from pathlib import Path

import pytest
from joserfc.jwk import OctKey

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.identity.jwk_set import read_jwk_set
from fraiseql_guard.identity.jws import read_jws
from fraiseql_guard.identity.key_material import VerificationKey
from fraiseql_guard.identity.keys import matching_key

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the Wycheproof vectors are not here")

GENUINE = {367, 370}
"""Called invalid for their padding, but in this file byte for byte the valid token of test 357."""

STRICTER = {
    **dict.fromkeys(
        (372, 373), "a character outside the alphabet stands inside; RFC 7515, section 2, does not allow it"
    ),
    **dict.fromkeys((346, 350), "the key says alg RS256 or PS256, and the token is signed by PS384"),
    **dict.fromkeys((347, 351), "the key says alg ES521, which does not exist"),
}
"""Signatures called valid that we refuse, and why."""
STRICTER_SETS = dict.fromkeys((2, 13, 14, 15), "a set with secrets: secrets are configured as such, never in a set")


def vectors(name):
    path = FOLDER / name
    groups = json.loads(path.read_text())["testGroups"] if path.exists() else []
    return [
        pytest.param(group, test, id=f"{test['tcId']}-{test['comment']}") for group in groups for test in group["tests"]
    ]


SIGNATURES, SETS = vectors("json_web_signature_test.json"), vectors("json_web_key_test.json")


def keys_of(group):
    """The keys of a group as they would be configured: a secret, or a set."""
    given = group.get("public", group["private"])
    if given.get("kty") == "oct":  # a secret's bytes are seldom text
        return (VerificationKey("current", OctKey.import_key({"kty": "oct", "k": given["k"]}), {given["alg"]}),)
    return read_jwk_set(json.dumps(given if "keys" in given else {"keys": [given]}).encode(), ALGORITHMS).keys


def accepts(group, test):
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    jws = read_jws(token, ALGORITHMS)
    return jws is not None and matching_key(jws, keys_of(group)) is not None


@pytest.mark.parametrize(("group", "test"), SIGNATURES)
def test_signatures(group, test):
    expected = test["result"] == "valid" or test["tcId"] in GENUINE
    assert accepts(group, test) is (expected and test["tcId"] not in STRICTER)


@pytest.mark.parametrize(("group", "test"), SETS)
def test_key_sets(group, test):
    assert accepts(group, test) is (test["result"] == "valid" and test["tcId"] not in STRICTER_SETS)


def test_the_adjudicated_vectors_are_what_they_are_said_to_be():
    assert len(SIGNATURES) == 401
    tests = {each.values[1]["tcId"]: each.values[1] for each in SIGNATURES}
    assert all(tests[number]["jws"] == tests[357]["jws"] for number in GENUINE)
    assert all("?" in tests[number]["jws"] for number in (372, 373))
    assert all(tests[number]["result"] == "valid" for number in STRICTER)
