"""The measures of requests that are tuned, each with the option that limits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that each request has, such as its depth, and the option that limits it.

    ``scale`` is the number of its units in one unit of the option (1000 for milliseconds and seconds). ``least`` is the
    smallest recommended limit. ``headroom`` is the factor by which the limit exceeds the number that fits ordinary use,
    since durations and operations at once grow with the load.
    """

    name: str
    option: str
    title: str
    scale: int = 1
    unit: str = ""
    least: int = 1
    headroom: float = 1.0

    def present(self, settings: Settings) -> float:
        """The limit in force, in the option's units."""
        value: Any = getattr(settings, self.option)
        # Without a timeout of their own, mutations have that of queries.
        return float(settings.query_timeout if value is None else value)


def _of(name: str, option: str, title: str, unit: str, least: int = 1, *, headroom: float = 1) -> Measure:
    return Measure(name=name, option=option, title=title, unit=unit, least=least, headroom=headroom)


def _duration(kind: str, title: str) -> Measure:
    option = f"{kind}_timeout"
    return Measure(name=f"{kind}_ms", option=option, title=title, scale=1000, unit="seconds", headroom=3)


MEASURES: Final[tuple[Measure, ...]] = (
    _of("depth", "max_query_depth", "Depth of operations", "levels", 3),
    _of("complexity", "max_query_complexity", "Complexity of operations", "points", 10),
    _of("list_size", "max_list_size", "Largest list asked for", "items", 10),
    _of("offset", "max_offset", "Farthest offset asked for", "items"),
    _of("aliases", "max_aliases", "Aliases of one field", "aliases"),
    _of("root_fields", "max_root_fields", "Root fields of an operation", "fields", 2),
    _of("in_flight", "max_in_flight", "Operations of a caller at once", "operations", 5, headroom=2),
    _duration("query", "Duration of queries"),
    _duration("mutation", "Duration of mutations"),
)
"""All measures, in the order in which they are shown."""
