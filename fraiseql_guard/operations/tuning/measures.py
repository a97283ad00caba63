"""What is tuned: each measure of requests with the limit on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of requests, and the option that limits it. ``scale`` numbers make one of the option's units.

    ``least`` is the smallest limit that is recommended, and ``headroom`` by how many times it is to be larger than what
    was seen: durations grow with the load.
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
        # A mutation without a limit of its own has that of queries.
        return float(settings.query_timeout if value is None else value)


MEASURES: Final[tuple[Measure, ...]] = (
    Measure(name="depth", option="max_query_depth", title="Depth of operations", unit="levels", least=3),
    Measure(name="complexity", option="max_query_complexity", title="Complexity of operations", unit="points", least=10),
    Measure(name="list_size", option="max_list_size", title="Largest list asked for", unit="items", least=10),
    Measure(name="offset", option="max_offset", title="Farthest offset asked for", unit="items"),
    Measure(name="aliases", option="max_aliases", title="Aliases of one field", unit="aliases"),
    Measure(name="root_fields", option="max_root_fields", title="Root fields of an operation", unit="fields", least=2),
    Measure(name="in_flight", option="max_in_flight", title="Operations of a caller at once", unit="operations", least=2),
    Measure(
        name="query_ms", option="query_timeout", title="Duration of queries", scale=1000, unit="seconds", least=1,
        headroom=3,
    ),
    Measure(
        name="mutation_ms", option="mutation_timeout", title="Duration of mutations", scale=1000, unit="seconds",
        least=1, headroom=3,
    ),
)  # fmt: skip
BY_NAME: Final[Mapping[str, Measure]] = {each.name: each for each in MEASURES}
