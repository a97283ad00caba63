"""Every effective setting as a row that can be shown; the value of a secret is ``****``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.settings import VARIABLES, Settings

MASK = "****"


def rows(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """One row for each variable, in the order of the documentation."""
    return [
        {
            "variable": row.name,
            "option": row.option,
            "value": shown(getattr(settings, row.option)),
            "source": settings.sources.get(row.option, "default"),
            "default": row.default,
            "accepts": row.form.accepts,
            "documentation": row.doc,
        }
        for row in VARIABLES
    ]


def shown(value: object) -> str | int | float | bool | None:
    """A value in the form in which the environment could give it; ``****`` for a secret."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, tuple | list):
        return ",".join(str(each) for each in value)
    return value if isinstance(value, int | float | bool) or value is None else str(value)
