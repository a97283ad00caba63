"""Writes the documentation's tables and the picture of the architecture from the code: ``python -m tools.docs``.

``--check`` changes nothing and exits 1 if a file is not what the code says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap

from fraiseql_guard.asgi.deciding_setting import DECIDING
from fraiseql_guard.core import signals
from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES, name_of
from fraiseql_guard.core.signals import Metric, Protection, Source
from fraiseql_guard.core.variables import SettingVariable
from fraiseql_guard.identity.proxy_headers import PROXY_HEADER_PREFIXES, PROXY_HEADERS
from fraiseql_guard.operations.http.routes import ROUTES
from fraiseql_guard.operations.log_analysis.summary import READINGS
from fraiseql_guard.operations.runbooks.model import Runbook
from fraiseql_guard.operations.runbooks.render import ALERTS
from fraiseql_guard.telemetry.recorder.remedies import remedy
from tools.architecture import PICTURE, STEPS_PICTURE, picture, rooms_table, stages_table, steps_picture, steps_table
from tools.command_reference import commands_reference
from tools.expressions import page_expressions
from tools.guides import GUIDE_TABLES, PAGES
from tools.headers import OF_THE_APP, READ, WRITTEN, HeaderRow
from tools.promql import selected

ROOT = Path(__file__).parent.parent


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")


def _default(row: SettingVariable) -> str:
    return f"`{_cell(row.default)}`" if row.default else "unset"


_GROUPS = {
    "mode": "General",
    "trusted_proxies": "The caller's address",
    "rate_limit_default": "Rate limits",
    "rules_file": "Rules",
    "redis_url": "The store",
    "jwt_secret": "Authentication",
    "max_query_depth": "Query limits",
    "max_body_bytes": "Bodies",
    "sockets": "WebSockets and streams",
    "query_timeout": "Timeouts",
    "rate_limit_abuse_offences": "Offences and sanctions",
    "admin_tokens": "The operator's API",
    "metrics_path": "Metrics, health and log",
}
"""How the reference of settings is divided, by the first option of each part."""


def _variables() -> str:
    lines: list[str] = []
    for row in VARIABLES:
        if heading := _GROUPS.get(row.option):
            lines += [
                "",
                f"## {heading}",
                "",
                "| variable | default | at run time | what it does |",
                "|---|---|---|---|",
            ]
        live = "yes" if row.option in CHANGEABLE else ""
        lines.append(f"| `{row.name}` | {_default(row)} | {live} | {_cell(row.doc)} |")
    return "\n".join(lines[1:])


TEN = (
    "graphql_paths",
    "mode",
    "rate_limit_default",
    "rate_limit_authenticated",
    "max_query_complexity",
    "query_timeout",
    "jwt_secret",
    "redis_url",
    "trusted_proxies",
    "environment",
)
"""The options that people set: the table of the README."""


def _ten_variables() -> str:
    by_option = {row.option: row for row in VARIABLES}
    rows = (f"| `{row.name}` | {_default(row)} | {_cell(row.doc)} |" for row in map(by_option.__getitem__, TEN))
    return "\n".join(["| variable | default | what it does |", "|---|---|---|", *rows])


def _proxy_headers() -> str:
    names = [*(name.decode() for name in PROXY_HEADERS), *(f"{prefix.decode()}*" for prefix in PROXY_HEADER_PREFIXES)]
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return "\n".join(wrap(listed, 120, break_on_hyphens=False, break_long_words=False))


_FED_BY = {
    Source.GUARD: "the guard",
    Source.HOST: "the app's integration",
    Source.PROCESS: "prometheus_client",
    Source.NODE: "node_exporter",
}


def _metrics() -> str:
    lines = ["| metric | type | labels | fed by | meaning | read by |", "|---|---|---|---|---|---|"]
    for metric in signals.METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.kind} | {labels} | {_FED_BY[metric.source]} | {_cell(metric.help)} |"
            f" {_readers(metric)} |"
        )
    return "\n".join(lines)


def _readers(metric: Metric) -> str:
    """The alerts that rest on a metric, and the runbooks that ask for it."""
    alerts = [f"`{alert.name}`" for alert in ALERTS if metric.name in selected(alert.expression)]
    pages = [_page(runbook) for runbook in Runbook if metric.name in _asked(runbook)]
    return ", ".join([*alerts, *pages])


def _asked(runbook: Runbook) -> set[str]:
    """Metrics that a runbook's text asks for, itself or through a recorded series."""
    page = f"docs/runbooks/{runbook.value}.md"
    return set().union(*(selected(expression) for where, expression in _PAGES if where == page))


def _page(runbook: Runbook) -> str:
    return f"[{runbook.spoken}](runbooks/{runbook.value}.md)"


_PAGES = list(page_expressions())


def _events() -> str:
    rows = (
        f"| `{event.name}` | {event.level} | {', '.join(f'`{field}`' for field in event.fields)} |"
        f" {_page(reading.runbook) if (reading := READINGS.get(event)) else ''} |"
        for event in signals.EVENTS
    )
    return "\n".join(["| event | level | context | read by |", "|---|---|---|---|", *rows])


_PARTS = {
    Protection.RATE_LIMIT: "Rate limits, budgets and sanctions",
    Protection.AUTH: "Authentication",
    Protection.QUERY_LIMITS: "Requests and documents",
    Protection.TIMEOUT: "Timeouts",
    Protection.METRICS: "Metrics and health details",
    Protection.ADMIN: "The operator's API",
}
"""How the reference of errors is divided."""


def _errors() -> str:
    parts = []
    for protection, heading in _PARTS.items():
        rows = [
            f"| `{code.name}` | {code.status} | {_cell(code.message)} | {_cell(_helps(code))} |"
            for code in signals.CODES
            if code.protection is protection
        ]
        head = ["| code | status | what the client reads | what helps |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {heading}", "", f"Protection `{protection}`.", "", *head, *rows]))
    return "\n\n".join(parts)


_TYPED = re.compile(r"FRAISEQL_[A-Z_]+[A-Z](?:=\w+)?|fraiseql-guard [a-z]+(?: [a-z]+)?(?=[.,)])|Retry-After")
"""What a remedy names as it is typed: variables, commands, a header."""


def _helps(code: signals.Code) -> str:
    """The remedy, and the settings that decide beside those that it names.

    The page says once how a setting is raised for a while.
    """
    text = re.sub(r" \(for a while: [^)]*\)", "", remedy(code))
    others = [name for option in DECIDING.get(code, ()) if (name := name_of(option)) not in text]
    if others:
        text = f"{text} Decided by {', '.join(others)}."
    return re.sub(
        r"(FRAISEQL_[A-Z_]+[A-Z](?:=\w+)?|fraiseql-guard [a-z]+(?: [a-z]+)?(?=[.,)])|Retry-After)", r"`\1`", text
    )


def _headers(rows: Sequence[HeaderRow]) -> str:
    lines = ["| header | what it is for | setting |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{row.name}` | {row.meaning} | {row.setting} |" for row in rows)])


def _routes() -> str:
    lines = ["| route | fields | answers | what it does |", "|---|---|---|---|"]
    for route in ROUTES:
        fields = ", ".join(f"`{field.name}`" + ("" if field.required else "?") for field in route.fields)
        result = f"`{route.result.__name__}`" if route.result else "an object"
        answers = f"`items` of {result}" if route.many else result
        lines.append(f"| `{route.method} /admin{route.path}` | {fields} | {answers} | {_cell(route.does)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "ten-variables": _ten_variables,
    "variables": _variables,
    "metrics": _metrics,
    "events": _events,
    "commands": commands_reference,
    "errors": _errors,
    "headers-read": lambda: _headers(READ),
    "headers-written": lambda: _headers(WRITTEN),
    "headers-of-the-app": lambda: _headers(OF_THE_APP),
    "routes": _routes,
    "proxy-headers": _proxy_headers,
    "stages": stages_table,
    "steps": steps_table,
    "rooms": rooms_table,
    **GUIDE_TABLES,
}
FILES = (
    "README.md",
    "docs/command-line.md",
    "docs/decisions.md",
    "docs/design/architecture.md",
    "docs/errors.md",
    "docs/headers.md",
    "docs/operator.md",
    "docs/settings.md",
    "docs/signals.md",
    *PAGES,
)


def rendered(text: str) -> str:
    """A file's text with every marked table as the code says."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: ([a-z -]+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main() -> int:
    """Write or check all files."""
    wanted = {name: rendered((ROOT / name).read_text(encoding="utf-8")) for name in FILES} | {
        PICTURE: picture(),
        STEPS_PICTURE: steps_picture(),
    }
    stale = [name for name, text in wanted.items() if _text(name) != text]
    for name in stale:
        if "--check" in sys.argv:
            print(f"{name} is not what the code says: python -m tools.docs", file=sys.stderr)
        else:
            (ROOT / name).write_text(wanted[name], encoding="utf-8")
            print(f"wrote {name}")
    return int(bool(stale) and "--check" in sys.argv)


def _text(name: str) -> str | None:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
