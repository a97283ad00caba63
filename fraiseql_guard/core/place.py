"""The meaning of a request's path: a GraphQL path, a page of the guard's own, the operator's API, or the app's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fraiseql_guard.core.rule_candidates import PathRules
from fraiseql_guard.core.signals import UNKNOWN

NOT_A_ROUTE: Final = "//"
"""Value of ``below_admin`` for a path below the operator's whose spelling leads to none of its routes."""


class OwnPage(StrEnum):
    """A page that the guard serves itself."""

    METRICS = "metrics"
    HEALTH = "health"  # the details
    ALIVE = "alive"  # the short one, where the app has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The meaning of a request's path.

    ``graphql`` is the configured GraphQL path that covers it, and ``below_admin`` the rest behind the operator's path;
    None elsewhere. ``endpoint`` is the label in metrics. ``malformed`` says why no app may see the path; ``""`` if it
    may. ``rules``: those whose paths match; None where there is no rule at all.
    """

    graphql: str | None = None
    needs_token: bool = False
    exempt: bool = False
    page: OwnPage | None = None
    below_admin: str | None = None
    endpoint: str = UNKNOWN
    malformed: str = ""
    rules: PathRules | None = None


NOWHERE: Final = Place()
"""The place of a path that no setting names."""
