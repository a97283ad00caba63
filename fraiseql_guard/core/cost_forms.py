"""The forms of settings about costs and lists: points by field or tier, rates by tier, fields and arguments of lists.

Parsers raise ``ValueError`` whose text completes the sentence "NAME='value' ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fraiseql_guard.core.parsing import NAME, integer, items, rate, text
from fraiseql_guard.core.token_buckets import Limit

_TIER: Final = re.compile(r"[-._0-9A-Za-z]{1,64}", re.ASCII)


def field_costs(value: object) -> Mapping[str, int]:
    """``Type.field=points`` pairs."""
    # Keyword arguments may give a mapping; a variable gives text.
    pairs = value.items() if isinstance(value, Mapping) else (item.partition("=")[::2] for item in items(value))
    costs: dict[str, int] = {}
    for name, points in pairs:
        type_name, _, field_name = str(name).strip().partition(".")
        if not (NAME.fullmatch(type_name) and NAME.fullmatch(field_name)):
            raise ValueError("holds something that is not Type.field=points")
        costs[f"{type_name}.{field_name}"] = integer(0, 1_000_000)(points)
    return costs


def tiers(value: object) -> Mapping[str, Limit]:
    """``name=rate`` pairs."""
    pairs = value.items() if isinstance(value, Mapping) else (item.partition("=")[::2] for item in items(value))
    found = {text(str(name)): rate(limit) for name, limit in pairs}
    if not all(_TIER.fullmatch(name) for name in found):
        raise ValueError("names a tier with something else than letters, digits, dots, dashes and underscores")
    return found


def cost_budgets(value: object) -> Mapping[str, int]:
    """``tier=points`` pairs."""
    pairs = value.items() if isinstance(value, Mapping) else (item.partition("=")[::2] for item in items(value))
    found = {text(str(name)): integer(1, 10**9)(points) for name, points in pairs}
    if not all(_TIER.fullmatch(name) for name in found):
        raise ValueError("names a tier with something else than letters, digits, dots, dashes and underscores")
    return found


def list_fields(value: object) -> tuple[str, ...]:
    """Field names, alone or as ``Type.field``."""
    found = items(value)
    if not all(all(NAME.fullmatch(part) for part in item.split(".", 1)) for item in found):
        raise ValueError("holds something that is neither a field name nor Type.field")
    return found


def list_arguments(value: object) -> tuple[str, ...]:
    """Names of arguments, alone or behind their field, or their type and field."""
    found = items(value)
    if not all(all(NAME.fullmatch(part) for part in item.split(".", 2)) for item in found):
        raise ValueError("holds something that is neither an argument, field.argument nor Type.field.argument")
    return found
