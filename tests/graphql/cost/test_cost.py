"""What operations cost: the table of the specification, and the rules around it."""

from __future__ import annotations

import pytest

from tests.graphql.requests import BLOG, ask, complexity, refusal

SEARCH = (
    "{search(limit:10){...on User{posts(limit:5){id}} ...on Post{comments(limit:7){id}} ...on Comment{author{id}}}}"
)
PAGE = "{postsConnection(first:20){edges{node{author{id}}} pageInfo{hasNextPage} totalCount}}"
DEFAULT = "query($n:Int=15){users(limit:$n){id}}"
TABLE = [
    ("{users(limit:100){posts(limit:50){comments(limit:10){id}}}}", None, 550100, 550100),
    ("{me{id name}}", None, 1, 1),
    (DEFAULT, {"n": 20}, 20, 20),
    (DEFAULT, {}, 15, 15),
    ("query($n:Int){users(limit:$n){id}}", {}, 10, 10),
    ("{me{followers(limit:100) @skip(if:true){id}}}", None, 1, 1),
    ("{a:users(limit:5){id} b:users(limit:5){id}}", None, 10, 10),
    (PAGE, None, 81, 81),
    (SEARCH, None, 140, 80),
]


@pytest.mark.parametrize(("query", "variables", "without", "with_schema"), TABLE)
def test_the_table_of_the_specification(query, variables, without, with_schema):
    costs = {} if "search" in query else {"field_costs": "User.posts=10,Post.comments=10"}
    assert complexity(query, variables, **costs) == without
    assert complexity(query, variables, schema=BLOG, **costs) == with_schema


@pytest.mark.parametrize(
    ("query", "variables", "points"),
    [
        ("{__typename}", None, 0),
        ("{ping}", None, 1),
        ("{a:ping b:ping}", None, 2),
        ("{ping ping ping}", None, 3),  # equal keys add up at the root
        ("{...F ...F} fragment F on Query{ping}", None, 2),
        ("{me{friend{id} friend{name}}}", None, 2),  # and merge below it
        ("{me{posts posts{id}}}", None, 11),  # a bare repetition does not make a list a leaf
        ("{users{id}}", None, 10),
        ("{address{id}}", None, 1),
        ("{status{id}}", None, 1),
        ("{users(limit:0){id}}", None, 1),
        ("{users(first:5,last:7){id}}", None, 7),
        ("query($f:Int,$l:Int){users(first:$f,last:$l){id}}", {"f": 5}, 5),
        ("query($n:Int=15){users(limit:$n){id}}", {"n": None}, 10),
        ("{users(limit:null){id}}", None, 10),
        ("{users(page:{limit:30}){id}}", None, 30),
        ("{users(page:{limit:5}){id}}", None, 10),  # it is a guess,
        ("query($p:Page){users(page:$p){id}}", {"p": {"deep": [{"limit": 30}]}}, 30),
        ("query($p:Page={limit:40}){users(page:$p){id}}", {}, 40),
        ("query($p:Page={limit:40}){users(page:$p){id}}", {"p": None}, 10),
        ("query($n:Int){users(page:{limit:$n}){id}}", {"n": 30}, 30),
        ("query($n:Int){users(limit:$n){id}}", {"n": 30.0}, 30),
        ("{users(where:{size:\"M\"}){id}}", None, 10),  # no host reads a size out of that
        ("{me(ids:[" + "1," * 50 + "]){id}}", None, 2),
        ("{me(ids:[" + "1," * 49 + "]){id}}", None, 1),
        ("query($i:[Int]){me(ids:$i){id}}", {"i": [1] * 100}, 3),
        ("query($i:[Int]){me(ids:$i){id}}", {"i": 1}, 1),
        ("query($n:Int){posts(first:$n){items{id}}}", {"n": 5}, 10),
        ("{posts{items{id}}}", None, 110),
    ],
)  # fmt: skip
def test_rules_without_a_schema(query, variables, points):
    assert complexity(query, variables) == points


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ("{tags{name}}", 7),  # the schema's default
        ("query($n:Int){tags(limit:$n){name}}", 7),
        ("query($n:Int=2){tags(limit:$n){name}}", 2),
        ("{users{id}}", 10),
        ("{feed{id}}", 4),  # @listSize(assumedSize)
        ("{stream{name}}", 3),
        ("{stream(window:9){name}}", 9),  # @listSize(slicingArguments)
        ("{me{report{text}}}", 6),  # @cost(weight)
        ("{me{avatar(size:2048)}}", 1),  # a size of a leaf is no list size
        ("{postsConnection{edges{node{id}} totalCount}}", 30),
        ("{hero{...on User{posts(limit:5){id}} ...on Tag{name}}}", 6),
        ("{hero{...on User{posts(limit:5){id}} ...F}} fragment F on Named{...on User{followers(limit:7){id}}}", 13),
        ('{users(limit:2,where:{size:"M"}){id}}', 2),
        ("{unknown{things{id}}}", 11),  # what the schema does not know is judged by its name
    ],
)
def test_rules_with_a_schema(query, points):
    assert complexity(query, schema=BLOG) == points


def test_field_costs_of_roots_need_the_name_of_the_root_type():
    assert complexity("{posts(limit:2){posts(limit:3){id}}}", field_costs="User.posts=10") == 2 * (1 + 3 * 10)
    assert complexity("{posts(limit:2){id}}", field_costs="Query.posts=10") == 20
    assert complexity("{me{secret}}", field_costs="User.secret=50") == 51


def test_configured_list_fields_cost_the_multiplier():
    assert complexity("{staff{id}}", list_fields="staff", list_multiplier=8) == 8


@pytest.mark.parametrize("name", ["A", "B", None])
def test_every_operation_counts_whichever_is_named(name):
    query = "query A{users(limit:5){id}} query B{users(limit:500){id}}"
    assert ask(query, name=name).measured.complexity == 500


def test_the_dearest_default_counts_where_operations_disagree():
    query = "query A($n:Int=5){users(limit:$n){id}} query B($n:Int=50){ping}"
    assert ask(query, name="A").measured.complexity == 50
    assert ask(query, {"n": 7}, name="A").measured.complexity == 7


def test_skip_by_a_variable_is_certain_only_in_a_document_of_one_operation():
    one = "query A($s:Boolean=true){me{posts(limit:100) @skip(if:$s){id}}}"
    assert ask(one).measured.complexity == 1
    assert ask(one).measured.depth == 1
    assert ask(one, {"s": False}).measured.complexity == 101
    assert ask(one, {"s": "true"}).measured.complexity == 101
    assert ask(one + " query B($s:Boolean=false){ping}", name="A").measured.complexity == 101


def test_skip_by_a_variable_that_nobody_declares_removes_nothing():
    assert ask("{me{posts(limit:100) @skip(if:$s){id}}}", {"s": True}).measured.complexity == 101


def test_contradicting_skips_remove_nothing():
    assert ask("{me{posts(limit:9) @skip(if:true) @skip(if:false){id}}}").measured.complexity == 10
    assert ask("{me{posts(limit:9) @include(if:true) @skip(if:true){id}}}").measured.complexity == 1


def test_a_wide_interface_is_cheap_and_exact():
    types = "".join(f"type T{i} implements Node {{ id: ID, size{i}(limit: Int): [Node] }}" for i in range(300))
    schema = "interface Node { id: ID } type Query { node: Node }" + types
    query = "{node{id ...on T7{size7(limit:4){id}} ...on T9{size9(limit:6){id ...on T7{size7(limit:5){id}}}}}}"
    assert complexity(query, schema=schema) == 1 + 6 * (1 + 5)


@pytest.mark.parametrize(("size", "code"), [
    ("-1001", "LIST_TOO_LARGE"), ("1.5", "LIST_SIZE_INVALID"), ('"5"', "LIST_SIZE_INVALID"),
    ("true", "LIST_SIZE_INVALID"), ("MANY", "LIST_SIZE_INVALID"), ("[5]", "LIST_SIZE_INVALID"),
    ("-" + "9" * 400, "LIST_TOO_LARGE"), ("-1e99", "LIST_TOO_LARGE"), ("1001", "LIST_TOO_LARGE"),
    ("9" * 5000, "LIST_TOO_LARGE"), ("1e99", "LIST_TOO_LARGE"), ("1e9999", "LIST_TOO_LARGE"),
])  # fmt: skip
def test_sizes_that_are_none_are_refused_and_never_unknown(size, code):
    reading = ask("{users(limit:" + size + "){id}}", max_query_complexity=2**53)
    assert refusal(reading) == code
    assert reading.denial.path == "users"
    assert refusal(ask("query($n:Int=" + size + "){users(limit:$n){id}}", max_query_complexity=2**53)) == code


@pytest.mark.parametrize("size", [1.5, "5", True, [5]])
def test_sizes_in_variables_are_held_to_the_same(size):
    assert refusal(ask("query($n:Int){users(limit:$n){id}}", {"n": size})) == "LIST_SIZE_INVALID"


@pytest.mark.parametrize("size", [" 1000000", 1000000, -1000000, "1e6", 1e6, 10**30])
def test_a_large_size_inside_an_input_object_is_too_dear_and_no_offence(size):
    denial = ask("query($p:P){users(page:$p){id}}", {"p": {"limit": size}}).denial
    assert (denial.code.name, denial.path, denial.offence) == ("QUERY_TOO_COMPLEX", "users", None)


@pytest.mark.parametrize(("query", "variables"), [
    ("{users(take:-10){id}}", None), ("query($n:Int=-10){users(last:$n){id}}", {}),
    ("query($n:Int){users(take:$n){id}}", {"n": -10}), ("{feed(take:-10){id}}", None),
])  # fmt: skip
def test_a_negative_size_is_the_last_so_many(query, variables):
    assert complexity(query, variables) == 10


@pytest.mark.parametrize("query", ["{users{id}}", "{postsConnection{edges{node{id}}}}", "{me{followers{id}}}"])
def test_lists_without_a_size_can_be_refused(query):
    assert refusal(ask(query, schema=BLOG, unsliced_lists="refuse")) == "LIST_UNSLICED"
    assert ask(query, schema=BLOG).denial is None


@pytest.mark.parametrize("query", ["{users(limit:5){id}}", "{feed{id}}", "{tags{name}}",
                                   "{postsConnection(first:5){edges{node{id}}}}"])  # fmt: skip
def test_lists_with_a_known_size_never_are(query):
    reading = ask(query, schema=BLOG, unsliced_lists="refuse")
    assert reading.denial is None
