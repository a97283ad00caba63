"""Puts something else in the place of a private part of the guard: for benchmarks, in a process of their own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


class PartMissingError(Exception):
    """What a row switches off is not there."""


def part(place: str) -> Any:
    """A module of the guard, or what ``module:name`` calls so in it."""
    module, _, name = place.partition(":")
    try:
        found: Any = importlib.import_module(f"fraiseql_guard.{module}")
        return getattr(found, name) if name else found
    except (ImportError, AttributeError) as error:
        raise PartMissingError(f"{place}: {error}") from None


def put(place: str, name: str, value: Any) -> Any:
    """Put a value in the place of an attribute of a part, and return the former one."""
    owner = part(place)
    if not hasattr(owner, name):
        raise PartMissingError(f"{place} has no {name}")
    former = getattr(owner, name)
    setattr(owner, name, value)
    return former


def afterwards(place: str, **attributes: Callable[[], Any]) -> None:
    """Have every new object of a class get other attributes once it is made."""
    owner = part(place)
    if missing := [name for name in attributes if not hasattr(owner, name)]:  # slots are attributes of the class
        raise PartMissingError(f"{place} has no {', '.join(missing)}")

    def make(self: Any, *positional: Any, **named: Any) -> None:
        former(self, *positional, **named)
        for name, value in attributes.items():
            object.__setattr__(self, name, value())

    former = put(place, "__init__", make)


def uncached(module: str, name: str) -> None:
    """Have a function computed anew each time, in every module that has imported it."""
    cached = part(f"{module}:{name}")
    if not hasattr(cached, "__wrapped__"):
        raise PartMissingError(f"{module} {name} is not cached")
    for loaded in [each for key, each in sys.modules.items() if key.startswith("fraiseql_guard.")]:
        if getattr(loaded, name, None) is cached:
            setattr(loaded, name, cached.__wrapped__)
