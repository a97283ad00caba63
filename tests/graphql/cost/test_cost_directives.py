"""@cost and @listSize as IBM's specification of cost directives has them, where a schema uses them."""

from __future__ import annotations

import pytest

from tests.graphql.requests import ask, complexity, refusal

DIRECTIVES = """
directive @cost(weight: String!) on
  ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!],
  requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
"""
TYPES = """
type Query {
  book(id: ID): Book
  books(first: Int, last: Int): [Book] @listSize(slicingArguments: ["first", "last"])
  loose(first: Int, last: Int): [Book]
    @listSize(slicingArguments: ["first", "last"], requireOneSlicingArgument: false, assumedSize: 6)
  preset(window: Int = 4): [Book] @listSize(slicingArguments: ["window"])
  shelf: [Book] @listSize(assumedSize: 7)
  search(text: String @cost(weight: "3"), filter: Filter, many: [Filter], sort: Order): [Book]
    @listSize(assumedSize: 1)
  nested(input: Page): [Book] @listSize(slicingArguments: ["input.page.size2"], assumedSize: 5)
  rows: Table @listSize(assumedSize: 50, sizedFields: ["cells"])
  window(span: Int): Table @listSize(slicingArguments: ["span"], sizedFields: ["cells"])
  negative: Book @cost(weight: "-5")
  half: Book @cost(weight: "0.5")
}
type Book { title: String, rating: Score, author: Author, price(in: Order): Int @cost(weight: "2") }
type Author @cost(weight: "4") { name: String }
scalar Score @cost(weight: "2")
enum Order @cost(weight: "1") { UP DOWN }
type Table { cells: [Cell], total: Total }
type Cell { value: String, book: Book }
type Total { count: Int }
input Filter { title: String @cost(weight: "5"), and: [Filter], not: Filter, plain: Plain }
input Plain { x: Int }
input Page { page: Inner }
input Inner { size2: Int }
"""
SCHEMA = DIRECTIVES + TYPES


@pytest.mark.parametrize(
    ("query", "variables", "points"),
    [
        ("{shelf{title}}", None, 7),
        ("{books(first:3){title}}", None, 3),
        ("query($n:Int){books(first:$n){title}}", {"n": 9}, 9),
        ("query($n:Int=8){books(first:$n){title}}", {}, 8),
        ("{loose{title}}", None, 6),
        ("{loose(first:2,last:3){title}}", None, 3),
        ("{preset{title}}", None, 4),
        ("{book{rating}}", None, 3),  # a scalar with a weight
        ("{book{author{name}}}", None, 5),  # an object with one
        ("{book{price}}", None, 3),
        ("{book{price(in:UP)}}", None, 4),  # and an enum as an argument
        ("{negative{title}}", None, 0),
        ("{half{title}}", None, 1),
        ("{search{title}}", None, 1),
        ('{search(text:"x"){title}}', None, 4),
        ('query($t:String){search(text:$t){title}}', {}, 4),
        ('{search(filter:{title:"x"}){title}}', None, 6),
        ('{search(filter:{title:"x",and:[{title:"y"},{not:{title:"z"}}]}){title}}', None, 16),
        ('{search(many:[{title:"x"},{title:"y"},{plain:{x:1}}]){title}}', None, 11),
        ("query($f:Filter){search(filter:$f){title}}", {"f": {"title": "x", "not": {"title": "y"}}}, 11),
        ("query($f:Filter){search(filter:$f,many:[$f,$f]){title}}", {"f": {"title": "x"}}, 16),
        ("query($t:String){search(filter:{title:$t}){title}}", {}, 6),
        ('query($f:Filter={title:"x"}){search(filter:$f){title}}', {}, 6),
        ('query($f:Filter={title:"x"}){search(filter:$f){title}}', {"f": None}, 1),
        ("{nested(input:{page:{size2:30}}){title}}", None, 30),
        ("query($p:Page){nested(input:$p){title}}", {"p": {"page": {"size2": 20}}}, 20),
        ("query($n:Int){nested(input:{page:{size2:$n}}){title}}", {"n": 11}, 11),
        ("{nested(input:{page:{}}){title}}", None, 5),
        ("{rows{cells{value}}}", None, 100),
        ("{rows{cells{book{title}} total{count}}}", None, 50 * 3 + 1),
        ("{window(span:20){cells{value} total{count}}}", None, 20 * 2 + 1),
    ],
)  # fmt: skip
def test_weights_and_sizes(query, variables, points):
    source = SCHEMA.replace("requireOneSlicingArgument: Boolean = true", "requireOneSlicingArgument: Boolean")
    assert complexity(query, variables, schema=source) == points
    if not query.startswith("{nested(input:{page:{}}"):  # which gives no slicing argument
        assert complexity(query, variables, schema=SCHEMA) == points


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{books{title}}", None, "LIST_UNSLICED"),
        ("{books(first:1,last:1){title}}", None, "LIST_UNSLICED"),
        ("{books(first:1){title}}", None, None),
        ("{books(first:1,last:null){title}}", None, None),
        ("query($f:Int,$l:Int){books(first:$f,last:$l){title}}", {"f": 1}, None),
        ("query($f:Int,$l:Int){books(first:$f,last:$l){title}}", {"f": 1, "l": 2}, "LIST_UNSLICED"),
        ("query($f:Int,$l:Int){books(first:$f,last:$l){title}}", {}, "LIST_UNSLICED"),
        ("{preset{title}}", None, None),
        ("{loose{title}}", None, None),
        ("{shelf{title}}", None, None),
    ],
)
def test_exactly_one_slicing_argument_where_the_schema_asks_for_it(query, variables, code):
    reading = ask(query, variables, schema=SCHEMA)
    assert refusal(reading) == code
    assert code is None or reading.denial.path == "books"


def test_nobody_asks_for_it_whose_directive_does_not_know_it():
    loose = DIRECTIVES.replace("requireOneSlicingArgument: Boolean = true", "other: Int")
    assert ask("{books{title}}", schema=loose + TYPES.replace(", requireOneSlicingArgument: false", "")).denial is None
    assert ask("{books{title}}", schema=TYPES).denial is None
    asked = 'slicingArguments: ["first", "last"], requireOneSlicingArgument: true'
    strict = TYPES.replace('slicingArguments: ["first", "last"]', asked, 1)
    assert refusal(ask("{books{title}}", schema=strict)) == "LIST_UNSLICED"


def test_a_remembered_document_is_weighed_for_each_request():
    query = "query($f:Filter){search(filter:$f){title}}"
    filters = {"title": "x", "and": [{"title": "y"}] * 100}
    for variables, points in (({"f": None}, 1), ({"f": filters}, 1 + 101 * 5 + 2), ({}, 1)):
        assert complexity(query, variables, schema=SCHEMA) == points


def test_a_large_variable_is_weighed_once():
    fields = " ".join(f"a{number}:search(filter:$f){{title}}" for number in range(150))
    reading = ask("query($f:Filter){" + fields + "}", {"f": {"and": [{"title": "x"}] * 3000}}, schema=SCHEMA,
                  max_aliases=1000, max_root_fields=1000, max_query_complexity=10**9)  # fmt: skip
    assert reading.measured.complexity == 150 * (1 + 3000 * 5 + 3000 // 50)
