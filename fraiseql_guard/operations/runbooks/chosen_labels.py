"""Puts the operator's labels into rules and panels: those that they are summed by, and those that every alert
carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

BY: Final = ("job",)
"""The labels that the tables are summed by, and the default."""
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset(
    "instance pid user_id ip_address le code policy part metric reason protection kind outcome source datname".split()
)
"""Labels that the rules use themselves: the operator cannot choose them."""
_OURS: Final = frozenset(("alertname", "alertstate", "severity", "runbook"))
# All expressions group by job first, where further labels are inserted.
_GROUPING: Final = re.compile(r"\b(by|on) \(job\b")


def parse_by(text: str) -> tuple[str, ...]:
    """The labels in a text such as ``job,namespace``. ValueError, naming what is accepted, for anything else."""
    names = tuple(name.strip() for name in text.split(","))
    wrong = next((name for name in names if not _is_name(name) or name in _TAKEN), None)
    if wrong is not None or len(set(names)) < len(names):
        raise ValueError(
            f"--by={text!r}: {wrong or 'a label that stands there twice'!r} cannot be summed by. Accepted: labels that "
            "your targets have, each once, such as job,namespace; instance and what the rules tell apart themselves "
            "are there anyway"
        )
    return names


def parse_labels(texts: Iterable[str], option: str = "--label") -> dict[str, str]:
    """The labels in texts such as ``team=x``. ValueError, naming what is accepted, for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or not _is_name(name) or name in _OURS:
            raise ValueError(
                f"{option} {text!r} is no label of yours. Accepted: for example team=shop; "
                f"{', '.join(sorted(_OURS))} are ours"
            )
        found[name] = value
    return found


def summed_by(expression: str, by: tuple[str, ...]) -> str:
    """An expression of the tables with the operator's labels in place of ``job``."""
    return expression if by == BY else _GROUPING.sub(rf"\1 ({', '.join(by)}", expression)


def named_by(template: str, by: tuple[str, ...]) -> str:
    """A text of the tables with the values of the operator's labels in place of the job."""
    return template.replace("{{ $labels.job }}", "/".join(f"{{{{ $labels.{name} }}}}" for name in by))


def selected_by(expression: str, by: tuple[str, ...]) -> str:
    """The expression of a panel, summed by the operator's labels, with selectors for the dashboard's variables."""
    selectors = ", ".join(f'{name}=~"${name}"' for name in by)
    return summed_by(expression, by).replace('job=~"$job"', selectors)


def legend_by(legend: str, by: tuple[str, ...]) -> str:
    """The legend of a panel's series with the operator's labels in place of ``job``."""
    return legend.replace("{{job}}", "/".join(f"{{{{{name}}}}}" for name in by))


def alert_labels(severity: str, runbook: str, own: Mapping[str, str]) -> dict[str, str]:
    """All labels of an alert: its severity, its runbook, and the operator's own."""
    return {"severity": severity, "runbook": runbook, **own}


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not text.startswith("__")
