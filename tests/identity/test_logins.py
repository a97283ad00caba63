"""Identifiers that people take for one name are one, at one address."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.core.callers import Subject
from fraiseql_guard.identity.logins import canonical_identifier, login_subject, read_login
from fraiseql_guard.stores.redis.namespace import Namespace

ADDRESS, ELSEWHERE = Subject("address", "192.0.2.7"), Subject("address", "2001:db8::/64", "2001:db8::/48")
ANY = st.text(max_size=300) | st.text(alphabet=st.characters(), max_size=20)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.org", "alice@example.org"),
        ("  alice\t", "alice"),
        ("\uff41lice", "alice"),  # fullwidth
        ("e\u0301milie", "\u00e9milie"),  # composed and decomposed
        ("STRASSE", "stra\u00dfe"),
        ("\u0130", "i\u0307"),
        ("x" * 255, "x" * 300),
        ("\ud800", "?"),  # half a character is none
    ],
)
def test_spellings_of_one_name(one, other):
    assert login_subject(one, ADDRESS) == login_subject(other, ADDRESS)


@pytest.mark.parametrize(("one", "other"), [("alice", "alicia"), ("a", "a\x00"), ("", "0"), ("alice", "al ice")])
def test_different_names(one, other):
    assert login_subject(one, ADDRESS) != login_subject(other, ADDRESS)


@given(ANY)
def test_an_identifier_is_bounded_and_canonical_once_for_all(identifier):
    canonical = canonical_identifier(identifier)
    assert len(canonical) <= 255
    assert canonical_identifier(canonical) == canonical


@given(ANY, st.sampled_from([ADDRESS, ELSEWHERE]))
def test_a_subject_tells_who_and_where_and_fits_into_any_store(identifier, address):
    subject = login_subject(identifier, address)
    assert read_login(subject) == (canonical_identifier(identifier), address.name)
    assert subject.name.isascii()
    assert Namespace().of(subject).isascii()
    json.dumps(subject.name).encode()


@given(ANY, ANY)
def test_no_choice_of_names_makes_two_pairs_one(one, other):
    assert login_subject(one, ADDRESS) != login_subject(other, ELSEWHERE)
    assert login_subject(one, ADDRESS).tag != Subject("user", login_subject(one, ADDRESS).name).tag


def test_other_subjects_are_no_logins():
    assert read_login(Subject("user", '["a","b"]')) is None
