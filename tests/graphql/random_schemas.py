"""Random valid schemas: a few names shared by many types, so that selections meet that differ."""

from __future__ import annotations

from random import Random

from graphql import GraphQLSchema, build_schema, validate_schema

LEAVES = {"id": "ID!", "name": "String", "size": "Int", "color": "Color", "tags": "[String!]!", "ratio": "Float"}
COMPOSITES = {"one": "{}", "two": "{}!", "many": "[{}!]", "few": "[{}]"}
INPUTS = ("Int", "Float", "String", "ID", "Boolean", "Color", "Filter", "[Int!]", "[Filter]", "Int! = 3", "[[String]]")
OBJECTS = ("A", "B", "C", "D")
INTERFACES = ("I", "J", "K")
FIXED = """
directive @note(text: String, filter: Filter) repeatable on FIELD | INLINE_FRAGMENT | FRAGMENT_SPREAD | QUERY | MUTATION
directive @once(of: [Int]) on FIELD | FRAGMENT_DEFINITION | VARIABLE_DEFINITION
enum Color { RED GREEN on fragment }
input Filter { size: Int = 7, name: String, any: [Filter!], color: Color, ratio: Float }
"""


def random_schema(rng: Random) -> GraphQLSchema:
    """A valid schema of some interfaces, objects and unions."""
    while True:
        schema = build_schema(_sdl(rng))
        if not validate_schema(schema):
            return schema


def _sdl(rng: Random) -> str:
    extends = {"I": (), "J": rng.choice([(), ("I",)]), "K": ()}
    root = rng.choice(["Query", "Root"])
    implements = {name: _closed(rng.sample(INTERFACES, rng.randint(0, 2)), extends) for name in OBJECTS}
    implements["A"] = _closed({*implements["A"], "I", "K"}, extends)
    implements[root] = _closed(rng.sample(INTERFACES, rng.choice([0, 0, 1])), extends)
    implements["Mutation"] = implements["Subscription"] = ()
    arguments = {name: _arguments(rng, required=True) for name in (*LEAVES, *COMPOSITES)}
    targets = {name: rng.choice([*INTERFACES, *OBJECTS, "U"]) for name in COMPOSITES}
    own = {each: rng.sample([*LEAVES, *COMPOSITES], rng.randint(2, 5)) for each in INTERFACES}
    possible = {each: [name for name in (*OBJECTS, root) if each in implements[name]] for each in INTERFACES}
    possible |= {"U": rng.sample(OBJECTS, rng.randint(1, 4)), "V": list(OBJECTS)}
    narrowed = {name: [target, *possible.get(target, ())] for name, target in targets.items()}
    narrowed |= {name: [""] for name in LEAVES}
    lines = [FIXED, *(f"union {name} = {' | '.join(possible[name])}" for name in ("U", "V"))]
    for each in INTERFACES:
        names = dict.fromkeys([*own[each], *(name for other in extends[each] for name in own[other])])
        shown = " ".join(_field(name, arguments[name], targets.get(name, "")) for name in names)
        lines.append(f"interface {each}{_implementing(extends[each])} {{ {shown} }}")
    for each in (*OBJECTS, root, "Mutation", "Subscription"):
        inherited = dict.fromkeys(name for other in implements[each] for name in own[other])
        further = [name for name in rng.sample([*LEAVES, *COMPOSITES], rng.randint(3, 7)) if name not in inherited]
        shown = [
            _field(name, arguments[name] + _arguments(rng, required=False), rng.choice(narrowed[name]))
            for name in inherited
        ]
        anything = [*INTERFACES, *OBJECTS, "U", "V"]
        shown += [_field(name, _arguments(rng, required=True), rng.choice(anything)) for name in further]
        lines.append(f"type {each}{_implementing(implements[each])} {{ {' '.join(shown)} }}")
    lines.append(f"schema {{ query: {root} mutation: Mutation subscription: Subscription }}")
    return "\n".join(lines)


def _closed(names: object, extends: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    found = dict.fromkeys(names)
    return tuple(dict.fromkeys([*found, *(other for name in found for other in extends[name])]))


def _implementing(names: tuple[str, ...]) -> str:
    return f" implements {' & '.join(names)}" if names else ""


def _arguments(rng: Random, *, required: bool) -> list[str]:
    names = rng.sample("pqr" if required else "xyz", rng.choice([0, 0, 1, 2]))
    return [f"{name}: {rng.choice(INPUTS)}" for name in names]


def _field(name: str, arguments: list[str], target: str) -> str:
    kind = LEAVES.get(name) or COMPOSITES[name].format(target)
    return f"{name}{'(' + ', '.join(arguments) + ')' if arguments else ''}: {kind}"
