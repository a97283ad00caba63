"""Reads rules from YAML, of which JSON is a part, and says all that is wrong with them in one message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from fraiseql_guard.core import parsing
from fraiseql_guard.core.rules import ENFORCE, FAILURES, LIMITS_OF_RULES, MONITOR, NO_RULES, Rule, RuleMatch, Rules

MOST_RULES: Final = 200
MOST_FILE_BYTES: Final = 1024 * 1024
MOST_TEXT_BYTES: Final = 64 * 1024
"""Of rules in a variable, which every worker keeps, and which an operator may send it."""
_MOST_IN_A_LIST: Final = 1_000
_MOST_PROBLEMS: Final = 20
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}", re.ASCII)
_TIER: Final = re.compile(r"[-._0-9A-Za-z]{1,64}", re.ASCII)
_PATH: Final = re.compile(r"/(?:[^*\s]*/)?\*|/[^*\s]*", re.ASCII)
_RULES: Final = "rules"
ACCEPTED: Final = "YAML or JSON of rules, each with a name, what it matches, and what holds then"
EXAMPLE: Final = "[{name: exports, match: {only_root_fields: [exports]}, rate: 10/minute}]"


class RulesError(ValueError):
    """Rules that cannot be used. ``problems`` has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        left = len(problems) - _MOST_PROBLEMS
        more = [f"and {left} more"] if left > 0 else []
        super().__init__("; ".join((*problems[:_MOST_PROBLEMS], *more)))


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a rule: how its value is read, and which values are accepted."""

    read: Callable[[object], Any]
    accepts: str


def rules_of(value: object) -> Rules:
    """Rules in a variable or an argument: text of at most 64 KiB, or what such a text would hold. ValueError, a
    RulesError if they can be read at all, completes a sentence that begins with the variable."""
    if isinstance(value, Rules):
        return value
    if not isinstance(value, str):
        return _rules_in(value)
    if len(value.encode(errors="replace")) > MOST_TEXT_BYTES:
        raise ValueError(f"is longer than {MOST_TEXT_BYTES} bytes: put the rules into a file")
    return read_rules(value)


def rules_in_file(content: bytes) -> Rules:
    """Those of a file's content, of at most 1 MiB. ValueError as for :func:`rules_of`."""
    if len(content) > MOST_FILE_BYTES:
        raise ValueError(f"it is longer than {MOST_FILE_BYTES} bytes")
    return read_rules(content.decode())


def read_rules(text: str) -> Rules:
    """The rules of a text; an empty one has none. RulesError names the rule, the key and the value of each problem."""
    if not text.strip():
        return NO_RULES
    from fraiseql_guard.core.yaml_reader import NotYamlError, read_unique_keys  # with the first text

    try:
        found = read_unique_keys(text)
    except NotYamlError as error:
        raise RulesError([f"is not YAML{error.where}: {error.problem or 'it cannot be read'}"]) from None
    return NO_RULES if found is None else _rules_in(found)


def _rules_in(found: object) -> Rules:
    items = _items_of(found)
    problems: list[str] = []
    if len(items) > MOST_RULES:
        raise RulesError([f"{len(items)} rules, which are more than {MOST_RULES}"])
    named: dict[str, int] = {}
    rules: list[Rule] = []
    for number, item in enumerate(items, start=1):
        reading = _Reading(number, item)
        rule = reading.rule()
        problems += reading.problems
        if rule.name and (first := named.setdefault(rule.name, number)) != number:
            problems.append(f"rule {number}: name={rule.name!r} is the name of rule {first} already")
        rules.append(rule)
    if problems:
        raise RulesError(problems)
    return Rules(tuple(rules))


def _items_of(found: object) -> Sequence[object]:
    """The rules, of a list or of the key ``rules``."""
    if isinstance(found, Mapping):
        if unknown := [key for key in found if key != _RULES]:
            raise RulesError([f"has an unknown key {_shown(unknown[0])}{_near(unknown[0], [_RULES])}"])
        found = found.get(_RULES) or []
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise RulesError([f"has no list of rules. Accepted: {_RULES}: [{{name: ..., match: {{...}}, ...}}, ...]"])
    return found


class _Reading:
    """Reads one rule, and collects what is wrong with it."""

    def __init__(self, number: int, item: object) -> None:
        self._item: Mapping[Any, Any] = item if isinstance(item, Mapping) else {}
        name = self._item.get("name")
        self._where = f"rule {name!r}" if isinstance(name, str) and _NAME.fullmatch(name) else f"rule {number}"
        self.problems: list[str] = []
        if not isinstance(item, Mapping):
            self._tell("is no mapping of keys to values")

    def rule(self) -> Rule:
        """The rule; what cannot be read of it is left out."""
        if not self._item:
            return Rule(name="", match=RuleMatch())
        found = self._values(self._item, _KEYS, "")
        if "name" not in found and "name" not in self._item:
            self._tell(f"has no name. Accepted: {_KEYS['name'].accepts}")
        limits = {option: found[key] for key, option in LIMITS_OF_RULES.items() if key in found}
        effects = {key: value for key, value in found.items() if key not in (*LIMITS_OF_RULES, "name", "match")}
        return Rule(name=found.get("name", ""), match=self._match(), limits=limits, **effects)

    def _match(self) -> RuleMatch:
        given = self._item.get("match")
        if not isinstance(given, Mapping) or not given:
            accepted = f"Accepted: one or more of {', '.join(_MATCH)}; path: /* is every request"
            self._tell(f"does not say what it matches. {accepted}")
            return RuleMatch()
        found = self._values(given, _MATCH, "match.")
        if "path" in found:
            found["paths"] = found.pop("path")
        return RuleMatch(**found)

    def _values(self, given: Mapping[Any, Any], keys: Mapping[str, _Key], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in given.items():
            row = keys.get(key) if isinstance(key, str) else None
            if row is None:
                self._tell(f"has an unknown key {_shown(f'{where}{key}'[:80])}{_near(key, keys)}")
                continue
            if value is None:
                self._tell(f"{where}{key} has no value. Accepted: {row.accepts}")
                continue
            try:
                found[key] = row.read(value)
            except ValueError as error:
                self._tell(f"{where}{key}={_shown(value)} {error}. Accepted: {row.accepts}")
        return found

    def _tell(self, problem: str) -> None:
        says = problem.partition(" ")[0]
        self.problems.append(f"{self._where}: {problem}" if "=" in says else f"{self._where} {problem}")


def _shown(value: object) -> str:
    """A value for a message. One of a list is not written out: it may be long, and hold itself."""
    if isinstance(value, str | int | float | bool):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    if isinstance(value, Sequence):
        return "[" + ", ".join(_shown(each) for each in value[:3] if isinstance(each, str | int | float)) + "]"
    return type(value).__name__


def _near(key: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(key), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f". Accepted: {', '.join(known)}"


def _texts(value: object) -> Iterator[str]:
    """The texts of a list, or one alone."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not items:
        raise ValueError("is no list with anything in it")
    if len(items) > _MOST_IN_A_LIST:
        raise ValueError(f"has more than {_MOST_IN_A_LIST} entries")
    for each in items:
        if not isinstance(each, str):
            raise ValueError("holds something that is not text")
        yield each


def _names(pattern: re.Pattern[str], what: str) -> Callable[[object], frozenset[str]]:
    def read(value: object) -> frozenset[str]:
        found = frozenset(_texts(value))
        for each in found:
            if pattern.fullmatch(each) is None:
                raise ValueError(f"holds {_shown(each)}, which is not {what}")
        return found

    return read


def _paths(value: object) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_texts(value)))
    for each in found:
        if _PATH.fullmatch(each) is None or not each.isprintable():
            raise ValueError(f"holds {_shown(each)}, which is not such a path")
    # One spelling: a slash at the end makes no other path.
    return tuple(each if each.endswith("*") else each.rstrip("/") or "/" for each in found)


def _methods(value: object) -> frozenset[str]:
    return _names(_METHOD, "a method")([each.upper() for each in _texts(value)])


def _name(value: object) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ValueError("is not such a name")
    return value


def _mapping(value: object) -> object:
    return value  # read by itself, key by key


_NAMES: Final = _names(parsing.NAME, "a GraphQL name")
_LIST_OF_NAMES: Final = "a list of GraphQL names"
_COUNT: Final = _Key(parsing.integer(1), "a whole number of at least 1")

_MATCH: Final[Mapping[str, _Key]] = {
    "path": _Key(_paths, "a path that begins with /, or /api/* for all below one, or a list of them"),
    "methods": _Key(_methods, "a list of HTTP methods"),
    "operations": _Key(_NAMES, _LIST_OF_NAMES),
    "root_fields": _Key(_NAMES, _LIST_OF_NAMES),
    "only_root_fields": _Key(_NAMES, _LIST_OF_NAMES),
    "tiers": _Key(_names(_TIER, "the name of a tier"), "a list of tiers"),
}
_KEYS: Final[Mapping[str, _Key]] = {
    "name": _Key(_name, "up to 64 small letters, digits, dashes and underscores"),
    "match": _Key(_mapping, "a mapping"),
    "rate": _Key(parsing.rate, "a rate such as 10/minute, or 10/minute+100/day"),
    "cost": _Key(parsing.integer(0, 1_000_000), "a whole number of tokens from 0 to 1000000"),
    **dict.fromkeys(LIMITS_OF_RULES, _COUNT),
    "timeout": _Key(parsing.seconds, "seconds, more than 0 and at most 86400"),
    "mode": _Key(parsing.choice(MONITOR, ENFORCE), f"{MONITOR} or {ENFORCE}"),
    "count": _Key(parsing.choice("all", FAILURES), f"all or {FAILURES}"),
}
