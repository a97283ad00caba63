"""Hostile requests: always an answer, never an exception, and no more work than the limits allow."""

from __future__ import annotations

import json
import random

import pytest

from fraiseql_guard.graphql import RequestAnalysis
from tests.graphql.mutations import mutated_request
from tests.graphql.requests import BLOG, WIDE, ask, body, reader, refusal


def bomb(levels: int) -> str:
    fragments = (f"fragment F{i} on T{{a{{...F{i + 1}}} b{{...F{i + 1}}}}}" for i in range(levels))
    return "{...F0}" + "".join(fragments) + f"fragment F{levels} on T{{x}}"


def entangled(levels: int, keys: int) -> str:
    """Selections that merge in a new combination on every path."""
    parts = []
    for level in range(levels):
        for key in range(keys):
            inside = " ".join(f"k{i}{{...F{level + 1}x{i ^ (key & 1)} ...F{level + 1}x{key}}}" for i in range(keys))
            parts.append(f"fragment F{level}x{key} on T{{{inside} u{level}{key}}}")
    parts += [f"fragment F{levels}x{key} on T{{z{key}}}" for key in range(keys)]
    return "{...F0x0 ...F0x1}" + "".join(parts)


CORPUS = [
    "{" + " ".join(f"a{i}:users(limit:100){{id}}" for i in range(200)) + "}",
    "{" + "users(limit:100){id} " * 200 + "}",
    "{a" + "@skip(if:false)" * 40 + "}",
    bomb(30),
    entangled(7, 5),
    "{...F} fragment F on T{...G} fragment G on T{...F}",
    "{a(x:" + "9" * 5000 + ")}",
    "{a(x:" + "[" * 400 + "]" * 400 + ")}",
    "{users(limit:$n){id}}",
    "query($n:Int=5){users(limit:$n){posts(first:$n){id}}}",
    "{__schema{types{fields{type{fields{type{fields{name}}}}}}}}",
    "mutation{a b c}",
    "query A($s:Boolean=true){me @include(if:$s){id}} query B{me{id}}",
    "{hero{...on User{posts(limit:5){id}} ...on Tag{name} ...on Nothing{x}}}",
    '{a(x:"""b\\""""" y:"\\ud800\\u{1F600}")}',
    "\ufeff#c\r{a,,,b}",
]


@pytest.mark.parametrize("levels", [13, 18])
def test_a_fragment_bomb_is_measured_and_refused(levels):
    reading = ask(bomb(levels), max_fragments=100)
    assert reading.denial.offence == "dos"
    assert reading.measured.depth == levels + 1
    assert reading.measured.complexity == min(2 ** (levels + 1) - 2, 2**53)


@pytest.mark.parametrize("levels", [19, 45])
def test_a_bomb_of_twice_the_depth_is_refused_before_it_is_priced(levels):
    denial = ask(bomb(levels), max_fragments=100).denial
    assert (denial.code.name, denial.limit, denial.actual, denial.offence) == ("QUERY_TOO_DEEP", 10, levels + 1, "dos")
    assert denial.path.startswith("a.a.a.")


def test_a_root_bomb_is_counted_without_being_expanded():
    fragments = "".join(f"fragment F{i} on Query{{...F{i + 1} ...F{i + 1}}}" for i in range(40))
    reading = ask("{...F0}" + fragments + "fragment F40 on Query{x}")
    assert reading.measured.complexity == 2**40
    assert (reading.measured.root_fields, reading.measured.root_field_count) == ({"x"}, 2**40)


def test_sums_stop_where_json_numbers_stop():
    query = "{a(limit:1000){" * 1 + "b(limit:1000){" * 20 + "id" + "}" * 21 + "}"
    assert ask(query, **WIDE).measured.complexity == 2**53


def test_selections_that_merge_in_countless_ways_are_given_up():
    reading = ask(entangled(12, 6), **{**WIDE, "max_query_complexity": 1000})
    assert refusal(reading) == "QUERY_TOO_COMPLEX"
    assert reading.denial.offence == "dos"


def test_a_large_variable_in_many_places_is_searched_once():
    text = "query($v:J){" + " ".join(f"a{i}(x:$v,y:$v){{id}}" for i in range(180)) + "}"
    reading = ask(text, {"v": [{"limit": 3}] * 4000}, **WIDE)
    assert reading.measured.complexity == 180 * (3 + 2 * 4000 // 50)


@pytest.mark.parametrize("schema", [None, BLOG])
def test_ten_thousand_mutated_requests_are_all_answered(schema):
    rng = random.Random(20)
    to = reader(schema, batching=True)
    payloads = [body(text, {"n": 5, "s": True}) for text in CORPUS]
    payloads += [b"[" + payloads[0] + b"," + payloads[9] + b"]", json.dumps({"query": "{a}", "x": [[[]]]}).encode()]
    refused = 0
    for _ in range(5000):
        method, query, payload = mutated_request(rng, CORPUS, payloads)
        reading = to.read(method, "application/json", query, payload, authenticated=True)
        assert isinstance(reading, RequestAnalysis)
        assert reading.measured or reading.denial
        refused += reading.denial is not None
    assert 0 < refused < 5000
