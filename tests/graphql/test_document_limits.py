"""Which requests are refused for what, with which numbers, and which of them are offences."""

from __future__ import annotations

import pytest

from tests.graphql.requests import BLOG, ask, body, post, reader, refusal

ROOMY = {"max_query_complexity": 10**9}


def nested(depth: int) -> str:
    return "{a" * depth + "}" * depth


LIMITS = [
    ("QUERY_TOO_DEEP", 10, nested, ".".join("a" * 11)),
    ("QUERY_TOO_COMPLEX", 1000, lambda n: "{users(limit:" + str(n) + "){id}}", "users"),
    ("TOO_MANY_ALIASES", 30, lambda n: "{me{" + " ".join(f"a{i}:id" for i in range(n)) + "}}", None),
    ("TOO_MANY_ROOT_FIELDS", 20, lambda n: "{" + " ".join(f"a{i}" for i in range(n)) + "}", None),
    ("TOO_MANY_DUPLICATE_KEYS", 50, lambda n: "{me{" + "id " * n + "}}", "me.id"),
]


@pytest.mark.parametrize(("code", "limit", "document", "path"), LIMITS)
def test_limits_hold_exactly_and_say_by_what_and_where(code, limit, document, path):
    assert ask(document(limit)).denial is None
    over = ask(document(limit + 1))
    assert (refusal(over), over.denial.limit, over.denial.actual) == (code, limit, limit + 1)
    assert over.denial.path == path
    assert over.denial.code.status == 400
    assert over.measured is not None


@pytest.mark.parametrize(("code", "limit", "document", "path"), LIMITS)
def test_it_is_an_offence_from_twice_a_limit_on(code, limit, document, path):
    assert ask(document(limit + 1)).denial.offence is None
    assert ask(document(2 * limit - 1)).denial.offence is None
    gross = ask(document(2 * limit)).denial
    assert (gross.code.name, gross.limit, gross.offence) == (code, limit, "dos")
    assert gross.actual >= 2 * limit - 1


def test_a_cost_is_an_offence_from_ten_times_its_limit_on():
    """Of 1,000 points 9,999 and 10,000, in a list of the largest size that is allowed."""
    dear = "{me{id} users(limit:999){posts(limit:9){id}} %s}"  # 1 + 999 * (1 + 9)
    below, from_here = ask(dear % "friends(limit:8){id}").denial, ask(dear % "friends(limit:9){id}").denial
    assert [(each.code.name, each.actual, each.offence) for each in (below, from_here)] == [
        ("QUERY_TOO_COMPLEX", 9999, None),
        ("QUERY_TOO_COMPLEX", 10_000, "dos"),
    ]


def test_a_list_may_have_a_thousand_items():
    assert ask("{users(limit:1000){id}}").denial is None
    large = ask("{users(limit:1001){id}}", **ROOMY)
    assert (refusal(large), large.denial.actual, large.denial.path) == ("LIST_TOO_LARGE", 1001, "users")
    assert ask("{users(limit:2000){id}}", **ROOMY).denial.offence == "dos"


def test_a_list_may_begin_after_ten_thousand_items():
    assert ask("{users(limit:20,offset:10000){id}}").measured.list_size == 20
    assert refusal(ask("{users(offset:10001){id}}")) == "OFFSET_TOO_LARGE"
    assert refusal(ask("query($p:P){me{posts(page:$p){id}}}", {"p": {"skip": 20000}})) == "OFFSET_TOO_LARGE"
    assert refusal(ask('{users(skip:"20000"){id}}')) == "OFFSET_TOO_LARGE"
    assert ask("{users(offset:20000){id}}").denial.offence == "dos"
    assert ask("{users(skip:true){id}}").denial is None


def test_the_path_leads_to_where_the_cost_comes_from():
    assert ask("{me{id} users(limit:100){name posts(limit:50){id}}}").denial.path == "users.posts"


def test_all_numbers_are_measured_whatever_is_exceeded_first():
    measured = ask("{users(limit:5000)" + nested(12) + "}").measured
    assert (measured.depth, measured.complexity, measured.list_size) == (13, 60000, 5000)


def test_aliases_count_wherever_a_fragment_is_spread():
    text = "{x{...F} y{...F} z{...F} ...G} fragment F on T{" + " ".join(f"a{i}:id" for i in range(10)) + "}"
    assert ask(text + " fragment G on T{b:id c:id}").denial.actual == 32


def test_operations_and_fragments_are_counted():
    assert refusal(ask(" ".join(f"query A{i}{{a}}" for i in range(11)), name="A1")) == "TOO_MANY_OPERATIONS"
    assert refusal(ask("{a}" + "".join(f"fragment F{i} on T{{a}}" for i in range(51)))) == "TOO_MANY_FRAGMENTS"


def test_what_is_skipped_still_counts_for_the_hosts_validation():
    assert refusal(ask("{me @skip(if:true){" + "id " * 51 + "}}")) == "TOO_MANY_DUPLICATE_KEYS"
    assert refusal(ask("{a} fragment Unused on T{" + "id " * 51 + "}")) == "TOO_MANY_DUPLICATE_KEYS"
    chain = "".join(f"fragment F{i} on T{'{a' * 15}{{...F{i + 1}}}{'}' * 15}" for i in range(5))
    assert refusal(ask("{me @skip(if:true){...F0}} " + chain + "fragment F5 on T{x}")) == "QUERY_TOO_DEEP"


# --- introspection ---------------------------------------------------------------------------------------------------

INTROSPECTION = "{__schema{types{name fields{name args{name type{ofType{ofType{name}}}}}}}}"


@pytest.mark.parametrize(
    ("options", "authenticated", "code"),
    [
        ({}, True, "INTROSPECTION_DENIED"),
        ({"environment": "development"}, False, None),
        ({"introspection": "allow"}, False, None),
        ({"introspection": "deny", "environment": "development"}, True, "INTROSPECTION_DENIED"),
        ({"introspection": "authenticated"}, False, "INTROSPECTION_DENIED"),
        ({"introspection": "authenticated"}, True, None),
    ],
)
@pytest.mark.parametrize(
    "text", [INTROSPECTION, '{__type(name:"User"){name}}', "{...F} fragment F on Query{s:__schema{types{name}}}",
             "{me{id} __schema @skip(if:true){types{name}}}"],
)  # fmt: skip
def test_who_may_introspect(text, options, authenticated, code):
    to = reader(**options)
    for _ in range(2):  # remembered documents are judged alike
        reading = post(to, body(text), authenticated=authenticated)
        assert refusal(reading) == code
        assert reading.measured.introspection
        assert reading.denial is None or reading.denial.offence is None


def test_introspection_is_free_and_has_its_own_limit():
    reading = ask(INTROSPECTION, introspection="allow")
    assert (reading.measured.complexity, reading.measured.depth) == (0, 0)
    deep = ask("{__schema{types{fields{type{fields{type{fields{name}}}}}}}}", introspection="allow")
    assert (refusal(deep), deep.denial.offence) == ("INTROSPECTION_TOO_DEEP", None)
    names = " ".join(f"a{i}:name" for i in range(100))
    aliased = ask("{__schema{types{" + names + "}}}", introspection="allow", max_tokens=9999)
    assert (refusal(aliased), aliased.denial.offence) == ("TOO_MANY_ALIASES", None)


def test_introspection_does_not_hide_an_expensive_query():
    assert ask("{__schema{types{name}} users(limit:1000){posts(limit:9){id}}}").denial.offence == "dos"


def test_typename_is_free():
    reading = ask("{__typename me{__typename id}}")
    assert (reading.measured.complexity, reading.measured.introspection) == (1, False)


# --- documents that contradict themselves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "type T{a:Int}", "{a} schema{query:Q}", "{a} extend type T{a:Int}", "{a} directive @d on FIELD",
        "query A{a} query A{b}", "query A{a} {b}", "{a} {b}", "{...F} fragment F on T{a} fragment F on T{b}",
        "{...F}", "{a{...F}} fragment G on T{a}", "{...F} fragment F on T{...F}", "{a} fragment F on T{a{...F}}",
        "{...F} fragment F on T{a{...G}} fragment G on T{... on X{b{...F}}}",
        "{a(x:1,x:2)}", "{a(x:{y:1,y:2})}", "{a @d(x:1,x:2)}", "query($n:Int=1,$n:Int=100){a(n:$n)}",
        "{a(x:1) a(x:2)}", "{a(x:1) a}", "{x:a x:b}",
        "{m{a(x:1)} m{a(x:true)}}", "{m{x:a} ...F} fragment F on T{m{x:b}}",
        "{m{...on T{a(x:1)} a(x:2)}}", "{m{...on T{a(x:1)} ...on T{a(x:2)}}}",
    ],
)  # fmt: skip
def test_documents_that_contradict_themselves_are_refused(text):
    reading = ask(text)
    assert refusal(reading) == "GRAPHQL_INVALID"
    assert reading.denial.offence is None


@pytest.mark.parametrize(
    "text",
    ["{a(x:1) a(x:1)}", "{a(x:1,y:2) a(y:2,x:1)}", "{s{...on A{a(x:1)} ...on B{a(x:2)}}}",
     "{...F ...F} fragment F on T{a{...G} ...G} fragment G on T{b}", "subscription{a}"],
)  # fmt: skip
def test_documents_that_do_not(text):
    assert ask(text).denial is None


@pytest.mark.parametrize("text", ["{users(unknown:1){id}}", "{me{id(x:1)}}", "{hero{...on User{name(x:1)}}}"])
def test_arguments_that_the_schema_does_not_define_are_refused(text):
    assert refusal(ask(text, schema=BLOG)) == "GRAPHQL_INVALID"
    assert ask(text).denial is None


def test_one_key_with_two_sizes_on_one_object_is_refused_with_a_schema():
    text = "{hero{...on User{posts(limit:1){id}} ...on Named{...on User{posts(limit:2){id}}}}}"
    assert refusal(ask(text, schema=BLOG)) == "GRAPHQL_INVALID"


@pytest.mark.parametrize(("text", "name"), [("query A{a}", "B"), ("query A{a} query B{b}", None), ("{a}", "A"),
                                            ("fragment F on T{a}", None)])  # fmt: skip
def test_operations_that_are_not_there(text, name):
    reading = ask(text, name=name)
    assert refusal(reading) == "OPERATION_NOT_FOUND"
    assert reading.denial.offence is None


def test_kinds_names_and_root_fields():
    reading = ask("query A{a b ...F} mutation B{c x:c} fragment F on Query{a}", name="A")
    assert reading.measured.kind == "mutation"
    assert reading.measured.name == "A"
    assert reading.measured.mutation_root_fields == 2
    assert (reading.measured.root_fields, reading.measured.root_field_count) == ({"a", "b", "c"}, 5)
    assert ask("query Only{a}").measured.name == "Only"
    assert ask("subscription{a}").measured.kind == "subscription"


# --- what asks for one thing again -----------------------------------------------------------------------------------

CMS = """
interface Node { id: ID image: Image title: String }
interface Titled { title: String }
type Image { url: String alt: String }
type Text implements Node & Titled { id: ID image: Image title: String }
type Quote implements Node & Titled { id: ID image: Image title: String }
type Video implements Node { id: ID image: Image title: String }
union Block = Text | Quote | Video
type Query { blocks(first: Int): [Block] node: Node }
"""


def aliases(text: str, schema: object = None) -> int:
    """How many count, told by the least limit that admits them."""
    return next(most for most in range(20) if ask(text, schema=schema, max_aliases=most).denial is None)


@pytest.mark.parametrize("schema", [None, CMS])
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("{node{a:id}}", 0),
        ("{a:node{b:id c:title}}", 0),
        ("{node{a:id id}}", 1),
        ("{node{a:id b:id}}", 2),
        ("{node{id:id b:id}}", 1),
        ("{node{a:id a:id}}", 0),  # one key
        ("{a:node{id} b:node{id}}", 2),
        ("{a:node{x:id} b:node{x:title}}", 2),
        ("{a:node{x:id y:id} b:node{x:title}}", 4),
        ("{node{...F a:id}} fragment F on Node{b:id}", 2),
        ("{a:node{...F} b:node{...F}} fragment F on Node{x:id y:id}", 2 + 2 * 2),
        ("{node{a:image{x:url} ...F}} fragment F on Node{a:image{y:url}}", 2),
        ("{blocks{... on Text{a:title} ... on Quote{b:title}}}", 0),
        ("{blocks{... on Text{a:title b:title} ... on Quote{c:title d:title e:title}}}", 3),
        ("{blocks{... on Text{image{a:url}} ... on Quote{image{b:url}}}}", 0),
        ("{blocks{... on Text{image{a:url b:url}} ... on Quote{image{c:url d:url}}}}", 2),
    ],
)
def test_aliases_count_by_which_one_object_is_asked_again(text, number, schema):
    assert aliases(text, schema) == number


def test_types_that_one_object_can_be_both_of_are_not_told_apart():
    text = "{node{... on Text{a:title} ... on Titled{b:title} ... on Video{c:title}}}"
    assert aliases(text, CMS) == 2
    assert aliases(text) == 0  # without a schema any two types are taken for different


@pytest.mark.parametrize("schema", [None, CMS])
def test_equal_keys_below_different_types_are_no_duplicates(schema):
    kinds = ["Text", "Quote", "Video"]
    blocks = " ".join(f"... on {kind}{{{'title ' * 20} image{{{'url ' * 20}}}}}" for kind in kinds)
    assert ask("{blocks(first:2){" + blocks + "}}", schema=schema).denial is None
    denial = ask("{blocks(first:2){" + blocks + " ... on Text{" + "title " * 31 + "}}}", schema=schema).denial
    assert (denial.code.name, denial.actual, denial.path) == ("TOO_MANY_DUPLICATE_KEYS", 51, "blocks.title")


def test_duplicates_of_types_that_one_object_can_be_both_of_add_up():
    text = "{blocks(first:2){... on Text{" + "title " * 30 + "} ... on Titled{" + "title " * 30 + "}}}"
    denial = ask(text, schema=CMS).denial
    assert (denial.code.name, denial.actual) == ("TOO_MANY_DUPLICATE_KEYS", 60)


# --- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "depth", "every_level"),
    [
        ("{a{edges{node{id}}}}", 3, 4),
        ("{a{edges{node{b{edges{node{id}}}}}}}", 5, 7),
        ("{a{edges{cursor node{id}}}}", 3, 4),
        ("{a{edges{cursor{x y{z}} node{id}}}}", 5, 5),
        ("{a{...F}} fragment F on C{edges{...G}} fragment G on E{...on E{node{...N}}} fragment N on N{id}", 3, 4),
        ("{a{x:edges{y:node{id}}}}", 3, 4),
        ("{node{id}}", 2, 2),
        ("{a{node{id}}}", 3, 3),
        ("{a{nodes{id}}}", 3, 3),
        ("{edges:a{node{id}}}", 3, 3),  # a name of the client's
        ("{a{edges{node}}}", 3, 3),  # a leaf
    ],
)
def test_edges_and_node_are_one_level(text, depth, every_level):
    assert ask(text).measured.depth == depth
    assert ask(text, edges_node_one_level=False).measured.depth == every_level


def test_the_depth_that_is_refused_before_the_parser_counts_them_as_one_too():
    names = " ".join(f"x{number}" for number in range(450))
    for levels, code in ((4, None), (5, "QUERY_TOO_DEEP")):
        text = "{a{" + names + "} " + "c{edges{node{" * levels + "b{id}" + "}}}" * levels + "}"
        assert refusal(ask(text, max_query_complexity=10**9)) == code
        assert refusal(ask(text, edges_node_one_level=False)) == "QUERY_TOO_DEEP"


# --- Apollo Federation -----------------------------------------------------------------------------------------------


def test_the_sdl_of_a_subgraph_is_introspection():
    for text in ("{_service{sdl}}", "{...F} fragment F on Query{s:_service{sdl}}"):
        assert refusal(ask(text)) == "INTROSPECTION_DENIED"
        assert ask(text).denial.offence is None
        assert ask(text).measured.introspection
        assert ask(text, introspection="allow").denial is None
