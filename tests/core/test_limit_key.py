"""What limits count by: the form of the setting, and the names of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.limit_key import (
    KeyPart,
    RateLimitKey,
    digest,
    joined,
    key_of_function,
    plain,
    rate_limit_key,
    read_key,
)
from fraiseql_guard.core.settings import Settings, SettingsError

HEADERS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
CLAIMS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="+#"), min_size=1, max_size=20)
PARTS = (
    st.sampled_from([KeyPart("user"), KeyPart("address"), KeyPart("tenant")])
    | st.builds(KeyPart, st.just("header"), HEADERS)
    | st.builds(KeyPart, st.just("claim"), CLAIMS)
)
KEYS = st.lists(PARTS, min_size=1, max_size=5, unique=True).map(lambda parts: RateLimitKey(tuple(parts)))
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(KEYS)
def test_a_key_is_read_as_it_is_written(key: RateLimitKey) -> None:
    assert rate_limit_key(str(key)) == key
    assert rate_limit_key(f" {str(key).replace('+', ' + ')} ") == key
    assert rate_limit_key(key) is key


@given(st.text(max_size=40) | st.text("useradrtnhcilm:+ #", max_size=20))
def test_whatever_is_set_is_a_key_or_one_sentence(text: str) -> None:
    try:
        key = rate_limit_key(text)
    except ValueError as error:
        complaint = str(error)
    else:
        complaint = "is one"
        assert rate_limit_key(str(key)) == key
    assert complaint.startswith(("is ", "names "))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ip", "FRAISEQL_GUARD_RATE_LIMIT_KEY='ip' is not user, address, tenant, header:NAME, claim:NAME"),
        ("user+user", "names a part twice"),
        ("header:", "is not the name of a header|is empty"),
        ("header:X Y", "is not the name of a header"),
        ("claim:", "is not user"),
        ("tenant:acme", "is not user"),
        ("user++tenant", "is not user"),
    ],
)
def test_a_start_with_something_else_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Settings.load({"FRAISEQL_GUARD_RATE_LIMIT_KEY": text})


@pytest.mark.parametrize(
    ("text", "chosen_at_will"),
    [
        *(("user", False), ("address", False), ("tenant", False), ("claim:org+user", False)),
        *(("header:x", True), ("tenant+header:x", True), ("tenant+address", True)),
    ],
)
def test_which_keys_their_callers_may_choose(text: str, *, chosen_at_will: bool) -> None:
    assert rate_limit_key(text).chosen_at_will is chosen_at_will


@given(st.lists(st.tuples(PARTS, VALUES), min_size=1, max_size=4), st.lists(st.tuples(PARTS, VALUES), max_size=4))
def test_keys_are_one_only_where_all_their_values_are(one: list[tuple[KeyPart, str]], other: list[tuple[KeyPart, str]]):
    names = [joined(part.of(value) for part, value in key) for key in (one, other)]
    assert (names[0] == names[1]) is (one == other)
    assert names[0].isprintable()
    assert names[0].isascii() or any(not part.name.isascii() for part, _ in one)


@given(st.lists(st.tuples(PARTS, VALUES), min_size=1, max_size=4))
def test_an_operator_names_a_key_as_lists_and_lines_do(values: list[tuple[KeyPart, str]]) -> None:
    name = joined(part.of(value) for part, value in values)
    assert read_key(name) == name


@given(VALUES)
def test_values_are_read_back(value: str) -> None:
    assert plain(KeyPart("tenant").of(value).partition(":")[2]) == value


@given(VALUES)
def test_what_may_be_a_secret_stands_in_a_key_as_its_digest(value: str) -> None:
    for name in (KeyPart("header", "x-api-key").of(value), key_of_function(value)):
        assert name.endswith(f"#{digest(value)}")
        assert len(digest(value)) == 24


def test_an_operator_may_give_the_value_itself() -> None:
    assert read_key("header:X-API-Key:abc%2B%25") == f"header:x-api-key#{digest('abc+%')}"
    assert read_key("function:session 7") == f"function#{digest('session 7')}"
    assert read_key("claim:https://id.example.org/org:7") == "claim:https://id.example.org/org:7"


@pytest.mark.parametrize(
    "text", ["", "acme", "tenant:", "claim:org", "header:x", "header:x#12", "function", "a:b", "\n"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no key of a limit|is not the name of a header"):
        read_key(text)
