"""Random documents for a schema that are mostly valid. Whether one is, graphql-core is asked.

Aliases are other fields' names, so that selections meet that differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    version_info,
)

from tests.graphql.random_schemas import COMPOSITES, LEAVES, OBJECTS


@dataclass(slots=True)
class _Fragment:
    name: str
    on: str
    text: str
    variables: set[str]
    spreads: set[str]


@dataclass(slots=True)
class Writer:
    """Writes one document. What one key asks for in one type is mostly the same everywhere."""

    schema: GraphQLSchema
    rng: Random
    fragments: list[_Fragment] = field(default_factory=list)
    said: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    spreads: set[str] = field(default_factory=set)

    def document(self) -> str:
        """One operation or more, with the fragments that they spread, in any order."""
        kinds = [self.rng.choice(["query", "query", "query", "query", "mutation", "mutation", "subscription"])]
        kinds += ["query"] * self.rng.choice([0, 0, 0, 1])
        parts = [self._operation(kind, f"Q{number}") for number, kind in enumerate(kinds)]
        parts += [f"fragment {each.name} on {each.on} {self._once()}{each.text}" for each in self.fragments]
        self.rng.shuffle(parts)
        return self._blank().join(parts)

    def _operation(self, kind: str, name: str) -> str:
        root = getattr(self.schema, f"{kind}_type").name
        self.variables, self.spreads = set(), set()
        selection = self._selection(root, 0, most=1 if kind == "subscription" else 3)
        variables, spreads = self.variables, self.spreads
        for each in reversed(self.fragments):  # each spreads those before it
            if each.name in spreads:
                variables, spreads = variables | each.variables, spreads | each.spreads
        shown = [f"${_named(each)}: {each}{self._default(each)} {self._once()}" for each in sorted(variables)]
        self.rng.shuffle(shown)
        described = self.rng.choice(_DESCRIPTIONS)
        return f"{described}{kind} {name}{'(' + ' '.join(shown) + ')' if shown else ''} {selection}"

    def _default(self, kind: str) -> str:
        nullable = not kind.endswith("!")
        return f" = {self._literal_of(kind.rstrip('!'))}" if nullable and self.rng.random() < 0.3 else ""

    def _selection(self, owner: str, depth: int, *, most: int = 3) -> str:
        parts = [self._part(owner, depth) for _ in range(self.rng.randint(1, most))]
        return "{" + self._blank().join(parts) + self.rng.choice(["}", " }", ",\n}"])

    def _part(self, owner: str, depth: int) -> str:
        chance = self.rng.random()
        if depth < 4 and chance < 0.25:
            condition = self._overlapping(owner)
            shown = f"on {condition} " if condition != owner or self.rng.random() < 0.5 else ""
            return f"... {shown}{self._directive()}{self._selection(condition, depth + 1)}"
        if depth < 3 and chance < 0.35:
            return f"...{self._spread(owner, depth)} {self._directive()}"
        return self._field(owner, depth)

    def _overlapping(self, owner: str) -> str:
        here = self._possible(owner)
        names = ("I", "J", "K", "U", "V", *OBJECTS, owner)
        return self.rng.choice([name for name in names if here & self._possible(name)] or [owner])

    def _possible(self, name: str) -> set[str]:
        kind = self.schema.type_map[name]
        return {each.name for each in self.schema.get_possible_types(kind)} if is_abstract_type(kind) else {name}

    def _spread(self, owner: str, depth: int) -> str:
        here = self._possible(owner)
        fitting = [each for each in self.fragments if here & self._possible(each.on)]
        if fitting and self.rng.random() < 0.5:
            name = self.rng.choice(fitting).name
        else:
            around = self.variables, self.spreads
            self.variables, self.spreads = set(), set()
            on = self._overlapping(owner)
            text = self._selection(on, depth + 2)
            name = f"F{len(self.fragments)}"
            self.fragments.append(_Fragment(name, on, text, self.variables, self.spreads))
            self.variables, self.spreads = around
        self.spreads.add(name)
        return name

    def _field(self, owner: str, depth: int) -> str:
        fields = getattr(self.schema.type_map[owner], "fields", {})
        leaves = [name for name, item in fields.items() if not is_composite_type(get_named_type(item.type))]
        names = leaves if depth > 3 else list(fields)
        if not names or self.rng.random() < 0.05:
            return self.rng.choice(["__typename", "kind: __typename"])
        key = name = self.rng.choice(names)
        if self.rng.random() < 0.2:
            key = self.rng.choice([*LEAVES, *COMPOSITES])
        said, arguments = self.said.setdefault((owner, key), (name, self._arguments(fields[name])))
        if said not in names or self.rng.random() < 0.02:
            said, arguments = name, self._arguments(fields[name])
        name = said
        if arguments and "$" in arguments:
            self.variables |= {each for each in _VARIABLES if f"${_named(each)}" in arguments.replace(":", " ").split()}
        item = fields[name]
        below = is_composite_type(get_named_type(item.type))
        selection = self._selection(get_named_type(item.type).name, depth + 1) if below else ""
        return f"{key + ': ' if key != name else ''}{name}{arguments} {self._directive()}{selection}"

    def _arguments(self, item: object) -> str:
        given = [
            f"{name}: {self._value(argument.type)} "
            for name, argument in item.args.items()
            if is_non_null_type(argument.type) or self.rng.random() < 0.4
        ]
        self.rng.shuffle(given)
        return "(" + self.rng.choice(["", ", "]).join(given) + ")" if given else ""

    def _value(self, kind: object) -> str:
        if str(kind) in _VARIABLES and self.rng.random() < 0.25:
            return f"${_named(str(kind))}"
        return self._literal(kind)

    def _literal_of(self, kind: str) -> str:
        return next(self._constant(item) for name, item in _kinds(self.schema).items() if name == kind)

    def _constant(self, kind: object) -> str:
        return self._literal(kind, constant=True)

    def _literal(self, kind: object, *, constant: bool = False, depth: int = 0) -> str:
        if not is_non_null_type(kind) and self.rng.random() < 0.1:
            return "null"
        kind = get_nullable_type(kind)
        if is_list_type(kind):
            items = [
                self._literal(kind.of_type, constant=constant, depth=depth + 1) for _ in range(self.rng.randint(0, 3))
            ]
            return "[" + ", ".join(items) + "]"
        if isinstance(kind, GraphQLInputObjectType):
            names = self.rng.sample(sorted(kind.fields), self.rng.randint(0, 3) if depth < 3 else 0)
            return "{" + ", ".join(f"{n}: {self._literal(kind.fields[n].type, depth=depth + 1)}" for n in names) + "}"
        if isinstance(kind, GraphQLEnumType):
            return self.rng.choice(list(kind.values))
        return self.rng.choice(_LITERALS[kind.name])

    def _directive(self) -> str:
        chance = self.rng.random()
        if chance > 0.15:
            return ""
        if chance < 0.04:
            return f"@note(text: {self.rng.choice(_LITERALS['String'])}) " * self.rng.randint(1, 2)
        return self.rng.choice(["@skip(if: false) ", "@include(if: true) ", "@skip(if: true) ", "@include(if: false) "])

    def _once(self) -> str:
        return self.rng.choice(["", "", "", "@once ", "@once(of: [1, 2]) "])

    def _blank(self) -> str:
        return self.rng.choice([" ", " ", "\n", ", ", "\r\n  ", ' # a comment, {with} "marks"\n', "\ufeff"])


_DESCRIPTIONS = ["", "", "", *(['"It says {a, b} # so." ', '"""\n  So.\n"""\n'] if version_info >= (3, 3) else [])]
_VARIABLES = ("Int", "String", "Boolean", "Color", "Filter", "[Int!]", "Int!")
_LITERALS = {
    "Int": ["0", "1", "-1", "2147483647"],
    "Float": ["0.5", "1", "-1.5e3", "1E-2"],
    "String": ['"a"', '""', r'"é\u00e9\n\"{"', '"""\n  block "quoted" \\""" {\n    deeper\n"""', '"# no comment"'],
    "ID": ['"1"', "1"],
    "Boolean": ["true", "false"],
}


def _named(kind: str) -> str:
    return "v" + "".join({"[": "L", "]": "", "!": "N"}.get(letter, letter) for letter in kind)


def _kinds(schema: GraphQLSchema) -> dict[str, object]:
    return {
        str(arg.type): arg.type
        for item in schema.type_map.values()
        for f in getattr(item, "fields", {}).values()
        for arg in getattr(f, "args", {}).values()
    }
