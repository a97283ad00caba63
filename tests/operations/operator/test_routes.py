"""The table of routes and the Operator's methods say the same, and a client's request means the call that it was."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.operator.interface import Operator, OperatorError, Origin, Target
from fraiseql_guard.operations.operator.route import Route
from fraiseql_guard.operations.operator.routes import ROUTES
from tests.support.properties import examples

METHODS = {name: method for name, method in vars(Operator).items() if inspect.iscoroutinefunction(method)}
IN_PAGES = {"blocks": "blocks_page", "limits": "limits_page"}
"""Whole lists, which only Python gives: HTTP gives their pages."""
COMPOSED = {"target", "documents"}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


every_route = pytest.mark.parametrize("route", ROUTES, ids=named)


def test_every_method_has_a_route():
    assert {route.calls for route in ROUTES} == set(METHODS) - set(IN_PAGES)


@every_route
def test_the_fields_of_a_route_are_the_arguments_of_its_method(route):
    parameters = inspect.signature(METHODS[route.calls]).parameters
    carried = [*route.fixed, *dict.fromkeys(field.taken_as for field in route.fields)]
    told = [name for name, is_told in {
        "actor": route.event is not None, "caller": route.caller, "wait_seconds": route.accepted
    }.items() if is_told]  # fmt: skip
    without_value = ["value"] if route.calls == "switch" and route.path.endswith("-blocks") else []
    assert sorted([*carried, *told, *without_value]) == sorted(set(parameters) - {"self"})


@every_route
def test_what_a_method_needs_is_always_given(route):
    parameters = inspect.signature(METHODS[route.calls]).parameters.values()
    needed = {each.name for each in parameters if each.default is each.empty and each.name != "self"} - COMPOSED
    fields = {field.taken_as for field in route.fields if field.required or field.default is not None}
    assert needed <= {*route.fixed, *fields}


@every_route
def test_the_answer_is_what_the_method_returns(route):
    returned = get_type_hints(METHODS[route.calls])["return"]
    many = get_origin(returned) is Sequence
    (result,) = get_args(returned) if many else (returned,)
    assert route.many == many
    assert route.result is (None if get_origin(result) is Mapping else result)


ADDRESSES = st.ip_addresses().map(str)
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")


def values_of(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a field's schema allows, and a few that the field's reader refuses."""
    if "anyOf" in schema:
        return st.one_of(*map(values_of, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "format" in schema:
        return ADDRESSES | st.builds("{}/{}".format, ADDRESSES, st.integers(1, 32))
    if schema["type"] == "string":
        pattern = schema.get("pattern")
        return st.text(PRINTABLE) if pattern is None else st.from_regex(re.compile(pattern), alphabet=PRINTABLE)
    if schema["type"] == "boolean":
        return st.booleans()
    numbers = st.integers if schema["type"] == "integer" else st.floats
    return numbers(schema["minimum"], schema["maximum"])


@pytest.mark.hypothesis
@every_route
def test_a_request_made_of_a_call_means_that_call(route):
    values = {field.name: values_of(field.form.schema) for field in route.fields}
    optional = st.sets(st.sampled_from(sorted(values))) if values else st.just(set[str]())

    def read(written: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        forms = {field.name: field.form for field in route.fields}
        return route.calls_of({name: forms[name].read(value) for name, value in written.items()})

    @examples(20)
    @given(st.fixed_dictionaries(values), optional)
    def there_and_back(written, left_out):
        required = {field.name for field in route.fields if field.required}
        try:
            calls = read({name: value for name, value in written.items() if name in required or name not in left_out})
        except (OperatorError, ValueError):
            return  # refused: no call
        for call in calls:
            sent = json.loads(json.dumps(route.fields_of(call)))
            assert required <= set(sent)
            assert read(sent) == [call]

    there_and_back()


def route_of(method: str, path: str) -> Route:
    (found,) = (route for route in ROUTES if (route.method, route.path) == (method, path))
    return found


def test_a_user_and_an_address_are_two_calls_the_address_first():
    given_fields = {"user_id": "ada", "tenant": "t", "ip_address": "203.0.113.9", "reason": "why"}
    calls = route_of("POST", "/blocks").calls_of(given_fields)
    assert [call["target"] for call in calls] == [Target(ip_address="203.0.113.9"), Target(user_id="ada", tenant="t")]
    assert [call["reason"] for call in calls] == ["why", "why"]


@pytest.mark.parametrize("origin", [None, *Origin])
def test_every_origin_can_be_asked_for(origin):
    route = route_of("GET", "/lift")
    (field,) = route.query
    assert field.form.read(route.fields_of({"origin": origin})["origin"]) is origin


WITH_TARGETS = [route for route in ROUTES if any(field.argument == "target" for field in route.fields)]


@pytest.mark.parametrize("route", WITH_TARGETS, ids=named)
def test_a_login_is_refused_where_no_field_can_carry_it(route):
    with pytest.raises(OperatorError, match="a login can only be unlocked"):
        route.fields_of({"target": Target(identifier="ada", ip_address="203.0.113.9")})
