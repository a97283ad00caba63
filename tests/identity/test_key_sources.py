"""Keys from settings and files: chosen by kid and family, refused at the start, exchanged while we run."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.key_material import pem_key
from fraiseql_guard.identity.key_sources import ConfiguredKey, JwksFile
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock, make_token
from tests.identity.by_hand import as_bytes, encode, sign
from tests.support import keys

SECRET = "an-hmac-secret-of-at-least-thirty-two-bytes"
ALL = tuple(ALGORITHMS)


class Told:
    """What an observer of keys is told."""

    def __init__(self):
        self.failed, self.recovered, self.sentences = [], [], []

    def key_source_failed(self, source, detail, usable):
        self.failed.append((source, detail, usable))

    def key_source_recovered(self, source, outage_seconds):
        self.recovered.append((source, outage_seconds))

    def warn(self, sentence):
        self.sentences.append(sentence)


EXP = int(time.time()) + 3600


def verifier(**options):
    return TokenVerifier(Settings.load({}, **options))


def verified(subject, token):
    return subject.verify([f"Bearer {token}"])


def refused(subject, token):
    found = verified(subject, token)
    return found.reason if isinstance(found, TokenFailure) else None


# --- public keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALL)
def test_every_algorithm(algorithm):
    if algorithm.startswith("HS"):
        key, options = SECRET, {"jwt_secret": SECRET, "jwt_algorithms": algorithm}
    else:
        key = keys.private(ALGORITHMS[algorithm])
        options = {"jwt_public_key": keys.public(key)}
    subject = verifier(**options)
    token = make_token(key, sub="u", algorithm=algorithm)
    assert verified(subject, token).key == "current"
    head, payload, signature = token.split(".")
    other = "A" if signature[5] != "A" else "B"
    assert refused(subject, f"{head}.{payload}.{signature[:5]}{other}{signature[6:]}") == "invalid_signature"
    assert refused(subject, f"{head}.{payload}.{signature[:-4]}") in ("invalid_signature", "invalid_token")
    assert refused(subject, f"{head}.{payload}.") == "invalid_token"


def test_a_rotation_of_public_keys():
    pairs = {name: keys.private("P-256", number) for number, name in enumerate(("current", "new", "old"))}
    options = {
        "jwt_public_key" if name == "current" else f"jwt_public_key_{name}": keys.public(key)
        for name, key in pairs.items()
    }
    subject = verifier(**options)
    for name, key in pairs.items():
        assert verified(subject, make_token(key, sub="u")).key == name
    assert refused(subject, make_token(keys.private("P-256", 9), sub="u")) == "invalid_signature"
    assert sorted(subject.fingerprints()) == sorted(options)


@pytest.mark.parametrize("family", keys.FAMILIES)
def test_no_key_is_used_for_another_family(family):
    """The oldest trick: a token signed by HMAC with the text of the public key."""
    private = keys.private(family)
    options = {"jwt_secret": SECRET, "jwt_public_key": keys.public(private)}
    for pem in (keys.public(private), keys.public(private).strip()):
        token = make_token(SECRET, sub="admin")
        assert refused(verifier(**options), sign({"sub": "admin", "exp": EXP}, secret=pem)) == "invalid_signature"
        alone = verifier(jwt_public_key=keys.public(private))
        assert refused(alone, sign({"sub": "admin", "exp": EXP}, secret=pem)) == "invalid_token"
        assert refused(alone, token) == "invalid_token"


def test_algorithms_can_be_narrowed():
    private = keys.private("RSA")
    subject = verifier(jwt_public_key=keys.public(private), jwt_algorithms="PS256")
    assert isinstance(verified(subject, make_token(private, sub="u", algorithm="PS256")), Identity)
    assert refused(subject, make_token(private, sub="u")) == "invalid_token"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jwt_public_key": keys.public(keys.private("RSA", bits=1024))}, ["JWT_PUBLIC_KEY", "1024 bits"]),
        (
            {"jwt_public_key_old": keys.public(keys.private("RSA"))[:120] + "-----END PUBLIC KEY-----"},
            ["JWT_PUBLIC_KEY_OLD"],
        ),
        ({"jwt_secret": keys.public(keys.private("RSA"))}, ["FRAISEQL_JWT_SECRET=", "FRAISEQL_GUARD_JWT_PUBLIC_KEY"]),
        ({"jwt_public_key": keys.public(keys.private("RSA")), "jwt_algorithms": "ES256"}, ["JWT_ALGORITHMS", "=RS256"]),
        ({"jwt_secret": SECRET, "jwt_algorithms": "EdDSA"}, ["JWT_ALGORITHMS", "=HS256"]),
        ({"jwks_file": "/nowhere"}, ["JWKS_FILE", "/nowhere", "No such file"]),
    ],
)
def test_a_key_that_cannot_be_used_stops_the_start(options, said):
    with pytest.raises(SettingsError) as caught:
        verifier(**options)
    text = str(caught.value)
    assert all(each in text for each in [*said, "Accepted: ", "for example"])
    assert "MI" not in text  # nothing of the key itself
    assert SECRET not in text


def test_a_public_key_in_a_file_is_exchanged_and_a_bad_one_is_not_taken(tmp_path):
    clock, told, file = ManualClock(), Told(), tmp_path / "public.pem"
    file.write_text(keys.public(keys.private("RSA")))
    source = ConfiguredKey("current", Secret(path=file, clock=clock), pem_key, ALL)
    source.observer = told
    first = source.keys()
    file.write_text(keys.public(keys.private("RSA", bits=1024)))
    clock.advance(6)
    assert source.keys() is source.keys() is first
    assert [each[0] for each in told.failed] == ["setting"]
    file.write_text(keys.public(keys.private("P-256")))
    clock.advance(6)
    assert source.keys()[0].algorithms == {"ES256"}


# --- sets in files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "jwks.json"


def test_the_kid_chooses_the_key(file):
    one, two, unnamed = (keys.private("RSA", number) for number in range(3))
    file.write_text(keys.jwk_set(keys.jwk(one, kid="one"), keys.jwk(two, kid="two"), keys.jwk(unnamed)))
    subject = verifier(jwks_file=file)
    assert verified(subject, make_token(one, sub="u", kid="one")).key == "jwks"
    assert refused(subject, make_token(one, sub="u", kid="two")) == "invalid_signature"
    assert refused(subject, make_token(one, sub="u", kid="three")) == "invalid_signature"
    assert isinstance(verified(subject, make_token(unnamed, sub="u", kid="three")), Identity)
    assert isinstance(verified(subject, make_token(two, sub="u")), Identity)
    assert sorted(subject.fingerprints()) == ["jwks_file 3", "jwks_file one", "jwks_file two"]


def test_without_a_kid_three_keys_are_tried(file):
    pairs = [keys.private("Ed25519", number) for number in range(4)]
    file.write_text(keys.jwk_set(*(keys.jwk(pair, kid=str(number)) for number, pair in enumerate(pairs))))
    subject = verifier(jwks_file=file)
    assert [refused(subject, make_token(pair, sub="u")) for pair in pairs] == [None, None, None, "invalid_signature"]
    assert refused(subject, make_token(pairs[3], sub="u", kid="3")) is None


@pytest.mark.parametrize(
    "member", [{"use": "enc"}, {"alg": "HS256"}, {"d": "AQAB"}, {"kty": "oct", "k": "A" * 43}, {"n": "AQAB"}], ids=str
)
def test_a_set_in_a_file_must_be_usable_as_a_whole(file, member):
    file.write_text(keys.jwk_set(keys.jwk(keys.private("RSA"), kid="a"), keys.jwk(keys.private("RSA", 1)) | member))
    with pytest.raises(SettingsError, match="key 2"):
        verifier(jwks_file=file)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"keys": []}', b"\xff" * 100, b" " * 70_000, None], ids=lambda c: repr(c)[:20]
)
def test_a_file_that_turns_bad_leaves_the_last_good_keys_in_force(file, content):
    clock, told, private = ManualClock(), Told(), keys.private("RSA")
    good = keys.jwk_set(keys.jwk(private, kid="a"))
    file.write_text(good)
    source = JwksFile(file, ALL, clock=clock)
    source.observer = told
    first = source.keys()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    clock.advance(4)
    assert (source.keys(), told.failed) == (first, [])  # it is not yet time to look
    for _ in range(2):
        clock.advance(6)
        assert source.keys() is first
    assert [(name, usable) for name, _, usable in told.failed] == [("file", True)] * 2
    assert str(file) in told.failed[0][1]
    file.write_text(good + "\n")
    clock.advance(6)
    assert source.keys() is first  # the same keys: nothing that was verified is forgotten
    assert told.recovered == [("file", 12)]
    file.write_text(keys.jwk_set(keys.jwk(keys.private("RSA", 1), kid="a")))
    clock.advance(6)
    assert source.keys() is not first


def test_changed_keys_make_verified_tokens_be_verified_again(file):
    private = keys.private("RSA")
    file.write_text(keys.jwk_set(keys.jwk(private, kid="a")))
    clock = ManualClock()
    subject = TokenVerifier(Settings.load({}, jwks_file=file), keys_clock=clock)
    token = make_token(private, sub="u", kid="a")
    assert (verified(subject, token).fresh, verified(subject, token).fresh) == (True, False)
    assert subject.knows([f"Bearer {token}"])
    subject.forget()
    assert not subject.knows([f"Bearer {token}"])
    assert verified(subject, token).fresh
    file.write_text(keys.jwk_set(keys.jwk(keys.private("RSA", 1), kid="a")))
    clock.advance(6)
    assert refused(subject, token) == "invalid_signature"


# --- bad input -------------------------------------------------------------------------------------------------------

SUBJECTS = {
    family: (
        verifier(jwt_public_key=keys.public(keys.private(family))),
        make_token(keys.private(family), sub="u", exp=EXP),
    )
    for family in keys.FAMILIES
}
MUTATIONS = st.lists(
    st.tuples(st.floats(0, 0.999), st.sampled_from(["change", "insert", "delete", "swap"]), st.characters()),
    min_size=1,
    max_size=3,
)


def test_the_token_that_is_mutated_is_genuine():
    assert all(isinstance(verified(subject, genuine), Identity) for subject, genuine in SUBJECTS.values())


@settings(deadline=None)
@given(st.sampled_from(keys.FAMILIES), MUTATIONS)
def test_no_mutated_token_verifies(family, mutations):
    subject, genuine = SUBJECTS[family]
    token = genuine
    for share, kind, character in mutations:
        at = int(share * len(token))
        if kind == "swap":
            token = token[:at] + token[at + 1 : at + 2] + token[at : at + 1] + token[at + 2 :]
        else:
            token = token[:at] + (character if kind != "delete" else "") + token[at + (kind != "insert") :]
    if token.strip(" \t") != genuine:
        assert isinstance(verified(subject, token), TokenFailure)


@settings(deadline=None)
@given(
    st.sampled_from(keys.FAMILIES), st.sampled_from(ALL), st.binary(max_size=600), st.dictionaries(st.text(), st.text())
)
def test_no_signature_of_any_bytes_and_length_verifies(family, algorithm, signature, more):
    header = {"alg": algorithm} | {name: value for name, value in more.items() if name != "alg"}
    token = ".".join(map(encode, (as_bytes(header), as_bytes({"sub": "u", "exp": EXP}), signature)))
    assert isinstance(verified(SUBJECTS[family][0], token), TokenFailure)
