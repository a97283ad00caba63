"""API keys: what a file may hold, what is known of a key, and how a file is read again."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard import ApiKey, SettingsError
from fraiseql_guard.core.callers import Identity
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import FailureReason
from fraiseql_guard.identity.api_key_verifier import ApiKeyVerifier
from fraiseql_guard.identity.api_keys import API_KEY_ISSUER, digest_of, may_be_key
from fraiseql_guard.identity.api_keys_file import MAX_FILE_BYTES, ApiKeysFile, read_entries
from fraiseql_guard.identity.tokens import TokenFailure, TokenVerifier
from fraiseql_guard.testing import ManualClock, make_token
from tests.conftest import SECRET
from tests.support.properties import examples

KEY, OTHER = "fgk_one", "fgk_two"
SETTINGS = Settings.load({})


def entry(key: str = KEY, **fields: Any) -> dict[str, Any]:
    return {"sha256": sha256(key.encode()).hexdigest(), "name": "partner", **fields}


# --- one key ---------------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_key_becomes_a_user() -> None:
    key = ApiKey(name="partner", tier="pro", scopes=["read", "write"], tenant="acme", expires_at=2e9)
    identity = key.identity(SETTINGS)
    assert (identity.user_id, identity.tier, identity.key) == ("partner", "pro", "api_key")
    assert identity.scopes == ("read", "write")
    assert identity.expires_at == 2e9
    assert identity.claims == {"sub": "partner", "tenant": "acme", "tier": "pro", "scope": "read write", "exp": 2e9}
    assert ApiKey(name="partner").identity(SETTINGS).expires_at is None
    named = Settings.load({}, tenant_claim="org", tier_claim="plan")
    assert {"org", "plan"} <= set(key.identity(named).claims)


def test_moments_and_scopes_have_one_form_however_they_are_written() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    for written in (moment, moment.replace(tzinfo=None), moment.timestamp(), "2030-01-01T00:00:00Z"):
        assert ApiKey(name="a", expires_at=written).ends_at == moment.timestamp()
    assert ApiKey(name="a", scopes="read write") == ApiKey(name="a", scopes=("read", "write"))
    assert ApiKey(name="a").ends_at == math.inf


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""}, {"name": "a\nb"}, {"name": "x" * 256}, {"name": 7}, {"tier": 7}, {"scopes": [7]}, {"scopes": 7},
        {"tenant": 1.5}, {"tenant": True}, {"expires_at": "soon"}, {"expires_at": True}, {"expires_at": math.nan},
        {"disabled": "yes"},
    ],
)  # fmt: skip
def test_what_is_no_key_is_said_by_the_field(fields) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ApiKey(**{"name": "a", **fields})


def test_no_token_is_the_user_of_a_key() -> None:
    claimed = make_token(SECRET, sub="partner", iss=API_KEY_ISSUER)
    found = TokenVerifier(Settings.load({}, jwt_secret=SECRET)).verify([f"Bearer {claimed}"])
    assert isinstance(found, TokenFailure)
    assert found.reason is FailureReason.INVALID_TOKEN
    other = TokenVerifier(Settings.load({}, jwt_secret=SECRET)).verify([f"Bearer {make_token(SECRET, sub='partner')}"])
    assert isinstance(other, Identity)
    assert other.subject != ApiKey(name="partner").identity(SETTINGS).subject


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a: [", "it is not YAML in line "),
        ("[" * 500_000, "it is not YAML"),
        ("- " * 500_000, "it is not YAML"),
        ("a: 1", "it is not a list"),
        ("- fgk_secret", "entry 1: it has no sha256"),
        (json.dumps([entry(), entry()]), "entry 2: it has the sha256 of an earlier one"),
        (json.dumps([entry() | {"sha256": "fgk_secret"}]), "entry 1: sha256 is not 64 hexadecimal digits"),
        (json.dumps([entry() | {"sha256": 7}]), "entry 1: sha256 is not 64"),
        (json.dumps([entry() | {"key": "fgk_secret"}]), "entry 1: it has a key 'key'"),
        (json.dumps([entry() | {"fgk_Secret-1": 1}]), "entry 1: it has a key that is none of ours"),
        (json.dumps([entry(), entry(OTHER, name=None)]), "entry 2: it has no name"),
        (json.dumps([entry(expires_at="soon")]), "entry 1: expires_at"),
        (json.dumps([entry(disabled="no")]), "entry 1: disabled"),
        ("- {sha256: 2026-13-45T00:00:00Z}", "it is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_entry_and_never_repeats_a_value(text, complaint) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        read_entries(text)
    assert "ecret" not in str(raised.value)


def test_an_empty_file_holds_no_key() -> None:
    assert read_entries("") == read_entries("[]") == read_entries("# none yet\n") == {}


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
FIELDS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "tier": NAMES, "tenant": NAMES | st.integers(0, 9), "scopes": st.lists(NAMES, max_size=3),
        "disabled": st.booleans(), "expires_at": st.datetimes(timezones=st.just(UTC)),
    },
)  # fmt: skip


@examples(50)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), FIELDS, max_size=5), st.booleans())
def test_what_is_written_is_read(keys, flow) -> None:
    items = [{"sha256": digest_of(key).upper() if flow else digest_of(key), **fields} for key, fields in keys.items()]
    found = read_entries(yaml.safe_dump(items, default_flow_style=flow, allow_unicode=True))
    assert {digest: each.key for digest, each in found.items()} == {
        digest_of(key): ApiKey(**fields) for key, fields in keys.items()
    }
    assert all(digest == each.sha256 for digest, each in found.items())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a" * 64, "read"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["sha256", "name", "tier", "scopes", "tenant", "expires_at", "x"]), inner)
    ),
    max_leaves=20,
)


def used(text: str) -> Any:
    """The keys of a text; none if it is refused in a sentence."""
    complaint = None
    try:
        return read_entries(text)
    except ValueError as error:
        complaint = str(error)
    assert complaint.startswith(("it is", "entry "))
    return {}


@given(JSON)
def test_any_content_is_used_or_refused_in_a_sentence(content) -> None:
    assert all(each.key.name for each in used(yaml.safe_dump(content)).values())


@given(st.text(max_size=100))
def test_any_text_is_used_or_refused_in_a_sentence(text) -> None:
    used(text)


# --- a verifier on a file ---------------------------------------------------------------------------------------------


class Bench:
    """A file of keys, and what verifies by it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.problems = path, ManualClock(), []
        self.write(entry())
        file = ApiKeysFile(path, clock=self.clock, on_problem=self.problems.append)
        self.verifier = ApiKeyVerifier(SETTINGS, file=file, questions=None, clock=self.clock)

    def write(self, *entries: Any, text: str | None = None) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(entries) if text is None else text)
        fresh.replace(self.path)

    def verdict(self, key: str = KEY) -> Any:
        self.clock.advance(6)
        found = self.verifier.verify(key)
        return found.user_id if isinstance(found, Identity) else found.reason


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "keys.yml")


def test_a_key_gets_in_and_its_second_use_is_remembered(bench) -> None:
    first, second = bench.verifier.verify(KEY), bench.verifier.verify(KEY)
    assert (first.fresh, second.fresh, first == second) == (True, False, True)
    bench.clock.advance(61)
    assert bench.verifier.verify(KEY).fresh


@pytest.mark.parametrize(
    "key", [OTHER, KEY + "x", KEY[:-1], "", " ", KEY + "\n", "é", "x" * 513, sha256(KEY.encode()).hexdigest()]
)
def test_no_other_text_gets_in(bench, key) -> None:
    assert bench.verdict(key) is FailureReason.INVALID_TOKEN
    assert not bench.verifier.knows(key)


def test_the_file_is_read_again_when_it_changes(bench) -> None:
    before = bench.verifier.fingerprints()
    bench.verdict()
    assert bench.verifier.knows(KEY)
    bench.write(entry(OTHER))
    assert (bench.verdict(), bench.verdict(OTHER)) == (FailureReason.INVALID_TOKEN, "partner")
    assert not bench.verifier.knows(KEY)
    assert bench.verifier.fingerprints() != before
    bench.write(entry(disabled=True), entry(OTHER, expires_at=bench.clock()))
    assert (bench.verdict(), bench.verdict(OTHER)) == (FailureReason.USER_DISABLED, FailureReason.TOKEN_EXPIRED)


@pytest.mark.parametrize("text", ["{", "- {}", "x" * (MAX_FILE_BYTES + 1), "\udcff"])
def test_a_broken_file_leaves_the_last_good_keys_in_force_and_is_told_once(bench, text) -> None:
    bench.path.write_bytes(text.encode(errors="surrogateescape"))
    assert [bench.verdict() for _ in range(3)] == ["partner"] * 3
    (problem,) = bench.problems
    assert str(bench.path) in problem
    bench.write(entry(name="again"))
    assert bench.verdict() == "again"


def test_a_key_ends_to_the_moment(bench) -> None:
    bench.write(entry(expires_at=bench.clock() + 30))
    assert bench.verdict() == "partner"
    bench.clock.advance(23)
    assert bench.verifier.verify(KEY).user_id == "partner"
    bench.clock.advance(1)
    found = bench.verifier.verify(KEY)
    assert (found.reason, found.claims["sub"], found.token_prefix) == (FailureReason.TOKEN_EXPIRED, "partner", None)


def test_a_file_that_cannot_be_used_stops_the_start_with_one_sentence(tmp_path) -> None:
    for text, complaint in ((None, "No such file"), ("- {}", "entry 1: it has no sha256")):
        path = tmp_path / "keys.yml"
        if text is not None:
            path.write_text(text)
        with pytest.raises(SettingsError) as raised:
            ApiKeysFile(path, clock=ManualClock(), on_problem=print)
        said = str(raised.value)
        assert said.startswith(f"FRAISEQL_GUARD_API_KEYS_FILE='{path}' cannot be used: {complaint}")
        assert "fraiseql-guard api-key" in said


@given(st.text(max_size=20))
def test_keys_are_printable_ascii(text) -> None:
    assert may_be_key(text) == (text != "" and text.isascii() and text.isprintable())
