"""What the path of a request stands for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fraiseql_guard.core.signals import UNKNOWN

NOT_A_ROUTE: Final = "//"
"""Stands for a path under the operator's that is written in a way that leads to none of its routes."""


class OwnPage(StrEnum):
    """A page that the guard serves itself."""

    METRICS = "metrics"
    HEALTH = "health"  # the details
    ALIVE = "alive"  # the short one, where the app has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a request's path stands for.

    ``graphql`` is the configured path that speaks GraphQL and covers it, ``below_admin`` what follows the operator's
    path; None elsewhere. ``endpoint`` is its label, ``malformed`` why no app may see it (empty if one may).
    """

    graphql: str | None = None
    needs_token: bool = False
    exempt: bool = False
    page: OwnPage | None = None
    below_admin: str | None = None
    endpoint: str = UNKNOWN
    malformed: str = ""


NOWHERE: Final = Place()
"""The place of a path that no setting names."""
