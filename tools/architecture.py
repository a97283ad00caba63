"""The pictures and the tables of docs/design/architecture.md and docs/decisions.md: the way of a request, and the rooms
of the package.

``python -m tools.docs`` writes them. The floors are the layers in pyproject.toml, and what a room does is the first
sentence of its docstring. STAGES is the only place that names modules, and the guides of each step.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "fraiseql_guard"
PICTURE: Final = "docs/images/architecture.svg"
STEPS_PICTURE: Final = "docs/images/decisions.svg"
"""Where they stand, below ROOT."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step on the way of a request: what is decided there, in which modules, and with what it may be refused.

    ``guides`` are the pages in docs/ that explain it.
    """

    name: str
    decides: str
    modules: tuple[str, ...]
    refusals: tuple[str, ...] = ()
    guides: tuple[str, ...] = ()


STAGES: Final = (
    Stage(
        "Dispatch",
        "which path it is; whether this refusal was just given",
        (
            "asgi/dispatcher.py",
            "asgi/head_cache.py",
            "asgi/refusal_cache.py",
            "asgi/paths.py",
            "asgi/describe.py",
        ),
        ("429",),
        guides=("limits",),
    ),
    Stage(
        "Head",
        "operators' blocks, path, form, pages for operators",
        (
            "checks/blocks.py",
            "checks/request_paths.py",
            "checks/http_request.py",
            "checks/metrics_access.py",
            "checks/admin_access.py",
        ),
        ("400", "401", "403", "405", "415"),
        guides=("sanctions", "query-limits", "operator"),
    ),
    Stage(
        "Caller",
        "address, token, whether the user is still there",
        ("identity/addresses.py", "identity/tokens.py", "checks/authentication.py", "asgi/async_authentication.py"),
        ("400", "401", "403", "429", "503"),
        guides=("authentication",),
    ),
    Stage(
        "Recent refusals",
        "whether the caller was just refused or blocked",
        ("stores/refusals.py", "asgi/decisions.py"),
        ("403", "429"),
        guides=("limits", "sanctions"),
    ),
    Stage(
        "Operation",
        "what the body asks for, and what that costs",
        (
            "asgi/body_reading.py",
            "graphql/reader.py",
            "checks/query_limits.py",
            "checks/blocked_documents.py",
            "checks/mixed_documents.py",
            "checks/memory_pressure.py",
            "checks/cost_budgets.py",
            "checks/concurrency.py",
            "checks/socket_room.py",
        ),
        ("400", "403", "405", "408", "413", "429", "503"),
        guides=("query-limits", "overload"),
    ),
    Stage(
        "Admission",
        "one call to the store: sanctions, then buckets",
        (
            "checks/admission.py",
            "checks/sanctions.py",
            "checks/rate_limits.py",
            "stores/failover.py",
            "stores/protocol.py",
        ),
        ("400", "403", "429", "503"),
        guides=("sanctions", "limits"),
    ),
    Stage(
        "App",
        "runs until its deadline, or until the client leaves",
        ("asgi/request_handler.py", "asgi/app_runner.py", "asgi/timeout_policy.py", "asgi/sockets/streams.py"),
        ("504",),
        guides=("timeouts", "streams"),
    ),
    Stage(
        "Record",
        "metrics, log lines, offences; nothing is refused here",
        ("telemetry/recorder/requests.py", "telemetry/recorder/refusal_signals.py", "telemetry/log/event_log.py"),
        guides=("signals",),
    ),
)


@dataclass(frozen=True, slots=True)
class Room:
    """A module or package at the top of fraiseql_guard."""

    name: str
    does: str
    is_package: bool


def floors() -> list[list[Room]]:
    """The rooms by floor, the highest first, as import-linter holds them."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (each for each in linter["contracts"] if each.get("containers") == [linter["root_package"]])
    return [[_room(name.strip()) for name in re.split(r"[|:]", layer)] for layer in contract["layers"]]


def _room(name: str) -> Room:
    package = PACKAGE / name / "__init__.py"
    source = package if package.exists() else PACKAGE / f"{name}.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return Room(name, re.split(r"(?<=[.?!])\s", paragraph)[0], source is package)


def rooms_table() -> str:
    """The rooms, as a table."""
    lines = ["| floor | room | what it is for |", "|---|---|---|"]
    for number, floor in zip(range(len(all_floors := floors()), 0, -1), all_floors, strict=True):
        for room in floor:
            name = f"{room.name}/" if room.is_package else room.name
            lines.append(f"| {number} | `{name}` | {room.does.replace('``', '`')} |")
    return "\n".join(lines)


def stages_table() -> str:
    """The way of a request, as a table."""
    lines = ["| step | what is decided | where | refusals |", "|---|---|---|---|"]
    for number, stage in enumerate(STAGES, start=1):
        where = ", ".join(f"`{module}`" for module in stage.modules)
        lines.append(f"| {number}. {stage.name} | {stage.decides} | {where} | {', '.join(stage.refusals)} |")
    return "\n".join(lines)


def steps_table() -> str:
    """The way of a request for readers of the guides, as a table."""
    lines = ["| step | what is decided | refusals | guides |", "|---|---|---|---|"]
    for number, stage in enumerate(STAGES, start=1):
        guides = ", ".join(f"[{name.replace('-', ' ')}]({name}.md)" for name in stage.guides)
        lines.append(f"| {number}. {stage.name} | {stage.decides} | {', '.join(stage.refusals)} | {guides} |")
    return "\n".join(lines)


# --- the picture -----------------------------------------------------------------------------------------------------

_WIDTH, _TOP, _LEFT, _FLOORS_AT = 1000, 62, 24, 572
_STEP, _BOX, _FLOOR = 76, 58, 26
_STYLE: Final = """
text { font: 13px Inter, 'DejaVu Sans', sans-serif; fill: #1f2430 }
.ground { fill: #ffffff } .title { font-weight: 600; font-size: 15px } .name { font-weight: 600 } .dim { fill: #5b6472 }
.box { fill: #f2f5f9; stroke: #b9c3d0 } .way { fill: #e1ecfb; stroke: #86a9d8 } .line { stroke: #5b6472; fill: none }
.head { fill: #5b6472 } .out { stroke: #b3402f; fill: none } .outhead { fill: #b3402f }
.code { fill: #b3402f; font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7ee } .ground { fill: #14171c } .dim { fill: #a3acba }
.box { fill: #20252d; stroke: #49525f } .way { fill: #1e3350; stroke: #4f78b0 } .line { stroke: #a3acba }
.head { fill: #a3acba } .out { stroke: #f08a78 } .outhead { fill: #f08a78 } .code { fill: #f08a78 }
}
"""


def picture() -> str:
    """The SVG: the way of a request on the left, the floors on the right. Follows the reader's light or dark scheme."""
    levels = floors()
    entered = {module.split("/")[0].removesuffix(".py") for stage in STAGES for module in stage.modules}
    height = max(_TOP + len(STAGES) * _STEP, _TOP + len(levels) * (_FLOOR + 4)) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        "<title>The way of a request, and the rooms of fraiseql_guard</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        _text(_LEFT, 34, "The way of a request", "title"),
        _text(_FLOORS_AT, 34, "The rooms: each uses only rooms below it", "title"),
        *_way(STAGES),
        *_house(levels, entered),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


_STEPS_WIDTH, _GUIDES_AT = 748, 590


def steps_picture() -> str:
    """The SVG of the way alone, with the guide of each step at its side."""
    height = _TOP + len(STAGES) * _STEP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_STEPS_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_STEPS_WIDTH} {height}">',
        "<title>How a request is decided, step by step</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        _text(_LEFT, 34, "A request", "title"),
        _text(_LEFT + 404, 34, "Refused with", "title"),
        _text(_GUIDES_AT, 34, "Read more in", "title"),
        *_way(STAGES),
    ]
    for number, stage in enumerate(STAGES):
        middle = _TOP + number * _STEP + _BOX / 2
        parts += [
            _text(_GUIDES_AT, middle + 5 + 18 * (line - (len(stage.guides) - 1) / 2), name.replace("-", " "))
            for line, name in enumerate(stage.guides)
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _way(stages: Sequence[Stage]) -> Iterator[str]:
    width = 372
    for number, stage in enumerate(stages):
        y = _TOP + number * _STEP
        yield f'<rect class="way" x="{_LEFT}" y="{y}" width="{width}" height="{_BOX}" rx="6"/>'
        yield _text(_LEFT + 14, y + 24, f"{number + 1}. {stage.name}", "name")
        yield _text(_LEFT + 14, y + 44, stage.decides, "dim")
        if number + 1 < len(stages):
            yield from _arrow(_LEFT + 60, y + _BOX, 0, _STEP - _BOX, "line", "head")
        if stage.refusals:
            yield from _arrow(_LEFT + width, y + _BOX / 2, 26, 0, "out", "outhead")
            for line, codes in enumerate(_lines(stage.refusals)):
                below = 5 if len(stage.refusals) <= _CODES_IN_LINE else -4 + 18 * line
                yield _text(_LEFT + width + 32, y + _BOX / 2 + below, codes, "code")


_CODES_IN_LINE: Final = 4


def _lines(codes: Sequence[str]) -> Iterator[str]:
    for begin in range(0, len(codes), _CODES_IN_LINE):
        yield " ".join(codes[begin : begin + _CODES_IN_LINE])


def _arrow(x: float, y: float, across: float, down: float, line: str, head: str) -> Iterator[str]:
    """From a point, straight across or straight down."""
    yield f'<path class="{line}" d="M{x} {y}l{across} {down}"/>'
    tip_x, tip_y = x + across, y + down
    back = "l-7 -4v8z" if across else "l-4 -7h8z"
    yield f'<path class="{head}" d="M{tip_x} {tip_y}{back}"/>'


def _house(levels: Sequence[Sequence[Room]], entered: Container[str]) -> Iterator[str]:
    room_for = _WIDTH - _FLOORS_AT - 24
    for number, floor in enumerate(levels):
        y = _TOP + number * (_FLOOR + 4)
        width = (room_for - 4 * (len(floor) - 1)) / len(floor)
        for place, room in enumerate(floor):
            x = _FLOORS_AT + place * (width + 4)
            kind = "way" if room.name in entered else "box"
            yield f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_FLOOR}" rx="4"/>'
            yield _text(x + width / 2, y + 18, room.name, anchor="middle")


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
