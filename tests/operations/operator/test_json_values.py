"""The operator's values survive their way through JSON, also to and from another version."""

import json
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraiseql_guard.operations.operator import interface
from fraiseql_guard.operations.operator.interface import Block, Done, Origin, Status, Target, Worker
from fraiseql_guard.operations.operator.json_values import from_json, to_plain
from tests.support.properties import examples

KINDS = [each for each in vars(interface).values() if isinstance(each, type) and is_dataclass(each)]


JSON_OBJECTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3)


@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_value_comes_back_as_it_was(kind):
    free = {each.name: JSON_OBJECTS for each in fields(kind) if each.name in ("details", "fields", "report")}

    @examples(30)
    @given(st.builds(kind, **free))
    def there_and_back(value):
        shape = to_plain(value)
        assert set(shape) == {each.name for each in fields(kind)}
        assert to_plain(from_json(kind, shape)) == shape

    there_and_back()


BLOCK = {"target": {"user_id": "ada"}, "origin": "operator", "policy": "operator", "expires_in_seconds": 5}


def test_fields_of_a_newer_version_are_left_out_and_missing_ones_have_their_defaults():
    block = from_json(Block, {**BLOCK, "mood": "blue", "target": {"user_id": "ada", "shoe_size": 39}})
    assert block == Block(
        target=Target(user_id="ada"), origin=Origin.OPERATOR, policy="operator", expires_in_seconds=5.0
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Block, {}),
        (Block, []),
        (Block, None),
        (Block, {**BLOCK, "origin": "elsewhere"}),
        (Block, {**BLOCK, "expires_in_seconds": "5"}),
        (Block, {**BLOCK, "expires_in_seconds": True}),
        (Block, {**BLOCK, "target": "ada"}),
        (Done, {"message": 1}),
        (Done, {"message": "x", "details": 5}),
        (Status, {"at": 1, "store": "redis", "store_answers": True, "workers": 5, "switches": [], "sanctions": 0}),
        (Worker, {"id": "a"}),
    ],
)
def test_what_is_no_such_value_is_refused(kind, value):
    with pytest.raises(ValueError, match="is no"):
        from_json(kind, value)


def test_everything_is_json():
    json.dumps(to_plain(Done(message="x", details={"a": (1, Origin.OPERATOR)})))
