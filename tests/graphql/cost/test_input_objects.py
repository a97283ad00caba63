"""With a schema a price is never below the number of objects that real resolvers return."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLInputObjectType
from graphql.type import get_named_type, is_abstract_type, is_composite_type, is_list_type
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.graphql.counting_host import SDL, UNSIZED, CountingHost
from tests.graphql.requests import ask, complexity
from tests.support.properties import examples

HOST = CountingHost()
OPTIONS = {"list_multiplier": UNSIZED}
_MOST = 3000


@st.composite
def documents(draw):
    """Valid queries. Aliases are never equal, so that nothing merges by chance."""
    number = iter(range(10**6))

    def value(name: str, kind: Any) -> str:
        if isinstance(get_named_type(kind), GraphQLInputObjectType):
            fields = draw(st.lists(st.sampled_from(sorted(get_named_type(kind).fields)), max_size=2, unique=True))
            inside = [f"{key}: {value(key, get_named_type(kind).fields[key].type)}" for key in fields]
            return "{" + " ".join(inside) + "}"
        if name in ("ids", "representations"):
            return "[" + "1 " * draw(st.integers(0, 4)) + "]"
        return str(draw(st.sampled_from([0, 1, 2, 3, 4, 5, -2, -5])))

    def selection(kind: Any, depth: int) -> str:
        parts = ["t:__typename"]
        if is_abstract_type(kind):
            possible = [one for one in HOST.schema.get_possible_types(kind) if draw(st.booleans())]
            parts += [f"... on {one.name}" + selection(one, depth) for one in possible]
        names = sorted(getattr(kind, "fields", ()))
        for name in draw(st.lists(st.sampled_from(names), max_size=3)) if names else ():
            field = kind.fields[name]
            composite = is_composite_type(get_named_type(field.type))
            if composite and depth == 0:
                continue
            given = [key for key in field.args if str(field.args[key].type).endswith("!") or draw(st.booleans())]
            arguments = ", ".join(f"{key}: {value(key, field.args[key].type)}" for key in given)
            inside = selection(get_named_type(field.type), depth - 1) if composite else ""
            parts.append(f"a{next(number)}: {name}{f'({arguments})' if arguments else ''} {inside}")
        return "{" + " ".join(parts) + "}"

    return selection(HOST.schema.query_type, 4)


@examples(300)
@given(documents())
def test_the_price_is_at_least_the_number_of_objects(text):
    price = complexity(text, schema=SDL, **OPTIONS)
    assume(price < _MOST)
    assert price >= HOST.run(text)


@st.composite
def lists(draw, kind="Query", depth=3):
    """Nothing but lists with a size of one or more."""
    fields = HOST.schema.type_map[kind].fields
    names = [name for name in ("orders", "parts") if name in fields and is_list_type(fields[name].type)]
    size = draw(st.integers(1, 5))
    parts = [f"{name}{n}: {name}(limit: {size}) " + draw(lists(get_named_type(fields[name].type).name, depth - 1))
             for n, name in enumerate(names) if depth]  # fmt: skip
    return "{" + " ".join(["t:__typename", *parts]) + "}"


@examples(50)
@given(lists())
def test_the_price_of_lists_is_the_number_of_their_objects(text):
    assert complexity(text, schema=SDL, **OPTIONS) == HOST.run(text)


ORDERS = "{ orders(limit: 100) { %s customer { orders(limit: 100) { id } } } }"


@pytest.mark.parametrize("beside", ["items { id }", "nodes { id }", "nodes(count: 1) { id }", ""])
def test_a_list_with_items_of_its_own_costs_what_it_brings(beside):
    text = ORDERS % beside
    objects = HOST.run(text)
    assert objects >= 100 * (1 + 1 + 100)
    assert complexity(text, schema=SDL, **OPTIONS) == objects
    assert complexity(text) >= objects
    assert ask(text, schema=SDL).denial.offence == "dos"


def test_four_levels_of_lists_cost_what_they_bring():
    text = "{ orders(limit: 100) " + "{ items { id } customer { orders(limit: 100) " * 3 + "{ id }" + " } }" * 3 + "}"
    for schema in (SDL, None):
        assert complexity(text, schema=schema) > 100**4
