"""Hostile requests that grow: each attack is a body of any size, made of one pattern that repeats.

The documents are written for the schema of the Starlette example, so that validators have to look at all of them
instead of stopping at the first unknown field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Build = Callable[[int, str], bytes]
"""A body of so many repetitions, and a salt that makes an equal one another document."""


@dataclass(frozen=True, slots=True)
class Attack:
    """``family`` is one of those that the goals speak of; ``build`` grows with its number."""

    name: str
    family: str
    build: Build

    def repetitions(self, fits: Callable[[bytes], bool]) -> int:
        """The largest number of repetitions for which ``fits`` holds (it must not hold again beyond that); else 0."""
        high = 1
        while fits(self.build(high, "0")):
            high *= 2
        low = high // 2
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(self.build(middle, "0")) else (low, middle)
        return low


def _body(query: str, salt: str, variables: Any = None) -> bytes:
    envelope = {"query": f"{query}\n#{salt}"} | ({"variables": variables} if variables is not None else {})
    return json.dumps(envelope, ensure_ascii=False).encode()


def _repeat(head: str, unit: str, tail: str) -> Build:
    """``unit`` again and again; ``%d`` in it is the number of the repetition."""
    if "%d" not in unit:
        return lambda count, salt: _body(head + unit * count + tail, salt)
    return lambda count, salt: _body(head + "".join([unit % number for number in range(count)]) + tail, salt)


def _mirror(head: str, opening: str, middle: str, closing: str, tail: str) -> Build:
    return lambda count, salt: _body(head + opening * count + middle + closing * count + tail, salt)


def _bomb(inside: str) -> Build:
    """Fragments, each of which spreads the next (``%d``) twice."""

    def build(count: int, salt: str) -> bytes:
        parts = [f"fragment F{number} on User{{{inside.replace('%d', str(number + 1))}}}" for number in range(count)]
        return _body(f'{{user(id:"1"){{...F0}}}}{"".join(parts)}fragment F{count} on User{{id}}', salt)

    return build


def _cycle(count: int, salt: str) -> bytes:
    parts = [f"fragment F{number} on User{{...F{(number + 1) % count}}}" for number in range(count)]
    return _body(f'{{user(id:"1"){{...F0}}}}{"".join(parts)}', salt)


def _entangled(keys: int) -> Build:
    """Levels of fragments whose selections merge in a new combination on every path."""

    def inside(level: int, key: int) -> str:
        fields = (f"k{n}:invitedBy{{...F{level + 1}x{n ^ (key & 1)} ...F{level + 1}x{key}}}" for n in range(keys))
        return f"fragment F{level}x{key} on User{{{' '.join(fields)} u{level}{key}:id}}"

    def build(count: int, salt: str) -> bytes:
        parts = [inside(level, key) for level in range(count) for key in range(keys)]
        parts += [f"fragment F{count}x{key} on User{{z{key}:id}}" for key in range(keys)]
        return _body(f'{{user(id:"1"){{...F0x0 ...F0x1}}}}{"".join(parts)}', salt)

    return build


def _switches(count: int, salt: str) -> bytes:
    """Every field hangs on a variable of its own."""
    declared = " ".join(f"$s{number}:Boolean!" for number in range(count))
    fields = " ".join(f"f{number}:id@skip(if:$s{number})" for number in range(count))
    variables = {f"s{number}": number % 2 == 0 for number in range(count)}
    return _body(f'query({declared}){{user(id:"1"){{{fields}}}}}', salt, variables)


SEARCHED: Final = "query($v:String!,$w:Int=2){search(text:$v,limit:$w){__typename}}"


def _variables(make: Callable[[int], str]) -> Build:
    """A variable whose JSON text is made, so that its form is exact."""

    def build(count: int, salt: str) -> bytes:
        query = json.dumps(f"{SEARCHED}\n#{salt}")
        return f'{{"query":{query},"variables":{{"v":{make(count)}}}}}'.encode()

    return build


def _object(keys: Iterable[str], value: str) -> str:
    return "{" + ",".join([f'"{key}":{value}' for key in keys]) + "}"


def _escaped(count: int, salt: str) -> bytes:
    """Ignored characters, each written as an escape of JSON."""
    return b'{"query":"{users{id}}' + b"\\u002c" * count + f'#{salt}"}}'.encode()


FAMILIES: Final[Mapping[str, Mapping[str, Build]]] = {
    "aliases": {
        "aliases": _repeat("{", 'a%d:user(id:"1"){id} ', "}"),
        "aliases of leaves": _repeat('{user(id:"1"){', "a%d:id ", "}}"),
    },
    "nesting": {
        "nested fields": _mirror('{user(id:"1")', "{invitedBy", "{id}", "}", "}"),
        "nested inline fragments": _mirror('{user(id:"1"){', "...{", "id", "}", "}}"),
        "unclosed braces": _repeat("{", "a{", ""),
    },
    "directives": {
        "repeated directives": _repeat('{user(id:"1"){id', "@skip(if:false)", "}}"),
        "unknown directives": _repeat("{users{id", "@a", "}}"),
        "switches by variables": _switches,
    },
    "fragment bombs": {
        "doubling fields": _bomb("invitedBy{...F%d} b:invitedBy{...F%d}"),
        "doubling spreads": _bomb("...F%d ...F%d"),
        "repeated spreads": _repeat('{user(id:"1"){', "...F ", "}}fragment F on User{id}"),
        "cycle of fragments": _cycle,
        "many operations": _repeat("", "query Q%d{users{id}}", ""),
    },
    "repeated fields": {
        "repeated leaves": _repeat('{user(id:"1"){', "id ", "}}"),
        "repeated root fields": _repeat("{", "users(limit:1){id}", "}"),
    },
    "overlapping fields": {
        "equal selections": _repeat('{user(id:"1"){', "posts{author{posts{id}}}", "}}"),
        "unequal arguments": _repeat('{user(id:"1"){', "posts(limit:%d){id}", "}}"),
        "entangled fragments": _entangled(4),
    },
    "strings": {
        "long string": _repeat('{user(id:"', "a", '"){id}}'),
        "escapes": _repeat('{user(id:"', '\\"', '"){id}}'),
        "escaped block quotes": _repeat('{user(id:"""', '\\"""', '"""){id}}'),
        "unclosed quotes": _repeat('{user(id:"', '\\"\\"', ""),
        "many strings": _repeat("{search(text:[", '"" ', "]){__typename}}"),
    },
    "comments": {
        "short comments": _repeat("{users{id}}", "#\n", ""),
        "long comment": _repeat("{users{id}}#", "a", ""),
        "commas": _repeat("{users{id}}", ",", ""),
        "commas as JSON escapes": _escaped,
    },
    "literals": {
        "list": _repeat("{users(limit:[", "1 ", "]){id}}"),
        "object": _repeat("{users(limit:{", "k%d:1 ", "}){id}}"),
        "nested lists": _mirror("{users(limit:", "[", "1", "]", "){id}}"),
        "long number": _repeat("{users(limit:", "9", "){id}}"),
        "long name": _repeat("{users{", "a", "}}"),
        "many arguments": _repeat("{users(", "a%d:1 ", "){id}}"),
    },
    "variables": {
        "list of numbers": _variables(lambda count: f"[{','.join(['1'] * count)}]"),
        "list of lists": _variables(lambda count: f"[{','.join(['[]'] * count)}]"),
        "deep lists": _variables(lambda count: "[" * count + "]" * count),
        "unclosed lists": _variables(lambda count: "[" * count),
        "object keys": _variables(lambda count: _object([f"k{number}" for number in range(count)], "1")),
        "one key repeated": _variables(lambda count: _object(["k"] * count, '":"')),
        "long text": _variables(lambda count: f'"{"a" * count}"'),
        "long whole number": _variables(lambda count: "9" * count),
        "definitions": _repeat("query(", "$v%d:Int=1 ", "){users{id}}"),
    },
}  # fmt: skip

ATTACKS: Final = tuple(
    Attack(name, family, build) for family, builds in FAMILIES.items() for name, build in builds.items()
)
