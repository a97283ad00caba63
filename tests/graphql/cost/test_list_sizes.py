"""Where sizes are looked for, and where a number is something else."""

from __future__ import annotations

import pytest

from tests.graphql.requests import ask, complexity, refusal

SHOP = """
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!],
  requireOneSlicingArgument: Boolean) on FIELD_DEFINITION
enum Size { SMALL LARGE }
scalar Seconds
scalar JSON
scalar PageSize
type Query {
  users(count: Int, where: UserWhere, offset: Int, take: Int): [User]
  files(first: Int, where: FileWhere, page: Page, json: JSON, zone: Zone): [File]
  names(first: Int): [String]
  product(id: ID, first: String, limit: Float, size: Size, count: Int): Product
  calendar(offset: Int, limit: Int): Calendar
  search(limit: Int = 20, page: Page): Found
  custom(limit: PageSize): [User]
  byIds(ids: [ID!], first: Int): [User] @listSize(slicingArguments: ["ids"])
  byKeys(input: Keys): [User] @listSize(slicingArguments: ["input.keys"])
  things(ids: [ID!]): [User]
  others(ids: [ID!]): [User]
  people(first: Int): People
  cells(first: Int): Table @listSize(slicingArguments: ["first"], sizedFields: ["cells"])
  grid(first: Int): Grid
}
type Mutation {
  createFile(input: FileInput, size: Int): File
  importUsers(limit: Int, input: FileInput): [User]
}
input FileInput { size: Int count: Int limit: Float first: String offset: Int page: Page }
input UserWhere { count: Int size: Int first: String }
input FileWhere { size: Int and: [FileWhere] }
input Page { limit: Int first: String size: Float size2: Int offset: Int deep: Page where: FileWhere inside: Sorted }
input Sorted { top: Int }
input Zone { offset: Int }
input Keys { keys: [ID!] }
type User { id: ID name: String pets(first: Int): [User] }
type File { id: ID }
type Product { image(size: Size): Image picture(size: Int): Image photo(size: Int): String }
type Image { url: String }
type Calendar { id: ID }
type Found { results: [User] total: Int best: User }
type People { edges: [Edge] nodes: [User] pageInfo: PageInfo owner: User totalCount: Int }
type Edge { node: User }
type PageInfo { more: Boolean }
type Table { cells: [User] items: [User] total: User }
type Grid { cells: [User] items: [User] }
"""
BOTH = pytest.mark.parametrize("schema", [None, SHOP])


@BOTH
@pytest.mark.parametrize(
    ("query", "variables", "points"),
    [
        ("mutation{createFile(input:{size:5242880}){id}}", None, 1),
        ("mutation($i:FileInput){createFile(input:$i){id}}", {"i": {"size": 5242880, "count": -5, "offset": 19800}}, 1),
        ("mutation{createFile(input:{count:-5,limit:2500.50,first:\"2Pac\",offset:19800}){id}}", None, 1),
        ("mutation{createFile(input:{page:{limit:5000}}){id}}", None, 1),
        ("mutation{createFile(size:5242880){id}}", None, 1),
        ("mutation{importUsers(limit:50,input:{size:5242880}){id}}", None, 50),
        ("{users(where:{count:1}){id}}", None, 10),
        ("{files(where:{size:100000}){id}}", None, 10),
        ("{files(first:5,where:{and:[{size:100000}]}){id}}", None, 5),
        ("query($w:FileWhere){files(where:$w){id}}", {"w": {"and": [{"size": 100000}]}}, 10),
        ("{files(page:{where:{size:100000}}){id}}", None, 10),
        ('{product(first:"2Pac"){image{url}}}', None, 2),
        ("{product(id:1){image(size:LARGE){url}}}", None, 2),
        ("{product{photo(size:2048)}}", None, 1),
        ("{calendar(offset:19800){id}}", None, 1),
        ("{files(zone:{offset:19800}){id}}", None, 10),
        ("{users(take:-10){id}}", None, 10),
        ("query($n:Int){users(take:$n){id}}", {"n": -25}, 25),
        ("{users(take:0){id}}", None, 1),
        ("{users(take:null){id}}", None, 10),
    ],
)  # fmt: skip
def test_numbers_that_are_no_sizes_and_sizes_that_are(query, variables, points, schema):
    assert complexity(query, variables, schema=schema) == points
    assert ask(query, variables, schema=schema).denial is None


@pytest.mark.parametrize(
    ("query", "variables", "points"),
    [
        ("{product(limit:2500.50){image{url}}}", None, 2),
        ("{product(size:LARGE){image{url}}}", None, 2),
        ("{product(count:5000){image{url}}}", None, 2),  # one object
        ("{product{picture(size:2048){url}}}", None, 2),
        ("{names(first:500)}", None, 500),
        ("{files(page:{limit:40}){id}}", None, 40),
        ("{files(page:{limit:4}){id}}", None, 10),  # a guess never lowers a price
        ("{files(first:3,page:{limit:4}){id}}", None, 4),
        ("{files(page:{size:5000.0,first:\"5000\"}){id}}", None, 10),  # no whole numbers
        ("{files(page:{size2:5000}){id}}", None, 10),
        ("{files(page:{limit:2500.5}){id}}", None, 2501),
        ("{files(page:{deep:{deep:{limit:40}}}){id}}", None, 40),
        ("{files(page:{inside:{top:50}}){id}}", None, 50),
        ("{files(json:{any:[{limit:60}],where:{limit:90}}){id}}", None, 60),
        ("query($j:JSON){files(json:$j){id}}", {"j": {"limit": 70}}, 70),
        ("query($p:Page){files(page:$p){id}}", {"p": {"limit": 30, "size": 90}}, 30),
        ("query($n:Int){files(page:{limit:$n}){id}}", {"n": 30}, 30),
        ("{custom(limit:30){id}}", None, 30),
        # an object with lists that is given a size: the size may be that of its lists
        ("{search(limit:100){results{id} total}}", None, 200),
        ("{search(limit:100){results{id} best{id}}}", None, 201),
        ("{search(limit:100){total best{id}}}", None, 2),
        ("{search{results{id}}}", None, 40),
        ("{search(limit:2){results{id}}}", None, 11),
        ("{search(page:{limit:300}){results{id}}}", None, 600),
        # pages
        ("{people(first:20){edges{node{id}} nodes{id} pageInfo{more} owner{id} totalCount}}", None, 20 * 4 + 2),
        ("{people(first:20){pageInfo{more}}}", None, 21),
        ("{people{edges{node{id}}}}", None, 30),
        ("{cells(first:20){cells{id} total{id}}}", None, 41),
        ("{cells(first:20){items{id} total{id}}}", None, 20 + 10 + 1),  # it is another field's page
        ("{grid(first:20){items{id}}}", None, 40),
        ("{grid(first:20){cells{id}}}", None, 20 + 10),
        # lists that are asked for by a list
        ("query($i:[ID!]){byIds(ids:$i){id}}", {"i": ["a"] * 40}, 40),
        ("query($i:[ID!]){byIds(ids:$i){id}}", {"i": "a"}, 1),
        ("query($i:[ID!]){byIds(ids:$i){id}}", {"i": None}, 10),
        ("query($i:[ID!]=[1,2,3]){byIds(ids:$i){id}}", {}, 3),
        ("query($a:ID){byIds(ids:[$a,$a]){id}}", {"a": "x"}, 2),
        ("{byIds(ids:[]){id}}", None, 1),
        ("{byIds(ids:[1,2],first:7){id}}", None, 7),
        ("query($k:[ID!]){byKeys(input:{keys:$k}){id}}", {"k": [1] * 20}, 20),
        ("query($k:Keys){byKeys(input:$k){id}}", {"k": {"keys": [1] * 20}}, 20),
        ("{things(ids:[1,2,3]){id}}", None, 10),
    ],
)  # fmt: skip
def test_sizes_with_a_schema(query, variables, points):
    assert complexity(query, variables, schema=SHOP) == points


@pytest.mark.parametrize(
    ("named", "things", "others"),
    [
        ("ids", 3, 3),
        ("things.ids", 3, 10),
        ("Query.things.ids", 3, 10),
        ("Other.things.ids", 10, 10),
        ("x.ids", 10, 10),
    ],
)
def test_arguments_that_are_lists_can_be_named(named, things, others):
    for name, points in (("things", things), ("others", others)):
        query = "query($i:[ID!]){" + name + "(ids:$i){id}}"
        assert complexity(query, {"i": [1, 2, 3]}, schema=SHOP, list_arguments=named) == points
    if not named.startswith("Other"):  # without a schema types are not known
        assert complexity("{things(ids:[1,2,3]){id}}", list_arguments=named) == things


def test_the_length_of_a_list_is_held_to_the_list_limit():
    query = "query($i:[ID!]){byIds(ids:$i){id}}"
    reading = ask(query, {"i": [1] * 1001}, schema=SHOP, max_query_complexity=2**53)
    assert (refusal(reading), reading.denial.actual, reading.denial.path) == ("LIST_TOO_LARGE", 1001, "byIds")
    entities = "query($r:[_Any!]!){_entities(representations:$r){... on User{id}}}"
    assert complexity(entities, {"r": [{"id": 1, "limit": 7}] * 20}) == 20
    assert refusal(ask(entities, {"r": [{}] * 1001}, max_query_complexity=2**53)) == "LIST_TOO_LARGE"


@pytest.mark.parametrize("value", [{"limit": 5000}, {"deep": {"limit": -5000}}, {"offset": 30000}, {"limit": 10**30}])
def test_what_is_guessed_is_no_offence(value):
    for schema in (None, SHOP):
        denial = ask("query($p:Page){files(page:$p){id}}", {"p": value}, schema=schema).denial
        assert denial.code.name in ("QUERY_TOO_COMPLEX", "OFFSET_TOO_LARGE")
        assert denial.offence is None
    dear = ask("query($p:Page){files(first:900,page:$p){id pets(first:900){id}}}", {"p": value}, schema=SHOP).denial
    assert dear.offence == "dos"  # for what it is without the guess


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{files(first:5){id}}", None, None),
        ("{files(first:null){id}}", None, "LIST_UNSLICED"),
        ("query($n:Int){files(first:$n){id}}", {}, "LIST_UNSLICED"),
        ("query($n:Int){files(first:$n){id}}", {"n": None}, "LIST_UNSLICED"),
        ("query($n:Int){files(first:$n){id}}", {"n": 5}, None),
        ("query($n:Int=5){files(first:$n){id}}", {}, None),
        ("{files(where:{size:5}){id}}", None, "LIST_UNSLICED"),
        ("{files(page:{limit:5}){id}}", None, None),
        ("{files(page:{limit:null}){id}}", None, "LIST_UNSLICED"),
        ("{people(first:5){edges{node{id}}}}", None, None),
        ("{people(first:null){edges{node{id}}}}", None, "LIST_UNSLICED"),
        ("{search(limit:5){results{id}}}", None, None),
        ("{search(limit:null){results{id}}}", None, "LIST_UNSLICED"),
        ("{byIds(ids:[1]){id}}", None, None),
        ("{byIds(ids:null){id}}", None, "LIST_UNSLICED"),
        ("{things(ids:[1]){id}}", None, "LIST_UNSLICED"),
    ],
)  # fmt: skip
def test_what_is_a_size_where_lists_without_one_are_refused(query, variables, code):
    assert refusal(ask(query, variables, schema=SHOP, unsliced_lists="refuse")) == code


@pytest.mark.parametrize(
    "name", ["where", "filter", "filters", "userFilter", "user_filter", "filterBy", "orderBy", "order_by", "having",
             "WHERE", "sort", "sortBy", "timezone", "timeZone", "tz", "ageRange"],
)  # fmt: skip
def test_filters_are_known_by_the_words_in_their_names(name):
    assert complexity("{users(" + name + ":{limit:500,deep:{limit:500}}){id}}") == 10
    assert complexity("{users(page:{" + name + ":{limit:500}}){id}}") == 10


@pytest.mark.parametrize("name", ["page", "bypass", "standby", "somewhere", "tzar", "options", "input", "wherever"])
def test_other_names_are_no_filters(name):
    assert complexity("{users(" + name + ":{limit:500}){id}}") == 500


def test_the_words_of_filters_are_a_setting():
    assert complexity("{users(where:{limit:500}){id}}", filter_arguments="criteria") == 500
    assert complexity("{users(criteria:{limit:500}){id}}", filter_arguments="criteria") == 10


def test_the_costs_of_arguments_are_charged_once_a_field():
    schema = """
    directive @cost(weight: String!) on ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION
    type Query { users(limit: Int, like: String @cost(weight: "7"), f: F, ids: [Int]): [User] }
    input F { like: String @cost(weight: "5") }
    type User { id: ID pets(limit: Int, like: String @cost(weight: "3")): [User] }
    """
    assert complexity('{users(limit:100,like:"x"){id}}', schema=schema) == 100 + 7
    assert complexity('{users(limit:100,f:{like:"x"}){id}}', schema=schema) == 100 + 5
    assert complexity('{users(limit:100){pets(limit:2,like:"x"){id}}}', schema=schema) == 100 * (1 + 2 + 3)
    ids = {"i": [1] * 500}
    assert complexity("query($i:[Int]){users(limit:100,ids:$i){id}}", ids, schema=schema) == 100 + 10
    assert complexity("query($i:[Int]){users(limit:100,ids:$i){id}}", ids) == 100 + 10
