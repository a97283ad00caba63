"""What is accepted as a GraphQL request, and what is refused because two hosts could read it in two ways."""

from __future__ import annotations

import json
from hashlib import sha256
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql.http.strict_json import JsonLoader, json_stats
from fraiseql_guard.graphql.json_containers import generations, leaves
from tests.graphql.requests import body, post, reader, refusal

READER = reader(introspection="allow")
OK = body("{me{id}}")


def get(query_string: bytes, method: str = "GET", payload: bytes = b""):
    return READER.read(method, "", query_string, payload, authenticated=False)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
     "application/graphql-response+json", "application/json ; profile=x", "application/json;", "application/json ; ;",
     "application/json;;charset=utf-8;", 'application/json; profile="a;b, \\"c\\""', "\tapplication/json"],
)  # fmt: skip
def test_json_is_accepted(content_type):
    assert post(READER, OK, content_type).denial is None


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/graphql", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
     "application/json; charset=utf-16", "application/json; charset=utf-8; charset=utf-16",
     "application/json, text/html",
     "application/json; charset", "application/jsonx", "application/json; charset=utf-7", "application/json;=",
     "application/json; charset=", 'application/json; x="', 'application/json; x="a"b', "application/json x",
     'application/json; charset="utf-\\16"'],
)  # fmt: skip
def test_other_media_types_are_refused(content_type):
    assert refusal(post(READER, OK, content_type)) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "get", ""])
def test_other_methods_are_refused(method):
    assert refusal(READER.read(method, "application/json", b"", OK, authenticated=True)) == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"1", b'"x"', b"{}", b"{", b'{"query":null}', b'{"query":1}', b'{"query":["{a}"]}',
     b'{"query":"{a}","variables":[1]}', b'{"query":"{a}","variables":"{}"}', b'{"query":"{a}","operationName":1}',
     b'{"query":"{a}","variables":0}', b'{"query":"{a}","variables":false}', b'{"query":"{a}","operationName":[]}',
     b'{"query":"{a}","extensions":[{}]}', b'{"query":[]}', b'{"query":"{a}","query":"{b}"}',
     b'{"query":"{a}","qu\\u0065ry":"{b}"}', b'{"query":"{a:b}","x":1,"x":1}',
     b'{"query":"{a}","variables":{"n":1,"n":100000}}', b'{"query":"{a}","variables":{"n":NaN}}',
     b'{"query":"{a}","variables":{"n":Infinity}}',
     b'{"query":"{a}","variables":{"n":' + b"9" * 5000 + b"}}", b'{"query":"{a(x:\\"\\ud800\\")}"}',
     b'{"query":"{a}","variables":{"n":"\\udc00"}}', b'{"query":"{a\xff}"}', b'{"query":"{\xed\xa0\x80}"}',
     b"\xef\xbb\xbf" + OK, OK + b"\x00", OK + OK, OK.decode().encode("utf-16"), OK.decode().encode("utf-32"),
     b"[" * 100_000, b'{"a":' * 100_000, b"{'query':'{a}'}", b'{"query":"{a}",}', b'{"query":"{a}"/**/}'],
)  # fmt: skip
def test_bodies_that_are_no_request_are_refused(payload):
    reading = post(READER, payload)
    assert refusal(reading) == "BAD_REQUEST"
    assert reading.denial.detail
    assert reading.denial.offence is None
    assert reading.measured is None


def test_the_refusal_names_the_key():
    assert post(READER, b'{"query":"{a}","variables":[1]}').denial.detail == "variables must be an object or null."


@pytest.mark.parametrize(
    "payload",
    [b'{"query":"{a}","unknown":{"a":1},"id":null}', b'{"query":"{a:b}","variables":null,"operationName":null}',
     b'{"query":"{a}","extensions":{"x":[1]},"operationName":""}', b' {"query" : "{ a(x: \\"\\\\\\":\\") }" } ',
     b'{"query":"{a}","variables":{"query":1,"a:b":":"}}', b'{"query":"{a}","extensions":{"persistedQuery":null}}',
     b'{"query":"{a}","variables":[]}', b'{"query":"{a}","variables":""}', b'{"query":"{a}","extensions":[]}',
     b'{"query":"{a}","extensions":"","operationName":""}'],
)  # fmt: skip
def test_ordinary_requests_pass(payload):
    assert post(READER, payload).denial is None


def test_variables_are_bounded():
    deep = post(READER, b'{"query":"{a}","variables":{"v":' + b"[" * 21 + b"]" * 21 + b"}}")
    assert (refusal(deep), deep.denial.limit, deep.denial.actual) == ("VARIABLES_TOO_DEEP", 20, 21)
    assert post(READER, b'{"query":"{a}","variables":{"v":' + b"[" * 20 + b"]" * 20 + b"}}").denial is None
    assert refusal(post(READER, b'{"query":"{a}","variables":' + b'{"v":' * 90_000)) == "VARIABLES_TOO_DEEP"
    assert refusal(post(READER, body("{a}", {"v": [1] * 10_000}))) == "VARIABLES_TOO_LARGE"
    assert post(READER, body("{a}", {"v": [1] * 9_999})).denial is None
    assert (
        refusal(post(READER, b'{"query":"{a}","extensions":{"v":' + b"[" * 500 + b"]" * 500 + b"}}")) == "BAD_REQUEST"
    )


def test_get_requests():
    assert get(b"query=" + quote("{me{id}}").encode()).measured.root_fields == {"me"}
    assert get(b"query={me}", "HEAD").denial is None
    sized = get(b"query=query($n:Int){users(limit:$n){id}}&variables=" + quote('{"n":7}').encode())
    assert sized.measured.complexity == 7
    assert get(b"query={me}&variables=&operationName=&other=1&other=2").denial is None
    assert get(b'query={me}&variables=[]&extensions=""').denial is None


@pytest.mark.parametrize(
    "query_string",
    [b"", b"x=1", b"query={a}&query={b}", b"query={a}&%71uery={b}", b"query={a}&variables={}&variables={}",
     b"query={a}&variables=[1]", b"query={a}&variables={", b'query={a}&variables={"a":NaN}', b"query=%ff",
     b"query=\xff", b'query={a}&variables={"a":1,"a":2}', b"query=%ed%a0%80", b"query={a}" + b"&x=1" * 200],
)  # fmt: skip
def test_ambiguous_get_requests_are_refused(query_string):
    assert refusal(get(query_string)) == "BAD_REQUEST"


def test_a_request_has_one_place_for_its_document():
    assert refusal(get(b"query={a}", payload=OK)) == "BAD_REQUEST"
    assert refusal(READER.read("POST", "application/json", b"query={b}", OK, authenticated=False)) == "BAD_REQUEST"
    assert refusal(READER.read("POST", "application/json", b"query=%ff", OK, authenticated=False)) == "BAD_REQUEST"
    assert READER.read("POST", "application/json", b"op=Me", OK, authenticated=False).denial is None


@pytest.mark.parametrize(
    ("query_string", "name", "code"),
    [
        (b"operationName=A", "A", None), (b"operationName=%41", "A", None), (b"operationName=", None, None),
        (b"operationName=", "", None), (b"operationName=B", "A", "BAD_REQUEST"),
        (b"operationName=A", None, "BAD_REQUEST"),
        (b"operationName=", "A", "BAD_REQUEST"), (b"operationName=A&operationName=A", "A", "BAD_REQUEST"),
        (b"operationName=A&variables=", "A", "BAD_REQUEST"), (b"operationName=a", "A", "BAD_REQUEST"),
    ],
)  # fmt: skip
def test_a_url_may_repeat_the_operations_name(query_string, name, code):
    payload = body("query A{a}", operationName=name)
    assert refusal(READER.read("POST", "application/json", query_string, payload, authenticated=False)) == code


def test_a_url_names_the_operations_of_all_elements_of_a_batch_or_of_none():
    to = reader(batching=True)
    same, other = body("query A{a}", operationName="A"), body("query B{a}", operationName="B")
    read = lambda *parts: refusal(  # noqa: E731
        to.read("POST", "application/json", b"operationName=A", b"[" + b",".join(parts) + b"]", authenticated=False)
    )
    assert (read(same, same), read(same, other)) == (None, "BAD_REQUEST")


@pytest.mark.parametrize("text", ["mutation{a}", "query A{a} mutation B{b}"])
def test_mutations_by_get_are_refused_whichever_operation_is_named(text):
    reading = get(f"query={text}&operationName=A".encode())
    assert refusal(reading) == "MUTATION_BY_GET"
    assert (b"allow", b"POST") in reading.denial.headers
    assert reading.measured.kind == "mutation"


def test_persisted_queries_are_refused_unless_the_text_is_there_and_is_that_of_the_hash():
    def persisted(value, query="{me{id}}"):
        return refusal(post(READER, body(query, extensions={"persistedQuery": value})))

    digest = sha256(b"{me{id}}").hexdigest()
    assert persisted({"version": 1, "sha256Hash": digest}, None) == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert persisted({"version": 1, "sha256Hash": "0" * 64}) == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert persisted({"version": 1, "sha256Hash": digest}) is None
    assert persisted({}) == persisted(1) == persisted([]) == "PERSISTED_QUERY_NOT_SUPPORTED"


def test_batches_are_refused_unless_switched_on():
    assert refusal(post(READER, b"[" + OK + b"]")) == "BATCHING_DISABLED"
    assert refusal(post(READER, b"[]")) == "BATCHING_DISABLED"


def test_every_element_of_a_batch_is_measured():
    to = reader(batching=True, max_batch_size=3)
    two = post(to, b"[" + OK + b"," + body("mutation{a{id} b}") + b"]")
    assert two.denial is None
    assert (two.measured.complexity, two.measured.kind, two.measured.mutation_root_fields) == (3, "mutation", 2)
    assert (two.measured.root_fields, two.measured.root_field_count) == ({"me", "a", "b"}, 3)
    assert refusal(post(to, b"[" + OK + b"," + body("{users(limit:1.5){id}}") + b"]")) == "LIST_SIZE_INVALID"


def test_a_batch_is_a_list_of_one_to_the_most_that_there_may_be():
    to = reader(batching=True, max_batch_size=3)
    assert refusal(post(to, b"[]")) == "BAD_REQUEST"
    assert refusal(post(to, b"[[" + OK + b"]]")) == "BAD_REQUEST"
    assert refusal(post(to, b"[" + b",".join([OK] * 4) + b"]")) == "BAD_REQUEST"


def test_the_costs_of_a_batch_add_up():
    to = reader(batching=True, max_batch_size=3)
    large = body("{users(limit:600){id}}")
    summed = post(to, b"[" + large + b"," + large + b"]")
    assert (refusal(summed), summed.denial.actual) == ("QUERY_TOO_COMPLEX", 1200)


@pytest.mark.parametrize(
    "payload",
    [b'{"query":"{b\\u003aa}","variables":{"n":1,"n":2}}', b'{"query":"{a:b}","query":"{a}"}',
     b'{"query":"{a}","variables":{":":1,":":2}}', b'{"query":"{a:b}","extensions":{"x":":","x":1}}'],
)  # fmt: skip
def test_no_colon_in_a_string_hides_a_repeated_key(payload):
    assert post(READER, payload).denial.detail == "The body repeats a key."


JSON_VALUES = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "x", "a:b", '":"', "\\"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=12), st.dictionaries(st.sampled_from(["a", "b:", '"', "é", ""]), inner, max_size=5)
    ),
    max_leaves=40,
)


@given(JSON_VALUES)
def test_the_census_counts_what_a_recursive_walk_counts(value):
    def walk(item):
        inner = list(item.values() if isinstance(item, dict) else item) if isinstance(item, dict | list) else []
        below = [walk(each) for each in inner]
        depths = [depth + 1 for each, (depth, *_) in zip(inner, below, strict=True) if isinstance(each, dict | list)]
        nodes = len(inner) + sum(nodes for _, nodes, _, _ in below)
        members = (len(inner) if isinstance(item, dict) else 0) + sum(count for _, _, count, _ in below)
        return max(depths, default=0), nodes, members, sum(each[3] for each in below) if inner else 1

    depth, nodes, members, ends = walk(value)
    assert json_stats(value) == (depth, nodes, members)
    assert leaves(generations(value)) == ends
    assert JsonLoader(10_000).load(json.dumps({"v": value}).encode())[0] == {"v": value}
