"""The forms of settings about costs and lists: points by field or tier, rates by tier, fields and arguments of lists.

Parsers raise ``ValueError`` whose text completes the sentence "NAME='value' ...".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeVar

from fraiseql_guard.core.parsing import NAME, all_that_are, integer, items, rate, text
from fraiseql_guard.core.token_buckets import Rate

T = TypeVar("T", bound=Collection[str])

_TIER: Final = re.compile(r"[-._0-9A-Za-z]{1,64}", re.ASCII)


def field_costs(value: object) -> Mapping[str, int]:
    """``Type.field=points`` pairs."""
    costs: dict[str, int] = {}
    for name, points in _pairs(value):
        type_name, _, field_name = str(name).strip().partition(".")
        if not (NAME.fullmatch(type_name) and NAME.fullmatch(field_name)):
            raise ValueError("holds something that is not Type.field=points")
        costs[f"{type_name}.{field_name}"] = integer(0, 1_000_000)(points)
    return costs


def tiers(value: object) -> Mapping[str, Rate]:
    """``name=rate`` pairs. In a list a plus sign joins the windows of a rate."""
    return _named_tiers({text(str(name)): rate(limit) for name, limit in _pairs(value)})


def cost_budgets(value: object) -> Mapping[str, int]:
    """``tier=points`` pairs."""
    points = integer(1, 10**9)
    return _named_tiers({text(str(name)): points(given) for name, given in _pairs(value)})


def _named_tiers(found: T) -> T:
    """The same, if all names can be those of tiers."""
    complaint = "names a tier with something else than letters, digits, dots, dashes and underscores"
    return all_that_are(_TIER.fullmatch, found, complaint)


def _pairs(value: object) -> Iterable[tuple[object, object]]:
    """The pairs of a mapping, or of a list of ``name=value``."""
    # Keyword arguments may give a mapping; a variable gives text.
    if isinstance(value, Mapping):
        return value.items()
    return [(name, given) for name, _, given in (item.partition("=") for item in items(value))]


def list_fields(value: object) -> tuple[str, ...]:
    """Field names, alone or as ``Type.field``."""
    complaint = "holds something that is neither a field name nor Type.field"
    return all_that_are(lambda item: _are_names(item.split(".", 1)), items(value), complaint)


def list_arguments(value: object) -> tuple[str, ...]:
    """Names of arguments, alone or behind their field, or their type and field."""
    complaint = "holds something that is neither an argument, field.argument nor Type.field.argument"
    return all_that_are(lambda item: _are_names(item.split(".", 2)), items(value), complaint)


def _are_names(parts: Iterable[str]) -> bool:
    return all(map(NAME.fullmatch, parts))
