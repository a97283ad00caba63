"""Which rule a request with a document would have, for explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fraiseql_guard.core.rule_candidates import Candidates, RuleInForce
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.rules import LIMITS_OF_RULES
from fraiseql_guard.core.settings import Settings


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What rules look at besides the document."""

    path: str
    method: str = "POST"
    tier: str | None = None


def effects_of(rule: RuleInForce | None) -> Mapping[str, Any] | None:
    """What a rule sets, by the keys of a rules file."""
    if rule is None:
        return None
    limits = {key: rule.limits[option] for key, option in LIMITS_OF_RULES.items() if option in rule.limits}
    effects = {
        "rate": None if rule.rate is None else str(rule.rate),
        "cost": rule.cost,
        **limits,
        "timeout": rule.timeout_seconds,
        "mode": rule.mode,
        "count": rule.count,
    }
    return {"name": rule.name, **{key: value for key, value in effects.items() if value is not None}}


def candidates_of(rules: RuleTable, settings: Settings, head: RequestHead | None) -> Candidates:
    """The rules that the head of a request leaves."""
    head = head or RequestHead(settings.graphql_paths[0])
    under = [path for path in settings.graphql_paths if path in ("/", head.path) or head.path.startswith(path + "/")]
    found = rules.at([head.path], [head.path], under[0] if under else None)
    return found.of(head.method, head.tier, operation=True)
