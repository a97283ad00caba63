import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity import tokens as module
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock
from tests.identity.by_hand import CLAIMS, NEW, NOW, OLD, SECRET, changed, sign
from tests.identity.test_jws import HEADERS, SHAPES

INVALID, EXPIRED = FailureReason.INVALID_TOKEN, FailureReason.TOKEN_EXPIRED
FORGED, MISSING = FailureReason.INVALID_SIGNATURE, FailureReason.MISSING_TOKEN


def verifier(clock=None, **options):
    options.setdefault("jwt_secret", SECRET)
    return TokenVerifier(Settings.load({}, **options), clock=clock or ManualClock(NOW))


def reason(answer):
    return answer.reason if isinstance(answer, TokenFailure) else None


# --- the header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [[], [""], ["  "], ["", ""], ["Bearer"], ["Bearer "], ["bearer   "]])
def test_a_missing_token(lines):
    assert verifier().verify(lines) == TokenFailure(MISSING)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", "  Bearer "])
def test_the_scheme_in_any_case(scheme):
    assert verifier().verify([scheme + sign(CLAIMS) + " "]).user_id == "u1"


@pytest.mark.parametrize(
    "lines",
    [
        ["Basic dXNlcjpwYXNz"],
        [sign(CLAIMS)],
        ["Token " + sign(CLAIMS)],
        ["Bearer\t" + sign(CLAIMS)],
        ["Bearer:" + sign(CLAIMS)],
        ["Bearer, " + sign(CLAIMS)],
        ["Bearer " + sign(CLAIMS), "Bearer " + sign(CLAIMS)],
        ["Bearer " + sign(CLAIMS), ""],
        ["Bearer " + sign(CLAIMS) + ", Bearer " + sign(CLAIMS)],
        ["Bearer " + sign(CLAIMS) + " x"],
    ],
)
def test_other_headers_are_invalid(lines):
    assert reason(verifier().verify(lines)) is INVALID


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", [token for token in SHAPES.values() if token], ids=[name for name in SHAPES if SHAPES[name]]
)
def test_other_shapes_are_invalid(token):
    assert reason(verifier().verify([f"Bearer {token}"])) in (INVALID, FORGED)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_bad_headers_are_invalid(header):
    token = sign(CLAIMS, header=b"null" if header is None else header)
    assert reason(verifier().verify([f"Bearer {token}"])) is INVALID


def test_a_wrong_signature_is_told_apart():
    forged = sign(CLAIMS, secret="x" * 40)
    assert verifier().verify([f"Bearer {forged}"]) == TokenFailure(FORGED, forged[:8])
    expired = sign(changed(exp=1), secret="x" * 40)
    assert verifier().verify([f"Bearer {expired}"]) == TokenFailure(FORGED, expired[:8])


@pytest.mark.parametrize(
    ("token", "prefix"), [("hunter2-password", None), ("a.b", None), ("a.b.c.d", None), ("x" * 20 + ".y.z", "x" * 8)]
)
def test_a_prefix_only_of_something_with_three_parts(token, prefix):
    assert verifier().verify([f"Bearer {token}"]) == TokenFailure(INVALID, prefix)


def test_whatever_a_library_raises_is_an_invalid_token(monkeypatch):
    for error in (TypeError, UnicodeEncodeError("utf-8", "x", 0, 1, "x"), RecursionError, AssertionError):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(module, "read_jws", fail)
        assert reason(verifier().verify([f"Bearer {sign(CLAIMS)}"])) is INVALID


TOKEN = sign(changed(iss="me", scope="a b"))
MUTATION = st.tuples(
    st.integers(0, len(TOKEN) - 1), st.sampled_from(["change", "insert", "delete", "swap"]), st.characters()
)


@settings(deadline=None)
@given(st.lists(MUTATION, min_size=1, max_size=3))
def test_no_mutated_token_verifies(mutations):
    token = TOKEN
    for position, kind, character in mutations:
        here = position % max(len(token), 1)
        head, tail = token[:here], token[here:]
        token = {
            "change": head + character + tail[1:],
            "insert": head + character + tail,
            "delete": head + tail[1:],
            "swap": head + tail[1:2] + tail[:1] + tail[2:],
        }[kind]
    answer = verifier().verify([f"Bearer {token}"])
    assert isinstance(answer, TokenFailure) or token.strip(" \t") == TOKEN


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.text().map(lambda text: f"Bearer {text}")), max_size=3))
def test_nothing_raises_and_nothing_random_verifies(lines):
    assert isinstance(verifier().verify(lines), TokenFailure)


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_genuine_signature_over_anything_never_raises(header, payload):
    assert isinstance(verifier().verify([f"Bearer {sign(payload, header=header)}"]), TokenFailure)
    assert isinstance(verifier().verify([f"Bearer {sign(payload)}"]), TokenFailure)


# --- rotation and memory ---------------------------------------------------------------------------------------------


class Counting:
    """Counts how often a function is called."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


@pytest.fixture
def reads(monkeypatch):
    counting = Counting(module.read_jws)
    monkeypatch.setattr(module, "read_jws", counting)
    return counting


def test_three_keys_verify_during_a_rotation():
    subject = verifier(jwt_secret_old=OLD, jwt_secret_new=NEW)
    for key, secret in [("current", SECRET), ("old", OLD), ("new", NEW)] * 2:
        assert subject.verify([f"Bearer {sign(CLAIMS, secret=secret)}"]).key == key


def test_a_verified_token_is_remembered_for_sixty_seconds(reads):
    clock = ManualClock(NOW)
    subject, lines = verifier(clock), [f"Bearer {sign(CLAIMS)}"]
    first = subject.verify(lines)
    clock.advance(59.9)
    remembered = subject.verify(lines)
    assert remembered == first
    assert (first.fresh, remembered.fresh) == (True, False)
    assert reads.calls == 1
    clock.advance(0.1)
    assert subject.verify(lines) == first
    assert reads.calls == 2


def test_a_failure_is_not_remembered(reads):
    subject = verifier()
    for _ in range(3):
        subject.verify([f"Bearer {sign(CLAIMS, secret='x' * 40)}"])
    assert reads.calls == 3
    assert subject.remembered == subject.size_bytes == 0


def test_memory_ends_with_the_token():
    clock = ManualClock(NOW)
    subject, lines = verifier(clock), [f"Bearer {sign(changed(exp=NOW + 10))}"]
    assert isinstance(subject.verify(lines), Identity)
    clock.advance(10)
    assert reason(subject.verify(lines)) is EXPIRED


def test_memory_does_not_outlive_a_clock_that_is_set_back(reads):
    clock = ManualClock(NOW)
    subject, lines = verifier(clock), [f"Bearer {sign(changed(nbf=NOW - 5))}"]
    assert isinstance(subject.verify(lines), Identity)
    clock.advance(-10)
    assert reason(subject.verify(lines)) is INVALID


def test_a_change_of_keys_empties_the_memory(tmp_path):
    path, clock = tmp_path / "secret", ManualClock()
    path.write_text(SECRET)
    subject = verifier(jwt_secret=Secret(path=path, clock=clock))
    lines = [f"Bearer {sign(CLAIMS)}"]
    assert isinstance(subject.verify(lines), Identity)
    path.write_text("short")
    clock.advance(6)
    assert isinstance(subject.verify(lines), Identity)
    path.write_text(NEW)
    clock.advance(6)
    assert reason(subject.verify(lines)) is FORGED
    assert subject.verify([f"Bearer {sign(CLAIMS, secret=NEW)}"]).key == "current"


def test_the_memory_is_bounded_and_shrinks():
    clock = ManualClock(NOW)
    subject = TokenVerifier(Settings.load({}, jwt_secret=SECRET), clock=clock, most_remembered=20)
    for number in range(50):
        subject.verify([f"Bearer {sign(changed(sub=f'u{number}'))}"])
    assert subject.remembered == 20
    clock.advance(61)
    for number in range(15):
        subject.verify([f"Bearer {sign(changed(sub=f'v{number}'))}"])
    assert subject.remembered == 15


def test_a_token_that_is_verified_again_does_not_keep_older_ones_alive():
    clock = ManualClock(NOW)
    subject = verifier(clock)

    def verify(*subs):
        return [subject.verify([f"Bearer {sign(changed(sub=sub))}"]).fresh for sub in subs]

    verify("a", "b", "c", "d", "e")
    clock.advance(1)
    verify("f")
    clock.advance(59)
    verify("e")
    clock.advance(1)
    verify("g", "h")
    assert subject.remembered == 3
    assert verify("e", "g", "h") == [False] * 3
