"""What the fields of input objects cost, where a schema says so (@cost on input fields)."""

from __future__ import annotations

from collections.abc import Mapping

from fraiseql_guard.graphql.cost.input_types import ArgumentRule
from fraiseql_guard.graphql.syntax.values import Bindings, Value, VariableNode


class InputWeights:
    """Adds up the costs of input fields. ``inputs`` are the types in which @cost stands somewhere."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Mapping[str, Mapping[str, ArgumentRule]]) -> None:
        self._inputs = inputs

    def counts(self, kind: str) -> bool:
        """Whether values of a type can cost anything."""
        return kind in self._inputs

    def of(self, value: Value, kind: str, bindings: Bindings) -> int:
        """The costs of the input fields in a value of the type ``kind``; each variable is weighed once."""
        points = 0
        pending = [(value, kind)]
        while pending:
            value, kind = pending.pop()
            if type(value) is VariableNode:
                points += self._of_variable(value, kind, bindings)
            elif type(value) is list:
                pending.extend((item, kind) for item in value)
            elif type(value) is dict:
                rules = self._inputs.get(kind, {})
                for name in value.keys() & rules.keys():
                    points += rules[name].points
                    if rules[name].kind in self._inputs:
                        pending.append((value[name], rules[name].kind))
        return points

    def _of_variable(self, value: VariableNode, kind: str, bindings: Bindings) -> int:
        key = f"{value.name}:{kind}"  # a colon is in no variable's name
        if key not in bindings.memo:
            bindings.memo[key] = 0  # a variable's value holds no variables; its default might name itself
            bindings.memo[key] = max(self.of(item, kind, bindings) for item in bindings.candidates(value))
        return int(bindings.memo[key])
