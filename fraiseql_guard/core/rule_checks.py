"""What is wrong with rules beyond their form: beside other settings, and beside an app's schema."""

from __future__ import annotations

from collections.abc import Container, Iterator

from fraiseql_guard.core.rule_candidates import sustained
from fraiseql_guard.core.rules import FAILURES, LIMITS_OF_RULES, MONITOR, Rule, Rules
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.variables import SettingsError


def refuse_two_sources(settings: Settings) -> None:
    """SettingsError if there are rules in a file and in a variable at the start: neither could be called the right
    ones."""
    if settings.rules and settings.rules_file is not None:
        raise SettingsError(
            f"{name_of('rules')} and {name_of('rules_file')} are both set. Remove one of them; the variable can still "
            "be set at run time (fraiseql-guard set), and then holds in place of the file"
        )


def refuse_loosening(rules: Rules, settings: Settings) -> None:
    """ValueError with a sentence for each rule that loosens something for requests which clients can pretend to be.

    ``settings`` are those that the rules stand beside.
    """
    if problems := problems_of(rules, settings):
        raise ValueError("; ".join(problems))


def problems_of(rules: Rules, settings: Settings) -> list[str]:
    """The same as a list of sentences."""
    return [problem for rule in rules.entries if (problem := _pretence(rule, settings)) is not None]


def _pretence(rule: Rule, settings: Settings) -> str | None:
    if settings.trusted_documents == "require" or not rule.match.pretended:
        return None
    loosened = list(loosens(rule, settings))
    if not loosened:
        return None
    by = " and ".join(key for key in ("operations", "root_fields") if getattr(rule.match, key))
    return (
        f"rule {rule.name!r} loosens {', '.join(loosened)}, and matches by {by}, which every client chooses. Match by "
        f"only_root_fields or tiers as well, or set {name_of('trusted_documents')}=require"
    )


def loosens(rule: Rule, settings: Settings) -> Iterator[str]:
    """What a rule gives more of than the settings, as key=value."""
    if rule.rate is not None and sustained(rule.rate) > _most_sustained(settings):
        yield f"rate={rule.rate}"
    if rule.cost == 0:
        yield "cost=0"
    for key, option in LIMITS_OF_RULES.items():
        limit = rule.limits.get(option)
        if limit is not None and limit > getattr(settings, option):
            yield f"{key}={limit} (above {name_of(option)}={getattr(settings, option)})"
    if rule.timeout is not None and rule.timeout > max(settings.query_timeout, settings.mutation_timeout or 0):
        yield f"timeout={rule.timeout:g}"
    if rule.mode == MONITOR:
        yield f"mode={MONITOR}"
    if rule.count == FAILURES:
        yield f"count={FAILURES}"


def _most_sustained(settings: Settings) -> float:
    """The largest rate that any caller has without rules."""
    rates = [settings.rate_limit_default, settings.rate_limit_authenticated, *settings.tiers.values()]
    return max(sustained(rate) for rate in rates if rate is not None)


def warnings_about(rules: Rules, settings: Settings, fields: Container[str] | None = None) -> list[str]:
    """Sentences about what is most likely a slip. ``fields``: those at the roots of the app's schema, if it is
    known."""
    return [sentence for rule in rules.entries for sentence in _slips(rule, settings, fields)]


def _slips(rule: Rule, settings: Settings, fields: Container[str] | None) -> Iterator[str]:
    match = rule.match
    named = sorted(match.root_fields | match.only_root_fields)
    if fields is not None and (unknown := [name for name in named if name not in fields and not _is_meta(name)]):
        yield f"rule {rule.name!r}: the schema has no root field {', '.join(unknown)}"
    known = {*settings.tiers, *settings.cost_budgets}
    if unknown := sorted(match.tiers - known):
        yield f"rule {rule.name!r}: no setting names the tier {', '.join(unknown)} ({name_of('tiers')})"
    if match.pretended and not match.root_fields:
        yield (
            f"rule {rule.name!r} matches by the names of operations, and clients can choose others: to limit what they "
            "ask for, match by root_fields"
        )


def _is_meta(name: str) -> bool:
    return name.startswith("__")
