"""``python -m tools.audit.grafana``: the dashboard against Grafana's own schema (npm's @grafana/schema).

The schema is published as TypeScript, so its compiler is asked whether the dashboard, as it is imported and as it is
sent to the HTTP API, is what Grafana's types say: a property that they do not know, one that is missing, and a value
of another type are errors. Dashboards that are wrong on purpose must be refused. 1 if ours is, 2 if it cannot be asked.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fraiseql_guard.operations.runbooks.dashboard import dashboard, render_dashboard
from fraiseql_guard.operations.runbooks.render import Choices
from tools.audit.npm import NpmError, install

HERE: Final = Path(__file__).resolve().parent
_SECONDS: Final = 120.0
_COMPILER: Final = (
    "node node_modules/typescript/bin/tsc --noEmit --strict --skipLibCheck --module esnext --moduleResolution node10"
)
_PROBLEM: Final = re.compile(r"^(?P<file>\w+)\.ts\((?P<line>\d+),\d+\): error (?P<text>.*)$", re.MULTILINE)


def sources() -> Mapping[str, tuple[str, str]]:
    """What is checked: the type that it must be of, and the JSON, by a name."""
    chosen = Choices(by=("job", "namespace"), scale=0.5)
    return {
        "imported": ("OurDashboard", render_dashboard()),
        "chosen": ("OurDashboard", render_dashboard(chosen)),
        "sent": ("ApiRequest", render_dashboard(folder_uid="operations")),
    }


def mistakes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Dashboards that Grafana's types do not allow: each must be refused."""
    for name, change in _MISTAKES.items():
        wrong = copy.deepcopy(dashboard())
        change(wrong)
        yield name, wrong


def _panel(shown: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in shown["panels"] if each["type"] == "timeseries")
    return found


_MISTAKES: Final = {
    "links_of_a_row": lambda shown: shown["panels"][0].update(links=[]),
    "a_place_without_a_width": lambda shown: _panel(shown)["gridPos"].pop("w"),
    "an_option_that_is_none": lambda shown: _panel(shown)["options"].update(colorMode="value"),
    "a_mode_that_is_none": lambda shown: _panel(shown)["options"]["tooltip"].update(mode="every"),
    "a_refresh_in_seconds": lambda shown: shown.update(refresh=30),
}


def problems(folder: Path, texts: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    """What the compiler says of each: the line of its JSON, and the sentence. NpmError if it cannot be asked."""
    for name, (kind, text) in texts.items():
        source = f"import type {{ {kind} }} from './types';\nexport const shown: {kind} = {text.rstrip()};\n"
        (folder / f"{name}.ts").write_text(source, encoding="utf-8")
    command = [*_COMPILER.split(), *(f"{name}.ts" for name in texts)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    found: dict[str, list[str]] = {name: [] for name in texts}
    for each in _PROBLEM.finditer(done.stdout):
        found.setdefault(each["file"], []).append(f"line {int(each['line']) - 1}: {each['text']}")
    if done.returncode and not any(found.values()):
        raise NpmError(f"the compiler failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return found


def main() -> int:
    """Ask, and say what came out."""
    wrong = {name: ("OurDashboard", json.dumps(each, indent=2)) for name, each in mistakes()}
    try:
        folder = install(HERE / "package.json", [HERE / "types.ts"], "grafana")
        found = problems(folder, {**sources(), **wrong})
    except (NpmError, subprocess.TimeoutExpired) as problem:
        print(f"grafana: {problem}", file=sys.stderr)
        return 2
    told = [(name, problem) for name, each in found.items() if name not in wrong for problem in each]
    told += [(name, "passes, and must not") for name in wrong if not found[name]]
    for name, problem in told:
        print(f"missed: {name}: {problem}")
    if not told:
        print(f"met: the dashboard is what Grafana's schema says; {len(wrong)} that are not were refused")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
