import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fraiseql_guard.core.key_forms import ALGORITHMS
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.identity.jws import read_jws
from fraiseql_guard.identity.keys import KeyRing, matching_key
from fraiseql_guard.testing import ManualClock
from tests.identity.by_hand import CLAIMS, NEW, OLD, SECRET, sign

HMACS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def ring(**options):
    return KeyRing(Settings.load({}, **options))


def matched(keys, token):
    key = matching_key(read_jws(token, ALGORITHMS), keys.keys())
    return key and key.name


def public_key():
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_each_of_three_keys_verifies_and_is_named():
    keys = ring(jwt_secret=SECRET, jwt_secret_old=OLD, jwt_secret_new=NEW)
    for name, secret in [("current", SECRET), ("old", OLD), ("new", NEW), (None, "x" * 40)]:
        assert matched(keys, sign(CLAIMS, secret=secret)) == name


@pytest.mark.parametrize("option", ["jwt_secret", "jwt_secret_old", "jwt_secret_new"])
def test_one_key_is_enough(option):
    assert matched(ring(**{option: SECRET}), sign(CLAIMS)) == option.removeprefix("jwt_secret_").replace(
        "jwt_secret", "current"
    )


def test_no_key_stops_the_start():
    with pytest.raises(SettingsError, match="FRAISEQL_JWT_SECRET"):
        ring()


@pytest.mark.parametrize("algorithm", HMACS)
def test_every_hmac_algorithm(algorithm):
    keys = ring(jwt_secret=SECRET, jwt_algorithms=algorithm)
    assert matched(keys, sign(CLAIMS, header={"alg": algorithm}, digest=HMACS[algorithm])) == "current"
    wrong = HMACS["HS512" if algorithm == "HS256" else "HS256"]
    assert matched(keys, sign(CLAIMS, header={"alg": algorithm}, digest=wrong)) is None


@pytest.mark.parametrize("text", [public_key(), "ssh-rsa " + "A" * 64, "\udcff" * 40])
def test_what_cannot_be_a_secret_stops_the_start_without_showing_it(text):
    with pytest.raises(SettingsError, match="FRAISEQL_JWT_SECRET_OLD") as caught:
        ring(jwt_secret_old=text)
    assert text[:20] not in str(caught.value)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def test_a_file_that_is_exchanged_changes_the_key_within_five_seconds(file, clock):
    keys = ring(jwt_secret=Secret(path=file, clock=clock))
    before = keys.keys()
    file.write_text(NEW)
    clock.advance(4.9)
    assert keys.keys() is before
    clock.advance(0.2)
    assert keys.keys() is not before
    assert matched(keys, sign(CLAIMS, secret=NEW)) == "current"
    assert matched(keys, sign(CLAIMS)) is None


@pytest.mark.parametrize(
    "content",
    ["short", "", " \n", public_key(), b"\xff" * 40, None],
    ids=["short", "empty", "blank", "public key", "no text", "gone"],
)
def test_the_last_good_key_stays_in_force(file, clock, content):
    keys = ring(jwt_secret=Secret(path=file, clock=clock), jwt_secret_old=OLD)
    before = keys.keys()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for _ in range(3):
        clock.advance(6)
        assert keys.keys() is before
        assert matched(keys, sign(CLAIMS)) == "current"
        assert matched(keys, sign(CLAIMS, secret=OLD)) == "old"
    file.write_text(NEW)
    clock.advance(6)
    assert matched(keys, sign(CLAIMS, secret=NEW)) == "current"


def test_a_file_that_is_only_touched_changes_nothing(file, clock):
    keys = ring(jwt_secret=Secret(path=file, clock=clock))
    before = keys.keys()
    file.write_text(SECRET + "\n\n")
    clock.advance(6)
    assert keys.keys() is before
