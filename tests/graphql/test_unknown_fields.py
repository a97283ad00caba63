"""A field that the app's schema does not have is refused before the app validates it; whether it has it, graphql-core
says. Where the guard's schema may be another than the app's, nothing is refused for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from graphql import (
    FieldNode,
    FieldsOnCorrectTypeRule,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    NameNode,
    Visitor,
    build_schema,
    parse,
    print_schema,
    validate,
    visit,
)
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.graphql import RequestAnalysis
from tests.graphql.random_documents import Writer
from tests.graphql.random_schemas import COMPOSITES, INTERFACES, LEAVES, OBJECTS, random_schema
from tests.graphql.requests import BLOG, WIDE, ask, body, of_an_app, post, reader, refusal

OF_AN_APP = of_an_app(BLOG)
DOCUMENTS = 40
"""Of each random schema."""


def told(reading: RequestAnalysis) -> tuple[str, str, str | None] | None:
    """Code, detail and path of a refusal."""
    denial = reading.denial
    return denial and (denial.code.name, denial.detail, denial.path)


UNKNOWN = {
    "{serch{id}}": ("serch", "Query", "serch"),
    "{posts:serch{id}}": ("serch", "Query", "posts"),
    '{serch(text:"a"){id} n1:__typename}': ("serch", "Query", "serch"),
    "{me{nam}}": ("nam", "User", "me.nam"),
    "{me{posts{Id}}}": ("Id", "Post", "me.posts.Id"),
    "{hero{id}}": ("id", "Named", "hero.id"),  # an interface has its own fields alone
    "{search{id}}": ("id", "Hit", "search.id"),  # and a union none
    "{hero{... on User{nam}}}": ("nam", "User", "hero.nam"),
    "{search{...F}} fragment F on Hit{id}": ("id", "Hit", "id"),
    "{me{id ...F}} fragment F on User{nam}": ("nam", "User", "nam"),
    "{me{... {nam}}}": ("nam", "User", "me.nam"),
    "{me{id} ...F @skip(if:true)} fragment F on Query{serch}": ("serch", "Query", "serch"),
    "{me{id nam @skip(if:true)}}": ("nam", "User", "me.nam"),
    "query($s:Boolean!){me{id nam @include(if:$s)}}": ("nam", "User", "me.nam"),
    "query A{me{id}} query B{serch}": ("serch", "Query", "serch"),
    "{me{id}} fragment F on User{nam}": ("nam", "User", "nam"),  # a fragment that is spread nowhere
    "mutation{users{id}}": ("users", "Mutation", "users"),
    "mutation{__schema{types{name}}}": ("__schema", "Mutation", "__schema"),
    "{me{__type(name:\"User\"){name}}}": ("__type", "User", "me.__type"),
    "{_service{sdl}}": ("_service", "Query", "_service"),
    "{__typenam}": ("__typenam", "Query", "__typenam"),
    "{me{name{first}}serch}": ("serch", "Query", "serch"),
}  # fmt: skip
KNOWN = [
    "{__typename}",
    "{me{__typename}}",
    "{search{__typename ... on User{id __typename}}}",
    "{hero{__typename name}}",
    "mutation{__typename createPost{id}}",
    "subscription{posted{id}}",
    '{__schema{types{name}} __type(name:"User"){name}}',
    "{...F} fragment F on Query{__schema{types{name}}}",
    "{postsConnection{edges{node{author{name}}} pageInfo{hasNextPage}}}",
    # what the app refuses for another reason is left to it
    "{me{... on Nope{nam}}}",
    "{me{... on Filter{nam}}}",
    "{me{id}} fragment F on Nope{nam}",
    "{me{name{first}}}",
    "{me}",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_field_that_the_schema_of_the_app_lacks_is_refused(text):
    name, owner, path = UNKNOWN[text]
    detail = f"Cannot query field '{name}' on type '{owner}'."
    assert told(ask(text, schema=OF_AN_APP, introspection="allow")) == ("GRAPHQL_INVALID", detail, path)


@pytest.mark.parametrize("text", KNOWN)
def test_what_it_has_is_not(text):
    assert told(ask(text, schema=OF_AN_APP, introspection="allow")) is None


def test_a_subgraph_has_the_fields_of_its_federation():
    schema = of_an_app(BLOG.replace("type Query {", "type _Service { sdl: String } type Query { _service: _Service"))
    assert told(ask("{_service{sdl}}", schema=schema, introspection="allow")) is None


def test_it_is_said_as_the_app_says_it_without_what_it_suggests():
    text = "{user{id}}"
    (error,) = validate(OF_AN_APP, parse(text), [FieldsOnCorrectTypeRule])
    detail = told(ask(text, schema=OF_AN_APP))[1]
    assert error.message.startswith(detail)
    assert "users" in error.message
    assert "users" not in detail


def test_it_is_no_offence_and_costs_what_a_refused_request_costs():
    for number in range(50):
        denial = ask(f"{{serch{number}{{id}}}}", schema=OF_AN_APP).denial
        assert (denial.offence, denial.tokens, denial.status) == (None, 1, 400)


def test_a_long_name_is_cut():
    detail = told(ask("{" + "a" * 40_000 + "}", schema=OF_AN_APP))[1]
    assert detail == f"Cannot query field '{'a' * 100}...' on type 'Query'."


def test_before_it_is_asked_for_its_arguments():
    assert "'serch'" in told(ask("{me{serch(limit:3){id}}}", schema=OF_AN_APP))[1]
    assert "argument" in told(ask("{me{name(limit:3)}}", schema=OF_AN_APP))[1]


def test_each_document_of_a_batch_is_judged():
    to = reader(OF_AN_APP, batching=True)
    for documents in (["{me{id}}", "{serch}"], ["{serch}", "{me{id}}"]):
        payload = b"[" + b",".join(body(each) for each in documents) + b"]"
        assert refusal(post(to, payload)) == "GRAPHQL_INVALID"


def test_what_was_refused_is_refused_again_and_the_next_one_is_not():
    to = reader(OF_AN_APP)
    assert [refusal(post(to, body(text))) for text in ("{serch}", "{me{id}}") * 3] == ["GRAPHQL_INVALID", None] * 3


# --- whose schema it is ----------------------------------------------------------------------------------------------


def sources(folder: Path) -> dict[str, Any]:
    """Ways to give a schema that may be older than the app."""
    file = folder / "schema.graphql"
    file.write_text(BLOG)
    parsed = build_schema(BLOG, assume_valid_sdl=True)
    return {"text": BLOG, "path": file, "name": str(file), "parsed": parsed, "callable": lambda: parsed, "none": None}


@pytest.mark.parametrize("source", ["text", "path", "name", "parsed", "callable", "none"])
@pytest.mark.parametrize("text", UNKNOWN)
def test_a_schema_that_may_be_older_than_the_app_refuses_no_new_field(text, source, tmp_path):
    name = "A" if "query A" in text else None
    assert told(ask(text, schema=sources(tmp_path)[source], introspection="allow", name=name)) is None


@dataclass(frozen=True, slots=True)
class Code:
    """A place of a schema that holds code."""

    kind: str
    attribute: str

    def give(self, schema: GraphQLSchema) -> None:
        """Put some there."""
        holder: Any = schema.type_map[self.kind]
        if "." in self.attribute:
            name, _, attribute = self.attribute.partition(".")
            setattr(holder.fields[name], attribute, lambda *_: None)
        else:
            setattr(holder, self.attribute, lambda *_: None)


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("Query", "me.resolve"),
        ("User", "name.resolve"),
        ("Subscription", "posted.subscribe"),
        ("Hit", "resolve_type"),
        ("Named", "resolve_type"),
        ("User", "is_type_of"),
    ],
)
def test_a_schema_that_holds_code_is_the_one_of_the_app(kind, attribute):
    schema = build_schema(BLOG, assume_valid_sdl=True)
    Code(kind, attribute).give(schema)
    assert refusal(ask("{serch}", schema=schema)) == "GRAPHQL_INVALID"
    assert refusal(ask("{serch}", schema=lambda: schema)) == "GRAPHQL_INVALID"


def test_a_host_that_does_not_validate_answers_such_a_document():
    """FraiseQL, which is known by its resolvers."""

    def resolve(*_: object) -> None: ...

    resolve.__module__ = "fraiseql.gql.builders"
    schema = GraphQLSchema(GraphQLObjectType("Query", {"me": GraphQLField(GraphQLString, resolve=resolve)}))
    assert told(ask("{me serch}", schema=schema)) is None


@pytest.mark.parametrize("paths", ["/graphql,/other/graphql", "/"])
def test_several_endpoints_may_have_several_schemas(paths):
    assert told(ask("{serch}", schema=OF_AN_APP, graphql_paths=paths)) is None
    assert refusal(ask("{serch}", schema=OF_AN_APP, graphql_paths="/api/graphql")) == "GRAPHQL_INVALID"


def test_the_operator_can_leave_them_to_the_app():
    assert told(ask("{serch}", schema=OF_AN_APP, unknown_fields="pass")) is None


# --- graphql-core is asked -------------------------------------------------------------------------------------------

NAMES = (*LEAVES, *COMPOSITES, "serch", "Id", "__typename")
CONDITIONS = (*OBJECTS, *INTERFACES, "U", "V", "Query", "Mutation", "Nope", "Filter", "Color", "Int")

FOUND_BEFORE = ("an argument that it does not have", "__typename has neither arguments nor a selection")
"""Why a document may be refused of which a field is unknown as well."""


class Names(Visitor):
    """Where a document names fields and type conditions: begin, end, what may stand there instead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int, tuple[str, ...]]] = []

    def _note(self, name: NameNode, others: tuple[str, ...]) -> None:
        self.found.append((name.loc.start, name.loc.end, others))

    def enter_field(self, node: FieldNode, *_: object) -> None:
        # What introspection selects has limits of its own.
        self._note(node.name, NAMES if node.selection_set else (*NAMES, "__schema", "__type"))

    def enter_inline_fragment(self, node: InlineFragmentNode, *_: object) -> None:
        if node.type_condition:
            self._note(node.type_condition.name, CONDITIONS)

    def enter_fragment_definition(self, node: FragmentDefinitionNode, *_: object) -> None:
        self._note(node.type_condition.name, CONDITIONS)


def misspelled(text: str, rng: Random, share: float) -> str:
    """The document with other names of some fields and type conditions."""
    names = Names()
    visit(parse(text), names)
    for start, end, others in sorted(names.found, reverse=True):
        if rng.random() < share:
            text = text[:start] + rng.choice(others) + text[end:]
    return text


def compared(seed: int) -> tuple[int, int]:
    """How many random documents graphql-core accepts and rejects for their fields, if the guard agrees."""
    rng = Random(seed)
    schema = of_an_app(random_schema(rng))
    to, counts = reader(schema, **WIDE), [0, 0]
    for _ in range(DOCUMENTS):
        text = misspelled(Writer(schema, rng).document(), rng, rng.choice([0.0, 0.05, 0.3]))
        errors = [each.message for each in validate(schema, parse(text), [FieldsOnCorrectTypeRule], max_errors=1000)]
        found = told(post(to, body(text, operationName="Q0")))
        shown = found, errors, text, print_schema(schema)
        for_field = found is not None and found[1].startswith("Cannot query field")
        before = found is not None and any(each in found[1] for each in FOUND_BEFORE)
        assert for_field <= bool(errors), shown
        assert for_field or before or not errors, shown
        assert not for_field or any(each.startswith(found[1]) for each in errors), shown
        counts[bool(errors)] += 1
    return counts[0], counts[1]


@given(st.integers(0, 2**32))
def test_a_field_is_unknown_exactly_where_graphql_core_says_so(seed):
    compared(seed)


def test_there_are_enough_of_both():
    accepted, rejected = (sum(each) for each in zip(*(compared(seed) for seed in range(10)), strict=True))
    assert min(accepted, rejected) > 0.1 * (accepted + rejected)
